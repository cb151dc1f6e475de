"""Graphviz, where there is one: `dot` on PATH, else the library inside the pygraphviz wheel. And fonts, where there are none.

Graphviz runs as a child process either way: whatever a label does to it cannot end ours, and its warnings stay with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from blockgraph.specs.diagnostics import BlockgraphError

LONGEST = 60.0  # seconds that painting may take

# Run by the child: DOT on stdin, the picture on stdout. argv: the folder pygraphviz lies in, the format.
_CHILD = """
import sys
sys.path.append(sys.argv[1])
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode("utf-8"))
sys.stdout.buffer.write(graph.draw(format=sys.argv[2], prog="nop2"))
"""


class EngineError(BlockgraphError):
    """No picture could be painted."""


def engine() -> str | None:
    """The engine that serves here: `dot`, `pygraphviz` or None."""
    if shutil.which("dot"):
        return "dot"
    return "pygraphviz" if importlib.util.find_spec("pygraphviz") else None


def render(dot: str, format: str, *, dpi: int = 150, use: str | None = None) -> bytes:
    """`dot` (with every place fixed) as "svg", "png" or "pdf". `use` names the engine; otherwise the best one is taken.

    Raises EngineError, which says what to install where there is no engine.
    """
    chosen = use or engine()
    if chosen is None:
        raise EngineError(
            "no Graphviz here: install the package 'graphviz' of your system (so that `dot` is on PATH), or run `pip install pygraphviz`"
        )
    if format == "png":
        dot = dot.replace("graph [", f"graph [dpi={dpi} ", 1)
    return _run(_command(chosen, format), dot, format)


def _command(chosen: str, format: str) -> list[str]:
    if chosen == "dot":
        return [shutil.which("dot") or "dot", "-Knop2", f"-T{format}"]
    spec = importlib.util.find_spec("pygraphviz")
    folder = str(Path(spec.origin).parent.parent) if spec and spec.origin else ""
    return [sys.executable, "-c", _CHILD, folder, format]


def _run(command: list[str], dot: str, format: str) -> bytes:
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, timeout=LONGEST, env=_environment(), check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"Graphviz did not paint the {format}: {error}") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineError(f"Graphviz did not paint the {format}: {said[-1] if said else f'it ended with status {done.returncode}'}")
    return done.stdout


# -- fonts ------------------------------------------------------------------------------------------------------------


def _environment() -> dict[str, str]:
    """The child's environment: fontconfig is pointed at matplotlib's DejaVu fonts as well, for machines without any."""
    environment = dict(os.environ)
    folder = _dejavu()
    if folder is not None and "FONTCONFIG_FILE" not in environment:
        environment["FONTCONFIG_FILE"] = str(_font_config(folder))
    return environment


def _dejavu() -> Path | None:
    """The folder of DejaVu fonts inside matplotlib, found without importing it."""
    spec = importlib.util.find_spec("matplotlib")
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" if spec and spec.origin else None
    return folder if folder is not None and folder.is_dir() else None


def _font_config(folder: Path) -> Path:
    """A fontconfig file that reads the system's own configuration, then adds `folder`."""
    content = _FONTS.format(folder=_escaped(str(folder)), cache=_escaped(str(Path(tempfile.gettempdir()) / "blockgraph-fonts")))
    path = Path(tempfile.gettempdir()) / f"blockgraph-fonts-{hashlib.sha256(content.encode()).hexdigest()[:12]}-{_user()}.conf"
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    return path


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{folder}</dir>
  <cachedir>{cache}</cachedir>
</fontconfig>
"""
