"""Whether a published tensor is the weights that its rule names, what does not fit, and the views that are copied."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor

from blockgraph.running.mapping import Mapper, Move, Rule
from blockgraph.specs.diagnostics import Diagnostic, Diagnostics
from blockgraph.specs.places import Span
from blockgraph.specs.spec import Spec

Shape = tuple[int, ...]
TENSORS = ("huggingface", "tensors")


def fit(source: Tensor, weights: Sequence[Tensor], rule: Rule, number: int) -> tuple[Tensor, Tensor]:
    """Views of equal shape: the part of `source` that is weight `number` of the rule's, and that weight.

    Expects shapes for which `why_not` says nothing.
    """
    if rule.transpose and source.dim() >= 2:
        source = source.transpose(-1, -2)
    target = weights[number]
    if len(weights) == 1:
        return source.squeeze(), target.squeeze()
    if source.dim() != target.dim():
        source, weights = source.squeeze(), [weight.squeeze() for weight in weights]
        target = weights[number]
    axis = cut_axis(tuple(source.shape), [tuple(weight.shape) for weight in weights])
    assert axis is not None
    runs = rule.groups or 1
    sizes = [weight.shape[axis] // runs for weight in weights]
    source = _in_runs(source, axis, runs).narrow(axis + 1, sum(sizes[:number]), sizes[number])
    return source, _in_runs(target, axis, runs)


def _in_runs(tensor: Tensor, axis: int, runs: int) -> Tensor:
    """`axis` as two: the runs, and the places in each."""
    shape = tensor.shape
    return tensor.view(*shape[:axis], runs, shape[axis] // runs, *shape[axis + 1 :])


def cut_axis(source: Shape, parts: Sequence[Shape]) -> int | None:
    """The one axis in which the parts add up to the source; None where there is none."""
    for axis in range(len(source)):
        others = source[:axis] + source[axis + 1 :]
        same = all(len(part) == len(source) and part[:axis] + part[axis + 1 :] == others for part in parts)
        if same and sum(part[axis] for part in parts) == source[axis]:
            return axis
    return None


def why_not(source: Shape, parts: Sequence[Shape], rule: Rule) -> str | None:
    """Why a tensor of this shape is not weights of those; None where it is."""
    if rule.transpose and len(source) >= 2:
        source = (*source[:-2], source[-1], source[-2])
    if len(parts) == 1:
        return None if _squeezed(source) == _squeezed(parts[0]) else "the shapes differ"
    if any(len(part) != len(source) for part in parts):
        source, parts = _squeezed(source), [_squeezed(part) for part in parts]
    axis = cut_axis(source, parts)
    if axis is None:
        return "along no axis do the parts add up to it"
    runs = rule.groups or 1
    if any(part[axis] % runs for part in parts):
        return f"{runs} groups do not divide the parts"
    return None


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


class Problems:
    """Collects what does not fit: for each rule, tensors that differ in nothing but layer numbers are one message."""

    def __init__(self, spec: Spec, mapper: Mapper | None) -> None:
        self.spec, self.mapper = spec, mapper
        self.found: dict[tuple[str, str], tuple[str, str, Span, str | None, list[str]]] = {}

    def _add(self, code: str, name: str, message: str, rule: Rule | None, help: str | None = None) -> None:
        key = (code, re.sub(r"(?<=\.)\d+(?=\.)", "#", name))
        place = self.spec.place(*(rule.path if rule else TENSORS), key=True)
        self.found.setdefault(key, (code, message, place, help, []))[4].append(name)

    def no_rule(self, name: str) -> None:
        help = "add one, or name it in `ignore:`"
        self._add("unmapped-tensor", name, f"no rule is for the tensor '{name}'", None, help)

    def fits(self, move: Move, source: Shape, shapes: Mapping[str, Shape]) -> bool:
        """Whether a tensor's weights are there and of its shape; what is not is noted."""
        for weight in move.weights:
            if weight not in shapes:
                message = f"the tensor '{move.tensor}' would be the weight '{weight}', which the model does not have"
                self._add("unknown-weight", move.tensor, message, move.rule)
                return False
        depth = len(move.index)
        whole = [shapes[weight] for weight in move.weights]
        beyond = [
            weight
            for weight, shape in zip(move.weights, whole, strict=True)
            if len(shape) < depth or any(number >= size for number, size in zip(move.index, shape, strict=False))
        ]
        if beyond:
            message = f"the tensor '{move.tensor}' has no place in '{beyond[0]}', {list(shapes[beyond[0]])}"
            self._add("tensor-shape", move.tensor, message, move.rule)
            return False
        reason = why_not(source, [shape[depth:] for shape in whole], move.rule)
        if reason is not None:
            theirs = f"the tensor '{move.tensor}' has the shape {list(source)}" + ", swapped" * move.rule.transpose
            ours = ", ".join(f"'{weight}' {list(shapes[weight][depth:])}" for weight in move.weights)
            self._add("tensor-shape", move.tensor, f"{theirs}, and it would be {ours}: {reason}", move.rule)
        return reason is None

    def missing(self, moves: Sequence[Move], shapes: Mapping[str, Shape]) -> None:
        """Notes each weight that no tensor becomes, or not all of it. Rules that failed are blamed only once."""
        filled: dict[str, set[Shape]] = {}
        for move in moves:
            for weight in move.weights:
                filled.setdefault(weight, set()).add(move.index)
        assert self.mapper is not None
        failed = [self.mapper.move(name) for *_, names in self.found.values() for name in names]
        blamed = {weight for move in failed if move is not None for weight in move.weights}
        for weight in shapes:
            if weight not in blamed and not _complete(filled.get(weight, set()), shapes[weight]):
                self._missing(weight, self.mapper.sources(weight))

    def _missing(self, weight: str, source: tuple[str, Rule] | None) -> None:
        message, rule = f"nothing in the file becomes the weight '{weight}'", None
        if source is not None:
            name, rule = source
            message += f": it would be the tensor '{name}'"
        self._add("missing-tensor", weight, message, rule, None if source else "no rule leads to it")

    def twice(self, move: Move, first: str) -> None:
        message = f"'{first}' and '{move.tensor}' differ, and both are the weight '{move.weights[0]}'"
        help = "two weights of the published model are one here: see what ties or shares them"
        self._add("tensor-twice", move.tensor, message, move.rule, help)

    def raise_all(self) -> None:
        """Raises `SpecError` with all of it, if there is any."""
        diagnostics = Diagnostics()
        for key, (code, message, place, help, names) in self.found.items():
            text = message + (f"; so it is with {', '.join(names[1:])}" if len(names) > 1 else "")
            diagnostics.found[key] = Diagnostic(code, text, place, help)
        diagnostics.raise_errors()


def _complete(indices: set[Shape], shape: Shape) -> bool:
    """Whether the tensors that a weight stacks are all there."""
    depth = len(next(iter(indices), ()))
    return len(indices) == prod(shape[:depth])
