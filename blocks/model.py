"""The base of every generated model: decoding state, and a way to be copied and pickled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from blockgraph.blocks.state import State


class Model(nn.Module):
    """A whole model. Call it with its inputs, in the order of the spec or by name: ids int64 [batch, positions].

    `INPUT_mask=` marks padding: bool [batch, positions], true for a real token. With `state=` a call computes the new
    positions only and goes on where the state stands. `rebuild`, where set, makes the same model again without weights;
    a model whose class was generated in memory is pickled by it.
    """

    refusal: ClassVar[str | None] = None
    spec: Any = None  # what it was built from; None in an exported file
    definition: Any = None
    rebuild: Callable[[], Model] | None = None
    describe: Callable[[], str] | None = None
    published: Any = None  # the checkpoint that its weights were read from
    reference: Any = None  # names of a published model's arguments (`Reference`)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """A call with our names gives what `forward` returns; with the reference library's (`input_ids=`), where the
        spec has them, a dict under its names. Hooks and `torch.compile` see our names either way."""
        reference = self.reference
        if reference is None:
            return super().__call__(*inputs, **named)
        if not reference.speaks(named):
            return reference.own_answer(super().__call__(*inputs, **named))
        return reference.answer(super().__call__(*inputs, **reference.translate(named)))

    def new_cache(self, batch: int, length: int, **options: Any) -> dict[str, Any]:
        """A cache for every block that looks back; generated for each model."""
        raise NotImplementedError

    def new_state(self, batch: int, length: int) -> State:
        """An empty state for `batch` sequences of up to `length` positions, on the model's device, in its dtype.

        Raises ValueError where a block cannot go on from a state (attention that is not causal), naming it.
        """
        if self.refusal is not None:
            raise ValueError(f"this model cannot decode step by step: {self.refusal}")
        sample = next((p for p in self.parameters() if p.is_floating_point()), torch.empty(0))
        return State(self.new_cache(batch, length, device=sample.device, dtype=sample.dtype), batch)

    def __repr__(self) -> str:
        """The tree of its YAML, where it was built from one."""
        return super().__repr__() if self.describe is None else self.describe()

    def _repr_mimebundle_(self, **wanted: Any) -> Any:
        """In a notebook: the picture of its definition, where that shows itself, beside the tree."""
        show = getattr(self.definition, "_repr_mimebundle_", None)
        bundle = show(**wanted) if show is not None else None
        return bundle and {**bundle, "text/plain": repr(self)}

    @property
    def device(self) -> torch.device:
        return next((tensor.device for tensor in self.parameters()), torch.device("cpu"))

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.rebuild is None:
            return super().__reduce_ex__(protocol)
        return (_restored, (self.rebuild, self.training, dict(self.state_dict())))

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        found = self.__class__.__new__(self.__class__)
        memo[id(self)] = found
        shared = {"spec", "definition", "rebuild", "describe", "published", "reference"}  # never changed, no weights
        for name, value in self.__dict__.items():
            found.__dict__[name] = value if name in shared else copy.deepcopy(value, memo)
        return found


def _restored(rebuild: Callable[[], Model], training: bool, weights: dict[str, Tensor]) -> Model:
    model = rebuild()
    model.load_state_dict(weights, assign=True)
    return model.train(training)
