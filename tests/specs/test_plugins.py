"""Own block types come from files and installed entry points, and only where they are named."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_text
from blockgraph.specs.plugins import load_plugins
from blockgraph.specs.problems import fields_at, real_path
from blockgraph.specs.train import Train
from tests.texts import HEAD

PLUGIN = """\
from blockgraph.specs.options import Options
from blockgraph.specs.registry import BlockType, Port

class ShiftOptions(Options):
    by: int = 1

shift = BlockType("NAME", "moves tokens", (Port("x"),), ShiftOptions, rules=None, module=__name__, look=None)
"""


def write(folder: Path, text: str, name: str = "my_blocks.py") -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


def messages(*plugins: str) -> list[str]:
    diagnostics = Diagnostics()
    load_plugins(plugins, diagnostics)
    assert all(d.code == "plugin" for d in diagnostics)
    return [d.message for d in diagnostics]


def test_a_file_brings_its_types_and_their_options(tmp_path: Path) -> None:
    path = write(tmp_path, PLUGIN.replace("NAME", "shift"))
    text = HEAD + "defaults: {shift: {bye: 2}}\nnodes: {a: {type: shift, by: 2}}"
    diagnostics = Diagnostics()
    spec = load_text(text, diagnostics, plugins=[path])
    assert spec is not None and set(spec.types) == {*BUILTIN, "shift"} and spec.plugins == (path,)
    assert [d.message for d in diagnostics] == ["shift has no option 'bye'"]
    diagnostics = Diagnostics()
    load_text(text, diagnostics)
    assert [d.message for d in diagnostics] == ["there is no block type 'shift'"] * 2


def test_a_file_is_loaded_once_and_types_do_not_clash(tmp_path: Path) -> None:
    path = write(tmp_path, PLUGIN.replace("NAME", "shift"))
    first, second = load_plugins([path], Diagnostics()), load_plugins([path, path], Diagnostics())
    assert first["shift"] is second["shift"]
    other = write(tmp_path, PLUGIN.replace("NAME", "shift"), "other.py")
    assert messages(path, other) == ["two plugins bring a block type 'shift'"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 +", "SyntaxError: invalid syntax (my_blocks.py, line 1)"),
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ],
)
def test_what_goes_wrong_in_a_plugin_is_a_diagnostic(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    assert messages(path) == [f"plugin '{path}' cannot be loaded: {message}"]


def test_plugins_without_types_or_with_wrong_names(tmp_path: Path) -> None:
    path = write(tmp_path, "x = 3")
    assert messages(path) == [f"plugin '{path}' has no block types"]
    path = write(tmp_path, PLUGIN.replace("NAME", "attention"))
    assert messages(path) == [f"plugin '{path}': 'attention' is a built-in type already"]
    path = write(tmp_path, PLUGIN.replace("NAME", "Shift"))
    assert messages(path)[0].startswith(f"plugin '{path}': 'Shift' cannot name a block type")
    assert messages("nowhere.py") == ["there is no plugin file 'nowhere.py'"]


def test_an_installed_entry_point_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, PLUGIN.replace("NAME", "shift"), "shift_plugin_for_test.py")
    info = tmp_path / "shift_plugin_for_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shift-plugin-for-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[blockgraph.blocks]\nshifts = shift_plugin_for_test\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert set(load_plugins(["shifts"], Diagnostics())) == {"shift"}
    assert messages("shift") == ["there is no installed plugin 'shift'"]


def test_paths_of_errors_skip_names_of_classes_and_tags() -> None:
    data = {"optimizer": {"type": "adamw", "lr": (bad := object())}, "adamw": {"lr": 1}}
    assert real_path(("optimizer", "adamw", "lr"), bad, data) == ("optimizer", "lr")
    assert real_path(("task", 0, "seq2seq", "rate"), "x", {"task": {"type": "seq2seq", "rate": "x"}}) == (
        "task",
        "rate",
    )
    assert real_path(("a", "Model", "b"), {}, {"a": {}}, missing=True) == ("a", "b")


def test_fields_of_inner_models_are_found() -> None:
    assert "others" in fields_at(Train, ("optimizer", "muon"))
    assert "momentum" not in fields_at(Train, ("optimizer", "adamw"))
    assert "rate" in fields_at(Train, ("task", 0, "masked_lm"))
    assert fields_at(Train, ("evaluate",)) == ["every", "patience", "best", "samples"]
