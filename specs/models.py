"""Pydantic models of what stands around the nodes: inputs, outputs, the keys every node has, initial weights."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from blockgraph.specs.kinds import Count, Flag, NotNegative, Number, Positive, Size, Text, as_tuple
from blockgraph.specs.names import AXIS


class Model(BaseModel):
    """Immutable, finite, every key known; null means the default, except where a model `keeps` it as a value."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, hide_input_in_errors=True
    )
    keeps: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key in cls.keeps}


def one_or_many(value: Any) -> Any:
    """A single value stands for a list of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def expression_or(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, str) and value.startswith("=") else handler(value)


AnyTexts: TypeAlias = Annotated[
    tuple[Text, ...], BeforeValidator(one_or_many, json_schema_input_type=Text | tuple[Text, ...])
]
Texts: TypeAlias = Annotated[AnyTexts, Field(min_length=1)]
IsExpression = WrapValidator(expression_or)  # marks a field in which an expression stays as it is written


def _axis(name: str) -> str:
    if not AXIS.fullmatch(name):
        raise PydanticCustomError(
            "bad-option", "'{name}' cannot name an axis: write an upper-case name, such as T", {"name": name}
        )
    if name == "B":
        raise PydanticCustomError(
            "bad-option", "B is the batch axis, which is implied: leave it out, or choose another name", {}
        )
    return name


Axis: TypeAlias = Annotated[Text, AfterValidator(_axis)]


def _extent(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return _axis(value) if isinstance(value, str) else handler(value)


Extent: TypeAlias = Annotated[Size, WrapValidator(_extent, json_schema_input_type=int | str)]


class TokensInput(Model):
    """`{tokens: 50257, axis: T}`: ids below `tokens`, [batch, axis] int64, with a padding mask of the same shape."""

    shape: ClassVar[None] = None
    dtype: ClassVar[Literal["int"]] = "int"

    tokens: Size
    axis: Axis
    batch: Axis | None = None
    pad: Count | None = None
    start: Count | None = None
    end: Count | None = None
    default: Count | None = None
    label: Text | None = None


class ShapeInput(Model):
    """`{shape: [F, 80], dtype: float}`: a tensor of this shape after the batch axis; an upper-case name is a symbol."""

    tokens: ClassVar[None] = None
    axis: ClassVar[None] = None
    pad: ClassVar[None] = None
    start: ClassVar[None] = None
    end: ClassVar[None] = None
    default: ClassVar[None] = None

    shape: Annotated[tuple[Extent, ...], BeforeValidator(as_tuple)]
    dtype: Literal["float", "bool", "int"] = "float"
    batch: Axis | None = None
    label: Text | None = None


InputModel: TypeAlias = TokensInput | ShapeInput


class OutputModel(Model):
    """An output of a block: the reference `source` (`from:` in the file) and a label for pictures."""

    source: Annotated[Text, Field(alias="from")]
    label: Text | None = None


Repeat: TypeAlias = Annotated[Count | None, IsExpression]


def _wiring(value: Any) -> Any:
    """`in:` is a reference, a list of them in port order, or a mapping from ports to references (a list for many)."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    for one in values:
        many = one if isinstance(value, dict) and isinstance(one, list) else [one]
        if not all(item is None or isinstance(item, str) for item in many):
            raise PydanticCustomError(
                "wrong-type", "a reference is a node's name, node.output, or an expression that yields one", {}
            )
    return value


class NodeModel(BaseModel):
    """The keys that every node has; what is left over are the options of its type, which the builder checks."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, populate_by_name=True)

    type: Text | None = None
    share: Text | None = None
    wiring: Annotated[Any, Field(alias="in"), AfterValidator(_wiring)] = None
    condition: Annotated[Any, Field(alias="if")] = None
    repeat: Repeat = None
    copies: Repeat = None
    tie: Text | None = None
    label: Text | None = None
    about: Text | None = None
    recompute: Flag = False


class Zeros(Model):
    type: Literal["zeros"] = "zeros"


class Ones(Model):
    type: Literal["ones"] = "ones"


class Normal(Model):
    """mean + std·N(0, 1); 0.02 is what GPT and BERT start from."""

    type: Literal["normal"] = "normal"
    mean: Number = 0.0
    std: NotNegative = 0.02


class TruncNormal(Normal):
    """A normal distribution cut at two standard deviations on both sides."""

    type: Literal["trunc_normal"] = "trunc_normal"  # type: ignore[assignment]


class XavierUniform(Model):
    """Glorot and Bengio 2010, equation 16."""

    type: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Positive = 1.0


class XavierNormal(XavierUniform):
    type: Literal["xavier_normal"] = "xavier_normal"  # type: ignore[assignment]


class KaimingUniform(Model):
    """He et al. 2015, equation 10."""

    type: Literal["kaiming_uniform"] = "kaiming_uniform"
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    nonlinearity: Literal["relu", "linear"] = "relu"


class KaimingNormal(KaimingUniform):
    type: Literal["kaiming_normal"] = "kaiming_normal"  # type: ignore[assignment]


def typed(default: str | None = None) -> BeforeValidator:
    """Bare text is `{type: text}`; a mapping without `type` is of the `default` type, where there is one."""

    def spelled_out(value: Any) -> Any:
        if isinstance(value, str):
            return {"type": value}
        if isinstance(value, dict) and default and value.get("type") is None:
            return {**value, "type": default}
        return value

    return BeforeValidator(spelled_out)


InitModel: TypeAlias = Annotated[
    Annotated[
        Zeros | Ones | Normal | TruncNormal | XavierUniform | XavierNormal | KaimingUniform | KaimingNormal,
        Field(discriminator="type"),
    ],
    typed(),
]
