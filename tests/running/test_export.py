"""Models in other forms: source that stands alone, `torch.export` programs, ONNX. All answer as the model does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import blockgraph
from blockgraph.builder.export import export_source
from blockgraph.builder.generate import root_name
from blockgraph.running import export_files
from blockgraph.running.export_files import ExportError
from blockgraph.running.export_graph import TRIED, compared, example, open_axes
from tests.running.parity import save
from tests.running.tiny_presets import models, tiny

QUICK = ["gpt-nano"]
FAMILIES = [
    "bert-base", "bloom-560m", "falcon-7b", "gemma3-1b", "gpt-nano", "gpt2", "llama3-8b", "lstm-nano", "modernbert-base",
    "opt-350m", "t5-small", "transformer-nano",
]  # fmt: skip


def mostly_slow(quick: list[str]) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in models()]


def outputs(result: Any) -> list[Tensor]:
    return list(result.values()) if isinstance(result, dict) else [result]


# --- python -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_slow(FAMILIES))
def test_the_source_of_every_preset_stands_alone(name: str) -> None:
    model = blockgraph.build(tiny(name)).eval()
    source = export_source(model)
    modules = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert "blockgraph" not in {alias.name.split(".")[0] for node in modules for alias in node.names}
    assert "blockgraph" not in {
        (node.module or "").split(".")[0] for node in modules if isinstance(node, ast.ImportFrom)
    }
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), names)
    exported = names[root_name(model.definition)]().eval()
    exported.load_state_dict(model.state_dict())
    given = example(model)
    with torch.no_grad():
        pairs = zip(outputs(exported(**given)), outputs(model(**given)), strict=True)
        assert all(torch.equal(found, expected) for found, expected in pairs)


@pytest.mark.parametrize("dtype", [None, "bf16"])
def test_the_source_says_how_to_load_the_weights_beside_it(dtype: str | None, tmp_path: Path) -> None:
    save("t5", tmp_path / "t5")
    model = blockgraph.from_huggingface(tmp_path / "t5", dtype=dtype)
    blockgraph.export(model, tmp_path / "model.py", "python")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.py", "model.safetensors", "t5"]
    source = (tmp_path / "model.py").read_text("utf-8")
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), names)
    lines = re.findall(r"^    (.*)$", ast.get_docstring(ast.parse(source)) or "", flags=re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec("\n".join(lines), names)
    given = example(model)
    assert torch.equal(names["model"](**given), model(**given))


@pytest.mark.slow
def test_source_and_weights_load_where_there_is_only_torch_and_safetensors(tmp_path: Path) -> None:
    blockgraph.export(blockgraph.build(tiny("lstm-nano"), seed=3), tmp_path / "model.py", "python")
    code = (
        "import sys; sys.modules['blockgraph'] = None\n"
        "import ast, re; from model import *\n"
        "text = ast.get_docstring(ast.parse(open('model.py').read()))\n"
        "exec('\\n'.join(re.findall(r'^    (.*)$', text, re.M)))\n"
        "print(float(model(torch.arange(6).view(1, 6)).double().sum()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    with torch.no_grad():
        expected = blockgraph.build(tiny("lstm-nano"), seed=3).eval()(torch.arange(6).view(1, 6)).double().sum()
    assert float(done.stdout) == pytest.approx(float(expected), rel=1e-9)


# --- torch.export -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_slow(QUICK))
def test_programs_answer_at_other_sizes(name: str, tmp_path: Path) -> None:
    model = blockgraph.build(tiny(name)).eval()
    blockgraph.export(model, tmp_path / "model.pt2", "torch")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for batch, length in ((4, 23), (1, 3)):
        given = example(model, batch, length)
        with torch.no_grad():
            found, expected = outputs(program(**given)), outputs(model(**given))
        for ours, there in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, there, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_program_loads_with_torch_alone(tmp_path: Path) -> None:
    model = blockgraph.build(tiny("gpt-nano"), seed=1)
    blockgraph.export(model, tmp_path / "model.pt2", "torch")
    code = (
        "import sys; sys.modules['blockgraph'] = None\nimport torch\n"
        "program = torch.export.load('model.pt2').module()\n"
        "tokens = torch.arange(14).view(2, 7)\n"
        "print(float(program(tokens=tokens, tokens_mask=torch.ones(2, 7, dtype=torch.bool)).double().abs().sum()))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    with torch.no_grad():
        expected = model.eval()(torch.arange(14).view(2, 7)).double().abs().sum()
    assert float(done.stdout) == pytest.approx(float(expected), rel=1e-6)


def test_programs_end_in_pt2(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"end in \.pt2"):
        blockgraph.export("gpt-nano", tmp_path / "model.bin", "torch")
    assert list(tmp_path.iterdir()) == []


def test_what_differs_is_refused() -> None:
    model = blockgraph.build(tiny("gpt-nano"), seed=2).eval()
    model.logits.weight.data.normal_()

    def wrong(given: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": model(**given) * 1.001}

    with pytest.raises(ExportError, match="differs by"):
        compared(model, wrong)
    assert "outputs differ by at most 0e+00" in compared(model, lambda given: {"logits": model(**given)})


def test_examples_differ_in_size_and_are_padded_on_both_sides() -> None:
    model = blockgraph.build(tiny("transformer-nano"))
    given = example(model, pad=1)
    assert {name: tuple(value.shape) for name, value in given.items()} == {
        "src": (2, 11), "tgt": (2, 13), "src_mask": (2, 11), "tgt_mask": (2, 13),
    }  # fmt: skip
    mask = given["src_mask"]
    assert not mask[0, -1] and mask[0, 0] and not mask[1, 0] and mask[1, -1]
    assert torch.equal(given["src"] == 1, ~mask)
    assert {name: sorted(axes) for name, axes in open_axes(model).items()} == {name: [0, 1] for name in given}
    assert all(size not in ((2, 11), (2, 13)) for size in TRIED)


# --- ONNX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_slow(QUICK))
def test_onnx_answers_at_other_sizes(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = blockgraph.build(tiny(name)).eval()
    blockgraph.export(model, tmp_path / "model.onnx", "onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    given = example(model, 4, 23)
    assert [each.name for each in session.get_inputs()] == list(given)
    found = session.run(None, {name: value.numpy() for name, value in given.items()})
    with torch.no_grad():
        expected = model(**given)
    names = list(expected) if isinstance(expected, dict) else list(model.definition.root.outputs)
    assert [each.name for each in session.get_outputs()] == names
    masks = [value for value in given.values() if value.dtype == torch.bool]
    for ours, there in zip(found, outputs(expected), strict=True):
        rows = next((mask for mask in masks if mask.shape == there.shape[:2]), slice(None))
        torch.testing.assert_close(torch.from_numpy(ours)[rows], there[rows], rtol=1e-3, atol=1e-4)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r'onnx is not installed: pip install "blockgraph\[onnx\]"'):
        blockgraph.export("gpt-nano", tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


# --- files ------------------------------------------------------------------------------------------------------------


def test_nothing_is_left_half_written(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("before", "utf-8")
    with pytest.raises(RuntimeError, match="stop"), export_files.new_file(tmp_path / "model.py") as aside:
        aside.write_text("half", "utf-8")
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]
    assert (tmp_path / "model.py").read_text("utf-8") == "before"


def test_folders_are_replaced_only_by_force(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for number, force in enumerate((False, True)):
        with export_files.new_folder(folder, force) as aside:
            (aside / str(number)).write_text("", "utf-8")
        assert [path.name for path in folder.iterdir()] == [str(number)]
    with pytest.raises(ExportError, match="is not empty: --force replaces it"), export_files.new_folder(folder, False):
        pass
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ExportError, match="is a file"), export_files.new_folder(tmp_path / "file", True):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]


@pytest.mark.parametrize("limit", [10**9, 40])
def test_weights_are_written_as_safetensors_reads_them(limit: int, tmp_path: Path) -> None:
    from blockgraph.running.checkpoints import PublishedWeights

    tensors = {
        "a": torch.randn(3, 5).T, "half": torch.randn(3).to(torch.bfloat16), "count": torch.tensor(7),
        "none": torch.empty(0, 2), "flag": torch.tensor([True, False]),
    }  # fmt: skip
    entries = [
        export_files.Entry(name, tuple(tensor.shape), export_files.kind_of(tensor.dtype))
        for name, tensor in tensors.items()
    ]
    files = export_files.write_weights(tmp_path, entries, lambda entry: tensors[entry.name], limit)
    assert (files > 1) == (limit == 40)
    read = PublishedWeights(tmp_path)
    assert set(read.files) == set(tensors)
    assert all(torch.equal(read.tensor(name), tensor) for name, tensor in tensors.items())
    assert all(read.tensor(name).dtype == tensor.dtype for name, tensor in tensors.items())
