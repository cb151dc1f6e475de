"""What it means: spec, graph of blocks, shapes, generated source, module. Only `build`, `initial` import torch."""
