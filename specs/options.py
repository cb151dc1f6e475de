"""The options of every built-in block type: names, defaults, bounds. What a field means stands in its description.

An option that is left out or null takes its default. Sizes are whole numbers up to 2³¹; a whole float (`1e5`) is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from blockgraph.specs import kinds
from blockgraph.specs.kinds import (
    NAME,
    Activation,
    Count,
    Flag,
    NotNegative,
    Number,
    Positive,
    Rate,
    Size,
    Text,
    as_tuple,
    bounded,
    choice,
    is_number,
    number,
)

ACTIVATIONS = kinds.ACTIVATIONS


class Options(BaseModel):
    """The base of a block type's options, also of a plugin's: immutable, no unknown keys, null means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, Mapping) else data


# --- tokens and positions ---------------------------------------------------------------------------------------------


class EmbeddingOptions(Options):
    width: Size = Field(description="features of each vector")
    scale: Number = Field(1.0, description="multiplies the vectors (Transformer: sqrt(width))")
    pretrained: Text | None = Field(None, description="a GloVe or word2vec text file; rows by the tokenizer's words")
    freeze: Flag = Field(False, description="the vectors are not trained")


class PositionsOptions(Options):
    kind: Literal["learned", "sinusoidal"] = Field(description="a trained table, or sines and cosines")
    length: Size | None = Field(None, description="learned: most positions (default: the axis, if its size is known)")
    offset: Count = Field(0, description="the first position's row (BART, OPT, RoBERTa: 2)")
    skip_padding: Flag = Field(False, description="count real tokens only")
    pad: Count | None = Field(None, description="count ids other than this one only, whatever the mask says (RoBERTa)")
    layout: Literal["interleaved", "halves"] = Field(
        "interleaved", description="sinusoidal: sine and cosine alternate, or sines first"
    )
    endpoint: Flag = Field(False, description="sinusoidal: divide exponents by width/2 - 1 instead of width/2")
    theta: Positive = Field(1e4, description="sinusoidal: the longest wavelength is 2π·theta")
    dropout: Rate = Field(0.0, description="dropout on the sum")


# --- attention --------------------------------------------------------------------------------------------------------


class ProjectionBias(Options):
    """Which of attention's projections have a bias; `bias: true` or `false` means all four."""

    query: Flag = Field(True, description="the query's projection has a bias")
    key: Flag = Field(True, description="the key's projection has a bias")
    value: Flag = Field(True, description="the value's projection has a bias")
    out: Flag = Field(True, description="the output's projection has a bias")

    @property
    def plain(self) -> bool | dict[str, bool]:
        """One boolean where all four agree, else the four."""
        sides: dict[str, bool] = self.model_dump()
        return self.query if len(set(sides.values())) == 1 else sides


class Rope(Options):
    """Rotary position embedding (Su et al. 2021) and its scalings for longer texts."""

    theta: Positive = Field(1e4, description="base of the wavelengths")
    fraction: Annotated[Number, Field(gt=0, le=1)] = Field(1.0, description="share of each head that is rotated")
    pairing: Literal["halves", "interleaved"] = Field(
        "halves", description="which two features rotate together: i and i + d/2, or 2i and 2i + 1"
    )
    type: Literal["default", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional"] = Field(
        "default", description="scaling for longer texts; proportional: `fraction` of the whole head's pairs rotate"
    )
    factor: Positive | None = Field(None, description="how many times longer (all types but default)")
    low_freq_factor: Positive | None = Field(None, description="llama3: below it, wavelengths are scaled fully")
    high_freq_factor: Positive | None = Field(None, description="llama3: above it, wavelengths stay")
    original_length: Size | None = Field(None, description="the length in pretraining")
    max_length: Size | None = Field(None, description="the length now")
    short_factor: Annotated[tuple[Positive, ...], BeforeValidator(as_tuple)] | None = Field(
        None, description="longrope: factors up to the original length"
    )
    long_factor: Annotated[tuple[Positive, ...], BeforeValidator(as_tuple)] | None = Field(
        None, description="longrope: factors beyond the original length"
    )
    beta_fast: Positive | None = Field(None, description="yarn: wavelengths with more turns stay (default: 32)")
    beta_slow: Positive | None = Field(None, description="yarn: wavelengths with fewer turns are scaled (default: 1)")
    attention_factor: Positive | None = Field(None, description="yarn, longrope: multiplies cosine and sine")
    truncate: Flag | None = Field(
        None, description="yarn: round the correction range to whole features (default: true)"
    )

    NEEDS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "linear": ("factor",),
        "dynamic": ("factor", "original_length"),
        "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_length"),
        "yarn": ("factor", "original_length"),
        "longrope": ("short_factor", "long_factor", "original_length"),
    }

    @model_validator(mode="after")
    def _type_has_its_numbers(self) -> Self:
        for name in self.NEEDS.get(self.type, ()):
            if getattr(self, name) is None:
                raise PydanticCustomError(
                    "missing-option", "rope type '{type}' needs '{name}'", {"type": self.type, "name": name}
                )
        return self


