"""What it means: spec, graph of blocks, shapes, generated forward, module. Only `build` and `generated` import torch."""
