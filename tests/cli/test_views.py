"""The options that say how much a picture shows, from the command line to the picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blockgraph.cli import views
from blockgraph.viz import view
from tests.cli.test_commands import run, spec

__all__ = ["spec"]  # the fixture


def nodes(path: Path) -> list[str]:
    return re.findall(r'<g class="bg-node[^>]*data-node="([^"]+)"', path.read_text("utf-8"))


def test_the_choices_are_those_of_a_view() -> None:
    assert (views.DIRECTIONS, views.THEMES) == (view.DIRECTIONS, view.THEMES)


@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        ([], "decoder.attn", "decoder"),
        (["--depth", "0"], "decoder", "decoder.attn"),
        (["--close", "decoder"], "decoder", "decoder.attn"),
        (["--depth", "all"], "decoder.attn.scores.softmax", "decoder.attn"),
        (["--open", "decoder.attn"], "decoder.attn.query", "decoder.attn"),
        (["--unroll"], "decoder.1.attn", "decoder.attn"),
        (["--unroll", "--depth", "0"], "decoder.1", "decoder"),
        (["--unroll", "--open", "decoder.1.attn"], "decoder.1.attn.out", "decoder.1.attn"),
    ],
)
def test_what_is_drawn(spec: Path, options: list[str], shown: str, hidden: str) -> None:
    done = run("draw", spec, "-o", "x.svg", *options)
    assert (done.exit_code, done.output) == (0, "wrote x.svg\n")
    assert shown in nodes(Path("x.svg")) and hidden not in nodes(Path("x.svg"))


def test_shapes_and_parameters_may_be_left_out(spec: Path) -> None:
    run("draw", spec, "-o", "x.svg", "--no-shapes", "--no-params")
    text = Path("x.svg").read_text("utf-8")
    assert "[B, T" not in text and "1.1K" not in text


def test_a_title_and_a_prefix(spec: Path) -> None:
    run("draw", spec, "-o", "x.svg", "--title", "Small <one>", "--prefix", "fig1-")
    text = Path("x.svg").read_text("utf-8")
    assert "Small &lt;one&gt;" in text and all(id.startswith("fig1-") for id in re.findall(r' id="([^"]+)"', text))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--open", "decoder.atn"], "error: --open: there is no node 'decoder.atn'; did you mean 'decoder.attn'?"),
        (["--close", "decodr"], "error: --close: there is no node 'decodr'; did you mean 'decoder'?"),
        (["--open", "logits"], "error: --open: 'logits' is a block of the type 'linear', which has no inside"),
        (["--depth", "deep"], "'deep' is neither a number from 0 up nor 'all'"),
        (["--depth", "-1"], "'-1' is neither a number from 0 up nor 'all'"),
        (["--direction", "sideways"], "'sideways' is not one of"),
        (["--theme", "pink"], "'pink' is not one of"),
    ],
)
def test_views_that_are_refused(spec: Path, options: list[str], said: str) -> None:
    done = run("draw", spec, "-o", "x.svg", *options)
    assert done.exit_code == 2 and said in done.stderr
    assert not Path("x.svg").exists()


def test_check_compares_the_picture_with_the_same_options(spec: Path) -> None:
    run("draw", spec, "-o", "x.svg", "--depth", "0")
    assert run("draw", spec, "-o", "x.svg", "--depth", "0", "--check").exit_code == 0
    assert run("draw", spec, "-o", "x.svg", "--check").exit_code == 1
