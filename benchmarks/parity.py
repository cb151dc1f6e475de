"""How far published models are from the reference library: every preset, every configuration of the tests.

Writes docs/parity.json, from which the presets' pages are made, and prints the worst difference in standard deviations
of the reference. `--only NAME` measures the cases of one preset anew.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import blockgraph  # noqa: E402
from blockgraph.specs.architectures import heads  # noqa: E402
from tests.running.parity import CASES, distance, save  # noqa: E402

STORE = ROOT / "docs/parity.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a preset's name")
    only = parser.parse_args().only
    import transformers

    found: dict[str, Any] = json.loads(STORE.read_text("utf-8"))["presets"] if only else {}
    if only:
        found.pop(only, None)
    for name in CASES:
        measure(name, only, found)
    facts = {"transformers": transformers.__version__, "presets": dict(sorted(found.items()))}
    STORE.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"measured: {max(entry['worst'] for entry in found.values()):.2e}")
    return 0


def measure(name: str, only: str | None, found: dict[str, Any]) -> None:
    """Adds a case to the entry of the preset that draws it."""
    with tempfile.TemporaryDirectory() as folder:
        reference = save(name, Path(folder))
        head = type(reference).__name__
        preset = heads(reference.config.model_type)[head][0]
        if only not in (None, preset):
            return
        worst = distance(name, blockgraph.from_huggingface(folder), reference)
    entry = found.setdefault(preset, {"worst": 0.0, "cases": 0, "classes": [], "reference": reference_lines(reference)})
    entry["worst"] = float(f"{max(entry['worst'], worst):.2e}")
    entry["cases"] += 1
    entry["classes"] = sorted({*entry["classes"], head})
    print(f"{name:24} {preset:20} {worst:.1e}", flush=True)


def reference_lines(reference: Any) -> dict[str, int]:
    """The lines of the reference's files: `modeling_*.py` with all of its heads, and `configuration_*.py`."""
    modules = {type(reference).__module__, type(reference.config).__module__}
    paths = [Path(inspect.getsourcefile(importlib.import_module(name)) or "") for name in modules]
    return {path.name: len(path.read_text("utf-8").splitlines()) for path in sorted(paths, reverse=True)}


if __name__ == "__main__":
    sys.exit(main())