class Alibi(Options):
    """Attention with linear biases (Press et al. 2021)."""

    scaled: Flag = Field(False, description="add the bias before the scaling of the scores (Falcon)")
    rounded: Flag = Field(False, description="slope times position in bfloat16, positions of real tokens only (Falcon)")


class QKNorm(Options):
    """Norms on queries and keys, before RoPE."""

    type: Literal["rms_norm", "layer_norm"] = Field("rms_norm", description="which norm")
    over: Literal["head", "all"] = Field("head", description="over each head, or over all heads together")
    per_head: Flag = Field(False, description="over head: each head has weights of its own (StableLM, Cohere)")
    eps: NotNegative | None = Field(None, description="added to the variance (default: 1e-6 rms_norm, 1e-5 layer_norm)")
    offset: Number = Field(0.0, description="rms_norm: added to the weight (Gemma: 1)")
    bias: Flag | None = Field(None, description="layer_norm: has a bias (default: true)")

    @property
    def epsilon(self) -> float:
        return self.eps if self.eps is not None else (1e-6 if self.type == "rms_norm" else 1e-5)

    @property
    def has_bias(self) -> bool:
        return self.type == "layer_norm" and self.bias is not False

    @model_validator(mode="after")
    def _options_of_the_norm(self) -> Self:
        if self.type == "rms_norm" and self.bias:
            raise PydanticCustomError("bad-option", "an rms_norm has no bias")
        if self.type == "layer_norm" and self.offset:
            raise PydanticCustomError("bad-option", "'offset' belongs to rms_norm, not to layer_norm")
        if self.per_head and self.over == "all":
            raise PydanticCustomError("bad-option", "'per_head' belongs to norms over each head, not over all")
        return self


