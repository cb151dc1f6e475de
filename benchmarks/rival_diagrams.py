"""Other tools' diagrams of the same two models; `diagrams.py --rivals PYTHON` runs this with the Python that has them.

`python rival_diagrams.py TOOL MODE MODEL OUT.svg` draws one picture and prints what it took as JSON. The models are
written as a user of each tool would write them: torch.nn.Transformer and `by_hand.GPT` for the tools that look at
PyTorch modules, layers of Keras for Keras. Sizes are those of the presets.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

T = 16  # positions of the forward pass, where one is needed
BASE = {"width": 512, "heads": 8, "hidden": 2048, "layers": 6, "vocab": 37000}
SMALL = {"width": 768, "heads": 12, "layers": 12, "vocab": 50257, "length": 1024}


def main() -> None:
    tool, mode, model, out = sys.argv[1:]
    begun = time.perf_counter()
    draw = TOOLS[tool]()
    imported = time.perf_counter()
    facts = draw(mode, model, Path(out))
    done = time.perf_counter()
    print(json.dumps({"imports": imported - begun, "seconds": done - imported, **facts}))


# --- tools that run a PyTorch module ----------------------------------------------------------------------------------


def torch_model(name: str, device: str) -> tuple[Any, Any]:
    """The module and its inputs. On "meta" neither has memory."""
    import torch
    from by_hand import GPT

    with torch.device(device):
        if name == "gpt2":
            return GPT(**SMALL), torch.zeros(1, T, dtype=torch.long)
        return torch_transformer(), [torch.zeros(1, T, dtype=torch.long), torch.zeros(1, T, dtype=torch.long)]


def torch_transformer() -> Any:
    """Vaswani et al. 2017 on torch.nn.Transformer."""
    import torch
    from torch import Tensor, nn

    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(BASE["vocab"], BASE["width"])
            self.register_buffer("sinusoids", torch.zeros(1024, BASE["width"]))

        def forward(self, ids: Tensor) -> Tensor:
            return self.tokens(ids) * BASE["width"] ** 0.5 + self.sinusoids[: ids.shape[1]]

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = Embedding()
            sizes = (BASE["width"], BASE["heads"], BASE["layers"], BASE["layers"], BASE["hidden"])
            self.body = nn.Transformer(*sizes, batch_first=True)
            self.logits = nn.Linear(BASE["width"], BASE["vocab"], bias=False)

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            return self.logits(self.body(self.embed(source), self.embed(target)))

    return Transformer()


def torchview() -> Callable[..., dict[str, Any]]:
    """Modes: `default`, and `sublayers`: the depth at which attention, feed-forward and norms are boxes."""
    import torchview

    def draw(mode: str, model: str, out: Path) -> dict[str, Any]:
        module, inputs = torch_model(model, "meta")
        options: dict[str, Any] = {}
        if mode == "sublayers":
            options = {"depth": {"gpt2": 2, "transformer": 4}[model], "expand_nested": True}
        graph = torchview.draw_graph(module, input_data=inputs, device="meta", mode="train", **options)
        out.write_bytes(graph.visual_graph.pipe(format="svg"))
        return {"forward": True, "weights": False} | version("torchview")

    return draw


def torchlens() -> Callable[..., dict[str, Any]]:
    """Modes: `default`, and `folded`: what it calls collapse="auto", with repeats folded."""
    import torchlens

    def draw(mode: str, model: str, out: Path) -> dict[str, Any]:
        module, inputs = torch_model(model, "cpu")
        trace = torchlens.trace(module, inputs, save=None)
        options = {"collapse": "auto", "fold_repeats": True} if mode == "folded" else {}
        trace.draw(vis_outpath=str(out.with_suffix("")), vis_fileformat="svg", vis_save_only=True, **options)
        return {"forward": True, "weights": True} | version("torchlens")

    return draw


# --- keras ------------------------------------------------------------------------------------------------------------


def keras() -> Callable[..., dict[str, Any]]:
    """Modes: `default`, and `shapes`: with the shapes that our picture has too."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    def draw(mode: str, model: str, out: Path) -> dict[str, Any]:
        built = keras_gpt2(keras) if model == "gpt2" else keras_transformer(keras)
        shown = {"show_shapes": mode == "shapes", "show_layer_names": mode == "shapes"}
        note = {}
        try:
            keras.utils.plot_model(built, str(out), **shown)
        except AssertionError:  # dot ended in the middle of its orthogonal edges
            keras.utils.plot_model(built, str(out), splines="spline", **shown)
            note = {"note": "curved edges: dot crashed on its orthogonal ones"}
        return {"forward": False, "weights": True} | version("keras") | note

    return draw


def keras_gpt2(keras: Any) -> Any:
    layers = keras.layers
    width, heads = SMALL["width"], SMALL["heads"]
    ids = keras.Input((T,), dtype="int32", name="tokens")
    places = keras.Input((T,), dtype="int32", name="positions")
    embed = layers.Embedding(SMALL["vocab"], width)
    x = layers.Add()([embed(ids), layers.Embedding(SMALL["length"], width)(places)])
    for _ in range(SMALL["layers"]):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y, use_causal_mask=True)])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(y))
        x = layers.Add()([x, y])
    logits = layers.Dense(SMALL["vocab"], use_bias=False)(layers.LayerNormalization()(x))
    return keras.Model([ids, places], logits)


def keras_transformer(keras: Any) -> Any:
    layers = keras.layers
    width, heads = BASE["width"], BASE["heads"]

    def attention(x: Any, memory: Any, causal: bool = False) -> Any:
        found = layers.MultiHeadAttention(heads, width // heads)(x, memory, use_causal_mask=causal)
        return layers.LayerNormalization()(layers.Add()([x, found]))

    def feed_forward(x: Any) -> Any:
        found = layers.Dense(width)(layers.Dense(BASE["hidden"], activation="relu")(x))
        return layers.LayerNormalization()(layers.Add()([x, found]))

    source, target = (keras.Input((T,), dtype="int32", name=name) for name in ("source", "target"))
    embed = layers.Embedding(BASE["vocab"], width)
    memory, x = embed(source), embed(target)
    for _ in range(BASE["layers"]):
        memory = feed_forward(attention(memory, memory))
    for _ in range(BASE["layers"]):
        x = feed_forward(attention(attention(x, x, causal=True), memory))
    return keras.Model([source, target], layers.Dense(BASE["vocab"], use_bias=False)(x))


def version(package: str) -> dict[str, str]:
    from importlib.metadata import version as installed

    return {"version": installed(package)}


TOOLS: dict[str, Callable[[], Callable[..., dict[str, Any]]]] = {
    "torchview": torchview,
    "torchlens": torchlens,
    "keras": keras,
}

if __name__ == "__main__":
    main()
