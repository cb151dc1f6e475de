"""Every built-in block type with its ports, outputs, formula and source; the four faces are named, not imported."""

from __future__ import annotations

from blockgraph.specs.registry import BlockType, Port

X = Port("x")
MANY = Port("x", many=True)


def _type(
    name: str,
    summary: str,
    ports: tuple[Port, ...],
    faces: tuple[str, str, str],
    *,
    outputs: tuple[str, ...] = ("out",),
    formula: str = "",
    paper: str = "",
) -> BlockType:
    """`faces`: the stem of the option and rule classes, the theme of the rules' file, the file of the module."""
    stem, theme, module = faces
    return BlockType(
        name=name,
        summary=summary,
        ports=ports,
        options=f"blockgraph.specs.options:{stem}Options",
        rules=f"blockgraph.builder.rules_{theme}:{stem}Rules",
        module=f"blockgraph.blocks.{module}",
        look=f"blockgraph.viz.looks:{name}",
        outputs=outputs,
        formula=formula,
        paper=paper,
    )


_TOKENS = (
    _type(
        "embedding",
        "a trained vector for each id",
        (Port("ids"),),
        ("Embedding", "embedding", "embedding"),
        formula="out = scale · weight[ids]",
    ),
    _type(
        "positions",
        "adds a vector for each position",
        (X, Port("ids", optional=True, drawn=False)),
        ("Positions", "embedding", "positions"),
        formula="out = dropout(x + table[position + offset])",
        paper="sinusoidal: Vaswani et al. 2017; learned: Gehring et al. 2017",
    ),
)

_ATTENTION = (
    _type(
        "attention",
        "every query looks at the keys and takes a mixture of their values",
        (
            Port("query"),
            Port("key", optional=True, follows="query"),
            Port("value", optional=True, follows="key"),
            Port("mask", optional=True),
            Port("bias", optional=True),
        ),
        ("Attention", "attention", "attention"),
        formula="out = W_out · softmax(scale · (W_query query)(W_key key)ᵀ + bias) (W_value value)",
        paper="Vaswani et al. 2017; kv_heads: Ainslie et al. 2023; rope: Su et al. 2021; alibi: Press et al. 2021; "
        "sparse: Child et al. 2019, Beltagy et al. 2020, Zaheer et al. 2020",
    ),
    _type(
        "latent_attention",
        "attention whose keys and values come from one small latent (MLA)",
        (X,),
        ("LatentAttention", "latent", "latent_attention"),
        formula="latent, key_rope = kv_down x; key, value = key_up norm(latent), value_up norm(latent)",
        paper="DeepSeek-AI 2024, DeepSeek-V2, section 2.1",
    ),
    _type(
        "local_global_attention",
        "a window for every position, everything for some (Longformer)",
        (X, Port("global_tokens", optional=True)),
        ("LocalGlobalAttention", "latent", "local_global_attention"),
        formula="attention within ± window/2; global positions see all and are seen by all",
        paper="Beltagy et al. 2020, Longformer",
    ),
    _type(
        "linear_attention",
        "attention without a softmax: its cost grows with the length, its state not at all",
        (X,),
        ("LinearAttention", "linear_attention", "linear_attention"),
        formula="out[i] = W_out · Σⱼ (φ(q[i])·φ(k[j])) v[j] / Σⱼ φ(q[i])·φ(k[j])",
        paper="Katharopoulos et al. 2020; favor: Choromanski et al. 2021, Performer",
    ),
    _type(
        "linformer_attention",
        "attention over positions that are projected to a few",
        (X,),
        ("LinformerAttention", "linear_attention", "linformer"),
        formula="out = W_out · softmax(q (E k)ᵀ / √d) (F v); E, F: length → rank",
        paper="Wang et al. 2020, Linformer",
    ),
    _type(
        "disentangled_attention",
        "attention that compares content and relative positions apart (DeBERTa)",
        (X, Port("table", optional=True)),
        ("DisentangledAttention", "disentangled", "disentangled_attention"),
        formula="softmax(scale · (q kᵀ + q position_keyᵀ + position_query kᵀ)) v, positions by the row of i - j",
        paper="He et al. 2020, DeBERTa, section 3.1; max_distance, shared: DeBERTa-v2's code",
    ),
    _type(
        "relative_bias",
        "a trained bias for each head and bucket of distances",
        (Port("query"), Port("key", optional=True, follows="query")),
        ("RelativeBias", "attention", "relative_bias"),
        formula="out[0, h, i, j] = weight[bucket(j - i), h]",
        paper="Raffel et al. 2019, T5, section 2.1",
    ),
    _type(
        "grid_bias",
        "a trained bias for each head and distance between two patches of an image",
        (),
        ("GridBias", "vision", "grid_bias"),
        formula="out[0, h, i, j] = weight[rows from j to i, columns from j to i, h]",
        paper="Bao et al. 2021, BEiT; Dai et al. 2021, CoAtNet",
    ),
)

