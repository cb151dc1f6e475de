"""Checks an unpacked wheel (`pip install --target FOLDER`): every file of the tree is in it, and it runs by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("blocks", "builder", "cli", "data", "running", "specs", "tasks", "training", "viz")
COMMANDS = (
    ["--version"],
    ["--help"],
    ["presets"],
    ["validate", "gpt2"],
    ["draw", "gpt-nano", "-o", "x.svg"],
    ["draw", "gpt-nano", "-o", "x.html"],
    ["build", "gpt-nano"],
)


def files(folder: Path) -> set[str]:
    """Python files, presets, what the interactive page is made of and the typing marker, relative to the folder."""
    patterns = ("*.py", "*.yaml", "*.css", "*.html", "*.js", "py.typed")
    found = [p for pattern in patterns for p in folder.rglob(pattern)]
    return {p.relative_to(folder).as_posix() for p in found}


def missing(site: Path) -> list[str]:
    """What the tree has and the wheel lacks, or the other way round."""
    wanted = {"py.typed", *(path.name for path in (ROOT / "blockgraph").glob("*.py"))}
    wanted |= {f"{name}/{file}" for name in FOLDERS for file in files(ROOT / name)}
    return sorted(wanted ^ files(site / "blockgraph"))


def run(site: Path, *command: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(site.resolve())}
    with tempfile.TemporaryDirectory() as elsewhere:
        subprocess.run([sys.executable, *command], cwd=elsewhere, env=env, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    site = Path(sys.argv[1])
    different = missing(site)
    if different:
        print("wheel and tree differ:", *different, sep="\n  ")
        return 1
    run(
        site,
        "-c",
        f"import blockgraph, pathlib; assert pathlib.Path(blockgraph.__file__).is_relative_to({str(site.resolve())!r})",
    )
    for command in COMMANDS:
        run(site, "-m", "blockgraph", *command)
    print(f"wheel: holds the tree's files and runs {len(COMMANDS)} commands")
    return 0


if __name__ == "__main__":
    sys.exit(main())
