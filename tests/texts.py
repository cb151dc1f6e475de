"""Loading small specs from text and from files that refer to each other."""

from __future__ import annotations

from pathlib import Path

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec, load_text
from blockgraph.specs.spec import Spec

HEAD = "blockgraph: 1\ninputs: {tokens: {tokens: 10, axis: T}}\n"


def loaded(text: str, *sets: str, head: bool = True) -> Spec:
    """The spec of a text that has nothing wrong."""
    diagnostics = Diagnostics()
    spec = load_text(HEAD + text if head else text, diagnostics, sets=sets)
    assert [d.message for d in diagnostics] == []
    assert spec is not None
    return spec


def problems(text: str, *sets: str, head: bool = True) -> list[tuple[str, str, str]]:
    """Code, place and message of all that is wrong; lines count from the text's own first line."""
    diagnostics = Diagnostics()
    load_text(HEAD + text if head else text, diagnostics, sets=sets)
    skipped = HEAD.count("\n") if head else 0
    return [(d.code, f"{d.span.line - skipped}:{d.span.column}" if d.span else "", d.message) for d in diagnostics]


def helps(text: str, *sets: str) -> list[str | None]:
    diagnostics = Diagnostics()
    load_text(HEAD + text, diagnostics, sets=sets)
    return [d.help for d in diagnostics]


def files(folder: Path, **texts: str) -> Path:
    """Writes `name.yaml` for each text and returns the folder. `__` in a name makes a folder."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def load_file(path: Path) -> tuple[Spec | None, list[tuple[str, str, str]]]:
    diagnostics = Diagnostics()
    spec = load_spec(path, diagnostics)
    found = [
        (d.code, f"{Path(d.span.source.name).name}:{d.span.line}:{d.span.column}" if d.span else "", d.message)
        for d in diagnostics
    ]
    return spec, found
