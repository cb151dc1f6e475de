"""What `fit` computes against what a built model and its optimizer really hold."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from blockgraph.builder.analyse import analyse
from blockgraph.builder.build import build
from blockgraph.builder.fit import Plan, fit, kept_by_blocks, moments, plan_of
from blockgraph.builder.graph import Model
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.specs.spec import Spec
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import trained_weights
from blockgraph.training.settings import from_spec

OPTIMIZERS = {
    "adamw": "adamw",
    "sgd": "{type: sgd, lr: 0.1}",
    "momentum": "{type: sgd, lr: 0.1, momentum: 0.9}",
    "muon": None,  # the preset's own
}
LARGE = 10**15


def read(name: str, *sets: str) -> tuple[Spec, Model]:
    diagnostics = Diagnostics()
    spec = load_spec(name, diagnostics, sets=sets)
    diagnostics.raise_errors()
    assert spec is not None
    model = analyse(spec, diagnostics)
    assert model is not None
    return spec, model


def bytes_of(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("freeze", ["[]", "[embed, decoder.0.attn]"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_gradients_and_moments_are_those_of_a_step(optimizer: str, freeze: str) -> None:
    sets = [f"train.optimizer={OPTIMIZERS[optimizer]}"] if OPTIMIZERS[optimizer] else []
    spec, model = read("gpt-nano", "vars.width=16", "vars.layers=2", f"train.freeze={freeze}", *sets)
    assert spec.train is not None
    settings, module = from_spec(spec.train), build(spec)
    trained = trained_weights(module, freeze=settings.freeze)
    made = Optimizers(trained, settings.optimizer)
    module(torch.zeros(1, 4, dtype=torch.int64)).sum().backward()
    made.take_gradients()
    made.step()
    found = fit(model, plan_of(spec.train), 1, LARGE)[0]
    assert found.weights == bytes_of(module.parameters())
    assert found.gradients == bytes_of(leaf.grad for leaf in made.leaves if leaf.grad is not None)
    kept = [value for values in made.state().values() for value in values.values() if value.dim()]
    assert found.optimizer == bytes_of(kept)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["gpt-nano", "llama-nano", "gpt2"])
def test_activations_are_about_what_is_kept_for_the_backward_pass(name: str, half: bool) -> None:
    size = ("vars.width=64", "vars.layers=2") if "nano" in name else ("vars.width=96", "vars.heads=4", "vars.layers=2")
    spec, model = read(name, *size)
    length = 32
    model.sizes = {axis: 1 if axis == "B" else length for axis in model.sizes}
    estimate = 2 * kept_by_blocks(model, replace(Plan(), half=half))
    assert estimate == pytest.approx(kept_by(build(spec), length, half), rel=0.3)


def kept_by(module: torch.nn.Module, length: int, half: bool) -> int:
    """Bytes that autograd keeps of a batch of two rows, and of the outputs; weights and their copies not counted."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and tensor.dim() > 1:
            kept[storage.data_ptr()] = storage
        return tensor

    copies = 2 * sum(p.numel() for p in module.parameters() if p.dim() > 1) if half else 0
    ids = torch.arange(2 * length).view(2, length)
    precision = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision:
        scores = module.eval()(ids)
    return sum(storage.nbytes() for storage in kept.values()) + bytes_of([scores]) - copies


def test_shares_get_smaller_and_batches_larger() -> None:
    _, model = read("llama3-8b")
    single, ddp, fsdp, recomputed = fit(model, Plan(), 8, 80 * 10**9)
    assert [single.fits, ddp.fits, fsdp.fits, recomputed.fits] == [False, False, True, True]
    assert single.total == ddp.total and single.largest == 0
    assert fsdp.optimizer * 8 == ddp.optimizer == 8 * model.parameters
    assert fsdp.activations > recomputed.activations and fsdp.largest < recomputed.largest
    rows = replace(Plan(), rows=fsdp.largest)
    assert fit(model, rows, 8, 80 * 10**9)[2].fits
    assert not fit(model, replace(rows, rows=fsdp.largest + 1), 8, 80 * 10**9)[2].fits


@pytest.mark.parametrize(("optimizer", "count"), [("muon", 4), ("adafactor", 2)])
def test_what_needs_whole_matrices_is_not_shared_out(optimizer: str, count: int) -> None:
    """Muon gathers them."""
    spec, model = read("gpt-nano", f"train.optimizer={optimizer}")
    strategies = ["single", "ddp", "fsdp", "fsdp + recompute"]
    assert [found.strategy for found in fit(model, plan_of(spec.train), 4, LARGE)] == strategies[:count]
    assert moments(model, [], plan_of(spec.train)) == 0


def test_no_torch_is_read() -> None:
    code = "import sys; sys.argv = ['blockgraph', 'fit', 'gpt2']\nfrom blockgraph.cli.main import app\n"
    code += "try:\n    app()\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "largest batch" in done.stdout
