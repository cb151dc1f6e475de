"""Writes the pages that are generated from the code: docs/blocks.md, docs/errors.md and docs/images/*.svg."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from blockgraph.cli.blocks import port_text  # noqa: E402
from blockgraph.cli.reference import option_rows  # noqa: E402
from blockgraph.specs.builtin import BUILTIN  # noqa: E402
from blockgraph.specs.codes import CODES  # noqa: E402
from blockgraph.specs.registry import BlockType  # noqa: E402

NOTE = "<!-- Written by scripts/docs: change the code, not this page. -->"
PICTURES = ("transformer-base",)


def blocks_page() -> str:
    """The reference of block types."""
    intro = (
        "Every built-in type with its ports, options and outputs. `a?` is an optional port (in brackets: what it takes "
        "when left open), `a…` any number. At the terminal: `blockgraph blocks attention`."
    )
    index = " · ".join(f"[{name}](#{name})" for name in BUILTIN)
    return "\n".join(
        [NOTE, "", "# Block types", "", intro, "", index, "", *(block_section(block) for block in BUILTIN.values())]
    )


def block_section(block: BlockType) -> str:
    ports = ", ".join(f"`{port_text(port)}`" for port in block.ports) or "none"
    outputs = ", ".join(f"`{name}`" for name in block.outputs) or "as `into` names them"
    lines = [
        f"## {block.name}",
        "",
        f"{block.summary[:1].upper()}{block.summary[1:]}.",
        "",
        f"Ports: {ports}. Outputs: {outputs}.",
        "",
    ]
    rows = option_rows(block)
    if rows:
        lines += ["| option | takes | default | |", "|---|---|---|---|"]
        lines += [f"| `{row.name}` | {cell(row.kind)} | {default(row.default)} | {cell(row.about)} |" for row in rows]
        lines.append("")
    if block.formula:
        lines += ["```text", block.formula, "```", ""]
    if block.paper:
        lines += [f"{block.paper}.", ""]
    return "\n".join(lines)


def default(text: str) -> str:
    return f"**{text}**" if text == "required" else f"`{text}`" if text != "as below" else text


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def errors_page() -> str:
    """The reference of diagnostics, one section a code."""
    intro = "Every message carries a code in brackets: `error[heads]`. At the terminal: `blockgraph explain heads`."
    parts = [NOTE, "", "# Errors", "", intro, ""]
    for name in sorted(CODES):
        code = CODES[name]
        parts += [f"## {name}", "", f"**{cell(code.summary)}**", "", " ".join(code.explanation.split()), ""]
        for title, example in (("Refused:", code.bad), ("Mended:", code.good)):
            if example:
                parts += [title, "", "```yaml", textwrap.dedent(example).strip("\n"), "```", ""]
    return "\n".join(parts)


def picture(preset: str) -> bytes:
    """The diagram of a preset as SVG."""
    from blockgraph.builder.analyse import analyse
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec
    from blockgraph.viz.draw import draw

    diagnostics = Diagnostics()
    spec = load_spec(preset, diagnostics)
    model = analyse(spec, diagnostics) if spec else None
    diagnostics.raise_errors()
    assert model is not None
    return draw(model, format="svg")


def pages() -> dict[Path, bytes]:
    """The generated text pages; the same on every machine."""
    return {ROOT / "docs/blocks.md": blocks_page().encode(), ROOT / "docs/errors.md": errors_page().encode()}


def main() -> int:
    found = pages()
    if "--check" not in sys.argv:  # pictures differ by a few points between Graphviz versions: not compared
        found |= {ROOT / f"docs/images/{name}.svg": picture(name) for name in PICTURES}
    stale = [path for path, data in found.items() if not path.exists() or path.read_bytes() != data]
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'wrote'}: {path.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
