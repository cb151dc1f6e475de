"""Do the folder links below blockgraph/ and the links in the Markdown pages lead somewhere? Needs only Python."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("blocks", "builder", "cli", "data", "running", "specs", "tasks", "training", "viz")
SKIPPED = {".git", ".venv", ".ci-venv", "build", "dist", "runs", "node_modules", "blockgraph-demo"}
LINK = re.compile(r"(?<!\\)!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")


def pages() -> list[Path]:
    """The Markdown pages of the project."""
    found = [p for p in ROOT.rglob("*.md") if not SKIPPED & set(p.relative_to(ROOT).parts)]
    return sorted(
        p for p in found if p.relative_to(ROOT).parts[0] != "blockgraph" or len(p.relative_to(ROOT).parts) == 2
    )


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)
    return set(slugs) | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def broken_links(page: Path) -> list[str]:
    """The links of one page whose file or heading is not there."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    broken = []
    for target in (a or b for a, b in LINK.findall(text)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(f"{page.relative_to(ROOT).as_posix()}: {target} leads nowhere")
    return broken


def broken_folders() -> list[str]:
    """Folder links that git did not make (a Windows checkout without core.symlinks still works once installed)."""
    problems = []
    for name in FOLDERS:
        link = ROOT / "blockgraph" / name
        if link.is_symlink() and link.resolve() != ROOT / name:
            problems.append(f"blockgraph/{name} leads to {link.resolve()} instead of ../{name}")
        elif not link.is_symlink() and sys.platform != "win32":
            problems.append(f"blockgraph/{name} is not a link to ../{name}; mend it: git checkout blockgraph/{name}")
    return problems


def main() -> int:
    problems = broken_folders() + [problem for page in pages() for problem in broken_links(page)]
    print("\n".join(problems) or "links: all lead somewhere")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
