import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from blockgraph.data.batch import Batch as Examples
from blockgraph.data.feeds import Windows
from blockgraph.running.manifests import verify
from blockgraph.tasks.losses import cross_entropy
from blockgraph.training.errors import NotFinite, TrainError
from blockgraph.training.loop import evaluate, forward_of
from blockgraph.training.precision import Precision
from blockgraph.training.settings import Batch, Optimizer
from tests.training.tiny import SETTINGS, Tiny, ids, lesson, same_weights, trainer, weights, whole


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns(tmp_path: Path) -> None:
    made = trainer(tmp_path, dataclasses.replace(SETTINGS, steps=150, evaluate_every=50, checkpoint_every=50))
    outcome = made.run()
    losses = [record["val_loss"] for record in records(tmp_path) if record["val_loss"] is not None]
    assert outcome.best == min(losses) < 1.6 < math.log(11)
    assert verify(tmp_path / "checkpoints" / "best") == outcome.best_step


def test_evaluation_is_a_plain_loop_over_the_whole_split() -> None:
    torch.manual_seed(2)
    model, split = Tiny(), ids(103, seed=5)
    found = evaluate(model, lesson(), whole(split), Precision("fp32", torch.device("cpu")))["loss"]
    model.eval()
    losses = []
    for start in range(0, 102, 8):  # one window after the other, one target after the other
        window = torch.tensor(split[start : start + 9].astype(int))[None]
        logits = model(window[:, :-1])[0].detach().double()
        losses += [
            float(torch.logsumexp(row, 0) - row[target]) for row, target in zip(logits, window[0, 1:], strict=True)
        ]
    assert len(losses) == 102
    assert found == pytest.approx(sum(losses) / 102, abs=1e-6)


def test_evaluation_leaves_mode_and_random_state_alone() -> None:
    model = Tiny().train()
    before = torch.get_rng_state()
    evaluate(model, lesson(), whole(ids(50)), Precision("fp32", torch.device("cpu")))
    assert model.training and torch.equal(before, torch.get_rng_state())


def test_parts_of_a_step_add_up(tmp_path: Path) -> None:
    """Two parts of 3 windows are one of 6: without dropout, the same gradient, loss and norm."""

    class Joined(Windows):
        def batch(self, step: int, part: int) -> Examples:
            rows = np.concatenate([self.rows(step, number) for number in (0, 1)])
            return self.collate({"text": rows}, np.random.default_rng(0), True)

    split = dataclasses.replace(SETTINGS, steps=3, clip=0.1)
    joined = dataclasses.replace(split, batch=Batch(size=3, length=8, accumulate=1))
    one, other = trainer(tmp_path / "a", split), trainer(tmp_path / "b", joined)
    other.train = Joined(ids(300), 3, 8, 1, split.seed, lesson().collate)
    for made, folder in ((one, "a"), (other, "b")):
        made.model.drop.p = 0.0
        (tmp_path / folder).mkdir(exist_ok=True)
        made.run()
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(value, other.model.state_dict()[name], atol=1e-5, rtol=1e-5)


def test_one_step_by_hand(tmp_path: Path) -> None:
    """One step of SGD: p - lr · factor · g · min(1, clip / |g|), by autograd alone."""
    settings = dataclasses.replace(
        SETTINGS,
        steps=1,
        batch=Batch(3, 8),
        optimizer=Optimizer("sgd", lr=0.5, weight_decay=0),
        clip=0.05,
        warmup=0,
    )
    made = trainer(tmp_path, settings, valid=ids(0))
    made.lesson = lesson(smoothing=0.1)
    made.model.drop.p = 0.0
    reference = Tiny()
    reference.load_state_dict(made.model.state_dict())
    reference.drop.p = 0.0
    batch = made.train.batch(0, 0)
    tokens, targets = batch.inputs["tokens"], batch.targets["causal_lm"]
    log_p = reference(tokens).log_softmax(-1)
    loss = -(0.9 * log_p.gather(-1, targets[..., None])[..., 0] + 0.1 * log_p.mean(-1)).mean()
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
    assert norm > 0.05
    made.run()
    for ours, before, gradient in zip(made.model.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(ours, before - 0.5 * gradient * 0.05 / norm, atol=1e-6, rtol=1e-4)
    assert records(tmp_path)[0]["train_loss"] == pytest.approx(loss.item(), abs=1e-5)


class Explodes(nn.Module):
    """A model whose loss, or only its gradient, is not finite at its fifth call."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.inner, self.what, self.calls = Tiny(), what, 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        out = self.inner(tokens)
        if self.calls != 5:
            return out
        if self.what == "loss":
            return out * math.inf
        out.register_hook(lambda gradient: gradient * math.nan)
        return out


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_before_the_weights(tmp_path: Path, what: str, clip: float | None) -> None:
    settings = dataclasses.replace(SETTINGS, batch=Batch(3, 8), evaluate_every=100, checkpoint_every=4, clip=clip)
    made = trainer(tmp_path, settings)
    explosive = Explodes(what)
    explosive.inner = made.model
    made._forward = forward_of(explosive, made.lesson)
    with pytest.raises(NotFinite, match=r"at step 5 the .* not touched .*learning rate") as caught:
        made.run()
    assert caught.value.exit_code == 4
    saved = made.checkpoints.latest()
    assert saved is not None and saved.step == 4
    assert same_weights(weights(made.model), saved.weights)


def test_patience_ends_it_early(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SETTINGS, steps=1000, patience=2, evaluate_every=2, optimizer=Optimizer("sgd", lr=1e-30), checkpoint_every=500
    )
    outcome = trainer(tmp_path, settings).run()
    assert outcome.early and outcome.step == 6 and outcome.best_step == 2
    assert (tmp_path / "checkpoints" / "step-6").is_dir()


def test_metrics_lines(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    made.record_every = 4
    made.run()
    lines = records(tmp_path)
    assert [line["step"] for line in lines] == [4, 6, 8, 12, 16, 18, 20, 24]
    assert all(
        list(line)
        == ["step", "train_loss", "val_loss", "lr", "tokens_per_s", "grad_norm", "measures", "tokens", "seconds"]
        for line in lines
    )
    assert [line["step"] for line in lines if line["val_loss"] is not None] == [6, 12, 18, 24]
    assert lines[-1]["lr"] == pytest.approx(1e-2 * made.schedule.factor(23))


def test_without_a_validation_text_there_is_no_best(tmp_path: Path) -> None:
    outcome = trainer(tmp_path, valid=ids(1)).run()
    assert outcome.best is None
    assert not (tmp_path / "checkpoints" / "best").exists()


def test_bf16_runs_products_in_bf16_and_keeps_weights_in_fp32(tmp_path: Path) -> None:
    made = trainer(tmp_path, dataclasses.replace(SETTINGS, steps=2, precision="bf16"))
    seen = set()
    made.model.hidden.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    made.run()
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}


def test_fp16_needs_cuda() -> None:
    with pytest.raises(TrainError, match="fp16 needs a CUDA device"):
        Precision("fp16", torch.device("cpu"))
    assert Precision("auto", torch.device("cpu")).name == "fp32"


def test_the_loss_is_taken_in_fp32() -> None:
    logits = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(6).reshape(2, 3)
    expected = -logits.bfloat16().double().log_softmax(-1).gather(-1, targets[..., None]).mean()
    assert float(cross_entropy(logits.bfloat16(), targets)) / 6 == pytest.approx(float(expected), abs=1e-6)
