"""What runs: plain `nn.Module`s with keyword arguments. They know nothing of specs, and import only torch."""
