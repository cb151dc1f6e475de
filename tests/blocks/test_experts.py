"""Mixtures of experts: against `transformers`' modules, and against the same written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from blockgraph.blocks.experts import Mixture

WIDTH, HIDDEN = 12, 10
OPTIONS: list[dict[str, Any]] = [
    {},
    {"normalize": False, "scale": 1.7},
    {"gated": False, "activation": "relu2", "bias": True},
    {"score": "softmax_after", "activation": "clipped", "bias": True},
    {"score": "sigmoid", "groups": 3, "top_groups": 2, "correction": True, "scale": 2.5},
    {"groups": 2, "top_groups": 1, "normalize": False},
]


def transformers() -> Any:
    return pytest.importorskip("transformers")


def perturbed(module: torch.nn.Module) -> torch.nn.Module:
    """The module with all its numbers drawn anew: no bias is zero."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.normal_(0, 0.5)
    return module.eval()


def ours(gate_up: Tensor, down: Tensor, router: Tensor, **options: Any) -> Mixture:
    gate, up = gate_up.chunk(2, dim=1)
    module = Mixture(WIDTH, len(down), 2, HIDDEN, **options).eval()
    weights = {"experts.gate.weight": gate, "experts.up.weight": up, "experts.down.weight": down}
    missing = module.load_state_dict({"router.weight": router, **weights}, strict=False).missing_keys
    assert all("bias" in name or "correction" in name for name in missing)
    return module


def assert_near(found: Tensor, wanted: Tensor) -> None:
    assert (found - wanted).abs().max() <= 1e-4 * wanted.std()


@pytest.mark.parametrize("name", ["Mixtral", "Qwen3Moe", "Olmoe"])
@pytest.mark.parametrize("experts", [4, 7])
@torch.no_grad()
def test_softmax_is_that_of_transformers(name: str, experts: int) -> None:
    hf = transformers()
    torch.manual_seed(experts)
    sizes = {"hidden_size": WIDTH, "intermediate_size": HIDDEN, "moe_intermediate_size": HIDDEN}
    counts = {"num_local_experts": experts, "num_experts": experts, "num_experts_per_tok": 2}
    config = getattr(hf, f"{name}Config")(**sizes, **counts, hidden_act="gelu", norm_topk_prob=name == "Qwen3Moe")
    model = __import__(f"transformers.models.{config.model_type}", fromlist=["x"])
    block = perturbed(getattr(model, f"modeling_{config.model_type}").__dict__[f"{name}SparseMoeBlock"](config))
    module = ours(
        block.experts.gate_up_proj,  # type: ignore[union-attr]
        block.experts.down_proj,  # type: ignore[union-attr]
        block.gate.weight,  # type: ignore[union-attr]
        activation="gelu",
        normalize=name != "Olmoe",
    )
    x = torch.randn(3, 9, WIDTH)
    assert_near(module(x), block(x.clone()))


@torch.no_grad()
def test_clipped_experts_with_biases_are_gpt_oss() -> None:
    hf = transformers()
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP

    torch.manual_seed(0)
    config = hf.GptOssConfig(
        hidden_size=WIDTH, intermediate_size=HIDDEN, num_local_experts=5, num_experts_per_tok=2, num_hidden_layers=1
    )
    config._experts_implementation = "eager"
    block: Any = perturbed(GptOssMLP(config))
    e = block.experts
    options: dict[str, Any] = {"score": "softmax_after", "activation": "clipped", "bias": True}
    module = Mixture(WIDTH, 5, 2, HIDDEN, **options).eval()
    module.load_state_dict(
        {
            "router.weight": block.router.weight,
            "router.bias": block.router.bias,
            "experts.gate.weight": e.gate_up_proj[..., ::2].mT,
            "experts.gate.bias": e.gate_up_proj_bias[..., ::2],
            "experts.up.weight": e.gate_up_proj[..., 1::2].mT,
            "experts.up.bias": e.gate_up_proj_bias[..., 1::2],
            "experts.down.weight": e.down_proj.mT,
            "experts.down.bias": e.down_proj_bias,
        }
    )
    x = 4 * torch.randn(3, 9, WIDTH)
    assert_near(module(x), block(x)[0])


@pytest.mark.parametrize("normalize", [True, False])
@torch.no_grad()
def test_groups_with_a_correction_are_deepseek_v3(normalize: bool) -> None:
    hf = transformers()
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE

    torch.manual_seed(1)
    config = hf.DeepseekV3Config(
        hidden_size=WIDTH,
        num_attention_heads=3,
        moe_intermediate_size=HIDDEN,
        n_routed_experts=12,
        num_experts_per_tok=2,
        n_group=4,
        topk_group=2,
        routed_scaling_factor=1.8,
        norm_topk_prob=normalize,
        n_shared_experts=1,
        hidden_act="relu",
    )
    block: Any = perturbed(DeepseekV3MoE(config))
    choice = {"score": "sigmoid", "groups": 4, "top_groups": 2, "correction": True, "normalize": normalize}
    experts = block.experts
    module = ours(experts.gate_up_proj, experts.down_proj, block.gate.weight, **choice, scale=1.8, activation="relu")
    module.load_state_dict({"router.correction": block.gate.e_score_correction_bias}, strict=False)
    x = torch.randn(3, 9, WIDTH)
    assert_near(module(x), block(x) - block.shared_experts(x))


