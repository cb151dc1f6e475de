"""Calls in the reference library's own names: `input_ids=` for `tokens=`, and a dict of outputs under its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class Reference:
    """Another library's argument names for a model.

    `inputs` maps each of its names to (ours, whether the last two axes are swapped); a name that ends in `.mask` is
    the padding mask of that input (true, or any number but 0: a real token). `outputs` maps its names to ours; `own`
    are the names of the model's outputs in order. An output that only the reference has a name for (`outputs` names
    the node that it comes from) is `extra`: it is left out where the model is called with our names.
    """

    def __init__(
        self, inputs: Mapping[str, tuple[str, bool]], outputs: Mapping[str, str], own: tuple[str, ...]
    ) -> None:
        self.inputs = dict(inputs)
        extra = {theirs for theirs, ours in outputs.items() if ours not in own and theirs in own}
        self.own = tuple(name for name in own if name not in extra)
        found = {theirs: theirs if theirs in extra else ours for theirs, ours in outputs.items()}
        self.outputs = {theirs: ours for theirs, ours in found.items() if ours in own} or {name: name for name in own}
        self.extra = bool(extra)

    def speaks(self, named: Mapping[str, Any]) -> bool:
        """Whether a call uses the reference's names."""
        ours = {to for to, _ in self.inputs.values()}
        return any(name in self.inputs and name not in ours for name in named)

    def translate(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """The same arguments under our names; those that are None are left out, all others stay."""
        found: dict[str, Any] = {}
        for name, value in named.items():
            if name not in self.inputs:
                found[name] = value
            elif value is not None:
                ours, transpose = self.inputs[name]
                value = value.transpose(-1, -2) if transpose else value
                if ours.endswith(".mask"):
                    ours, value = f"{ours[:-5]}_mask", value.to(torch.bool)
                found[ours] = value
        return found

    def own_answer(self, result: Any) -> Any:
        """What the model returns, without what only the reference has a name for."""
        if not self.extra:
            return result
        return result[self.own[0]] if len(self.own) == 1 else {name: result[name] for name in self.own}

    def answer(self, result: Any) -> dict[str, Any]:
        """What the model returns, as a dict under the reference's names."""
        found = result if isinstance(result, dict) else {self.own[0]: result}
        return {theirs: found[ours] for theirs, ours in self.outputs.items()}
