"""What the document integrations share: options as texts, and what a figure is read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockgraph.specs.diagnostics import BlockgraphError, SpecError
from blockgraph.viz.document import (
    FLAGS,
    OPTIONS,
    Figure,
    found,
    framed,
    in_a_line,
    inline_svg,
    messages,
    painted,
    read,
    split,
    view_of,
)
from blockgraph.viz.view import ALL, View

SMALL = "blockgraph: 1\nabout: small & plain\ninputs: {x: {shape: [T, 8]}}\nnodes: {out: {type: linear, width: 3}}\n"


def test_options_are_those_of_the_command_line() -> None:
    given = {"depth": "2", "open": "a.b, c", "unroll": None, "no-shapes": "", "no_params": True, "direction": "right"}
    assert view_of(given) == View(
        depth=2, open=("a.b", "c"), unroll=True, shapes=False, params=False, direction="right"
    )
    assert view_of({"depth": "all"}).depth == ALL
    assert view_of({"unroll": "false", "no-shapes": "false", "close": ""}) == View()
    assert set(FLAGS) == {"unroll", "no-shapes", "no-params"} < set(OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dept": "1"}, "there is no option 'dept': did you mean 'depth'"),
        ({"depth": "-1"}, "depth is a number of levels or 'all', not '-1'"),
        ({"depth": "²"}, "depth is a number of levels"),
        ({"theme": "mauve"}, "theme is one of paper, dark, cvd, mono, auto, not 'mauve'"),
        ({"unroll": "2"}, "unroll is a flag"),
        ({"direction": "sideways"}, "direction is one of up, down, right, left"),
    ],
)
def test_other_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(BlockgraphError, match=message):
        view_of(options)


def test_options_of_the_page_are_checked() -> None:
    assert split({"alt": "a", "width": "60%", "depth": "1"}) == ({"depth": "1"}, {"alt": "a", "width": "60%"})
    with pytest.raises(BlockgraphError, match="width is a length such as 60%"):
        split({"width": '1px" onload="x'})


def test_a_figure_knows_the_files_that_it_depends_on(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SMALL, "utf-8")
    (tmp_path / "own.yaml").write_text("blockgraph: 1\nextends: base.yaml\n", "utf-8")
    both = [tmp_path / "base.yaml", tmp_path / "own.yaml"]
    assert read(Figure(file=str(tmp_path / "own.yaml"))).files == both
    assert read(Figure(text="blockgraph: 1\nextends: base.yaml\n", folder=tmp_path)).files == both[:1]
    assert read(Figure(file="gpt-nano")).files == []


def test_names_are_files_then_presets(tmp_path: Path) -> None:
    (tmp_path / "gpt2").write_text(SMALL, "utf-8")
    assert found("gpt2", tmp_path) == str(tmp_path / "gpt2")
    assert found("gpt-nano", tmp_path) == "gpt-nano"
    with pytest.raises(BlockgraphError, match=r"no preset 'gpt-nan': did you mean 'gpt-nano'"):
        found("gpt-nan", tmp_path)


def test_errors_and_a_library_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        read(Figure(text=SMALL.replace("width: 3", "width: x")))
    (message,) = messages(caught.value)
    assert message.span is not None and in_a_line(message).startswith(f"[{message.code}] ")
    with pytest.raises(BlockgraphError, match="only blocks") as other:
        read(Figure(text="blockgraph: 1\nblocks: {A: {nodes: {n: rms_norm}}}\n", name="lib"))
    assert [in_a_line(found) for found in messages(other.value)] == [str(other.value)]


def test_pictures_fit_a_page() -> None:
    figure = Figure(text=SMALL, view=View(prefix="f1-"), alt="said <so>")
    svg = painted(read(figure).model, figure, "svg")
    assert b"said &lt;so&gt;" in svg and b"small &amp; plain" not in svg
    inline = inline_svg(svg, None)
    assert inline.startswith('<svg style="max-width:100%;height:auto"') and "<?xml" not in inline
    assert 'style="width:60%;height:auto"' in inline_svg(svg, "60%")
    assert framed("<svg/>", "a < b") == '<figure class="blockgraph"><svg/><figcaption>a &lt; b</figcaption></figure>'