_BASIC = (
    _type(
        "ffn",
        "two layers on each position, or three with a gate",
        (X,),
        ("FeedForward", "basic", "feed_forward"),
        formula="down · f(up x); gated: down · (f(gate x) * up x)",
        paper="Vaswani et al. 2017, section 3.3; gated: Shazeer 2020",
    ),
    _type(
        "moe",
        "many ffns, of which a router picks a few for each position",
        (X,),
        ("Mixture", "experts", "experts"),
        formula="out = scale · Σ over the top_k experts e of score_e · expert_e(x)",
        paper="Shazeer et al. 2017; groups, correction: DeepSeek-AI 2024",
    ),
    _type("add", "a sum", (MANY,), ("Add", "basic", "elementwise"), formula="x₁ + dropout(x₂) + …"),
    _type(
        "multiply", "a product, number by number", (MANY,), ("Multiply", "basic", "elementwise"), formula="x₁ · x₂ · …"
    ),
    _type(
        "add_norm",
        "a sum, then a norm: the original Transformer's residual",
        (MANY,),
        ("AddNorm", "basic", "norms"),
        formula="norm(x₁ + dropout(x₂) + …)",
        paper="Vaswani et al. 2017, section 3.1",
    ),
    _type(
        "layer_norm",
        "features with mean 0 and variance 1, then weight and bias",
        (X,),
        ("LayerNorm", "basic", "norms"),
        formula="weight · (x - mean) / sqrt(variance + eps) + bias",
        paper="Ba et al. 2016",
    ),
    _type(
        "rms_norm",
        "features with mean square 1, then a weight",
        (X,),
        ("RMSNorm", "basic", "norms"),
        formula="(weight + offset) · x / sqrt(mean(x²) + eps)",
        paper="Zhang and Sennrich 2019",
    ),
    _type("linear", "a matrix on the features", (X,), ("Linear", "basic", "linear"), formula="weight x + bias"),
    _type("activation", "a function of each number", (X,), ("Activation", "basic", "activations"), formula="kind(x)"),
    _type("scale", "times a constant", (X,), ("Scale", "basic", "elementwise"), formula="by · x"),
    _type(
        "softcap",
        "keeps numbers within ± cap, smoothly",
        (X,),
        ("Softcap", "basic", "elementwise"),
        formula="cap · tanh(x / cap)",
    ),
    _type(
        "dropout",
        "zeros at random in training",
        (X,),
        ("Dropout", "basic", "elementwise"),
        formula="x · keep / (1 - p)",
        paper="Srivastava et al. 2014; per sample: Huang et al. 2016",
    ),
)

_JOINING = (
    _type(
        "concat",
        "one after the other, along features or positions",
        (MANY,),
        ("Concat", "joining", "joining"),
        formula="[x₁ | x₂ | …]",
    ),
    _type(
        "split", "cut into named parts", (X,), ("Split", "joining", "joining"), outputs=(), formula="x = [a | b | …]"
    ),
    _type("parameter", "a trained tensor", (), ("Parameter", "joining", "parameter"), formula="weight"),
    _type(
        "pool",
        "one vector for a sequence",
        (X, Port("ids", optional=True)),
        ("Pool", "joining", "pool"),
        formula="x[first], x[last], x[position], mean(x), max(x), or x where ids = token first",
    ),
    _type(
        "similarity",
        "dot products, or cosines, of all pairs",
        (Port("a"), Port("b")),
        ("Similarity", "joining", "similarity"),
        formula="out[…, i, j] = a[…, i] · b[…, j]",
        paper="cosine of two towers: Radford et al. 2021, CLIP",
    ),
    _type(
        "equal",
        "a mask of equal ids: packed documents",
        (Port("a"), Port("b")),
        ("Equal", "joining", "elementwise"),
        formula="out[…, i, j] = a[…, i] = b[…, j]",
    ),
)

_SHAPING = (
    _type("blank", "zeros where the text is padding", (X,), ("Blank", "joining", "elementwise"), formula="mask · x"),
    _type(
        "squeeze",
        "drops a last axis of one feature",
        (X,),
        ("Squeeze", "joining", "elementwise"),
        formula="out[…] = x[…, 0]",
    ),
)

_VISION = (
    _type(
        "patches",
        "a vector for each square of an image",
        (Port("image"),),
        ("Patches", "vision", "patches"),
        formula="weight · pixels of the patch + bias",
        paper="Dosovitskiy et al. 2020, section 3.1",
    ),
    _type(
        "conv1d",
        "a convolution along positions, same padding",
        (X,),
        ("Conv1d", "vision", "conv1d"),
        formula="out[t] = Σ over k of weight[k] x[stride · t + k] + bias",
    ),
)

_RECURRENT = (
    _type(
        "rnn",
        "a recurrent layer",
        (X, Port("initial", optional=True)),
        ("RNN", "recurrent", "recurrent"),
        outputs=("out", "final"),
        formula="h = tanh(W_ih x + b_ih + W_hh h' + b_hh)",
        paper="Elman 1990",
    ),
    _type(
        "lstm",
        "a recurrent layer with input, forget and output gates",
        (X, Port("initial", optional=True)),
        ("LSTM", "recurrent", "recurrent"),
        outputs=("out", "final"),
        formula="c = σ(f) c' + σ(i) tanh(g); h = σ(o) tanh(c); i, f, g, o = W_ih x + b_ih + W_hh h' + b_hh",
        paper="Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000",
    ),
    _type(
        "gru",
        "a recurrent layer with reset and update gates",
        (X, Port("initial", optional=True)),
        ("GRU", "recurrent", "recurrent"),
        outputs=("out", "final"),
        formula="n = tanh(W_in x + b_in + r (W_hn h' + b_hn)); h = (1 - z) n + z h'",
        paper="Cho et al. 2014",
    ),
)

BUILTIN: dict[str, BlockType] = {
    type.name: type for type in (*_TOKENS, *_ATTENTION, *_BASIC, *_JOINING, *_SHAPING, *_VISION, *_RECURRENT)
}
