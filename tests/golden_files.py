"""Golden files: `BLOCKGRAPH_GOLDEN=1 scripts/test` writes them anew; look at the diff before you commit it."""

from __future__ import annotations

import os
from pathlib import Path


def compare(path: Path, text: str) -> None:
    if os.environ.get("BLOCKGRAPH_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"no golden file {path.name}: run with BLOCKGRAPH_GOLDEN=1"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs from its golden file"
