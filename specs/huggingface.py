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

    `to` has one path, or several along which the tensor is cut, or an expression over vars that gives them (null: the
    tensor is not needed); `groups` runs are interleaved in the file (a number or such an expression); `transpose` swaps
    the last two axes; `tensors` are rules for names below both sides. A
    capital letter that stands alone between dots is a number, the same on both sides.
    """

    to: Texts
    transpose: Flag = False
    groups: Annotated[Size | None, IsExpression] = None
    tensors: dict[str, ShortRule] = Field(default_factory=dict)


ShortRule: TypeAlias = Annotated[TensorRule, BeforeValidator(_long)]


class Refusal(Model):
    """A config.json that asks for `what` the spec does not have. `if`: expressions over `config`, one of which holds;
    without them, the key under which this stands is there and neither false, 0 nor empty."""

    when: AnyTexts = Field(default=(), alias="if")
    what: Text


def _asked(value: Any) -> Any:
    return value if isinstance(value, dict) else {"what": value}


ShortRefusal: TypeAlias = Annotated[Refusal, BeforeValidator(_asked)]


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
    """The `huggingface:` section, values raw: expressions over `config`, `tensors` and earlier vars stay text.

    `architectures` are the classes of the reference library that the file itself draws; each with its own outputs,
    {their name: our node}, where they are not those of `outputs`. `refuse` is by the key of config.json that asks.
    """

    model_type: Texts | None = None
    architectures: dict[str, dict[str, Text] | None] = Field(default_factory=dict)
    refuse: dict[str, ShortRefusal] = Field(default_factory=dict)
    vars: dict[str, Annotated[Any, BeforeValidator(_config_value)]] = Field(default_factory=dict)
    inputs: dict[str, Annotated[InputRule, BeforeValidator(_long)]] = Field(default_factory=dict)
    outputs: dict[str, Text] = Field(default_factory=dict)
    prefix: AnyTexts = ()
    tensors: dict[str, ShortRule] = Field(default_factory=dict)
    ignore: AnyTexts = ()


TensorRule.model_rebuild()
