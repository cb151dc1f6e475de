"""A forward pass watched from inside: what every node put out, and what each attention really let its queries see.

Hooks on the built model tell one node from the next; the masks are taken where they are used, at the attention kernel.
Axes: H heads, Q query positions, K key positions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from blockgraph.blocks.model import Model
from blockgraph.builder.graph import Call, Definition, Leaf, Step
from blockgraph.builder.shapes import Value
from blockgraph.builder.streaming import streaming


@dataclass(frozen=True, slots=True)
class Stats:
    """One tensor in numbers. `mean`, `std` (of all numbers, divided by n), `min` and `max` are over the finite ones,
    None where there are none; `norm` is the mean length of its vectors along the last axis; `nan` and `inf` count."""

    shape: tuple[int, ...]
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    norm: float | None
    nan: int
    inf: int


@dataclass(eq=False)
class Mask:
    """What one attention let its queries see: `visible` bool [Q, K], true = may look. `kinds` says why: causal,
    window 4, padding, custom mask, cross. `head` is set where heads differ and this is one of them. `axes` are the
    symbols of both axes."""

    node: str
    visible: Tensor
    kinds: tuple[str, ...] = ()
    head: int | None = None
    axes: tuple[str, str] = ("", "")

    @property
    def name(self) -> str:
        return ", ".join(self.kinds) or "nothing hidden"


@dataclass(eq=False)
class Visit:
    """One call of a node. `shown` is false for the copies between the first and the last of a repeated block;
    `outputs` has each output's statistics, `symbolic` its shape as the spec says it."""

    path: str
    type: str
    depth: int
    step: Step = field(repr=False)
    shown: bool = True
    note: str = ""
    outputs: dict[str, Stats] = field(default_factory=dict)
    symbolic: dict[str, str] = field(default_factory=dict)
    masks: list[Mask] = field(default_factory=list)
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Trace:
    """All that one forward pass showed: calls in the order of execution, blocks before what is in them; the masks, each
    of them once with all nodes that used it."""

    visits: list[Visit]
    outputs: dict[str, Stats]
    masks: list[tuple[Mask, list[str]]]


