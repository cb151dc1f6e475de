"""Which letters a picture is set in, and which of its characters no font on this machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.drawing import Drawing
from blockgraph.viz.engine import bundled_fonts, font_environment
from blockgraph.viz.lettering import every
from blockgraph.viz.text import clean

FALLBACK = "Helvetica,Arial,sans-serif"
NAMED = 12  # characters that a warning names
_EAST = {"zh": "Noto Sans CJK SC", "ja": "Noto Sans CJK JP", "ko": "Noto Sans CJK KR"}
_FAMILY = re.compile(r"[^\W_][\w .+&-]*")


class GlyphWarning(UserWarning):
    """A picture holds characters that no font here has; they are painted as empty boxes."""


def language(words: str) -> str:
    """ "ja", "ko" or "zh" where `words` hold such letters, else "". Chinese and Japanese write the same characters in
    different shapes, and a font engine that is not told takes either."""
    if re.search("[\u3040-\u30ff]", words):
        return "ja"
    if re.search("[\u1100-\u11ff\uac00-\ud7af]", words):
        return "ko"
    return "zh" if re.search("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]", words) else ""


def spoken_in(drawn: Drawing, title: str | None) -> str:
    """The language of a picture's words, as `language` says."""
    return language("".join(said.text for said in every(drawn)) + (title or ""))


def families(font: str | None, language: str = "") -> str:
    """`font` (one family, or several with commas between) before what serves where it is missing."""
    if font is None:
        return f"Helvetica,Arial,{_EAST[language]},sans-serif" if language else FALLBACK
    names = [clean(name).strip(" '\"") for name in font.split(",")]
    wrong = [name for name in names if not _FAMILY.fullmatch(name)]
    if wrong:
        raise BlockgraphError(
            f"'{wrong[0]}' is no font family; give its name, such as Noto Sans (`fc-list : family` lists those here)"
        )
    return ",".join([*names, families(None, language)])


def css_families(font: str | None) -> str:
    """The same as CSS wants it: a name that is more than letters is in quotes."""
    names = families(font).split(",")
    return ",".join(name if re.fullmatch("[A-Za-z-]+", name) else f"'{name}'" for name in names)


# -- what no font has -------------------------------------------------------------------------------------------------


def warning(drawn: Drawing, title: str | None = None) -> str | None:
    """What to say before a PNG or PDF is painted: the characters that have no glyph here, and what to install. None
    where every character has one, or where it cannot be found out."""
    lacking = missing("".join(said.text for said in every(drawn)) + clean(title or ""))
    if not lacking:
        return None
    named = " ".join(lacking[:NAMED]) + (f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else "")
    return (
        f"no font on this machine has {named}: install {package(lacking)}; the picture shows empty boxes there "
        "(an SVG shows them wherever its reader's machine has such a font)"
    )


def missing(text: str) -> list[str]:
    """The characters of `text` that no installed font has, in the order of their numbers."""
    asked = sorted({c for c in text if _special(c)})
    if not asked:
        return []
    has = _installed(asked)
    return [c for c in asked if not any(low <= ord(c) <= high for low, high in has)]


def _installed(asked: list[str]) -> list[tuple[int, int]]:
    """Characters that some font here has, as ranges; at least those of `asked`."""
    return _by_fontconfig() if shutil.which("fc-list") else _by_matplotlib(asked)


def _special(character: str) -> bool:
    """Whether it may be missing: not in the DejaVu fonts, which come along, and not invisible."""
    code = ord(character)
    common = code < 0x0530 or 0x2000 <= code < 0x2300 or code == 0xFFFD
    return not common and unicodedata.category(character) not in ("Cf", "Mn", "Me", "Zs", "Cn", "Co")


def _by_fontconfig() -> list[tuple[int, int]]:
    """The characters of all fonts that Graphviz finds, as ranges."""
    with tempfile.TemporaryDirectory() as folder:
        environment = font_environment(Path(folder))
        command = ["fc-list", "-f", "%{charset}\n"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=30, env=environment, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return [(0, 0x10FFFF)]  # not to be found out: nothing is missing
    pieces = {piece for line in done.stdout.decode(errors="replace").splitlines() for piece in line.split()}
    return list(_ranges(pieces)) if pieces else [(0, 0x10FFFF)]


def _ranges(pieces: Iterable[str]) -> Iterable[tuple[int, int]]:
    for piece in pieces:
        low, _, high = piece.partition("-")
        if re.fullmatch(r"[0-9a-fA-F]+", low):
            yield int(low, 16), int(high or low, 16)


def _by_matplotlib(asked: list[str]) -> list[tuple[int, int]]:
    """The same where fontconfig has no tools: reads fonts until one has each character asked for."""
    try:
        from matplotlib import font_manager, ft2font
    except ImportError:
        return [(0, 0x10FFFF)]
    wanted: set[int] = set(map(ord, asked))
    found: set[int] = set()
    for path in (*bundled_fonts(), *font_manager.findSystemFonts()):
        if wanted <= found:
            break
        try:
            found |= wanted & set(ft2font.FT2Font(path).get_charmap())
        except (OSError, RuntimeError):  # a file that is no font
            continue
    return [(code, code) for code in found]


def package(characters: list[str]) -> str:
    """A package of fonts with such characters: Debian's name, and where it comes from elsewhere."""
    if any(unicodedata.east_asian_width(c) in "WF" and ord(c) < 0x1F000 for c in characters):
        return "Noto Sans CJK (apt install fonts-noto-cjk, brew install --cask font-noto-sans-cjk-sc)"
    if any(ord(c) >= 0x1F000 or unicodedata.category(c) == "So" for c in characters):
        return "Noto Color Emoji (apt install fonts-noto-color-emoji, brew install --cask font-noto-color-emoji)"
    return "the Noto fonts (apt install fonts-noto-core, brew install --cask font-noto-sans)"
