"""Kinds of option values: bounded whole numbers, finite numbers, switches, names of activations.

Whole floats (`1e5`) become integers where an integer belongs. Errors are Pydantic's, or carry one of our codes as type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

LARGEST = 2**31
NAME = re.compile(r"[a-z][a-z0-9_]*")


def whole(value: Any) -> Any:
    """A whole float as an integer; other floats are refused (code float-size), anything else is passed on."""
    if not isinstance(value, float):
        return value
    if not value.is_integer():
        raise PydanticCustomError("float-size", "{given} is not a whole number", {"given": repr(value)})
    return int(value)


def number(value: Any) -> Any:
    """An integer as a float, refused where no float is that large."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    try:
        return float(value)
    except OverflowError:
        raise PydanticCustomError("bad-option", "this number is too large") from None


Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict(), BeforeValidator(number)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Rate = Annotated[Number, Field(ge=0, lt=1)]
Whole = Annotated[int, Strict(), BeforeValidator(whole), Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Strict(), BeforeValidator(whole), Field(ge=0, le=LARGEST)]
Size = Annotated[int, Strict(), BeforeValidator(whole), Field(ge=1, le=LARGEST)]
Text = Annotated[str, Strict(), Field(min_length=1, max_length=4096)]


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def choice(value: Any, choices: tuple[str, ...], otherwise: str) -> str:
    """`value` if it is one of `choices`; `otherwise` says in words what else would be right."""
    if isinstance(value, str) and value in choices:
        return value
    context: dict[str, Any] = {
        "given": repr(value) if isinstance(value, str) else type(value).__name__,
        "expected": ", ".join(repr(one) for one in choices) + f" or {otherwise}",
    }
    raise PydanticCustomError("bad-choice", "{given} is not one of {expected}", context)


def bounded(value: Any, least: int) -> int:
    """A whole number from `least` to 2³¹, for values that may also be a word."""
    value = whole(value)
    if not least <= value <= LARGEST:
        raise PydanticCustomError("bad-option", "it must be from {least} to 2**31", {"least": least})
    return int(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- activations ------------------------------------------------------------------------------------------------------

ACTIVATIONS: tuple[str, ...] = (
    "relu",
    "relu2",
    "gelu",
    "gelu_tanh",
    "silu",
    "quick_gelu",
    "tanh",
    "sigmoid",
    "exp",
    "softmax",
    "identity",
    "clipped",
    "relu6",
    "leaky_relu",
    "mish",
)
ALIASES: Mapping[str, str] = {  # transformers' names
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_python_tanh": "gelu_tanh",
    "swish": "silu",
    "linear": "identity",
    "relu_squared": "relu2",
}


def canonical_activation(name: Any) -> Any:
    """Our name of an activation that is given by transformers' name."""
    return ALIASES.get(name, name) if isinstance(name, str) else name


Activation = Annotated[
    Literal[
        "relu",
        "relu2",
        "gelu",
        "gelu_tanh",
        "silu",
        "quick_gelu",
        "tanh",
        "sigmoid",
        "exp",
        "softmax",
        "identity",
        "clipped",
        "relu6",
        "leaky_relu",
        "mish",
    ],
    BeforeValidator(canonical_activation),
    WithJsonSchema({"enum": [*ACTIVATIONS, *ALIASES]}),
]
