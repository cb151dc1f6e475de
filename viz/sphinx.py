"""Block graphs in Sphinx: `extensions = ["blockgraph.viz.sphinx"]`, then

    .. blockgraph:: models/gpt.yaml
       :depth: 1
       :caption: Our model.

draws a file, a preset, or the YAML in its body, with the options of `blockgraph draw`. HTML shows SVG (inline, or as a
file with `blockgraph_html = "file"`), LaTeX a PDF, other builders the words of `:alt:`. `blockgraph_options` in conf.py
holds defaults of options. What is wrong becomes Sphinx warnings at the line of the YAML. No torch.
"""

from __future__ import annotations

import hashlib
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata, OptionSpec

from blockgraph.specs.diagnostics import BlockgraphError, Diagnostic
from blockgraph.viz.document import (
    FLAGS,
    OPTIONS,
    Figure,
    found,
    in_a_line,
    inline_svg,
    messages,
    painted,
    read,
    split,
    view_of,
)

LOG = logging.getLogger(__name__)
HTML = ("inline", "file")


class blockgraph(nodes.General, nodes.Inline, nodes.Element):  # noqa: N801 (node classes are named like elements)
    """A picture. Attributes: `figure` (what to draw), `svg` (the bytes), `alt`, `width`, `place` (for warnings)."""


class BlockgraphDirective(SphinxDirective):
    """`.. blockgraph:: path`, or the YAML as its body."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[OptionSpec] = {
        **{name: directives.flag if name in FLAGS else directives.unchanged for name in OPTIONS},
        "alt": directives.unchanged,
        "caption": directives.unchanged,
        "width": directives.unchanged,
        "name": directives.unchanged,
        "align": lambda argument: directives.choice(argument, ("left", "center", "right")),
        "class": directives.class_option,
    }

    def run(self) -> list[nodes.Node]:
        try:
            return [self._captioned(self._drawn())]
        except BlockgraphError as error:
            for message in messages(error):
                self._warn(message)
            return [nodes.literal_block(str(error), str(error), language="text", classes=["blockgraph-error"])]

    def _drawn(self) -> blockgraph:
        given = {name: value for name, value in self.options.items() if name not in ("name", "align", "class")}
        picture, page = split({**self.config.blockgraph_options, **given})
        picture.setdefault("prefix", f"bg{self.env.new_serialno('blockgraph')}-")
        figure = self._figure(view_of(picture), page.get("alt"))
        result = read(figure)
        for path in result.files:
            self.env.note_dependency(str(path))
        for warning in result.warnings:
            self._warn(warning)
        made = blockgraph("", figure=figure, svg=painted(result.model, figure, "svg"), width=page.get("width"))
        made["alt"] = figure.alt or result.model.about or result.model.name
        made["place"] = "{}:{}".format(*self.get_source_info())
        made["classes"] += self.options.get("class", [])
        made["caption"], made["align"] = page.get("caption"), self.options.get("align")
        return made

    def _figure(self, view: Any, alt: str | None) -> Figure:
        folder = Path(self.env.doc2path(self.env.docname)).parent
        if not self.arguments:
            if not self.content:
                raise BlockgraphError("what to draw is missing: a path, a preset's name, or YAML in the body")
            # Empty lines in front, so that places in messages are lines of the document.
            text = "\n" * (self.content.offset(0) or 0) + "\n".join(self.content) + "\n"
            name = self.content.source(0) or self.env.docname
            return Figure(text=text, name=name, folder=folder, view=view, alt=alt)
        if self.content:
            raise BlockgraphError("a path and YAML in the body: give one of them")
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        file = path if Path(path).is_file() else found(self.arguments[0], folder)
        return Figure(file=file, view=view, alt=alt)

    def _warn(self, message: Diagnostic) -> None:
        LOG.warning("%s", in_a_line(message), location=self._place(message), type="blockgraph", subtype=message.code)

    def _place(self, message: Diagnostic) -> str:
        """The line of the YAML, in its file or in the document; else that of the directive."""
        source, line = self.get_source_info()
        return f"{message.span.source.name}:{message.span.line}" if message.span else f"{source}:{line}"

    def _captioned(self, picture: blockgraph) -> nodes.Node:
        """A figure around the picture where it has a caption, so that it can be numbered and referred to."""
        caption = picture["caption"]
        if caption is None:
            self.add_name(picture)
            return picture
        figure = nodes.figure("", picture, align=self.options.get("align", "default"))
        text, wrong = self.state.inline_text(caption, self.lineno)
        figure += [nodes.caption(caption, "", *text), *wrong]
        self.set_source_info(figure)
        self.add_name(figure)
        return figure


# -- writing ---------------------------------------------------------------------------------------------------------


def visit_html(writer: Any, node: blockgraph) -> None:
    ids = "".join(f' id="{escape(name)}"' for name in node["ids"][:1])
    classes = " ".join(["blockgraph", *node["classes"]])
    inline = writer.builder.config.blockgraph_html == "inline"
    picture = inline_svg(node["svg"], node["width"]) if inline else _as_file(writer, node)
    style = f' style="text-align:{node["align"]}"' if node["align"] else ""
    writer.body.append(f'<div{ids} class="{escape(classes)}"{style}>{picture}</div>')
    raise nodes.SkipNode


def _as_file(writer: Any, node: blockgraph) -> str:
    """The picture as a file beside the pages' other images."""
    name = f"blockgraph-{_digest(node)}.svg"
    folder = Path(writer.builder.outdir) / writer.builder.imagedir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(node["svg"])
    style = f"width:{node['width']}" if node["width"] else "max-width:100%"
    return f'<img src="{writer.builder.imgpath}/{name}" alt="{escape(node["alt"])}" style="{style}">'