def trace(model: Model, inputs: Mapping[str, Tensor], *, all_copies: bool = False) -> Trace:
    """Calls `model(**inputs)` once, in evaluation mode and without gradients, and tells what happened.

    Of a repeated block the first copy and the last are in full, unless `all_copies`. Raises what the model raises.
    """
    plan = list(planned(model.definition.root, all_copies))
    watch = _Tracing()
    handles = watch.attach(model, plan)
    was_training = model.training
    try:
        with torch.no_grad(), Kernels(watch.kernel, watch.softmax):
            result = model.eval()(**inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    visits = [visit for visit, _ in plan]
    results = result if isinstance(result, dict) else {next(iter(model.definition.root.outputs)): result}
    outputs = {name: stats(tensor) for name, tensor in results.items()}
    return Trace([visit for visit in visits if visit.shown], outputs, distinct_masks(visits))


# -- which calls there will be ---------------------------------------------------------------------------------------


def planned(root: Definition, all_copies: bool = False) -> Iterator[tuple[Visit, str]]:
    """Every call that the generated forward makes, in its order, with the path of the module that serves it."""
    plan = streaming(root)
    first = plan.once if plan.refusal is None else ()  # an encoder runs before what decodes, whatever the file's order
    calls = sorted(root.calls.values(), key=lambda call: call.name not in first)
    yield from _calls(calls, "", "", 0, True, all_copies)


def _calls(
    calls: Iterable[Call], nodes: str, modules: str, depth: int, shown: bool, all_copies: bool
) -> Iterator[tuple[Visit, str]]:
    for call in calls:
        last = len(call.steps) - 1
        for number, step in enumerate(call.steps):
            place = "" if call.repeat is None else f".{number}"
            served = "" if call.repeat is None else f".{_copy(call, number)}"
            module = f"{modules}{call.weights_of or call.name}{served}"
            visible = shown and (all_copies or number in (0, last))
            path = f"{nodes}{call.name}{place}"
            yield (
                Visit(path, _type(step), depth, step, visible, _note(call, number, visible and not all_copies)),
                module,
            )
            if isinstance(step.body, Definition):
                inner = step.body.calls.values()
                yield from _calls(inner, f"{path}.", f"{module}.", depth + 1, visible, all_copies)


def _copy(call: Call, number: int) -> int:
    """Which copy of the weights serves a repetition."""
    return number if call.copies is None else number * call.copies // len(call.steps)


def _type(step: Step) -> str:
    return step.body.type.name if isinstance(step.body, Leaf) else step.body.name


def _note(call: Call, number: int, left_out: bool) -> str:
    said = [f"weights of {call.weights_of}"] if call.weights_of else [f"tied to {call.tie}"] if call.tie else []
    skipped = len(call.steps) - 2
    if left_out and number == 0 and skipped > 0:
        said.append(f"{call.name}.1 is left out" if skipped == 1 else f"{call.name}.1 to {skipped} are left out")
    return ", ".join(said)


# -- watching --------------------------------------------------------------------------------------------------------


class Watch:
    """Knows which call is running: hooks push it when its module is entered and pop it when it is left."""

    def __init__(self) -> None:
        self.running: list[Visit] = []

    def attach(self, model: nn.Module, plan: Iterable[tuple[Visit, str]]) -> list[Any]:
        """Hooks every module of the plan; a module that serves several calls meets them in the plan's order."""
        waiting: dict[str, deque[Visit]] = {}
        for visit, path in plan:
            waiting.setdefault(path, deque()).append(visit)
        handles = []
        for served, visits in waiting.items():
            module = model.get_submodule(served)
            handles.append(module.register_forward_pre_hook(self._entering(visits), with_kwargs=True))
            handles.append(module.register_forward_hook(self._leaving))
        return handles

    def _entering(self, visits: deque[Visit]) -> Any:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            visit = visits.popleft()
            visit.given = dict(zip(visit.step.inputs, args, strict=False)) | kwargs
            self.running.append(visit)

        return enter

    def _leaving(self, module: nn.Module, args: Any, result: Any) -> None:
        visit = self.running.pop()
        self.left(visit, result)
        visit.given = {}

    def left(self, visit: Visit, result: Any) -> None:
        """A call has ended with this result; `visit.given` still has what it was called with."""


class _Tracing(Watch):
    """Notes the statistics of outputs, and masks."""

    def left(self, visit: Visit, result: Any) -> None:
        if visit.shown:
            results = result if isinstance(result, tuple) else (result,)
            for (name, value), tensor in zip(visit.step.outputs.items(), results, strict=False):  # masks may follow
                visit.outputs[name], visit.symbolic[name] = stats(tensor), str(value)

    def kernel(self, *args: Any, **kwargs: Any) -> None:
        self.saw(_kernel_mask(*args, **kwargs))

    def softmax(self, scores: Tensor, weights: Tensor) -> None:
        self.saw(scores > torch.finfo(scores.dtype).min)

    def saw(self, visible: Tensor) -> None:
        """Attention that is running hides what `visible` [B or 1, H or 1, Q, K] says."""
        visit = self.running[-1] if self.running else None
        if visit is not None and isinstance(visit.step.body, Leaf) and visit.step.body.type.port("query"):
            visit.masks.append(_mask(visit, visit.step.body, visible))


class Kernels(TorchFunctionMode):
    """Sees the calls of the attention kernel, with its arguments, and the softmax of attention that is written out,
    with the scores and what became of them."""

    def __init__(self, kernel: Callable[..., None], softmax: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self.kernel, self.softmax = kernel, softmax

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self.kernel(*args, **kwargs)
        elif func is torch.softmax and args[0].dim() == 4:
            self.softmax(args[0], result)
        return result


def _kernel_mask(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, **rest: Any
) -> Tensor:  # fmt: skip
    """What the kernel lets be seen: bool [B or 1, H or 1, Q, K]."""
    everything = torch.ones(1, 1, query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
    if is_causal:
        return everything.tril()
    if attn_mask is None:
        return everything
    visible = attn_mask if attn_mask.dtype == torch.bool else attn_mask > -torch.inf
    return visible.reshape((1,) * (4 - visible.dim()) + visible.shape) & everything


def _mask(visit: Visit, leaf: Leaf, visible: Tensor) -> Mask:
    heads = visible[0].detach().cpu()
    same = bool((heads == heads[:1]).all())
    return Mask(visit.path, heads[0], _kinds(visit, leaf), None if same else 0, _axes(leaf))


def _kinds(visit: Visit, leaf: Leaf) -> tuple[str, ...]:
    """Why positions are hidden, as far as the block's options and what it was called with tell."""
    window, padding = getattr(leaf.options, "window", None), visit.given.get("key_mask")
    found = ["cross"] if "key" in leaf.inputs else []
    found += ["causal"] if getattr(leaf.options, "causal", False) else []
    found += [f"window {window}"] if window is not None else []
    found += ["custom mask"] if visit.given.get("mask") is not None else []
    return tuple(found + (["padding"] if padding is not None and not bool(padding.all()) else []))


def _axes(leaf: Leaf) -> tuple[str, str]:
    query: Value = leaf.inputs["query"]
    key: Value = leaf.inputs["key"] if "key" in leaf.inputs else query  # noqa: SIM401 (`Inputs` is no dict)
    return str(query.shape[-2]), str(key.shape[-2])


def distinct_masks(visits: Iterable[Visit]) -> list[tuple[Mask, list[str]]]:
    """Masks that look alike and are so for the same reasons, once, with the nodes that used them."""
    found: dict[Any, tuple[Mask, list[str]]] = {}
    for mask in (mask for visit in visits for mask in visit.masks):
        shape, bits = tuple(mask.visible.shape), mask.visible.numpy().tobytes()
        found.setdefault((mask.kinds, mask.head, mask.axes, shape, bits), (mask, []))[1].append(mask.node)
    return list(found.values())


# -- numbers ---------------------------------------------------------------------------------------------------------


def stats(tensor: Tensor) -> Stats:
    """The statistics of a tensor of any shape and type, computed in double precision."""
    numbers = tensor.detach().cpu().to(torch.float64)
    finite = numbers[numbers.isfinite()]
    nan = int(numbers.isnan().sum())
    shape, inf = tuple(tensor.shape), int(numbers.isinf().sum())
    if not finite.numel():
        return Stats(shape, None, None, None, None, None, nan, inf)
    norm = float(torch.linalg.vector_norm(numbers, dim=-1).mean()) if numbers.dim() and not nan and not inf else None
    low, high = float(finite.min()), float(finite.max())
    return Stats(shape, float(finite.mean()), float(finite.std(correction=0)), low, high, norm, nan, inf)