class Sparse(Options):
    """A pattern of pairs that attention looks at; the others cost nothing where texts are long."""

    type: Literal["bigbird", "dilated", "strided", "fixed", "blocks"] = Field(
        "bigbird",
        description="bigbird: own, neighbouring, first, last and random blocks; dilated: a window over every "
        "dilation-th key; strided: keys nearer than stride, and every stride-th; fixed: the own block, and the "
        "summary of every block; blocks: the own block, and its neighbours",
    )
    block: Size = Field(64, description="bigbird, fixed, blocks: positions of one block")
    random: Count = Field(3, description="bigbird: random blocks that each block sees in training")
    window: Size | None = Field(None, description="dilated: causal: the last so many keys; else half on each side")
    dilation: Size | None = Field(None, description="dilated: from one key that is seen to the next")
    stride: Size | None = Field(None, description="strided: from one far key that is seen to the next")
    summary: Size = Field(1, description="fixed: the last keys of each block that all later blocks see")
    reach: Count = Field(1, description="blocks: neighbours that are seen on each side")

    OF: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "bigbird": ("block", "random"),
        "dilated": ("window", "dilation"),
        "strided": ("stride",),
        "fixed": ("block", "summary"),
        "blocks": ("block", "reach"),
    }

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers of its type."""
        return {name: getattr(self, name) for name in self.OF[self.type]}

    @model_validator(mode="after")
    def _options_of_the_type(self) -> Self:
        for name in sorted(self.model_fields_set - {"type", *self.OF[self.type]}):
            raise PydanticCustomError(
                "bad-option", "'{name}' does not belong to sparse type '{type}'", {"name": name, "type": self.type}
            )
        for name, value in self.numbers.items():
            if value is None:
                raise PydanticCustomError(
                    "missing-option", "sparse type '{type}' needs '{name}'", {"type": self.type, "name": name}
                )
        if self.type == "fixed" and self.summary > self.block:
            raise PydanticCustomError("bad-option", "a block's 'summary' is longer than the block")
        return self


def _all_sides(value: Any) -> Any:
    return dict.fromkeys(("query", "key", "value", "out"), value) if isinstance(value, bool) else value


def _switch(value: Any) -> Any:
    """`true` turns a group of options on with its defaults, `false` off."""
    return ({} if value else None) if isinstance(value, bool) else value


class AttentionOptions(Options):
    heads: Size = Field(description="number of heads")
    kv_heads: Size | None = Field(None, description="heads of keys and values (default: heads)")
    head_dim: Size | None = Field(None, description="features of a head (default: width // heads)")
    bias: Annotated[ProjectionBias, BeforeValidator(_all_sides)] = Field(
        default_factory=ProjectionBias, description="projections with a bias: true, false, or {query, key, value, out}"
    )
    causal: Flag = Field(False, description="a position sees itself and earlier ones only")
    window: Size | None = Field(None, description="causal: the last so many keys; else half of it on each side")
    scale: Number | None = Field(None, description="multiplies the scores (default: head_dim**-0.5)")
    dropout: Rate = Field(0.0, description="dropout on the attention weights")
    softcap: Positive | None = Field(None, description="scores become cap·tanh(scores / cap) (Gemma 2)")
    rope: Rope | None = Field(None, description="rotary positions")
    alibi: Annotated[Alibi | None, BeforeValidator(_switch)] = Field(
        None, description="linear distance biases: true, or {scaled, rounded}"
    )
    qk_norm: QKNorm | None = Field(None, description="norms on queries and keys")
    sinks: Flag = Field(False, description="a learned score per head that takes attention away (GPT-OSS)")
    clip: Positive | None = Field(None, description="clamps queries, keys and values to this size (OLMo, MPT)")
    sparse: Sparse | None = Field(None, description="a sparse pattern instead of a window")
    global_tokens: Count = Field(
        0, description="with window or sparse: so many first positions see all, are seen by all"
    )


class LatentAttentionOptions(Options):
    heads: Size = Field(description="number of heads")
    kv_rank: Size = Field(description="features of the latent that keys and values come from")
    head_dim: Size = Field(description="features of a head without rotation")
    rope_dim: Size = Field(description="features of a head with rotation, one key for all heads")
    value_dim: Size = Field(description="features of a head's values")
    query_rank: Size | None = Field(None, description="features of the latent that queries come from")
    rope: Rope | None = Field(None, description="rotary positions of the rope_dim features")
    causal: Flag = Field(False, description="a position sees itself and earlier ones only")
    scale: Number | None = Field(None, description="multiplies the scores (default: (head_dim + rope_dim)**-0.5)")
    bias: Flag = Field(False, description="the projections of x and the output have a bias")
    eps: NotNegative = Field(1e-6, description="of the norms on the latents")
    dropout: Rate = Field(0.0, description="dropout on the attention weights")


class LocalGlobalAttentionOptions(Options):
    heads: Size = Field(description="number of heads")
    window: Size = Field(description="keys that a local position sees, half of them on each side")
    dropout: Rate = Field(0.0, description="dropout on the attention weights")


class LinearAttentionOptions(Options):
    heads: Size = Field(description="number of heads")
    head_dim: Size | None = Field(None, description="features of a head (default: width // heads)")
    feature_map: Literal["elu", "relu", "favor"] = Field(
        "elu", description="of queries and keys: elu(x) + 1, relu(x), or random features of the softmax (Performer)"
    )
    features: Size | None = Field(None, description="favor: random features of a head (default: 4 · head_dim)")
    causal: Flag = Field(False, description="a position sees itself and earlier ones only")
    bias: Flag = Field(True, description="the projections have a bias")
    eps: NotNegative = Field(1e-6, description="added to the sum that the mixture is divided by")


class LinformerAttentionOptions(Options):
    heads: Size = Field(description="number of heads")
    length: Size = Field(description="the longest sequence")
    rank: Size = Field(description="what its positions are projected to")
    share: Literal["none", "heads", "key_value"] = Field(
        "heads",
        description="projections of positions: one for each head's keys, one for its values; one for all heads' keys, "
        "one for values; one for all",
    )
    bias: Flag = Field(True, description="the projections of features have a bias")
    dropout: Rate = Field(0.0, description="dropout on the attention weights")


class DisentangledBias(ProjectionBias):
    """Which projections of disentangled attention have a bias; `bias: true` or `false` means all six."""

    position_key: Flag = Field(True, description="the projection of positions as keys has a bias")
    position_query: Flag = Field(True, description="the projection of positions as queries has a bias")


def _all_six(value: Any) -> Any:
    return dict.fromkeys(DisentangledBias.model_fields, value) if isinstance(value, bool) else value


class DisentangledAttentionOptions(Options):
    heads: Size = Field(description="number of heads")
    head_dim: Size | None = Field(None, description="features of a head (default: width // heads)")
    to_position: Flag = Field(True, description="scores of queries with positions")
    from_position: Flag = Field(True, description="scores of positions with keys")
    bias: Annotated[DisentangledBias, BeforeValidator(_all_six)] = Field(
        default_factory=DisentangledBias, description="projections with a bias: true, false, or by name"
    )
    shared: Flag = Field(False, description="positions use the projections of queries and keys")
    max_distance: Size | None = Field(
        None, description="rows of the table grow logarithmically up to here (default: a row for each distance)"
    )
    dropout: Rate = Field(0.0, description="dropout on the attention weights")


class RelativeBiasOptions(Options):
    heads: Size = Field(description="number of heads of the attention that reads it")
    buckets: Size = Field(32, description="distances that are told apart")
    max_distance: Size = Field(128, description="from here on all distances share a bucket")
    bidirectional: Flag = Field(True, description="later keys have buckets of their own (half of them)")


class GridBiasOptions(Options):
    heads: Size = Field(description="number of heads of the attention that reads it")
    rows: Size = Field(description="patches from top to bottom")
    columns: Size = Field(description="patches from left to right")
    class_token: Flag = Field(True, description="a position before the patches, with entries of its own")


# --- position-wise layers ---------------------------------------------------------------------------------------------


class FeedForwardOptions(Options):
    hidden: Size = Field(description="features of the hidden layer")
    activation: Activation = Field("gelu", description="between the two layers")
    gated: Flag = Field(False, description="multiply by a second projection (GLU)")
    bias: Flag = Field(True, description="the projections have a bias")
    dropout: Rate = Field(0.0, description="dropout after the activation")


class MixtureOptions(Options):
    experts: Size = Field(description="number of experts")
    top_k: Size = Field(description="experts that each position uses")
    hidden: Size = Field(description="features of an expert's hidden layer")
    activation: Activation = Field("silu", description="between an expert's layers")
    gated: Flag = Field(True, description="experts multiply by a second projection (GLU)")
    bias: Flag = Field(False, description="router and experts have a bias")
    score: Literal["softmax", "sigmoid", "softmax_after"] = Field(
        "softmax", description="how scores become weights; softmax_after: over the chosen ones"
    )
    normalize: Flag = Field(True, description="the chosen experts' weights sum to one")
    groups: Size = Field(1, description="groups of experts")
    top_groups: Size | None = Field(
        None,
        description="groups that may be chosen from (default: groups): those whose best expert, with a correction "
        "whose best two together, score highest",
    )
    correction: Flag = Field(False, description="a bias on the scores that counts for the choice only (DeepSeek-V3)")
    scale: Number = Field(1.0, description="multiplies the experts' sum")


class LinearOptions(Options):
    width: Size | None = Field(None, description="features of the output; or `tie: node`")
    bias: Flag = Field(True, description="has a bias")


class LayerNormOptions(Options):
    eps: NotNegative = Field(1e-5, description="added to the variance")
    weight: Flag = Field(True, description="has a weight")
    bias: Flag = Field(True, description="has a bias (with a weight only)")
    offset: Number = Field(0.0, description="added to the weight (Nemotron: 1)")


class RMSNormOptions(Options):
    eps: NotNegative = Field(1e-6, description="added to the mean square")
    weight: Flag = Field(True, description="has a weight")
    offset: Number = Field(0.0, description="added to the weight (Gemma: 1)")


class AddOptions(Options):
    dropout: Rate = Field(0.0, description="dropout on all inputs but the first (the residual)")


class MultiplyOptions(Options):
    pass


class AddNormOptions(Options):
    norm: Literal["layer_norm", "rms_norm"] = Field("layer_norm", description="which norm follows the sum")
    eps: NotNegative = Field(1e-5, description="added to the variance")
    bias: Flag = Field(True, description="layer_norm: has a bias")
    dropout: Rate = Field(0.0, description="dropout on all inputs but the first (the residual)")


class ActivationOptions(Options):
    kind: Activation = Field(description="the function; transformers' names are aliases")


class ScaleOptions(Options):
    by: Number = Field(description="the factor")


class SoftcapOptions(Options):
    cap: Positive = Field(description="the largest size of the output")


class DropoutOptions(Options):
    p: Rate = Field(description="probability of a zero in training")
    per: Literal["element", "sample"] = Field(
        "element", description="what is dropped: numbers, or whole samples (stochastic depth)"
    )


# --- joining, cutting, pooling ----------------------------------------------------------------------------------------


class ConcatOptions(Options):
    along: Literal["features", "positions"] = Field("features", description="the axis that grows")


def _part(value: Any) -> int | str:
    return bounded(value, 1) if is_number(value) else choice(value, ("rest",), "a size")


def _names(into: dict[str, int | str]) -> dict[str, int | str]:
    for name in into:
        if not NAME.fullmatch(name):
            raise PydanticCustomError(
                "bad-name", "'{name}' is no name of an output: lower case, digits and _", {"name": name[:80]}
            )
    if sum(size == "rest" for size in into.values()) > 1:
        raise PydanticCustomError("bad-option", "only one part can be the rest")
    return into


Part = Annotated[
    int | str,
    PlainValidator(_part),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "rest"}]}),
]


class SplitOptions(Options):
    along: Literal["features", "positions"] = Field("features", description="the axis that is cut")
    into: Annotated[dict[str, Part], Field(min_length=1, max_length=1024), AfterValidator(_names)] = Field(
        description="{name: size or rest}, in order; the names are the outputs"
    )


def _start(value: Any) -> float | str:
    if is_number(value):
        start = float(number(value))
        if start - start == 0:  # neither infinite nor NaN
            return start
        raise PydanticCustomError("bad-option", "a start must be a finite number")
    return choice(value, ("normal", "zeros", "ones"), "a number")


class ParameterOptions(Options):
    shape: Annotated[tuple[Size, ...], BeforeValidator(as_tuple), Field(max_length=8)] = Field(
        description="sizes of the axes; [] is a scalar"
    )
    init: Annotated[
        float | str,
        PlainValidator(_start),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["normal", "zeros", "ones"]}]}),
    ] = Field("normal", description="how it starts: normal (std 0.02), zeros, ones, or a number")


PLACES = ("first", "last", "mean", "max", "token", "highest")


def _take(value: Any) -> int | str:
    return bounded(value, -(2**31)) if is_number(value) else choice(value, PLACES, "a position")


class PoolOptions(Options):
    take: Annotated[
        int | str,
        PlainValidator(_take),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": -(2**31)}, {"enum": list(PLACES)}]}),
    ] = Field(
        description="first, last, mean, max, a position (below 0: counted from the end, padding too), token (the first "
        "place of an id) or highest (the first place of the highest id)"
    )
    token: Count | None = Field(None, description="take token: the id whose first place is taken")


def _both(value: Any) -> Any:
    """One number is both sides."""
    return tuple(value) if isinstance(value, list) else (value, value) if is_number(value) else value


class PatchesOptions(Options):
    width: Size = Field(description="features of each patch's vector")
    size: Annotated[tuple[Size, Size], BeforeValidator(_both)] = Field(
        description="pixels along each side of a patch, or [height, width]"
    )
    bias: Flag = Field(True, description="has a bias")
    cut: Flag = Field(False, description="leave out pixels on the right and at the bottom that fill no patch")


class Conv1dOptions(Options):
    width: Size = Field(description="features of the output")
    kernel: Size = Field(3, description="positions that one output sees")
    stride: Size = Field(1, description="positions from one output to the next")
    bias: Flag = Field(True, description="has a bias")


class SimilarityOptions(Options):
    cosine: Flag = Field(False, description="cosines instead of dot products")


class EqualOptions(Options):
    pass


class BlankOptions(Options):
    pass


class SqueezeOptions(Options):
    pass


class RecurrentOptions(Options):
    width: Size = Field(description="features of the state, per direction")
    bidirectional: Flag = Field(False, description="read from both ends; the output is twice as wide")
    dropout: Rate = Field(0.0, description="dropout on out")


class RNNOptions(RecurrentOptions):
    pass


class LSTMOptions(RecurrentOptions):
    pass


class GRUOptions(RecurrentOptions):
    pass
