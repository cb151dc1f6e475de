"""vars, defaults, init, train and huggingface."""

from __future__ import annotations

import pytest

from blockgraph.specs.spec import InitRule
from tests.texts import loaded, problems

NODE = "nodes: {a: layer_norm}\n"


def test_vars_read_earlier_ones_only() -> None:
    assert problems(NODE + "vars: {a: =b, b: 1}")[0] == ("unknown-name", "2:12", "'b' stands further down")
    assert problems(NODE + "vars: {a: =a}")[0] == ("unknown-name", "2:12", "'a' reads itself")
    assert problems(NODE + "vars: {a: [1, {b: =nope}]}")[0][:2] == ("unknown-name", "2:20")


def test_vars_hold_lists_and_mappings() -> None:
    spec = loaded("vars: {w: 4, r: {t: =w*2, l: [=w, null]}, x: =r.t}\nnodes: {a: {type: layer_norm, eps: =x}}")
    assert spec.vars == {"w": 4, "r": {"t": 8, "l": [4, None]}, "x": 8}


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("vars: {a: 1}\nnodes: {n: layer_norm}", ["a"]),
        ("vars: {a: null}\nnodes: {n: layer_norm}", []),
        ("vars: {a: 1, b: =a}\nnodes: {n: layer_norm}", ["b"]),
        ("vars: {a: 1}\nnodes: {n: {type: layer_norm, eps: =a}}", []),
        ("vars: {a: 1}\nnodes: {n: layer_norm}\ntrain: {steps: =a}", []),
        ("vars: {a: 1}\nnodes: {n: layer_norm}\nabout: =a", ["a"]),
        ("vars: {a: 1}\nnodes: {n: L}\nblocks: {L: {params: {a: 2}, nodes: {n: {type: layer_norm, eps: =a}}}}", ["a"]),
        ("vars: {a: 1}\nnodes: {n: L}\nblocks: {L: {params: {a: =a}, nodes: {n: {type: layer_norm, eps: =a}}}}", []),
        (
            "vars: {a: 1}\nnodes: {n: L}\nblocks: {L: {params: {a: 2, b: =a}, nodes: {n: {type: scale, by: =b}}}}",
            ["a"],
        ),
    ],
)
def test_unread_vars_are_warned_of(text: str, unread: list[str]) -> None:
    assert [(c, m) for c, _, m in problems(text)] == [
        ("unused-var", f"nothing reads the var '{name}'") for name in unread
    ]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("defaults: {fnn: {hidden: 1}}", "unknown-type", "2:12"),
        ("defaults: {ffn: {hiden: 1}}", "unknown-option", "2:18"),
        ("defaults: {ffn: {in: x}}", "unknown-option", "2:18"),
        ("defaults: {L: {p: x}}\nblocks: {L: {nodes: {n: ffn}}}", "unknown-type", "2:12"),
        ("defaults: {ffn: 3}", "wrong-type", "2:17"),
        ("vars: {a: 99999999999999999999}", "too-big", "2:11"),
        ("init: {a: zeroes}", "bad-choice", "2:11"),
        ("init: {a: {type: normal, std: -1}}", "bad-option", "2:31"),
        ("init: {a: {std: 1}}", "missing-key", "2:11"),
        ("init: {a: null}", "init", "2:11"),
        ("train: {steps: 1, epochs: 2}", "train", "2:8"),
        ("train: {}", "train", "2:8"),
        ("train: {steps: 1, task: {type: masked_lm, rat: 1}}", "unknown-key", "2:43"),
        ("train: {steps: 1, task: [causal_lm, {type: seq2sqe}]}", "bad-choice", "2:37"),
        ("train: {steps: 1, optimizer: {type: adma}}", "bad-choice", "2:30"),
        ("train: {steps: 1, optimizer: {type: muon, others: {lr: -1}}}", "bad-option", "2:56"),
        ("train: {steps: 1, batch: {size: 1, tokens: 2}}", "train", "2:26"),
        ("train: {steps: 1, data: {type: pairs, train: [a]}}", "missing-key", "2:39"),
        ("train: {steps: 1, data: {type: text, valid: 2}}", "bad-option", "2:45"),
        ("train: {steps: 1, tokenizer: {type: file}}", "missing-key", "2:19"),
        ("train: {steps: 1, data: {type: images, train: i, std: 0}}", "bad-option", "2:55"),
        ("train: {steps: 1, data: {type: images, train: i, augment: {type: shift, by: 1}}}", "unknown-key", "2:73"),
        ("train: {steps: 1, data: {type: images, train: i, augment: {type: affine, zoom: 1}}}", "bad-option", "2:80"),
        ("train: {steps: 1, freeze: a, train_only: b}", "train", "2:8"),
        ("train: {steps: 1, freeze: a, lora: {on: b}}", "train", "2:8"),
        ("train: {steps: 1, compile: yes}", "bad-choice", "2:28"),
        ("train: {steps: =1/2}", "float-size", "2:16"),
        ("huggingface: {tensors: {a: {tensors: {}}}}", "missing-key", "2:25"),
        ("huggingface: {tensors: {a: {to: b, transpose: 1}}}", "wrong-type", "2:47"),
        ("huggingface: {tensors: {a: {to: b, tensors: {c: {to: d, gruops: 2}}}}}", "unknown-key", "2:57"),
        ("huggingface: {vars: {a: =config.}}", "expression", "2:26"),
    ],
)
def test_sections_that_are_wrong(text: str, code: str, place: str) -> None:
    assert [(c, p) for c, p, _ in problems(NODE + text)] == [(code, place)]


