"""How it is used: decoding with state and what comes after training."""
