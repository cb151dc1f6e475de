"""Graphviz, where there is one: `dot` on PATH, else the library inside the pygraphviz wheel. And fonts, where there
are none.

Graphviz runs as a child process either way: whatever a label does to it cannot end ours, and its warnings stay with it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from blockgraph.specs.diagnostics import BlockgraphError

INSTALL = (
    "install your system's package 'graphviz', so that `dot` is on PATH (apt install graphviz, brew install graphviz, "
    "winget install graphviz), or run `pip install pygraphviz`"
)
POINTS = 72  # an inch
LONGEST = 60.0  # seconds that painting may take

# When a PDF was written; the same length must stay, for the file says at which bytes its objects lie.
_DATE = re.compile(rb"(?<=/CreationDate )\(D:\d{14}([^)]*)\)")

# Run by the child: DOT on stdin, the picture on stdout. argv: the folder pygraphviz lies in, the format, dots per inch.
_CHILD = """
import sys
sys.path.append(sys.argv[1])
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode("utf-8"))
graph.graph_attr["dpi"] = sys.argv[3]
sys.stdout.buffer.write(graph.draw(format=sys.argv[2], prog="nop2"))
"""


class EngineError(BlockgraphError):
    """No picture could be painted."""


def on_path() -> str | None:
    """Graphviz's own `dot`."""
    return shutil.which("dot")


def bundled() -> bool:
    """Whether the pygraphviz wheel is installed."""
    return importlib.util.find_spec("pygraphviz") is not None


def engine() -> str | None:
    """The engine that serves here: `dot`, `pygraphviz` or None."""
    return "dot" if on_path() else "pygraphviz" if bundled() else None


def render(dot: str, format: str, *, dpi: int = 150, use: str | None = None) -> bytes:
    """`dot` (with every place fixed) as "svg", "png" or "pdf". `use` names the engine; otherwise the best one is taken.
    The same bytes each time: a PDF's date is cleared.

    Raises EngineError, which says what to install where there is no engine.
    """
    chosen = use or engine()
    if chosen is None:
        raise EngineError(f"no Graphviz here: {INSTALL}")
    picture = _run(_command(chosen, format, dpi if format == "png" else POINTS), dot, format)
    return _DATE.sub(lambda found: b"(D:19700101000000" + found[1] + b")", picture) if format == "pdf" else picture


def _command(chosen: str, format: str, dpi: int) -> list[str]:
    if chosen == "dot":
        return [on_path() or "dot", "-Knop2", f"-T{format}", f"-Gdpi={dpi}"]
    spec = importlib.util.find_spec("pygraphviz")
    folder = str(Path(spec.origin).parent.parent) if spec and spec.origin else ""
    return [sys.executable, "-c", _CHILD, folder, format, str(dpi)]


def _run(command: list[str], dot: str, format: str) -> bytes:
    try:
        with tempfile.TemporaryDirectory() as folder:
            environment = font_environment(Path(folder))
            done = subprocess.run(
                command, input=dot.encode(), capture_output=True, timeout=LONGEST, env=environment, check=False
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"Graphviz did not paint the {format}: {error}") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineError(
            f"Graphviz did not paint the {format}: {said[-1] if said else f'it ended with status {done.returncode}'}"
        )
    return done.stdout


# -- fonts ------------------------------------------------------------------------------------------------------------


def font_environment(folder: Path) -> dict[str, str]:
    """The child's environment: fontconfig reads what it would read anyway, and matplotlib's DejaVu fonts besides.
    `folder` holds its configuration meanwhile."""
    environment = dict(os.environ)
    fonts = _dejavu()
    if fonts is not None:
        path = folder / "fonts.conf"
        path.write_text(_font_config(fonts, environment.get("FONTCONFIG_FILE")), encoding="utf-8")
        environment["FONTCONFIG_FILE"] = str(path)
    return environment


def _dejavu() -> Path | None:
    """The folder of DejaVu fonts inside matplotlib, found without importing it."""
    spec = importlib.util.find_spec("matplotlib")
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" if spec and spec.origin else None
    return folder if folder is not None and folder.is_dir() else None


def bundled_fonts() -> list[str]:
    """The files of matplotlib's DejaVu Sans."""
    folder = _dejavu()
    return sorted(map(str, folder.glob("DejaVuSans*.ttf"))) if folder is not None else []


# Where fontconfig's own configuration and, on systems that have none, the fonts lie.
_CONFIGURATIONS = ("/etc/fonts/fonts.conf", "/opt/homebrew/etc/fonts/fonts.conf", "/usr/local/etc/fonts/fonts.conf")
_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("WINDOWSFONTDIR",),
}


def _font_config(fonts: Path, own: str | None) -> str:
    """A fontconfig file that reads the user's own configuration (or the system's), then adds the folder `fonts`."""
    includes = [own] if own else list(_CONFIGURATIONS)
    folders = [*(() if own else _FOLDERS.get(sys.platform, ())), str(fonts)]
    lines = [f'<include ignore_missing="yes">{_escaped(path)}</include>' for path in includes]
    lines += [f"<dir>{_escaped(path)}</dir>" for path in folders]
    return _FONTS.format(lines="\n  ".join(lines))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  {lines}
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
