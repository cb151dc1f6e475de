"""A built model behaves like any other module."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn

import blockgraph
from blockgraph.blocks.canonical import canonical_parameters
from blockgraph.blocks.model import Model
from blockgraph.builder.build import BuildError
from blockgraph.builder.export import export_source
from blockgraph.builder.generate import distinct, root_name
from tests.builder.test_analyse import EMBED, HEAD, LAYER, nodes

TINY = nodes("stack: {type: Layer, repeat: 2}", "logits: {type: linear, tie: embed, bias: false}")
IDS = torch.randint(0, 100, (2, 5), generator=torch.Generator().manual_seed(0))


def same(one: Model, other: Model) -> bool:
    with torch.no_grad():
        return torch.equal(one.eval()(IDS), other.eval()(IDS))


def test_the_seed_decides_the_weights_and_the_global_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, again, other = (blockgraph.build(TINY, seed=seed) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_copy_and_pickle() -> None:
    model = blockgraph.build(TINY).train()
    with torch.no_grad():
        model.embed.weight.add_(1)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.training and other.embed.weight is not model.embed.weight
        assert repr(other) == repr(model) and same(other, model)
        model.train()


def test_a_part_of_a_model_deep_copies() -> None:
    layer = copy.deepcopy(blockgraph.build(TINY).stack[0])
    assert layer(torch.ones(1, 2, 64)).shape == (1, 2, 64)


def test_hooks_see_every_node() -> None:
    model = blockgraph.build(TINY)
    seen: list[str] = []
    for name, module in model.named_modules():
        if name and not isinstance(module, nn.ModuleList):
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
    model(IDS)
    layer = [f"{part}" for part in ("norm", "ffn", "add")]
    expected = ["embed", *(f"stack.{i}.{part}" for i in (0, 1) for part in layer), "stack.0", "stack.1", "logits"]
    assert sorted(seen) == sorted(expected)


def test_tracebacks_show_the_generated_lines() -> None:
    with pytest.raises(RuntimeError) as caught:
        blockgraph.build(TINY).stack[0](torch.ones(1, 2, 63))
    assert "self.norm(x_)" in "".join(traceback.format_exception(caught.value))


def test_nodes_may_be_named_like_python_words_and_builtin_classes() -> None:
    blocks = "blocks:\n  Linear:\n    inputs: [self]\n    nodes:\n      lambda: {type: ffn, hidden: 4}\n      class: {share: lambda}\n      sum: {type: add, in: [self, class, lambda]}\n"
    text = HEAD + blocks + EMBED + "  for: {type: Linear, repeat: 2}\n  import: {type: linear, width: 4}\n"
    model = blockgraph.build(text)
    assert model(IDS).shape == (2, 5, 4)
    assert "for.1.lambda.up.weight" in model.state_dict()
    assert same(model, pickle.loads(pickle.dumps(model)))


def test_inputs_by_position_and_by_name_and_defaults() -> None:
    model = blockgraph.build(
        "bert-base", sets=["vars.layers=1", "vars.width=32", "vars.heads=2", "vars.hidden=32", "vars.vocab=100"]
    ).eval()
    with torch.no_grad():
        out = model(IDS)
        assert list(out) == ["hidden", "pooled"]
        torch.testing.assert_close(out, model(tokens=IDS, segments=torch.zeros_like(IDS)))
        assert not torch.equal(out["hidden"], model(IDS, torch.ones_like(IDS))["hidden"])
    with pytest.raises(TypeError, match="missing"):
        model()


def test_pad_ids_make_the_mask() -> None:
    text = TINY.replace("axis: T}", "axis: T, pad: 0}").replace(
        "ffn: {type: ffn, hidden: 32}", "ffn: {type: attention, heads: 4}"
    )
    model = blockgraph.build(text).eval()
    padded = torch.cat((IDS.clamp(min=1), torch.zeros(2, 3, dtype=torch.int64)), 1)
    with torch.no_grad():
        torch.testing.assert_close(model(padded)[:, :5], model(IDS.clamp(min=1)), atol=1e-5, rtol=1e-5)


def test_init_globs_the_first_match_wins() -> None:
    rules = 'init: {"stack.0.*.weight": ones, "*.ffn.*": zeros, "*": {type: normal, std: 0.5}}\n'
    model = blockgraph.build(TINY + rules)
    weights = {name: part.tensor for name, part in canonical_parameters(model).items()}
    assert weights["stack.0.ffn.up.weight"].eq(1).all() and weights["stack.0.ffn.up.bias"].eq(0).all()
    assert weights["stack.1.ffn.up.weight"].eq(0).all()
    assert weights["stack.1.norm.weight"].eq(1).all(), "a lone * leaves norms the identity"
    assert abs(weights["embed.weight"].std().item() - 0.5) < 0.02


def test_fused_weights_are_drawn_by_their_own_names() -> None:
    text = TINY.replace("ffn: {type: ffn, hidden: 32}", "ffn: {type: attention, heads: 4}")
    model = blockgraph.build(text + 'init: {"*.query.weight": zeros, "*.key.weight": ones}\n')
    state = model.state_dict()
    assert state["stack.0.ffn.query.weight"].eq(0).all() and state["stack.0.ffn.key.weight"].eq(1).all()


def test_recompute_changes_nothing() -> None:
    plain = blockgraph.build(TINY).train()
    thrifty = blockgraph.build(TINY.replace("repeat: 2}", "repeat: 2, recompute: true}")).train()
    for model in (plain, thrifty):
        model(IDS).square().mean().backward()
    for one, other in zip(plain.parameters(), thrifty.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_devices_and_dtypes() -> None:
    assert blockgraph.build(TINY, device="meta").embed.weight.is_meta
    assert blockgraph.build(TINY, dtype="bf16")(IDS).dtype == torch.bfloat16
    assert same(blockgraph.build(TINY, device="auto").cpu(), blockgraph.build(TINY)) or torch.cuda.is_available()
    with pytest.raises(BuildError, match="no device 'gpu'"):
        blockgraph.build(TINY, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(BuildError, match="use --device cpu"):
            blockgraph.build(TINY, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives() -> None:
    with torch.no_grad():
        torch.testing.assert_close(
            blockgraph.build(TINY, device="cuda").eval()(IDS.cuda()).cpu(),
            blockgraph.build(TINY).eval()(IDS),
            atol=1e-4,
            rtol=1e-4,
        )


def test_models_that_memory_cannot_hold_are_refused() -> None:
    with pytest.raises(BuildError, match="--device meta"):
        blockgraph.build("llama3-405b")


def test_block_types_without_a_module_say_so() -> None:
    with pytest.raises(blockgraph.SpecError, match="not-built"):
        blockgraph.build(
            "blockgraph: 1\nname: m\ninputs: {ids: {tokens: 9, axis: T}}\nnodes: {m: {type: embedding, width: 4, pretrained: a.txt}}\n"
        )


DEEPSEEK = nodes(
    "attn: {type: latent_attention, heads: 3, kv_rank: 10, head_dim: 5, rope_dim: 4, value_dim: 7, causal: true, rope: {}}",
    "moe: {type: moe, experts: 6, top_k: 2, hidden: 16, score: sigmoid, correction: true, groups: 3, top_groups: 2}",
    "logits: {type: linear, tie: embed, bias: false}",
)


@torch.no_grad()
def test_experts_on_latents_decode_step_by_step_and_stand_alone() -> None:
    model = blockgraph.build(DEEPSEEK).eval()
    mask = torch.tensor([[True] * 5, [False, False, True, True, True]])
    whole, state = model(IDS, tokens_mask=mask), model.new_state(2, 5)
    steps = [model(IDS[:, t : t + 1], tokens_mask=mask[:, t : t + 1], state=state) for t in range(5)]
    assert torch.allclose(torch.cat(steps, 1)[mask], whole[mask], atol=1e-4)
    names: dict[str, Any] = {}
    exec(export_source(model), names)
    alone = names[root_name(model.definition)]().eval()
    alone.load_state_dict(model.state_dict())
    assert torch.equal(alone(IDS, tokens_mask=mask), whole)


def test_a_library_is_not_a_model() -> None:
    with pytest.raises(BuildError, match="library"):
        blockgraph.build("blockgraph: 1" + LAYER)


def test_models_that_look_ahead_refuse_a_state() -> None:
    model = blockgraph.build(nodes("a: {type: attention, heads: 4}"))
    with pytest.raises(ValueError, match="a: attention that is not causal"):
        model.new_state(1, 8)


# --- torch.compile ----------------------------------------------------------------------------------------------------

NUMBERS = {
    "scale": ", scale: =0.1*(layer+1)",
    "window": ", window: =layer+2",
    "theta": ", rope: {theta: =1000.0*(layer+1)}",
    "softcap": ", softcap: =10.0*(layer+1)",
    "head_dim": ", head_dim: =4*(layer+1)",
    "qk_norm": ", qk_norm: {eps: =1e-6*(layer+1)}",
}


def compiled_by_region(text: str) -> tuple[Model, torch.Tensor, torch.Tensor]:
    """The model, its output eager, and with each layer compiled; meeting the recompile limit is an error."""
    torch._dynamo.reset()
    model = blockgraph.build(text).eval()
    with torch.no_grad():
        eager = model(IDS)
        for layer in model.stack:
            layer.compile(backend="eager", fullgraph=True)
        with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
            return model, eager, model(IDS)


@pytest.mark.parametrize("kind", NUMBERS)
def test_twelve_layers_that_differ_in_a_number_compile_by_region(kind: str) -> None:
    text = nodes("stack: {type: Layer, repeat: 12}").replace(
        "ffn: {type: ffn, hidden: 32}", f"ffn: {{type: attention, heads: 4, causal: true{NUMBERS[kind]}}}"
    )
    model, eager, compiled = compiled_by_region(text)
    torch.testing.assert_close(eager, compiled, atol=1e-5, rtol=1e-5)
    assert distinct(model.definition) == (13 if kind == "head_dim" else 2)


def test_twelve_distinct_blocks_compile_by_region() -> None:
    text = nodes("stack: {type: Layer, repeat: 12}").replace("hidden: 32", "hidden: =8*(layer+1)")
    model, eager, compiled = compiled_by_region(text)
    torch.testing.assert_close(eager, compiled, atol=1e-5, rtol=1e-5)
    assert distinct(model.definition) == 13


@pytest.mark.parametrize("name", ["gpt-nano", "lstm-nano", "transformer-nano"])
def test_no_graph_breaks(name: str) -> None:
    torch._dynamo.reset()
    model = blockgraph.build(name).eval()
    given: dict[str, Any] = dict.fromkeys(model.definition.root.inputs, IDS)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(**given), model(**given))


def test_init_draws_each_expert_by_its_own_size() -> None:
    text = nodes("m: {type: moe, experts: 64, top_k: 2, hidden: 32, score: sigmoid, correction: true}")
    model = blockgraph.build(text + 'init: {"*": xavier_uniform}\n')
    weights = {name: part.tensor for name, part in canonical_parameters(model).items()}
    assert weights["m.experts.up.weight"].abs().max() == pytest.approx((6 / (32 + 64)) ** 0.5, rel=0.01)
    assert weights["m.router.correction"].eq(0).all()
