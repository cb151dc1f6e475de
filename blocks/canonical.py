"""Two layouts of the same weights: canonical names on disk, fused rows in memory.

A module that computes query, key and value in one matrix product holds one tensor `qkv_weight`; checkpoints, patterns
and optimizer groups see `query.weight`, `key.weight` and `value.weight`, which are row ranges of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Slice(NamedTuple):
    """Rows `start:stop` of a parameter: where a canonical weight lies. An unfused weight is the whole parameter."""

    parameter: nn.Parameter
    start: int
    stop: int

    @property
    def whole(self) -> bool:
        return self.parameter.dim() == 0 or (self.start == 0 and self.stop == self.parameter.shape[0])

    def of(self, tensor: Tensor) -> Tensor:
        """The same rows of a tensor shaped like the parameter (a gradient, an optimizer's moment): a view."""
        return tensor if self.whole else tensor[self.start : self.stop]

    @property
    def tensor(self) -> Tensor:
        """The canonical weight itself: a view without gradient history, so writing to it sets the weight."""
        return self.of(self.parameter.detach())


class CanonicalWeights(nn.Module):
    """Base of modules whose parameters have canonical names.

    `parts` maps a parameter's name in memory to the canonical names and row counts that it holds, in row order. Both
    directions are done here and nowhere else: `state_dict` writes views under canonical names, `load_state_dict` reads
    them (strict or not, with `assign=True` too) and reports missing or misshapen ones by those names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, tuple[tuple[str, int], ...]] = {}

    def add_weights(self, name: str, rows: Mapping[str, int], in_width: int, bias: bool) -> None:
        """Register `{name}_weight` [sum of rows, in_width] and `{name}_bias` (None without), holding the projections
        that `rows` names, one below the other."""
        total = sum(rows.values())
        self.register_parameter(f"{name}_weight", nn.Parameter(torch.empty(total, in_width)))
        self.register_parameter(f"{name}_bias", nn.Parameter(torch.empty(total)) if bias else None)
        for kind in ("weight", "bias"):
            self.parts[f"{name}_{kind}"] = tuple((f"{part}.{kind}", count) for part, count in rows.items())

    def slices(self) -> list[tuple[str, Slice]]:
        """The module's own weights (not its children's) by canonical name: each projection's weight, then its bias, in
        an order that does not depend on what is fused."""
        found: list[tuple[str, Slice]] = []
        for name, parameter in self._parameters.items():
            if parameter is not None:
                parts = self.parts.get(name) or ((name, len(parameter) if parameter.dim() else 1),)
                found.extend(Slices(parameter, parts).named())
        projections = list(dict.fromkeys(path.rpartition(".")[0] for path, _ in found))
        return sorted(found, key=lambda item: projections.index(item[0].rpartition(".")[0]))

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        saved = {
            id(parameter): destination.pop(prefix + name)
            for name, parameter in self._parameters.items()
            if parameter is not None
        }
        for path, part in self.slices():
            destination[prefix + path] = part.of(saved[id(part.parameter)])

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        for name, parts in self.parts.items():
            parameter = self._parameters.get(name)
            if state_dict.pop(prefix + name, None) is not None:
                unexpected_keys.append(prefix + name)  # a name in memory, never on disk
            if parameter is not None:
                found = self._find(state_dict, prefix, Slices(parameter, parts), missing_keys, error_msgs)
                self._take(name, parameter, found, assign)
        absent: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, absent, unexpected_keys, error_msgs)
        missing_keys.extend(key for key in absent if key[len(prefix) :] not in self.parts)

    def _find(
        self, state_dict: dict[str, Any], prefix: str, slices: Slices, missing: list[str], errors: list[str]
    ) -> list[tuple[Slice, Tensor]]:
        """The tensors of one parameter's parts, taken out of `state_dict`; what is missing or misshapen is noted."""
        found = []
        for path, part in slices.named():
            key = prefix + path
            if key not in state_dict:
                missing.append(key)
                continue
            tensor, shape = state_dict.pop(key), part.of(part.parameter).shape
            if tensor.shape != shape:
                errors.append(
                    f"size mismatch for {key}: copying a param with shape {tuple(tensor.shape)} from checkpoint, "
                    f"the shape in current model is {tuple(shape)}."
                )
                continue
            found.append((part, tensor))
        return found

    def _take(self, name: str, parameter: nn.Parameter, found: list[tuple[Slice, Tensor]], assign: bool) -> None:
        if not found:
            return
        with torch.no_grad():
            if not assign:
                for part, tensor in found:
                    part.of(parameter).copy_(tensor)
                return
            first = found[0][1]
            if len(found) == 1 and found[0][0].whole:
                joined = first
            else:  # rows that the file lacks are reported as missing; they keep their values unless they have none
                joined = torch.zeros(parameter.shape, dtype=first.dtype, device=first.device)
                if len(found) < len(self.parts[name]) and not parameter.is_meta:
                    joined.copy_(parameter)
                for part, tensor in found:
                    part.of(joined).copy_(tensor)
        setattr(self, name, nn.Parameter(joined.detach(), requires_grad=parameter.requires_grad))


class Slices(NamedTuple):
    """A parameter and the canonical parts it is made of."""

    parameter: nn.Parameter
    parts: tuple[tuple[str, int], ...]

    def named(self) -> Iterator[tuple[str, Slice]]:
        start = 0
        for path, rows in self.parts:
            yield path, Slice(self.parameter, start, start + rows)
            start += rows


class DerivedBuffers(nn.Module):
    """Base of modules whose buffers follow from their arguments (frequencies, slopes, a window).

    Such buffers are in no checkpoint. They are computed again whenever the module's tensors move, so `to_empty` leaves
    no garbage in them and a trip through bfloat16 costs them no digits.
    """

    def fill_buffers(self, device: torch.device | None = None) -> None:
        """Compute the buffers again, on `device` (None: where they are)."""
        raise NotImplementedError

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.fill_buffers()
        return result

    def _load_from_state_dict(self, *arguments: Any) -> None:
        """A meta module that is given real weights (`assign=True`) gets real buffers with them."""
        super()._load_from_state_dict(*arguments)
        devices = [parameter.device for parameter in self.parameters(recurse=False)]
        if devices and any(buffer.device != devices[0] for buffer in self.buffers(recurse=False)):
            self.fill_buffers(devices[0])


def own_slices(module: nn.Module) -> Iterator[tuple[str, Slice]]:
    """One module's own weights by canonical name, relative to it, without those of its children."""
    if isinstance(module, CanonicalWeights):
        yield from module.slices()
        return
    for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
        yield name, Slice(parameter, 0, len(parameter) if parameter.dim() else 1)


def canonical_parameters(model: nn.Module) -> dict[str, Slice]:
    """Every weight of a model by its canonical path, in the order of `state_dict`.

    A weight that several modules share stands once, under its first path.
    """
    found: dict[str, Slice] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        fresh = []
        for name, part in own_slices(module):
            if id(part.parameter) not in seen:
                found[f"{path}.{name}" if path else name] = part
                fresh.append(id(part.parameter))
        seen.update(fresh)
    return found


def split_rows(tensor: Tensor, slices: Mapping[str, Slice]) -> dict[str, Tensor]:
    """Cut a tensor shaped like one parameter (gradient, moment) into the canonical parts that `slices` names; views."""
    return {path: part.of(tensor) for path, part in slices.items()}
