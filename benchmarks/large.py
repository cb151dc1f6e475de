"""llama3-405b: the summary from the spec alone, the module on meta, and the memory that the module takes.

Each is measured in a process of its own: seconds of wall time for `summary` (imports apart) and `meta`, megabytes of
resident memory beyond `import torch` for `memory`.
"""

from __future__ import annotations

import argparse
import time

from timing import measured

PRESET = "llama3-405b"
PARAMETERS = 405_853_388_800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["summary", "meta", "memory"])
    given = parser.parse_args()
    measured({"summary": summary, "meta": meta, "memory": memory}[given.what]())


def summary() -> float:
    """Reading, checking and counting."""
    from blockgraph.builder import counts
    from blockgraph.builder.analyse import analyse
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec

    def once(preset: str) -> int:
        diagnostics = Diagnostics()
        spec = load_spec(preset, diagnostics)
        assert spec is not None
        model = analyse(spec, diagnostics)
        assert model is not None
        counts.costs(model)
        counts.rows(model)
        return model.parameters

    once("lstm-nano")  # imports
    start = time.perf_counter()
    assert once(PRESET) == PARAMETERS
    return time.perf_counter() - start


def meta() -> float:
    """From the preset's name to the module."""
    import blockgraph

    blockgraph.build("lstm-nano", device="meta")  # imports
    start = time.perf_counter()
    model = blockgraph.build(PRESET, device="meta")
    seconds = time.perf_counter() - start
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS
    return seconds


def memory() -> float:
    """Peak resident megabytes beyond those of `import torch`."""
    import resource
    import sys

    import torch

    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes here

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    before = peak()
    import blockgraph

    model = blockgraph.build(PRESET, device="meta")
    assert next(model.parameters()).device == torch.device("meta")
    return peak() - before


if __name__ == "__main__":
    main()
