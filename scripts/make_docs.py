"""Writes what is generated from the code: docs/blocks.md, docs/errors.md, docs/gallery.md and docs/images/**/*.svg."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from preset_pages import preset_page  # noqa: E402

from blockgraph.builder.analyse import analyse  # noqa: E402
from blockgraph.builder.compare import compare  # noqa: E402
from blockgraph.builder.graph import Model  # noqa: E402
from blockgraph.cli.blocks import port_text  # noqa: E402
from blockgraph.cli.reference import option_rows  # noqa: E402
from blockgraph.specs.architectures import table  # noqa: E402
from blockgraph.specs.builtin import BUILTIN  # noqa: E402
from blockgraph.specs.codes import CODES  # noqa: E402
from blockgraph.specs.diagnostics import Diagnostics  # noqa: E402
from blockgraph.specs.load import load_spec  # noqa: E402
from blockgraph.specs.presets import names  # noqa: E402
from blockgraph.specs.registry import BlockType  # noqa: E402
from blockgraph.viz.diff import draw_diff  # noqa: E402
from blockgraph.viz.draw import draw  # noqa: E402
from blockgraph.viz.view import View  # noqa: E402

NOTE = "<!-- Written by scripts/docs: change the code, not this page. -->"
DIFFS = {"diff-gpt2": ("gpt2", "docs/figures/gpt2-modern.yaml")}  # two specs in one picture
PICTURES = ("transformer-base",)
FIGURES = {  # what docs/figures.md shows: a spec in docs/figures, and how it is drawn
    "transformer": ("transformer", View()),
    "transformer-closed": ("transformer", View(depth=0, direction="right")),
    "attention": ("attention", View(open=("attention",))),
    "gpt2": ("gpt2", View()),
    "llama3-8b": ("llama3-8b", View()),
    "mixture": ("mixture", View(open=("decoder.ffn",))),
    "unet": ("unet", View(unroll=True, depth=0)),
}


def blocks_page() -> str:
    """The reference of block types."""
    intro = (
        "Every built-in type with its ports, options and outputs. `a?` is an optional port (in brackets: what it takes "
        "when left open), `a…` any number. At the terminal: `blockgraph blocks attention`."
    )
    index = " · ".join(f"[{name}](#{name.replace('.', '')})" for name in BUILTIN)
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


def published_page() -> str:
    """The page on published models, its table of classes between two marks."""
    before, _, rest = (ROOT / "docs/published.md").read_text("utf-8").partition("<!-- classes -->\n")
    after = rest.partition("<!-- /classes -->\n")[2]
    rows = [f"| `{kind}` | `{head}` | `{preset}` |" for kind, head, preset in table()]
    head = ["| `model_type` | class in `architectures` | preset |", "|---|---|---|"]
    return "\n".join([before + "<!-- classes -->", *head, *rows, "<!-- /classes -->", ""]) + after


def gallery_page() -> str:
    """All presets with their pictures."""
    intro = "What is shipped. Every command takes these names for a file; `blockgraph new NAME` starts yours from one."
    index = " · ".join(f"[{name}](#{name.replace('.', '')})" for name in names())
    return "\n".join([NOTE, "", "# Gallery", "", intro, "", index, "", *map(gallery_section, names())])


def gallery_section(name: str) -> str:
    model = analysed(name)
    about = cell(" ".join((model.about or name).split()))
    lengths = ", ".join(f"{axis} = {size}" for axis, size in model.sizes.items() if axis != "B")
    said = f"{about}. **{model.parameters:,}** parameters" + (f" (lengths: {lengths})" if lengths else "") + "."
    said += f" [Its page](presets/{name}.md)."
    image = f"![{name} as a diagram](images/presets/{name}.svg)"
    return "\n".join([f"## {name}", "", said, "", image, ""])


def analysed(preset: str) -> Model:
    """A preset's block graph."""
    diagnostics = Diagnostics()
    spec = load_spec(preset, diagnostics)
    model = analyse(spec, diagnostics) if spec else None
    diagnostics.raise_errors()
    assert model is not None
    return model


def pages() -> dict[Path, bytes]:
    """The generated text pages; the same on every machine."""
    texts = {
        "blocks": blocks_page(),
        "errors": errors_page(),
        "gallery": gallery_page(),
        "published": published_page(),
    }
    texts |= {f"presets/{name}": preset_page(name, analysed(name), NOTE) for name in names()}
    return {ROOT / f"docs/{name}.md": text.encode() for name, text in texts.items()}


def pictures() -> dict[Path, bytes]:
    """The generated pictures; the same on every machine too: no engine has a hand in an SVG."""
    images, auto = ROOT / "docs/images", View(theme="auto")
    found = {images / f"{name}.svg": draw(analysed(name), format="svg") for name in PICTURES}
    for name, (spec, view) in FIGURES.items():
        drawn = draw(analysed(str(ROOT / f"docs/figures/{spec}.yaml")), format="svg", view=view)
        found[images / f"figures/{name}.svg"] = drawn
    found |= {images / f"{name}.svg": difference(*specs) for name, specs in DIFFS.items()}
    return found | {images / f"presets/{name}.svg": draw(analysed(name), format="svg", view=auto) for name in names()}


def difference(before: str, after: str) -> bytes:
    """A preset and a file of this repository in one picture."""
    models = (analysed(before), analysed(str(ROOT / after)))
    return draw_diff(models, compare(*models), format="svg")


def main() -> int:
    found = pages() | pictures()
    stale = [path for path, data in found.items() if not path.exists() or path.read_bytes() != data]
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'wrote'}: {path.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
