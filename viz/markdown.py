"""Block graphs in Markdown: a fence ```` ```blockgraph ```` becomes the picture of its YAML.

Two ways in: an extension of Python-Markdown that works alone (`markdown_extensions: [blockgraph.viz.markdown]`), and
`fence` with `validator` for the custom fences of pymdownx.superfences. Neither imports torch.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.document import (
    FLAGS,
    OPTIONS,
    PAGE_OPTIONS,
    Figure,
    found,
    framed,
    in_a_line,
    inline_svg,
    messages,
    painted,
    read,
    split,
    view_of,
)

NAME = "blockgraph"
COUNT = "blockgraph_figures"  # of a page: each has ids of its own
LOG = logging.getLogger("mkdocs.blockgraph")  # what MkDocs counts under --strict; elsewhere a logger like any other
_OPENING = re.compile(r"(?P<indent> {0,3})(?P<fence>`{3,}|~{3,})[ \t]*(?P<head>.*?)[ \t]*$")
_FILE = re.compile(r"\s*file:[ \t]*(?P<path>\S[^\n]*?)\s*")


class BlockgraphExtension(Extension):
    """Options: `base`, the folder that `file:` and paths in the YAML are relative to; `strict`, to raise instead of
    showing an error on the page; and every option of a fence, as its default."""

    def __init__(self, **options: Any) -> None:
        self.config = {
            "base": [".", "Folder that paths in fences are relative to"],
            "strict": [False, "Raise instead of showing errors"],
            **{name: ["", "Default of the fence's option"] for name in (*OPTIONS, *PAGE_OPTIONS)},
        }
        super().__init__(**{name.replace("_", "-"): value for name, value in options.items()})

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (the library's name)
        defaults = {name: value for name, value in self.getConfigs().items() if value not in ("", False)}
        base, strict = Path(defaults.pop("base", ".")), bool(defaults.pop("strict", False))
        # After the whitespace is made one kind (30), before other fences are read (25).
        md.preprocessors.register(_Fences(md, base, strict, defaults), NAME, 27)
        md.registerExtension(self)
        self.md = md

    def reset(self) -> None:
        """A new page: its figures are numbered from one again."""
        vars(self.md).pop(COUNT, None)


def makeExtension(**options: Any) -> BlockgraphExtension:  # noqa: N802 (the library's name)
    """What Python-Markdown calls for `blockgraph.viz.markdown`."""
    return BlockgraphExtension(**options)


class _Fences(Preprocessor):
    """Replaces our fences; all others, and what is inside them, stay as they are."""

    def __init__(self, md: Markdown, base: Path, strict: bool, defaults: Mapping[str, Any]) -> None:
        super().__init__(md)
        self.base, self.strict, self.defaults = base, strict, defaults

    def run(self, lines: list[str]) -> list[str]:
        result: list[str] = []
        place = 0
        while place < len(lines):
            opening = _OPENING.match(lines[place])
            end = _closing(lines, place, opening["fence"]) if opening else None
            if opening is None or end is None:
                result.append(lines[place])
                place += 1
                continue
            if _words(opening["head"])[:1] == [NAME]:
                body = [line.removeprefix(opening["indent"]) for line in lines[place + 1 : end]]
                result += ["", self.md.htmlStash.store(self._picture(opening["head"], body, place + 1)), ""]
            else:
                result += lines[place : end + 1]
            place = end + 1
        return result

    def _picture(self, head: str, body: list[str], above: int) -> str:
        """The element of one fence; `above` lines of the page stand over its body."""
        try:
            options = {**self.defaults, **_options(_words(head)[1:])}
            # Empty lines in front, so that places in messages are lines of the page.
            return drawn("\n" * above + "\n".join(body) + "\n", options, self.base, self.md, "page")
        except BlockgraphError as error:
            if self.strict:
                raise
            return refused(error, f"page:{above}")


def _closing(lines: list[str], start: int, fence: str) -> int | None:
    """The line that ends the fence begun at `start`."""
    end = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
    return next((place for place in range(start + 1, len(lines)) if end.match(lines[place])), None)


def _words(head: str) -> list[str]:
    """`blockgraph depth=1 title="A model"` (also in braces, with a leading dot) as words."""
    inner = head[1:-1] if head.startswith("{") and head.endswith("}") else head
    try:
        words = shlex.split(inner)
    except ValueError:
        words = inner.split()
    return [words[0].removeprefix("."), *words[1:]] if words else []


def _options(words: list[str]) -> dict[str, Any]:
    """`depth=1` and `no-shapes`; a class or an id of the page's is not ours."""
    pairs = (word.partition("=") for word in words if not word.startswith((".", "#")))
    return {name: value if sign else True for name, sign, value in pairs}


def drawn(body: str, options: Mapping[str, Any], base: Path, md: Any, name: str) -> str:
    """The element for a fence's body: YAML (which messages call `name`), or `file: PATH`. Raises BlockgraphError."""
    picture, page = split(options)
    vars(md)[COUNT] = number = vars(md).get(COUNT, 0) + 1
    view = view_of({"prefix": f"bg{number}-", **picture})
    alt, named = page.get("alt"), _FILE.fullmatch(body)
    if named:
        figure = Figure(file=found(named["path"], base), view=view, alt=alt)
    else:
        figure = Figure(text=body, name=name, folder=base, view=view, alt=alt)
    result = read(figure)
    for warning in result.warnings:
        LOG.warning("%s: %s", warning.span or name, in_a_line(warning))
    return framed(inline_svg(painted(result.model, figure, "svg"), page.get("width")), page.get("caption"))


def refused(error: BlockgraphError, place: str) -> str:
    """The message in place of the picture; it is logged as a warning too, at `place` where it has none of its own."""
    for message in messages(error):
        LOG.warning("%s: %s", message.span or place, in_a_line(message))
    return f'<pre class="blockgraph-error">{escape(str(error).strip())}</pre>'


# -- pymdownx.superfences --------------------------------------------------------------------------------------------


def validator(
    language: str, inputs: dict[str, Any], options: dict[str, Any], attrs: dict[str, Any], md: Markdown
) -> bool:
    """For `custom_fences`: takes every option; `fence` says what is wrong with one."""
    options.update(inputs)
    return True


def fence(source: str, language: str, css_class: str, options: dict[str, Any], md: Markdown, **rest: Any) -> str:
    """For `custom_fences`: the picture of a fence. Paths are relative to the folder that the build runs in."""
    given = {
        name: True if name.replace("_", "-") in FLAGS and value == name else value for name, value in options.items()
    }
    try:
        return drawn(source + "\n", given, Path(), md, "fence")
    except BlockgraphError as error:
        return refused(error, "fence")
