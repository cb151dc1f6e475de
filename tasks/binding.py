"""How a task meets a model: which input takes the ids, which output is the logits. Seen in the spec alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockgraph.data.errors import TrainError

if TYPE_CHECKING:
    from blockgraph.builder.graph import Model
    from blockgraph.data.windows import Ids


@dataclass(frozen=True, slots=True)
class Binding:
    """`input` takes ids below `vocabulary` (`pad` among them is padding); `output` gives logits for `classes` ids."""

    input: str
    vocabulary: int
    output: str
    classes: int
    pad: int | None = None


def bind_causal_lm(model: Model, output: str | None) -> Binding:
    """The first token input, and the output `output` (None: the first). Raises `TrainError` where they do not fit."""
    inputs, outputs = model.root.inputs, model.root.outputs
    name = next((name for name, item in inputs.items() if item.value.vocabulary is not None), None)
    if name is None:
        example = "`inputs: {tokens: {tokens: 256, axis: T}}`"
        raise TrainError(f"{model.name} has no token input: causal_lm needs one, such as {example}")
    open_inputs = [other for other, item in inputs.items() if other != name and item.default is None]
    if open_inputs:
        raise TrainError(f"causal_lm gives {model.name} its {name}; nothing gives it {', '.join(open_inputs)}")
    if output is not None and output not in outputs:
        raise TrainError(f"train: task: output: there is no output '{output}'; there is {', '.join(outputs)}")
    chosen = output if output is not None else next(iter(outputs))
    value, ids = outputs[chosen].value, inputs[name].value
    if value.rank != 3 or value.shape[-1].known is None:
        raise TrainError(f"causal_lm needs logits [B, T, ids]; the output '{chosen}' is {value}")
    assert ids.vocabulary is not None
    return Binding(name, ids.vocabulary, chosen, value.width, ids.pad)


def check_ids(binding: Binding, size: int, ids: Ids) -> None:
    """Raises `TrainError` where the logits lack an id of the tokenizer, or the text uses the padding's id."""
    if size > binding.classes:
        raise TrainError(f"the tokenizer has {size:,} ids, the output '{binding.output}' has {binding.classes:,}")
    if binding.pad is not None and (ids == binding.pad).any():
        raise TrainError(
            f"the input's pad is {binding.pad}, and the text uses that id, so it would be taken for padding: "
            f"leave `pad` out, or use a tokenizer that keeps the id free"
        )
