"""The Sphinx directive, in tiny projects that are really built."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="pip install sphinx (in the extra 'dev') to test it")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Sphinx' own machinery

from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402

from blockgraph.viz.engine import engine  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BASE = "blockgraph: 1\nabout: a base\ninputs: {x: {shape: [T, 8]}}\nnodes:\n  attn: {type: attention, heads: 2}\n"
OWN = "blockgraph: 1\nextends: base.yaml\nnodes:\n  attn: {heads: 4}\n"


class Project:
    """A Sphinx project in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("models/base.yaml", BASE)
        self.write("models/own.yaml", OWN)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def build(self, page: str | None = None, builder: str = "html", **config: object) -> tuple[str, str]:
        """The page that is written, and the warnings (paths relative to the project)."""
        if page is not None:
            self.write("index.rst", f"Title\n=====\n\n{page}")
        warnings = io.StringIO()
        settings = {"extensions": ["blockgraph.viz.sphinx"], "project": "p", "numfig": True, **config}
        places = (self.folder, None, self.folder / "out" / builder, self.folder / "trees", builder)
        with patch_docutils(), docutils_namespace():
            app = Sphinx(*places, confoverrides=settings, status=None, warning=warnings)
            app.build()
        said = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).replace(f"{self.folder}/", "")
        names = {"html": "index.html", "latex": "p.tex", "text": "index.txt"}
        return (self.folder / "out" / builder / names[builder]).read_text("utf-8"), said


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_html_shows_the_picture_inline(project: Project) -> None:
    page, said = project.build(
        "See :numref:`own`.\n\n.. blockgraph:: models/own.yaml\n   :name: own\n   :caption: Our *own*.\n"
        "   :no-shapes:\n   :width: 60%\n\n.. blockgraph:: gpt-nano\n   :alt: a nano\n   :align: center\n",
        blockgraph_options={"theme": "auto"},
    )
    assert said == ""
    assert page.count("<svg style=") == 2 and "<?xml" not in page
    assert '<svg style="width:60%;height:auto"' in page and "[B, T, 8]" not in page
    assert "Our <em>own</em>" in page and re.search(r'href="#own"><span class="std std-numref">Fig. 1', page)
    assert page.count("prefers-color-scheme") >= 2 and "a nano" in page and "text-align:center" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_html_can_show_a_file(project: Project) -> None:
    page, said = project.build(".. blockgraph:: models/own.yaml\n   :alt: a < b\n", blockgraph_html="file")
    (name,) = re.findall(r'src="_images/(blockgraph-[0-9a-f]+\.svg)"', page)
    assert said == "" and "<svg" not in page and 'alt="a &lt; b"' in page
    assert (project.folder / "out/html/_images" / name).read_bytes().startswith(b"<?xml")


def test_the_yaml_may_stand_in_the_body(project: Project) -> None:
    body = "".join(f"   {line}\n" for line in OWN.replace("base.yaml", "models/base.yaml").splitlines())
    page, said = project.build(f".. blockgraph::\n   :direction: right\n\n{body}")
    assert said == "" and page.count("<svg style=") == 1


@pytest.mark.skipif(engine() is None, reason="no Graphviz engine: apt install graphviz or pip install pygraphviz")
def test_latex_includes_a_pdf(project: Project) -> None:
    page, said = project.build(
        ".. blockgraph:: models/own.yaml\n   :width: 60%\n   :caption: Ours.\n\n.. blockgraph:: gpt-nano\n   :name: n\n",
        builder="latex",
    )
    assert said == ""
    assert re.search(r"\\sphinxincludegraphics\[width=0\.6\\linewidth\]\{blockgraph-[0-9a-f]+\.pdf\}", page)
    pictures = list((project.folder / "out/latex").glob("blockgraph-*.pdf"))
    assert len(pictures) == 2 and all(path.read_bytes().startswith(b"%PDF") for path in pictures)


def test_latex_without_an_engine_says_so_and_shows_the_words(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockgraph.viz.engine.engine", lambda: None)
    page, said = project.build(".. blockgraph:: models/own.yaml\n   :alt: 50% ours\n", builder="latex")
    assert "index.rst:4: WARNING: no PDF: no Graphviz here" in said and r"\emph{50\% ours}" in page


def test_text_has_the_words(project: Project) -> None:
    page, said = project.build(".. blockgraph:: models/own.yaml\n", builder="text")
    assert said == "" and "[a base]" in page


def test_errors_are_warnings_at_the_line_of_the_yaml(project: Project) -> None:
    project.write("models/bad.yaml", OWN.replace("heads: 4", "heads: 3"))
    body = "".join(f"   {line}\n" for line in BASE.replace("heads: 2", "heads: 5").splitlines())
    page, said = project.build(f".. blockgraph:: models/bad.yaml\n\n.. blockgraph::\n\n{body}")
    lines = said.splitlines()
    assert lines[0].startswith("models/bad.yaml:4: WARNING: [heads] 3 heads do not divide the width 8")
    assert lines[1].startswith("index.rst:12: WARNING: [heads] 5 heads do not divide the width 8")
    assert len(lines) == 2 and page.count("blockgraph-error") == 2
    assert project.build(f".. blockgraph::\n\n{body}", suppress_warnings=["blockgraph.heads"])[1] == ""


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        (".. blockgraph:: nope.yaml\n", "there is no file nope.yaml and no preset 'nope.yaml'"),
        (".. blockgraph:: gpt-nano\n   :theme: mauve\n", "theme is one of paper, dark"),
        (".. blockgraph:: gpt-nano\n   :width: wide\n", "width is a length"),
        (".. blockgraph::\n", "what to draw is missing"),
        (".. blockgraph:: gpt-nano\n\n   blockgraph: 1\n", "a path and YAML in the body"),
    ],
)
def test_what_is_wrong_with_the_directive_is_said_at_its_line(project: Project, directive: str, message: str) -> None:
    _, said = project.build(directive)
    assert said.startswith("index.rst:4: WARNING: ") and message in said


def test_a_change_in_an_extended_file_builds_the_page_anew(project: Project) -> None:
    page, _ = project.build(".. blockgraph:: models/own.yaml\n   :depth: 0\n")
    assert "4 heads" in page and "2 heads" not in page
    assert project.build()[0] == page
    project.write("models/base.yaml", BASE.replace("heads: 2}", "heads: 2, label: Renamed}"))
    later = time.time() + 5
    os.utime(project.folder / "models/base.yaml", (later, later))
    assert "Renamed" in project.build()[0]


def test_an_unknown_kind_of_html_is_said(project: Project) -> None:
    page, said = project.build(".. blockgraph:: models/own.yaml\n", blockgraph_html="both")
    assert "blockgraph_html is one of inline, file, not 'both'" in said and "<svg" in page


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'tokenizers', 'safetensors']))\n"
        "import blockgraph.viz.sphinx\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
