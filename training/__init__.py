"""How it learns: data, tokenizers, losses, schedules, the loop, run folders, checkpoints."""
