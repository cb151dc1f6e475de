"""Two models in one picture: marks, notes, and that nothing is lost or drawn twice."""

from __future__ import annotations

import itertools

import pytest

from blockgraph.builder.compare import compare
from blockgraph.builder.graph import Model
from blockgraph.viz.check import problems
from blockgraph.viz.diff import compose_diff, draw_diff
from blockgraph.viz.drawing import Drawing, Placed
from blockgraph.viz.view import View
from tests.builder.test_compare import BASE, model
from tests.cli.test_diff import MODERN


def both(one: Model, other: Model, view: View | None = None) -> Drawing:
    return compose_diff((one, other), compare(one, other), view or View())


def changed(old: str, new: str) -> dict[str, Placed]:
    assert BASE.count(old) == 1
    return boxes(both(model(BASE), model(BASE.replace(old, new))))


def boxes(drawn: Drawing) -> dict[str, Placed]:
    found = {box.id: box for box in drawn.boxes()}
    assert len(found) == len(list(drawn.boxes()))
    return found


def test_the_target() -> None:
    found = boxes(both(model("gpt2"), model(MODERN)))
    said = {id: (box.face.mark, box.face.notes) for id, box in found.items() if box.face.mark}
    assert said == {
        "positions": ("removed", ()),
        "positions.beside": ("removed", ()),
        "decoder.norm1": ("changed", ("was LayerNorm · −768",)),
        "decoder.attn.beside": ("added", ("added",)),
        "decoder.norm2": ("changed", ("was LayerNorm · −768",)),
        "decoder.ffn": ("changed", ("was Feed Forward (GELU)", "768→3072→768 · +1.0K")),
        "norm": ("changed", ("was LayerNorm · −768",)),
        "legend:changed": ("changed", ()),
        "legend:added": ("added", ()),
        "legend:removed": ("removed", ()),
    }


def test_what_was_removed_stands_where_it_was() -> None:
    found = boxes(both(model("gpt2"), model(MODERN)))
    assert found["embed"].y < found["positions"].y < found["decoder.norm1"].y
    assert found["embed"].x == found["positions"].x == found["decoder.norm1"].x
    sources = {line.source for line in both(model("gpt2"), model(MODERN)).lines if line.target == "decoder.norm1"}
    assert sources == {"positions"}  # the line that goes past it now is drawn through it


def test_equal_models_have_no_mark_and_no_legend() -> None:
    assert not [box for box in both(model(BASE), model(BASE)).boxes() if box.face.mark or "legend" in box.id]


def test_a_frame_says_how_often_it_was_stacked() -> None:
    (panel,) = both(model(BASE), model(BASE, "vars.layers=6")).panels()
    assert (panel.times, panel.caption) == ("6×", ("was 4×",))


def test_a_new_name_is_one_block() -> None:
    found = changed("  ffn: {type", "  wide: {type")
    assert "ffn" not in found and found["wide"].face.notes == ("renamed? was ffn",)


def test_wiring_and_options_that_no_face_shows() -> None:
    assert changed("in: [x, attn]", "in: [norm, attn]")["decoder.add"].face.mark == "changed"
    assert changed("hidden: 32", "hidden: 32, dropout: 0.5")["ffn"].face.notes == ("dropout was 0",)


def test_only_the_copies_that_changed() -> None:
    found = changed("heads: 2, causal", "heads: '=4 if layer > 1 else 2', causal")
    marks = {id: box.face.mark for id, box in found.items() if id.endswith("attn")}
    assert marks == {"decoder.0.attn": "", "decoder.2.attn": "changed"}


def test_closed_blocks_say_how_much_changed_inside() -> None:
    after = model(BASE.replace("norm: layer_norm", "norm: rms_norm"))
    notes = [box.face.notes for box in both(model(BASE), after, View(depth=0)).boxes() if box.face.mark]
    assert ("1 change inside",) in notes


PRESETS = ("gpt2", "llama3-8b", "transformer-base", "bert-base-classify", "lstm-nano")


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(PRESETS, 2)))
def test_presets_side_by_side(one: str, other: str) -> None:
    a, b = model(one), model(other)
    drawn = both(a, b)
    assert not problems(drawn)
    found = boxes(drawn)
    assert {n.name for n in compare(a, b).nodes if n.kind == "removed" and not n.renamed} <= names(found)
    assert {mark for mark in ("added", "removed", "changed") if f"legend:{mark}" in found} == {
        box.face.mark for box in found.values() if box.face.mark
    }


def names(found: dict[str, Placed]) -> set[str]:
    """Nodes that are drawn, frames too."""
    paths = [[part for part in id.split(".") if not part.isdigit()] for id in found]
    return {".".join(path[:length]) for path in paths for length in range(1, len(path) + 1)}


def test_what_took_the_place_of_another_stands_on_the_spine() -> None:
    before = BASE.replace("ffn: {type: ffn, hidden: 32}", "moe: {type: moe, hidden: 8, experts: 4, top_k: 2}")
    drawn = both(model(before), model(BASE))
    found = boxes(drawn)
    assert found["ffn"].x == found["logits"].x < found["moe"].x
    marks = {(line.source, line.target): line.mark for line in drawn.lines if "moe" in (line.source, line.target)}
    assert marks == {("decoder.add", "moe"): "", ("moe", "logits"): "removed"}


def test_what_was_removed_stands_in_every_copy_of_a_pattern() -> None:
    text = BASE.replace("heads: 2, causal", "heads: '=4 if layer > 1 else 2', causal")
    scaled = BASE.replace("add: {", "scale: {type: scale, by: 2}\n      add: {").replace("[x, attn]", "[x, scale]")
    found = boxes(both(model(scaled), model(text)))
    assert {id for id, box in found.items() if box.face.mark == "removed"} == {
        "decoder.0.scale",
        "decoder.2.scale",
        "legend:removed",
    }


def test_the_same_each_time() -> None:
    models = (model("gpt2"), model(MODERN))
    pictures = {draw_diff(models, compare(*models), format="svg") for _ in range(2)}
    assert len(pictures) == 1
