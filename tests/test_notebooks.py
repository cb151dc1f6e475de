"""Specs, models and pictures show themselves in notebooks; folders that cannot draw know nothing of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import blockgraph

ROOT = Path(__file__).resolve().parent.parent
SPEC = "blockgraph: 1\nname: small\nabout: a small one\ninputs: {x: {shape: [T, 8]}}\nnodes: {out: {type: linear, width: 3}}\n"


def shown(thing: Any) -> dict[str, Any]:
    from IPython.core.formatters import DisplayFormatter

    bundle: dict[str, Any] = DisplayFormatter().format(thing)[0]
    return bundle


def test_a_spec_shows_its_picture() -> None:
    bundle = shown(blockgraph.load(SPEC))
    assert bundle["image/svg+xml"].startswith("<?xml") and "<title" in bundle["image/svg+xml"]
    assert bundle["text/plain"] == "small: a small one"


def test_a_built_model_shows_its_picture_and_its_tree() -> None:
    model = blockgraph.build(SPEC)
    bundle = shown(model)
    assert bundle["image/svg+xml"] == shown(blockgraph.load(SPEC))["image/svg+xml"]
    assert bundle["text/plain"] == repr(model) and "out: linear" in bundle["text/plain"]
    assert "image/svg+xml" in shown(pickle.loads(pickle.dumps(model)))
    assert "image/svg+xml" in shown(model.definition)


def test_a_drawing_shows_itself_and_is_its_bytes(tmp_path: Path) -> None:
    picture = blockgraph.draw(SPEC, tmp_path / "x.svg", depth=0, theme="dark")
    assert picture == (tmp_path / "x.svg").read_bytes() and isinstance(picture, bytes)
    assert shown(picture)["image/svg+xml"] == picture.decode()
    assert repr(picture) == f"<picture: svg, {len(picture):,} bytes>" == repr(pickle.loads(pickle.dumps(picture)))
    assert "image/svg+xml" not in shown(blockgraph.draw(SPEC, format="dot"))


def test_options_say_what_is_shown() -> None:
    model = blockgraph.build("gpt-nano", sets=["vars.layers=2"], device="meta")
    closed, whole = blockgraph.draw(model, depth=0), blockgraph.draw(model, depth="all")
    assert len(closed) < len(blockgraph.draw(model)) < len(whole)
    assert b"[B, T]" not in blockgraph.draw(model, shapes=False)
    assert blockgraph.draw(model, open="decoder.attn") == blockgraph.draw(model, open=["decoder.attn"])


def test_what_cannot_be_drawn_shows_no_picture() -> None:
    library = blockgraph.load("blockgraph: 1\nname: lib\nblocks: {A: {nodes: {n: rms_norm}}}\n")
    assert library._repr_mimebundle_() is None


def test_without_the_front_door_nothing_is_drawn_and_nothing_loaded() -> None:
    code = (
        "import sys\n"
        "from blockgraph.specs.diagnostics import Diagnostics\n"
        "from blockgraph.specs.load import load_spec\n"
        "spec = load_spec('gpt-nano', Diagnostics())\n"
        "assert spec._repr_mimebundle_() is None and 'blockgraph.viz' not in sys.modules\n"
        "import blockgraph; blockgraph.load\n"
        "assert 'image/svg+xml' in spec._repr_mimebundle_() and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
