"""Docs and examples say what is true: links lead somewhere, examples run, generated pages are up to date."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from blockgraph.builder.analyse import analyse
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec, load_text

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
PLUGINS = {"plugin": [str(ROOT / "examples/my_blocks.py")]}


def fenced(page: Path) -> list[tuple[str, str]]:
    """The whole specs on a page, each with a name for messages."""
    found = re.findall(r"^```yaml\n(blockgraph: 1\n.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [(f"{page.name}-{number}", text) for number, text in enumerate(found)]


WRITTEN = [example for page in PAGES if page.name != "errors.md" for example in fenced(page)]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def messages(diagnostics: Diagnostics) -> list[str]:
    return [f"{d.severity}[{d.code}] {d.message} {d.span}" for d in diagnostics]


def test_links_lead_somewhere() -> None:
    links = script("check_links")
    assert [problem for page in links.pages() for problem in links.broken_links(page)] == []
    assert len(links.pages()) > 10


@pytest.mark.parametrize("text", [text for _, text in WRITTEN], ids=[name for name, _ in WRITTEN])
def test_specs_in_the_docs_validate(text: str) -> None:
    diagnostics = Diagnostics()
    spec = load_text(text, diagnostics, name="docs")
    model = analyse(spec, diagnostics) if spec else None
    assert messages(diagnostics) == [] and model is not None


def test_the_training_page_shows_a_section_that_is_accepted() -> None:
    section = re.search(
        r"^```yaml\n(train:\n.*?)^```", (ROOT / "docs/training.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    assert section
    diagnostics = Diagnostics()
    spec = load_text(fenced(ROOT / "README.md")[0][1] + section[1], diagnostics, name="docs")
    assert messages(diagnostics) == [] and spec is not None and spec.train is not None
    assert spec.train.steps == 10000


def test_the_guide_has_an_example_for_each_rule() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "docs/guide.md").read_text("utf-8"), flags=re.MULTILINE)
    assert len(sections) >= 13
    assert len(fenced(ROOT / "docs/guide.md")) >= 11


def test_both_readmes_open_with_the_picture_and_the_same_spec() -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    assert all(text.startswith('<p align="center"><img src="docs/images/') for text in (english, chinese))
    ours, theirs = (re.sub(r" *#.*", "", fenced(ROOT / name)[0][1]) for name in ("README.md", "README.zh-CN.md"))
    assert ours == theirs and len(ours.splitlines()) == 15


@pytest.mark.parametrize("page", ["docs/blocks.md", "docs/errors.md", "docs/gallery.md"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    assert (ROOT / page).read_bytes() == script("make_docs").pages()[ROOT / page], "run scripts/docs"


def test_committed_pictures_are_in_step_with_their_specs() -> None:
    found = script("make_docs").pictures()
    stale = [path.name for path, data in found.items() if not path.exists() or path.read_bytes() != data]
    assert stale == [], "run scripts/docs"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_validate_build_and_run(path: Path) -> None:
    import torch

    from blockgraph.builder.build import build

    diagnostics = Diagnostics()
    spec = load_spec(path, diagnostics, plugins=PLUGINS.get(path.stem, ()))
    model = analyse(spec, diagnostics) if spec else None
    assert messages(diagnostics) == [] and spec is not None and model is not None
    built = build(spec)
    assert sum(p.numel() for p in built.parameters()) == model.parameters
    with torch.no_grad():
        result = built.eval()(**{name: some(entry.value) for name, entry in model.root.inputs.items()})
    results = list(result.values()) if isinstance(result, dict) else [result]
    assert all(bool(tensor.isfinite().all()) for tensor in results)


def some(value: Any) -> Any:
    """Random input of a given shape, batch 2, every axis 8 long."""
    import torch

    shape = [int(size) for size in value.at(dict.fromkeys({s for size in value.shape for s in size.symbols}, 8)).shape]
    shape[0] = 2
    return torch.randint(1, value.vocabulary, shape) if value.dtype == "int" else torch.randn(shape)


def test_there_are_enough_examples() -> None:
    assert len(EXAMPLES) >= 6 and all(path.read_text("utf-8").startswith("#") for path in EXAMPLES)


def test_the_plugin_example_fits_on_a_screen() -> None:
    assert len((ROOT / "examples/my_blocks.py").read_text("utf-8").splitlines()) <= 40


@pytest.mark.filterwarnings("ignore")  # of the notebook's machinery
def test_the_notebook_runs() -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "examples/tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # kept without outputs: they would only grow stale
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    assert any(
        "image/svg+xml" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())
    )
