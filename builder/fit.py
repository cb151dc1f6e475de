"""What training takes of a GPU's memory, by how the work is shared out: arithmetic on the graph. No torch.

Weights, gradients and optimizer states are exact. Activations are an estimate: each block keeps what it gives, and what
each of its weight matrices gives; attention is taken to keep no scores, as its fused kernels do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from blockgraph.builder.chosen import covers, head_in
from blockgraph.builder.counts import ITEM_BYTES, owners, parameters
from blockgraph.builder.graph import Call, Definition, Leaf, Model

FP32, HALF = 4, 2  # bytes
TABLES = ("Embedding", "LearnedPositions", "RelativeBias", "Parameter")  # modules that multiply nothing
STRATEGIES = ("single", "ddp", "fsdp", "fsdp + recompute")
OF_WHOLE_MATRICES = ("adafactor",)  # optimizers that shares of a matrix are not enough for


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is trained, as `train:` says: `moments` maps an optimizer's type to the numbers that it keeps of each
    weight. `rows` is the batch of one GPU."""

    rows: int = 1
    optimizer: str = "adamw"
    others: str = "adamw"
    momentum: bool = False
    half: bool = True
    freeze: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()
    output: str | None = None

    def moments(self, kind: str) -> int:
        return {"adamw": 2, "adam": 2, "muon": 1, "adafactor": 0, "sgd": int(self.momentum)}[kind]


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes on each GPU. `working`: weights that are gathered or cast while they are computed with. `largest`: how many
    rows fit at most, at the same length (0: none)."""

    strategy: str
    gpus: int
    weights: int
    gradients: int
    optimizer: int
    working: int
    activations: int
    largest: int
    fits: bool

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.working + self.activations

    def facts(self) -> dict[str, Any]:
        return {**asdict(self), "total": self.total}


def plan_of(train: Any) -> Plan:
    """What a spec's `train` section says of it; without one: AdamW, bf16, one row."""
    if train is None:
        return Plan()
    batch, optimizer = train.batch, train.optimizer
    return Plan(
        rows=batch.size if batch.size is not None else max(1, batch.tokens // batch.length),
        optimizer=optimizer.type,
        others=getattr(getattr(optimizer, "others", None), "type", "adamw"),
        momentum=bool(getattr(optimizer, "momentum", 0.0)),
        half=train.precision != "fp32",
        freeze=tuple(train.freeze or ()),
        train_only=tuple(train.train_only or ()),
        output=train.task[0].output,
    )


def fit(model: Model, plan: Plan, gpus: int, memory: int) -> list[Fit]:
    """Each strategy on `gpus` GPUs with `memory` bytes each; without those that cannot use the optimizer."""
    strategies = [name for name in STRATEGIES if not (name.startswith("fsdp") and plan.optimizer in OF_WHOLE_MATRICES)]
    return [_fit(model, plan, strategy, 1 if strategy == "single" else gpus, memory) for strategy in strategies]


def _fit(model: Model, plan: Plan, strategy: str, gpus: int, memory: int) -> Fit:
    sharded = strategy.startswith("fsdp")
    share = gpus if sharded else 1
    weights = list(_weights(model.root))
    trained = [weight for weight in weights if _is_trained(weight.name, plan)]
    still = (
        -(-FP32 * sum(weight.count for weight in weights) // share),
        -(-FP32 * sum(weight.count for weight in trained) // share),
        -(-FP32 * moments(model, trained, plan) // share),
        _working(model, weights, plan, sharded),
    )
    row = activations(model, plan, recompute=strategy.endswith("recompute"))
    left = memory - sum(still)
    return Fit(strategy, gpus, *still, row * plan.rows, max(0, left // row), row * plan.rows <= left)


# -- weights -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Weight:
    name: str
    shape: tuple[int, ...]
    table: bool

    @property
    def count(self) -> int:
        return _product(self.shape)

    @property
    def multiplies(self) -> bool:
        return len(self.shape) > 1 and not self.table


def _weights(definition: Definition, prefix: str = "") -> Iterator[_Weight]:
    for name, call in definition.calls.items():
        if call.weights_of is not None:
            continue
        for number, step in enumerate(owners(call)):
            place = f"{prefix}{name}." + (f"{number}." if call.repeat is not None else "")
            if isinstance(step.body, Definition):
                yield from _weights(step.body, place)
            else:
                table = step.body.construct.name in TABLES
                yield from (_Weight(place + own, shape, table) for own, shape in step.body.weights.items())


def _is_trained(name: str, plan: Plan) -> bool:
    if plan.train_only:
        return any(covers(pattern, name) for pattern in plan.train_only)
    return not any(covers(pattern, name) for pattern in plan.freeze)


def moments(model: Model, trained: Sequence[_Weight], plan: Plan) -> int:
    """How many numbers the optimizer keeps (beside one count of steps for each weight)."""
    if plan.optimizer != "muon":
        return plan.moments(plan.optimizer) * sum(weight.count for weight in trained)
    head = head_in(model.root, plan.output)
    total = 0
    for weight in trained:
        hidden = weight.multiplies and len(weight.shape) == 2 and not weight.name.startswith(f"{head}.")
        total += plan.moments("muon" if hidden else plan.others) * weight.count
    return total


def _working(model: Model, weights: Sequence[_Weight], plan: Plan, sharded: bool) -> int:
    """FSDP gathers a layer and the one after it, with a layer's gradient, beside what is in no stack; else autocast
    keeps a half-precision copy of every matrix from the forward to the backward pass."""
    if not sharded:
        tied = tuple(f"{call.tie}." for call in model.root.calls.values() if call.tie)
        used = [weight for weight in weights if weight.multiplies or weight.name.startswith(tied)]
        return HALF * sum(weight.count for weight in used) if plan.half else 0
    layers = list(_layers(model.root))
    outside = model.parameters - sum(layers)
    return (HALF if plan.half else FP32) * (3 * max(layers, default=0) + 2 * outside)


def _layers(definition: Definition) -> Iterator[int]:
    """Parameters of each copy of every outermost stack."""
    for call in definition.calls.values():
        if call.weights_of is None and call.repeat is not None:
            yield from (parameters(step.body) for step in owners(call))
        elif call.weights_of is None and isinstance(call.body, Definition):
            yield from _layers(call.body)


# -- activations -------------------------------------------------------------------------------------------------------


def activations(model: Model, plan: Plan, recompute: bool = False) -> int:
    """Bytes that one row keeps for the backward pass. `recompute`: each copy of a stack keeps its input only, and is
    computed again, one at a time."""
    scores = sum(output.value.at(model.sizes).numbers for output in model.root.outputs.values())
    return kept_by_blocks(model, plan, recompute) + 2 * FP32 * scores  # the loss's: the log-softmax and its gradient


def kept_by_blocks(model: Model, plan: Plan, recompute: bool = False) -> int:
    """`activations` without the loss's own, the outputs included."""
    return sum(_kept(call, model.sizes, plan.half, recompute) for call in model.root.calls.values())


def _kept(call: Call, sizes: Mapping[str, int], half: bool, recompute: bool) -> int:
    stacked = recompute and call.repeat is not None
    each = [_kept_by(step.body, sizes, half, recompute and not stacked) for step in call.steps]
    if not (call.recompute or stacked):
        return sum(each)
    inputs = sum(value.at(sizes).numbers * FP32 for step in call.steps for value in step.outputs.values())
    return inputs + max(each)


def _kept_by(body: Leaf | Definition, sizes: Mapping[str, int], half: bool, recompute: bool) -> int:
    if isinstance(body, Definition):
        return sum(_kept(call, sizes, half, recompute) for call in body.calls.values())
    outputs = [value.at(sizes) for value in body.outputs.values()]
    given = sum(value.numbers * ITEM_BYTES[value.dtype] for value in outputs)
    if body.type.name == "linear" and not body.weights and half:  # tied: a product all the same
        return given // FP32 * HALF
    if body.construct.name in TABLES or not body.weights or not outputs[0].shape:
        return given
    matrices = [shape for shape in body.weights.values() if len(shape) == 2]
    if not matrices:  # a norm: in bf16 the product after it keeps a copy of its own
        return given + (given // FP32 * HALF if half else 0)
    positions = outputs[0].numbers // int(outputs[0].shape[-1])
    return positions * _width(body, matrices) * (HALF if half else FP32)


def _width(body: Leaf, matrices: Sequence[tuple[int, ...]]) -> int:
    """Numbers that a block of matrices keeps of one position: what each of them gives, what the last of several reads
    (the heads together, the hidden layer), and turned queries and keys."""
    width = sum(rows for rows, *_ in matrices) + (matrices[-1][1] if len(matrices) > 1 else 0)
    if getattr(body.options, "rope", None):
        width += sum(body.weights[f"{name}.weight"][0] for name in ("query", "key") if f"{name}.weight" in body.weights)
    return width


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
