from types import SimpleNamespace

import pytest
import torch
from torch import nn

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.embedding import Embedding
from blockgraph.training.errors import TrainError
from blockgraph.training.muon import BatchedMuon
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import head_of, trained_weights, width_of
from blockgraph.training.settings import Optimizer
from tests.training.tiny import Tiny


class Fused(nn.Module):
    """Attention, whose query, key and value share one matrix in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = Embedding(7, 8)
        self.attn = Attention(8, 2, causal=True)
        self.head = nn.Linear(8, 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.attn(self.embed(tokens)))


def roles(model: nn.Module, **options: list[str]) -> dict[str, str]:
    return {weight.name: weight.role for weight in trained_weights(model, **options)}


def test_roles_of_weights() -> None:
    assert roles(Tiny()) == {
        "embed.weight": "embedding",
        "hidden.weight": "matrix",
        "hidden.bias": "vector",
        "norm.weight": "vector",
        "norm.bias": "vector",
        "head.weight": "head",
    }


def test_fused_weights_are_seen_one_by_one() -> None:
    found = roles(Fused())
    assert [name for name in found if name.startswith("attn.") and name.endswith("weight")] == [
        "attn.query.weight",
        "attn.key.weight",
        "attn.value.weight",
        "attn.out.weight",
    ]
    assert found["attn.query.weight"] == "matrix" and found["attn.query.bias"] == "vector"


def test_biases_norms_and_embeddings_do_not_decay() -> None:
    """With no gradient at all, an AdamW step only decays: exactly the matrices shrink, by lr · weight_decay."""
    model = Tiny()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizers = Optimizers(trained_weights(model), Optimizer("adamw", lr=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step()
    shrunk = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert shrunk == {"hidden.weight", "head.weight"}
    torch.testing.assert_close(model.hidden.weight, before["hidden.weight"] * 0.95)


def test_fused_adamw_over_slices_is_plain_adamw() -> None:
    torch.manual_seed(1)
    ours, plain = Fused(), Fused()
    plain.load_state_dict(ours.state_dict())
    optimizers = Optimizers(trained_weights(ours), Optimizer("adamw", lr=0.01, weight_decay=0.0))
    reference = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.0)
    for seed in range(3):
        tokens = torch.randint(7, (2, 5), generator=torch.Generator().manual_seed(seed))
        for model in (ours, plain):
            model(tokens).square().mean().backward()
        optimizers.take_gradients()
        optimizers.step()
        optimizers.zero()
        reference.step()
        reference.zero_grad()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_muon_takes_hidden_matrices_each_on_its_own() -> None:
    model = Fused()
    weights = trained_weights(model)
    optimizers = Optimizers(weights, Optimizer("muon", lr=0.02, momentum=0.95, others=Optimizer("adamw", lr=0.003)))
    muon, adamw = optimizers.all
    assert isinstance(muon, BatchedMuon) and isinstance(adamw, torch.optim.AdamW)
    model(torch.arange(5)[None]).square().mean().backward()
    before = {weight.name: weight.leaf.detach().clone() for weight in weights}
    optimizers.take_gradients()
    gradients = {weight.name: weight.leaf.grad.clone() for weight in weights}
    optimizers.step()
    by_muon = {
        weight.name for weight in weights if any(weight.leaf is p for g in muon.param_groups for p in g["params"])
    }
    assert by_muon == {f"attn.{part}.weight" for part in ("query", "key", "value", "out")}
    for name in by_muon:  # as if it were a parameter of its own
        alone = nn.Parameter(before[name].clone())
        alone.grad = gradients[name]
        torch.optim.Muon([alone], lr=0.02, momentum=0.95, weight_decay=0.01).step()
        torch.testing.assert_close(model.state_dict()[name], alone.detach())


def test_states_go_by_canonical_names() -> None:
    def stepped() -> Optimizers:
        torch.manual_seed(3)
        model = Fused()
        optimizers = Optimizers(trained_weights(model), Optimizer("adam", lr=0.01))
        model(torch.arange(4)[None]).sum().backward()
        optimizers.take_gradients()
        optimizers.step()
        return optimizers

    state = stepped().state()
    assert state["attn.query.weight"]["exp_avg"].shape == (8, 8)
    fresh = Optimizers(trained_weights(Fused()), Optimizer("adam", lr=0.01))
    fresh.load(state)
    assert torch.equal(fresh.state()["attn.key.weight"]["exp_avg_sq"], state["attn.key.weight"]["exp_avg_sq"])
    with pytest.raises(TrainError, match="knows weights that are not trained here: nowhere"):
        fresh.load({"nowhere": {}})


def test_freezing_part_of_a_fused_matrix() -> None:
    model = Fused()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = trained_weights(model, freeze=["attn.key", "embed"])
    optimizers = Optimizers(weights, Optimizer("adamw", lr=0.1, weight_decay=0.1))
    model(torch.arange(5)[None]).square().mean().backward()
    optimizers.take_gradients()
    optimizers.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not changed & {"attn.key.weight", "attn.key.bias", "embed.weight"}
    assert {"attn.query.weight", "attn.value.weight", "head.weight"} <= changed
    assert not model.embed.weight.requires_grad


def test_train_only_keeps_the_rest() -> None:
    model = Tiny()
    assert set(roles(model, train_only=["head", "*.bias"])) == {"head.weight", "hidden.bias", "norm.bias"}
    assert not model.embed.weight.requires_grad and model.hidden.bias.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ["decoder.*"]}, "freeze: decoder.* matches no module"),
        ({"train_only": ["nothing"]}, "train_only: nothing matches no module"),
        ({"freeze": ["*"]}, "nothing is left to train"),
    ],
)
def test_globs_that_cannot_be_meant(options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(TrainError) as caught:
        trained_weights(Tiny(), **options)
    assert message in str(caught.value)


def leaf(kind: str, weights: bool, inputs: dict[str, tuple[object, ...]]) -> SimpleNamespace:
    body = SimpleNamespace(type=SimpleNamespace(name=kind), weights={"weight": (1,)} if weights else {})
    return SimpleNamespace(body=body, inputs=inputs)


def ref(node: str, output: str | None = None, index: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(node=node, output=output, index=index)


def test_the_head_is_found_behind_softcaps_and_in_blocks() -> None:
    cap = SimpleNamespace(name="cap", repeat=None, steps=[leaf("softcap", False, {"x": (ref("lm"),)})])
    inner = SimpleNamespace(calls={}, outputs={"out": SimpleNamespace(ref=ref("proj"))})
    inner.calls["proj"] = SimpleNamespace(name="proj", repeat=None, steps=[leaf("linear", True, {"x": (ref("x"),)})])
    block = SimpleNamespace(name="lm", repeat=2, steps=[SimpleNamespace(body=inner, inputs={}) for _ in range(2)])
    root = SimpleNamespace(calls={"lm": block, "cap": cap}, outputs={"logits": SimpleNamespace(ref=ref("cap"))})
    model = Tiny()
    model.definition = SimpleNamespace(root=root)
    assert head_of(model) == "lm.1.proj"
    assert head_of(Tiny()) == "head"


def test_width_is_the_embeddings() -> None:
    assert width_of(Fused()) == 8
    assert width_of(nn.Linear(3, 3)) is None
