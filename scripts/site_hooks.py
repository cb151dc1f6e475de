"""What MkDocs does for our site beyond its own: every whole spec in the guide gets its picture, and links out of docs/
lead to a copy of the file (the pages are written for readers of the repository)."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DRAWN = {"guide.md"}  # pages whose whole specs get their picture
SPEC = re.compile(r"^```yaml\n(blockgraph: 1\n.*?)^```\n", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^(`{3,}).*?^\1`*[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)((?:#[^)\s]*)?)\)")


def on_files(files: Any, config: Any) -> Any:
    """Adds what the pages link to outside docs/, and what those pages link to."""
    from mkdocs.structure.files import File

    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for path in outside(page, (ROOT / repository(page)).read_text("utf-8")):
            if files.get_file_from_path(site(path)) is None:
                files.append(File.generated(config, site(path), abs_src_path=str(ROOT / path)))
                waiting += [site(path)] if path.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    name = page.file.src_uri
    if name in DRAWN:
        markdown = SPEC.sub(lambda spec: f"{spec[0]}\n```blockgraph\n{spec[1]}```\n", markdown)
    return between_fences(markdown, lambda text: LINK.sub(lambda link: f"]({moved(name, link)})", text))


def between_fences(markdown: str, change: Any) -> str:
    """The page with everything outside its fences changed."""
    parts, place = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[place : fence.start()]), fence[0]]
        place = fence.end()
    return "".join([*parts, change(markdown[place:])])


def moved(page: str, link: re.Match[str]) -> str:
    """The target of a link, from where the page is on the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(repository(page)), link[1]))
    return posixpath.relpath(site(target), posixpath.dirname(page) or ".") + link[2]


def outside(page: str, text: str) -> list[str]:
    """The files of the repository, not in docs/, that a page links to."""
    folder = posixpath.dirname(repository(page))
    targets = [posixpath.normpath(posixpath.join(folder, link[1])) for link in LINK.finditer(FENCE.sub("", text))]
    return [path for path in targets if not path.startswith("docs/") and (ROOT / path).is_file()]


def repository(page: str) -> str:
    """Where a page of the site lies in the repository."""
    return page.removeprefix("files/") if page.startswith("files/") else f"docs/{page}"


def site(path: str) -> str:
    """Where a file of the repository lies on the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"