def visit_latex(writer: Any, node: blockgraph) -> None:
    name = f"blockgraph-{_digest(node)}.pdf"
    try:
        pdf = painted(read(node["figure"]).model, node["figure"], "pdf")
    except BlockgraphError as error:
        LOG.warning("no PDF: %s", error, location=node["place"], type="blockgraph", subtype="pdf")
        writer.body.append(rf"\emph{{{writer.encode(node['alt'])}}}")
        raise nodes.SkipNode from None
    (Path(writer.builder.outdir) / name).write_bytes(pdf)
    options = f"[width={_latex_width(node['width'])}]" if node["width"] else ""
    # A label in front: \ref to a picture without a caption goes to its place.
    labels = "".join(writer.hypertarget(name, anchor=True) for name in node["ids"])
    writer.body.append(f"{labels}\n\\noindent\\sphinxincludegraphics{options}{{{name}}}\n")
    raise nodes.SkipNode


def _latex_width(width: str) -> str:
    if width.endswith("%"):
        return f"{float(width[:-1]) / 100:g}\\linewidth"
    return width.replace("px", r"\sphinxpxdimen") if not width[-1].isdigit() else f"{width}\\sphinxpxdimen"


def visit_text(writer: Any, node: blockgraph) -> None:
    """Builders without pictures say what there is."""
    writer.add_text(f"[{node['alt']}]")
    raise nodes.SkipNode


def visit_texinfo(writer: Any, node: blockgraph) -> None:
    writer.body.append(writer.escape(f"[{node['alt']}]"))
    raise nodes.SkipNode


def visit_man(writer: Any, node: blockgraph) -> None:
    writer.body.append(writer.deunicode(f"[{node['alt']}]"))
    raise nodes.SkipNode


def _digest(node: blockgraph) -> str:
    return hashlib.sha256(node["svg"]).hexdigest()[:16]


def _check_config(app: Sphinx, config: Any) -> None:
    if config.blockgraph_html not in HTML:
        LOG.warning("blockgraph_html is one of %s, not %r", ", ".join(HTML), config.blockgraph_html)
        config.blockgraph_html = "inline"


def setup(app: Sphinx) -> ExtensionMetadata:
    """What Sphinx calls for `extensions = ["blockgraph.viz.sphinx"]`."""
    from blockgraph import __version__

    app.add_config_value("blockgraph_html", "inline", "env", frozenset({str}))
    app.add_config_value("blockgraph_options", {}, "env", frozenset({dict}))
    app.connect("config-inited", _check_config)
    app.add_node(
        blockgraph,
        html=(visit_html, None),
        latex=(visit_latex, None),
        text=(visit_text, None),
        man=(visit_man, None),
        texinfo=(visit_texinfo, None),
    )
    app.add_directive("blockgraph", BlockgraphDirective)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}
