"""SVG as Graphviz writes it, made ours: each block's words inside its own group, a title and a description, no trace of
the engine. Text stays text."""

from __future__ import annotations

import re
from html import escape

from blockgraph.viz.text import clean

_GROUP = re.compile(r'<g id="[^"]*" class="node bg_text">\n<title>([^<]*)</title>\n(.*?)</g>\n', re.DOTALL)
_BLOCK = re.compile(r'(<g id="([^"]*)" class="node [^"]*">\n.*?)(</g>\n)', re.DOTALL)
_HEAD = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_OPEN = re.compile(r"(<svg [^>]*)>\n")


def tidy(svg: str, title: str, about: str | None) -> str:
    """The same picture; a line of words whose name is `decoder.attn:0` moves into the group of `decoder.attn`."""
    svg = _COMMENT.sub("", _HEAD.sub('<?xml version="1.0" encoding="UTF-8"?>\n', svg))
    words: dict[str, str] = {}  # block to its lines
    for match in _GROUP.finditer(svg):
        owner = match[1].rpartition(":")[0]
        words[owner] = words.get(owner, "") + match[2]
    svg = _GROUP.sub(_loose, svg)
    svg = _BLOCK.sub(lambda match: match[1] + words.get(match[2], "") + match[3], svg)
    said = f"<title>{escape(clean(title))}</title>\n" + (f"<desc>{escape(clean(about))}</desc>\n" if about else "")
    return _OPEN.sub(lambda match: f'{match[1]} role="img">\n{said}', svg, count=1)


def _loose(match: re.Match[str]) -> str:
    """Words that belong to no block (shapes at lines, what stands outside frames) stay where they are."""
    kind, _, _ = match[1].partition(":")
    return f'<g class="bg_{kind[1:]}">\n{match[2]}</g>\n' if kind.startswith(".") else ""