@pytest.mark.parametrize("method", ["greedy", "group_limited_greedy"])
@torch.no_grad()
def test_groups_without_a_correction_are_deepseek_v2(method: str) -> None:
    hf = transformers()
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

    torch.manual_seed(2)
    config = hf.DeepseekV2Config(
        hidden_size=WIDTH,
        num_attention_heads=3,
        moe_intermediate_size=HIDDEN,
        n_routed_experts=12,
        num_experts_per_tok=2,
        n_group=4,
        topk_group=2,
        topk_method=method,
        routed_scaling_factor=1.8,
        n_shared_experts=1,
        hidden_act="silu",
    )
    block: Any = perturbed(DeepseekV2Moe(config))
    groups = {"groups": 4, "top_groups": 2} if method != "greedy" else {}
    experts = block.experts
    module = ours(experts.gate_up_proj, experts.down_proj, block.gate.weight, **groups, normalize=False, scale=1.8)
    x = torch.randn(3, 9, WIDTH)
    assert_near(module(x), block(x) - block.shared_experts(x))


@pytest.mark.parametrize("o", OPTIONS, ids=str)
def test_dispatched_is_gathered_with_its_gradients(o: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = perturbed(Mixture(WIDTH, 6, 2, HIDDEN, **o)).double()
    x = torch.randn(11, WIDTH, dtype=torch.float64)
    chosen = module.route(x)[1]  # type: ignore[operator]
    tensors = [weight for weight in module.parameters() if weight.requires_grad and weight.dim() > 1]
    found = []
    for path in (module.dispatched, module.gathered):
        out = path(x, chosen)  # type: ignore[operator]
        gradients = torch.autograd.grad(out.square().sum(), tensors, allow_unused=True)
        found.append([out, *(gradient for gradient in gradients if gradient is not None)])
    assert len(found[0]) == len(found[1]) > 2
    assert all(torch.allclose(one, other) for one, other in zip(*found, strict=True))


@torch.no_grad()
def test_any_shape_of_positions() -> None:
    module = Mixture(WIDTH, 3, 2, HIDDEN).eval()
    x = torch.randn(2, 5, WIDTH)
    assert torch.allclose(module(x)[1, 3], module(x[1, 3]), atol=1e-6)
    assert module(x[:0]).shape == (0, 5, WIDTH)
    assert module.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_gradients_reach_the_router_and_not_the_correction() -> None:
    module = Mixture(WIDTH, 4, 2, HIDDEN, score="sigmoid", correction=True)
    module(torch.randn(3, WIDTH)).square().sum().backward()
    assert module.router_weight.grad is not None and module.router_weight.grad.abs().sum() > 0
    assert module.router_correction is not None and not module.router_correction.requires_grad


def test_the_correction_moves_the_choice_and_not_the_weights() -> None:
    torch.manual_seed(0)
    module = Mixture(WIDTH, 4, 1, HIDDEN, score="sigmoid", correction=True, normalize=False)
    x = torch.randn(5, WIDTH)
    assert module.router_correction is not None
    module.router_correction[2] = 5.0
    weights, chosen = module.route(x)
    assert chosen.eq(2).all()
    assert torch.allclose(weights[:, 0], torch.sigmoid(x @ module.router_weight[2]))


def test_each_matrix_starts_xavier_uniform_by_its_own_size() -> None:
    torch.manual_seed(0)
    weights = Mixture(64, 3, 2, 256, bias=True, correction=True).state_dict()
    for name in ("gate", "up", "down"):
        bound = (6 / (64 + 256)) ** 0.5
        assert all(0.97 * bound < matrix.abs().max() <= bound for matrix in weights[f"experts.{name}.weight"])
        assert not weights[f"experts.{name}.bias"].any()
    assert not weights["router.bias"].any() and not weights["router.correction"].any()


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax, sigmoid or softmax_after, not 'max'"):
        Mixture(WIDTH, 4, 2, HIDDEN, score="max")


def test_exported_graphs_hold_no_loop() -> None:
    torch.manual_seed(0)
    module = Mixture(WIDTH, 4, 2, HIDDEN).eval()
    x = torch.randn(6, WIDTH)
    program = torch.export.export(module, (torch.randn(6, WIDTH),))
    assert torch.allclose(program.module()(x), module(x), atol=1e-6)


@torch.no_grad()
def test_compiled_it_is_the_same_for_every_choice_without_a_graph_of_its_own() -> None:
    torch._dynamo.reset()
    module = Mixture(WIDTH, 4, 2, HIDDEN).eval()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        compiled = torch.compile(module, backend="aot_eager")
        for seed in range(10):
            x = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(seed))
            assert torch.allclose(compiled(x), module(x), atol=1e-6)
    torch._dynamo.reset()
