"""Laws that hold for every graph: what the spec predicts is what the module does."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import blockgraph
from blockgraph.blocks.model import Model
from blockgraph.builder import counts
from blockgraph.builder.export import export_source
from blockgraph.builder.generate import root_name
from blockgraph.specs import presets
from tests.graphs import specs

LENGTHS = {"B": 2, "S": 5, "T": 7}
TORCH = {"int": torch.int64, "float": torch.float32, "bool": torch.bool}
EVERY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def build(spec: dict[str, Any], **options: Any) -> Model:
    return blockgraph.build(yaml.safe_dump(spec, sort_keys=False), **options).eval()


def inputs_of(model: Model, sizes: dict[str, int], device: str = "cpu") -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    given = {}
    for name, found in model.definition.root.inputs.items():
        value = found.value.at(sizes)
        shape = tuple(int(size) for size in value.shape)
        drawn = torch.randint(0, value.vocabulary or 2, shape, generator=generator)
        given[name] = drawn.to(device=device, dtype=TORCH[value.dtype])
    return given


def leaf_outputs(model: Model) -> list[int]:
    """Bytes of every leaf's output, filled in by hooks as the model runs."""
    found: list[int] = []

    def count(_: nn.Module, __: Any, output: Any) -> None:
        for tensor in output if isinstance(output, tuple) else (output,):
            found.append(tensor.numel() * tensor.element_size())

    def visit(module: nn.Module) -> None:
        for child in module.children():
            own = type(child).__module__.startswith("blockgraph.blocks.")
            visit(child) if not own else child.register_forward_hook(count)

    visit(model)
    return found


def check_predictions(model: Model, sizes: dict[str, int]) -> None:
    """Weights, parameters, output shapes, FLOPs and activation bytes, on the meta device."""
    analysed = model.definition
    assert {name: tuple(w.shape) for name, w in model.state_dict().items()} == counts.weight_shapes(analysed.root)
    assert sum(p.numel() for p in model.parameters()) == analysed.parameters
    outputs = leaf_outputs(model)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = model(**inputs_of(model, sizes, "meta"))
    got = out if isinstance(out, dict) else {next(iter(analysed.root.outputs)): out}
    for name, output in analysed.root.outputs.items():
        value = output.value.at(sizes)
        assert (tuple(got[name].shape), got[name].dtype) == (tuple(map(int, value.shape)), TORCH[value.dtype])
    cost = counts.costs(analysed, sizes)
    assert counter.get_total_flops() == cost.flops
    assert sum(outputs) == cost.activation_bytes


@EVERY
@given(specs())
def test_predictions_of_random_graphs(spec: dict[str, Any]) -> None:
    check_predictions(build(spec, device="meta"), LENGTHS)


@pytest.mark.parametrize("name", presets.names())
def test_predictions_of_presets(name: str) -> None:
    model = blockgraph.build(name, device="meta").eval()
    check_predictions(model, dict(model.definition.sizes))


@EVERY
@given(specs(causal=True))
def test_decoding_with_state_equals_one_pass(spec: dict[str, Any]) -> None:
    model = build(spec)
    given = inputs_of(model, LENGTHS)
    tokens = given.pop("tokens")
    state = model.new_state(LENGTHS["B"], LENGTHS["T"])
    with torch.no_grad():
        full = model(tokens=tokens, **given)
        parts = [model(tokens=tokens[:, :3], state=state, **given)]
        parts += [model(tokens=tokens[:, at : at + 1], state=state) for at in range(3, LENGTHS["T"])]
    torch.testing.assert_close(torch.cat(parts, 1), full, atol=1e-4, rtol=1e-4)
    assert state.nbytes == counts.costs(model.definition, LENGTHS).state_bytes


@EVERY
@given(specs())
def test_padding_changes_nothing(spec: dict[str, Any]) -> None:
    """Right padding, told by the mask, leaves the real positions as they were."""
    model = build(spec)
    given = inputs_of(model, LENGTHS)
    more = {name: torch.cat((ids, torch.randint(0, 23, (2, 3))), 1) for name, ids in given.items()}
    masks = {
        f"{name}_mask": torch.arange(ids.shape[1] + 3)[None] < torch.tensor([[ids.shape[1]]] * 2)
        for name, ids in given.items()
    }
    with torch.no_grad():
        torch.testing.assert_close(model(**more, **masks)[:, : LENGTHS["T"]], model(**given), atol=1e-4, rtol=1e-4)


@EVERY
@given(specs())
def test_exported_source_is_the_same_model(spec: dict[str, Any]) -> None:
    model = build(spec)
    names: dict[str, Any] = {"__name__": "exported"}
    source = export_source(model)
    assert "import blockgraph" not in source and "from blockgraph" not in source
    exec(compile(source, "exported.py", "exec"), names)
    exported = names[root_name(model.definition)]().eval()
    exported.load_state_dict(model.state_dict())
    given = inputs_of(model, LENGTHS)
    with torch.no_grad():
        assert torch.equal(exported(**given), model(**given))
        assert torch.equal(copy.deepcopy(model)(**given), model(**given))