def test_init_rules_are_evaluated() -> None:
    text = """\
vars: {layers: 8}
init: {"a": {type: normal, std: "=0.02 / sqrt(2 * layers)"}, "*.bias": zeros, "*": kaiming_normal}
"""
    assert loaded(NODE + text).init == (
        InitRule("a", "normal", {"mean": 0.0, "std": 0.005}),
        InitRule("*.bias", "zeros", {}),
        InitRule("*", "kaiming_normal", {"mode": "fan_in", "nonlinearity": "relu"}),
    )


def test_train_has_the_defaults_of_the_page() -> None:
    train = loaded(NODE + "train: {steps: 1e4}").train
    assert train is not None
    assert train.model_dump() == {
        "task": ({"type": "causal_lm", "output": None, "label": None, "weight": 1.0, "label_smoothing": 0.0},),
        "data": {"type": "text", "train": ("corpus/*.txt",), "valid": 0.05, "test": None},
        "tokenizer": {"type": "bytes"},
        "batch": {"size": 32, "tokens": None, "length": 256, "accumulate": 1},
        "steps": 10000,
        "epochs": None,
        "optimizer": {
            "type": "adamw",
            "lr": 3e-4,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.01,
            "lrs": {},
        },
        "schedule": {"type": "cosine", "warmup": 0.02, "floor": 0.0},
        "ema": None,
        "start": None,
        "freeze": (),
        "train_only": None,
        "lora": None,
        "clip": 1.0,
        "precision": "auto",
        "compile": False,
        "seed": 0,
        "evaluate": {"every": 500, "patience": None, "best": "loss", "samples": 0},
        "checkpoint": {"every": 500, "keep": 3},
        "tensorboard": False,
        "parallel": None,
    }


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("task: {type: seq2seq, label_smoothing: 0.1}", "task.0.label_smoothing", 0.1),
        ("task: [masked_lm, {type: classification, output: a, weight: 0.5}]", "task.1.weight", 0.5),
        ("task: [masked_lm]", "task.0.rate", 0.15),
        ("data: {type: pairs, train: [a.en, a.de]}", "data.train", ("a.en", "a.de")),
        ("data: {type: table, train: t.csv, columns: {tokens: [a, b]}}", "data.columns", {"tokens": ("a", "b")}),
        ("data: {type: images, train: i, augment: flip_crop}", "data.augment", {"type": "flip_crop"}),
        (
            "data: {type: table, train: t.csv, columns: {a: b}, augment: {type: shift, pixels: 2}}",
            "data.augment.pixels",
            2,
        ),
        ("data: {type: images, train: i, augment: {type: affine, zoom: 0.2}}", "data.augment.zoom", 0.2),
        ("data: {type: npz, train: t.npz, columns: {a: x}, scale: 255, mean: [1, 2]}", "data.mean", (1.0, 2.0)),
        ("data: {type: table, train: t, columns: {a: b}, header: [c, b], delimiter: ' '}", "data.header", ("c", "b")),
        ("data: {type: text, train: a, valid: b}", "data.valid", ("b",)),
        ("tokenizer: {type: bpe, lowercase: true}", "tokenizer.lowercase", True),
        ("batch: {tokens: 25000}", "batch.size", None),
        ("optimizer: {lr: 2e-5}", "optimizer.type", "adamw"),
        ("optimizer: muon", "optimizer.others.lr", 3e-4),
        ("optimizer: {type: sgd, lr: 1}", "optimizer.lr", 1.0),
        ("schedule: {type: noam, warmup: 4000}", "schedule.warmup", 4000),
        ("schedule: constant", "schedule.warmup", 0),
        ("clip: null", "clip", None),
        ("seed: null", "seed", 0),
        ("compile: region", "compile", "region"),
        ("freeze: embed", "freeze", ("embed",)),
        ("seed: =2**5", "seed", 32),
    ],
)
def test_shapes_of_train(text: str, path: str, value: object) -> None:
    train = loaded(NODE + f"train: {{steps: 1, {text}}}").train
    assert train is not None
    found: object = train.model_dump()
    for step in path.split("."):
        found = found[int(step) if step.isdigit() else step]  # type: ignore[index]
    assert found == value


def test_huggingface_is_kept_raw() -> None:
    text = """\
huggingface:
  model_type: [a, b]
  vars: {w: n_embd, h: [n_inner, =4*w], r: {t: [x.y, 1e4], k: ='z'}}
  inputs: {input_ids: tokens, f: {to: audio, transpose: true}}
  outputs: {logits: a}
  prefix: m.
  tensors: {wte: a, q: {to: [b, c], groups: =h}, h.N: {to: d.N, tensors: {ln: n}}}
  ignore: "*.x"
"""
    found = loaded(NODE + text).huggingface
    assert found is not None
    assert (found.model_type, found.ignore, found.prefix) == (("a", "b"), ("*.x",), ("m.",))
    assert found.vars == {"w": "n_embd", "h": ["n_inner", "=4*w"], "r": {"t": ["x.y", 1e4], "k": "='z'"}}
    assert {name: (rule.to, rule.transpose) for name, rule in found.inputs.items()} == {
        "input_ids": ("tokens", False),
        "f": ("audio", True),
    }
    assert (found.tensors["q"].to, found.tensors["q"].groups) == (("b", "c"), "=h")
    assert found.tensors["h.N"].tensors["ln"].to == ("n",)
