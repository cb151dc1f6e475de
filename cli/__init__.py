"""How people call: one file a command, every heavy import inside its function."""
