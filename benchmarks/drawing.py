"""llama3-405b drawn by the command line, process and all, as SVG: the median of five runs, in seconds; and a graph of
more than a thousand nodes, every copy by itself."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import measured

LARGE = ("llama3-405b",)
UNROLLED = ("gpt2", "--set", "vars.layers=170", "--unroll")  # 170 layers of 6 blocks, and 4 around them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["large", "unrolled"])
    given = parser.parse_args()
    measured(statistics.median(drawn(LARGE) for _ in range(5)) if given.what == "large" else drawn(UNROLLED))


def drawn(arguments: tuple[str, ...]) -> float:
    """Seconds of wall time that the command takes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "drawn.svg"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "blockgraph", "draw", *arguments, "-o", str(out)], check=True)
        seconds = time.perf_counter() - start
        assert out.stat().st_size > 1000
    return seconds


if __name__ == "__main__":
    main()
