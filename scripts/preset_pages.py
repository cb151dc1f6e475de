"""A page for each preset: picture, paper, parity with the reference library, how long it is, and its YAML."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from blockgraph.builder.generate import generate
from blockgraph.builder.graph import Model
from blockgraph.specs import presets

ROOT = Path(__file__).resolve().parent.parent


def preset_page(name: str, model: Model, note: str) -> str:
    """`docs/presets/NAME.md`."""
    text = presets.text(name)
    about = " ".join((model.about or name).split())
    lengths = ", ".join(f"{axis} = {size}" for axis, size in model.sizes.items() if axis != "B")
    parts = [
        note,
        "",
        f"# {name}",
        "",
        f"{about}. **{model.parameters:,}** parameters" + (f" (lengths: {lengths})" if lengths else "") + ".",
        "",
        f"![{name} as a diagram](../images/presets/{name}.svg)",
        "",
        *parity(name),
        *length(name, model),
        "## The file",
        "",
        f"`blockgraph new {name}` begins a file of your own with it; `blockgraph show {name}` prints it resolved.",
        "",
        f"```yaml\n{without_comments(text)}```",
        "",
    ]
    return "\n".join(parts)


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """What benchmarks/parity.py has measured."""
    found: dict[str, Any] = json.loads((ROOT / "docs/parity.json").read_text("utf-8"))
    return found


def parity(name: str) -> list[str]:
    entry = measured()["presets"].get(name)
    if entry is None:
        return []
    worst = f"at most {entry['worst']:.1e} of its standard deviation" if entry["worst"] else "none: the same bits"
    classes = ", ".join(f"`{head}`" for head in entry["classes"])
    told = (
        f"Read [with its weights](../import.md), it is {classes} of `transformers` {measured()['transformers']}: the "
        f"largest difference over {entry['cases']} configurations with random weights, padded on either side, short "
        f"and long, is {worst} (float32; benchmarks/parity.py)."
    )
    return ["## Beside the reference", "", told, ""]


def length(name: str, model: Model) -> list[str]:
    """Lines, without blank ones and comments for what is ours; fair to the reference, whose files do much more."""
    yaml = counted(presets.text(name))
    above = inherited(name)
    rows = [f"| this file | {yaml} |"]
    if above:
        links = ", ".join(f"[{base}]({base}.md)" if base in presets.names() else f"`{base}`" for base in above)
        rows.append(f"| what it extends: {links} | {sum(counted(presets.text(base)) for base in above)} |")
    rows.append(f"| the plain PyTorch that it becomes, without the code of its blocks | {plain_lines(model)} |")
    entry = measured()["presets"].get(name)
    if entry is not None:
        files = " and ".join(f"`{file}`" for file in entry["reference"])
        rows.append(f"| the reference's {files}: all heads, caches and docs | {sum(entry['reference'].values()):,} |")
    return ["## How long it is", "", "| lines | |", "|---|---|", *rows, ""]


def plain_lines(model: Model) -> int:
    return counted(generate(model, imports=False))


def counted(text: str) -> int:
    """Lines that say something."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def inherited(name: str) -> list[str]:
    """The presets above one, nearest first."""
    found = re.search(r"^extends: *(.+)$", presets.text(name), re.MULTILINE)
    bases = re.findall(r"[\w.-]+", found[1]) if found else []
    return list(dict.fromkeys([*bases, *(above for base in bases for above in inherited(base))]))


def without_comments(text: str) -> str:
    """Without the two lines for editors at the top."""
    return re.sub(r"\A(#.*\n)+", "", text)
