"""What is learned: which inputs a task gives, what it wants at which output, its loss and its measures."""
