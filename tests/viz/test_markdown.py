"""Block graphs in Markdown, converted in process: our own extension, and the custom fence of superfences."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

markdown = pytest.importorskip("markdown", reason="pip install markdown (in the extra 'dev') to test it")

from blockgraph.specs.diagnostics import BlockgraphError  # noqa: E402
from blockgraph.viz.markdown import BlockgraphExtension, fence, validator  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SPEC = "blockgraph: 1\ninputs: {x: {shape: [T, 8]}}\nnodes:\n  out: {type: linear, width: 3}\n"


def html(text: str, **options: object) -> str:
    """The page, each picture cut to its first tag."""
    page: str = markdown.markdown(text, extensions=["fenced_code", BlockgraphExtension(**options)])
    return re.sub(r"(<svg[^>]*>).*?</svg>", r"\1</svg>", page, flags=re.DOTALL)


def fenced(body: str, head: str = "blockgraph") -> str:
    return f"```{head}\n{body}```\n"


def test_a_fence_becomes_a_figure() -> None:
    page = html("Before\n\n" + fenced(SPEC, 'blockgraph caption="So & so" width=40%') + "\nAfter\n")
    assert page.startswith('<p>Before</p>\n<figure class="blockgraph"><svg style="width:40%;height:auto"')
    assert page.endswith("<figcaption>So &amp; so</figcaption></figure>\n<p>After</p>")


def test_other_heads_that_mean_the_same() -> None:
    for head in ("{.blockgraph depth=0 #id .wide}", "blockgraph  no-shapes", "blockgraph no_shapes=true"):
        assert html(fenced(SPEC, head)).count("<svg") == 1, head
    assert html("~~~ blockgraph\n" + SPEC + "~~~\n").count("<svg") == 1


def test_figures_of_a_page_have_ids_of_their_own() -> None:
    page = html(fenced(SPEC) + "\n" + fenced(SPEC) + "\n" + fenced(SPEC, "blockgraph prefix=own-"))
    assert re.findall(r'id="([^"]*)figure"', page) == ["bg1-", "bg2-", "own-"]
    md = markdown.Markdown(extensions=[BlockgraphExtension()])
    assert md.convert(fenced(SPEC)) == md.reset().convert(fenced(SPEC))  # the same page, the same bytes


def test_other_fences_stay_as_they_are() -> None:
    for text in (
        "````markdown\n" + fenced(SPEC) + "````\n",
        "    ```blockgraph\n    x\n    ```\n",
        fenced(SPEC, "yaml"),
    ):
        page = html(text)
        assert "<svg" not in page and ("blockgraph: 1" in page or "blockgraph" in page)
    assert "<svg" not in html("```blockgraph\n" + SPEC)  # never closed
    assert "<svg" not in html(fenced(SPEC, "blockgraphs"))


def test_files_are_found_from_the_base(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SPEC, "utf-8")
    assert html(fenced("file: own.yaml\n"), base=str(tmp_path)).count("<svg") == 1
    assert html(fenced("file: gpt-nano\n")).count("<svg") == 1
    extending = fenced("blockgraph: 1\nextends: own.yaml\n")
    assert html(extending, base=str(tmp_path)).count("<svg") == 1


def test_defaults_hold_unless_the_fence_says_otherwise() -> None:
    text = fenced(SPEC) + "\n" + fenced(SPEC, "blockgraph width=30%")
    assert re.findall(r"width:(\d+)%", html(text, width="50%")) == ["50", "30"]


def test_an_error_stands_in_the_picture_s_place_with_the_line_of_the_page(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="mkdocs"):
        page = html("# Title\n\n" + fenced(SPEC.replace("width: 3", "widht: 3")))
    assert '<pre class="blockgraph-error">page:7:' in page and "<svg" not in page
    assert any(record.getMessage().startswith("page:7:") for record in caplog.records)
    assert all(record.name.startswith("mkdocs.") for record in caplog.records)  # which `mkdocs build --strict` counts


def test_a_wrong_option_is_said_and_escaped(caplog: pytest.LogCaptureFixture) -> None:
    page = html(fenced(SPEC, 'blockgraph "<b>=1"'))
    assert "there is no option" in page and "<b>" not in page
    assert "page:1: there is no option" in caplog.text


def test_strict_raises() -> None:
    with pytest.raises(BlockgraphError, match="there is no file"):
        html(fenced("file: nope.yaml\n"), strict=True)


def test_the_fence_of_superfences() -> None:
    pytest.importorskip("pymdownx", reason="pip install pymdown-extensions (in the extra 'dev') to test it")
    fences = [{"name": "blockgraph", "class": "blockgraph", "format": fence, "validator": validator}]
    text = fenced(SPEC, 'blockgraph depth="0" no_shapes') + "\n- item\n\n    ```blockgraph\n    file: nope\n    ```\n"
    page = markdown.markdown(
        text, extensions=["pymdownx.superfences"], extension_configs={"pymdownx.superfences": {"custom_fences": fences}}
    )
    assert page.count("<svg") == 1 and "[B, T" not in page
    assert page.count("blockgraph-error") == 1 and "no preset" in page


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'tokenizers', 'safetensors']))\n"
        "import markdown\n"
        f"page = markdown.markdown({fenced(SPEC)!r}, extensions=['blockgraph.viz.markdown'])\n"
        "assert '<svg' in page and 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
