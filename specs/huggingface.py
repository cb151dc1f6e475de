"""`huggingface:` as written: which published checkpoints it reads, by which rules. Only its structure is checked."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from blockgraph.specs.kinds import Flag, Size, Text
from blockgraph.specs.models import AnyTexts, IsExpression, Model, Texts


def _long(value: Any) -> Any:
    return value if isinstance(value, dict) else {"to": value}


class InputRule(Model):
    """Which of our inputs one of theirs is (`tokens`, `tokens.mask`); `transpose` swaps its last two axes."""

    to: Text
    transpose: Flag = False


class TensorRule(Model):
    """Where tensors of one name go.

    `to` has one path, or several along which the tensor is cut; `groups` runs are interleaved in the file (a number or
    an expression over vars); `transpose` swaps the last two axes; `tensors` are rules for names below both sides. A
    capital letter that stands alone between dots is a number, the same on both sides.
    """

    to: Texts
    transpose: Flag = False
    groups: Annotated[Size | None, IsExpression] = None
    tensors: dict[str, ShortRule] = Field(default_factory=dict)


ShortRule: TypeAlias = Annotated[TensorRule, BeforeValidator(_long)]


def _config_value(value: Any) -> Any:
    """A path in config.json, an expression, a constant, a list (the first that is not null), or a mapping of parts."""
    todo = [value]
    while todo:
        top = todo.pop()
        if isinstance(top, dict | list):
            todo += list(top.values()) if isinstance(top, dict) else top
        elif not (top is None or isinstance(top, str | int | float)):
            raise PydanticCustomError(
                "wrong-type", "a path in config.json, an expression, a value, or a list of them", {}
            )
    return value


class HuggingFace(Model):
    """The `huggingface:` section, values raw: expressions over `config`, `tensors` and earlier vars stay text."""

    model_type: Texts | None = None
    vars: dict[str, Annotated[Any, BeforeValidator(_config_value)]] = Field(default_factory=dict)
    inputs: dict[str, Annotated[InputRule, BeforeValidator(_long)]] = Field(default_factory=dict)
    outputs: dict[str, Text] = Field(default_factory=dict)
    prefix: Text | None = None
    tensors: dict[str, ShortRule] = Field(default_factory=dict)
    ignore: AnyTexts = ()


TensorRule.model_rebuild()
