"""Rule 11: what `extends` and `--set` do to a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blockgraph.specs.spec import Node, Spec
from tests.texts import files, load_file, loaded, problems

BASE = """\
blockgraph: 1
name: base
vars: {width: 8, layers: 2, rope: {theta: 1e4}}
defaults: {attention: {heads: 2}}
blocks:
  Layer:
    nodes:
      attn: {type: attention, causal: true, rope: =rope}
      add1: {type: add, in: [x, attn]}
      ffn:  {type: ffn, hidden: =4*width}
inputs: {tokens: {tokens: 10, axis: T}}
nodes:
  embed:   {type: embedding, width: =width}
  decoder: {type: Layer, repeat: =layers}
  norm:    layer_norm
  logits:  {type: linear, tie: embed}
init: {"*.bias": zeros, "*": {type: normal, std: 0.02}}
train:
  data: {type: text, train: a.txt}
  optimizer: {lr: 1e-4, betas: [0.9, 0.95]}
  schedule: {type: linear, warmup: 100}
  steps: 10
huggingface:
  tensors:
    h.N: {to: decoder.N, tensors: {ln: norm, attn.c: {to: attn.out, transpose: true}}}
    wte: embed
"""


def merged(folder: Path, text: str) -> Spec:
    spec, found = load_file(files(folder, base=BASE, top="extends: base.yaml\n" + text) / "top.yaml")
    assert found == []
    assert spec is not None
    return spec


def node(spec: Spec, name: str, block: str | None = None) -> Node:
    found = (spec.blocks[block] if block else spec.root).nodes[name]
    assert isinstance(found, Node)
    return found


def test_vars_are_merged_and_evaluated_anew(tmp_path: Path) -> None:
    spec = merged(tmp_path, "vars: {width: 16, rope: {type: linear, factor: 2.0}}")
    assert spec.vars == {"width": 16, "layers": 2, "rope": {"theta": 1e4, "type": "linear", "factor": 2.0}}
    assert spec.name == "base"


def test_a_base_var_may_read_a_new_one(tmp_path: Path) -> None:
    spec = merged(tmp_path, "vars: {rank: 3, width: =2*deep, deep: =layers*rank}\n")
    assert spec.vars == {"rank": 3, "layers": 2, "deep": 6, "width": 12, "rope": {"theta": 1e4}}
    assert list(spec.vars) == ["layers", "rank", "deep", "width", "rope"]


@pytest.mark.parametrize(
    ("nodes", "order"),
    [
        ("norm: {}, extra: dropout_like", "embed decoder norm extra logits"),
        ("extra: dropout_like", "embed decoder norm logits extra"),
        (
            "embed: {}, e1: dropout_like, e2: dropout_like, norm: null, e3: dropout_like",
            "embed e1 e2 decoder e3 logits",
        ),
    ],
)
def test_a_new_node_goes_after_the_one_before_it(tmp_path: Path, nodes: str, order: str) -> None:
    spec = merged(tmp_path, "nodes: {" + nodes.replace("dropout_like", "{type: dropout, p: 0.1}") + "}")
    assert list(spec.root.nodes) == order.split()


def test_new_nodes_of_a_block_too(tmp_path: Path) -> None:
    spec = merged(tmp_path, "blocks: {Layer: {nodes: {attn: {}, down: ffn, add1: {in: [x, down]}, ffn: null}}}")
    assert list(spec.blocks["Layer"].nodes) == ["attn", "down", "add1"]
    assert node(spec, "add1", "Layer").wiring == ["x", "down"]
    assert node(spec, "attn", "Layer").options == {"causal": True, "rope": "=rope"}


@pytest.mark.parametrize(
    ("written", "options", "wiring"),
    [
        ("ffn: {hidden: 3}", {"hidden": 3}, None),
        ("ffn: ffn", {"hidden": "=4*width"}, None),
        ("ffn: {type: ffn, in: x}", {"hidden": "=4*width"}, "x"),
        ("ffn: {type: moe, experts: 2}", {"experts": 2}, None),
        ("ffn: rms_norm", {}, None),
        ("ffn: {}", {"hidden": "=4*width"}, None),
    ],
)
def test_a_node_whose_type_changes_is_replaced(
    tmp_path: Path, written: str, options: dict[str, object], wiring: object
) -> None:
    found = node(merged(tmp_path, f"blocks: {{Layer: {{nodes: {{{written}}}}}}}"), "ffn", "Layer")
    assert (found.options, found.wiring) == (options, wiring)


def test_share_and_type_replace_each_other(tmp_path: Path) -> None:
    files(tmp_path, mid="extends: base.yaml\nnodes: {norm2: {share: norm}, norm3: {type: layer_norm, eps: 1.0}}")
    text = "extends: mid.yaml\nnodes: {norm2: rms_norm, norm3: {share: norm}}"
    spec, found = load_file(files(tmp_path, base=BASE, last=text) / "last.yaml")
    assert found == [] and spec is not None
    assert (node(spec, "norm2").type, node(spec, "norm2").share) == ("rms_norm", None)
    assert (node(spec, "norm3").type, node(spec, "norm3").share) == (None, "norm")
    assert node(spec, "norm3").options == {}


def test_null_removes_sections_and_rules_but_is_a_value_elsewhere(tmp_path: Path) -> None:
    spec = merged(
        tmp_path,
        """\
vars: {layers: null}
init: {"*.bias": null}
train: null
nodes: {decoder: null, logits: {tie: null, width: 4}}
huggingface: {tensors: {wte: null, h.N: {tensors: {ln: null}}}}
""",
    )
    assert spec.vars["layers"] is None
    assert spec.train is None
    assert [rule.pattern for rule in spec.init] == ["*"]
    assert node(spec, "logits").options == {"width": 4}
    assert spec.huggingface is not None
    assert list(spec.huggingface.tensors) == ["h.N"]
    assert list(spec.huggingface.tensors["h.N"].tensors) == ["attn.c"]


def test_null_with_nothing_to_remove_names_what_was_meant(tmp_path: Path) -> None:
    _, found = load_file(files(tmp_path, base=BASE, top="extends: base.yaml\nnodes: {nrom: null}") / "top.yaml")
    assert found == [("unknown-node", "top.yaml:2:9", "node 'nrom' is null, and there is none to remove")]


def test_patterns_of_the_derived_file_come_first(tmp_path: Path) -> None:
    spec = merged(tmp_path, 'init: {"head.weight": ones, "*": zeros}')
    assert [(rule.pattern, rule.kind) for rule in spec.init] == [
        ("head.weight", "ones"),
        ("*", "zeros"),
        ("*.bias", "zeros"),
    ]


def test_train_keeps_the_base_type_unless_it_changes(tmp_path: Path) -> None:
    train = merged(tmp_path, "train: {optimizer: {lr: 2e-5}, schedule: {warmup: 0.1}}").train
    assert train is not None
    assert train.optimizer.model_dump() == {
        "type": "adamw",
        "lr": 2e-5,
        "betas": (0.9, 0.95),
        "eps": 1e-8,
        "weight_decay": 0.01,
        "lrs": {},
    }
    assert (train.schedule.type, train.schedule.warmup) == ("linear", 0.1)
    train = merged(tmp_path, "train: {optimizer: {type: muon}, schedule: cosine}").train
    assert train is not None
    assert (train.optimizer.type, train.optimizer.lr, train.schedule.warmup) == ("muon", 0.02, 0.02)


def test_saying_the_same_again_changes_nothing(tmp_path: Path) -> None:
    same = "train: {optimizer: {type: adamw, lr: 1e-4}, schedule: {type: linear, warmup: 100}, steps: 10}"
    assert merged(tmp_path, same).train == merged(tmp_path, "name: again").train


MUON = "{type: muon, lr: 0.02, weight_decay: 0.1, others: {lr: 0.02, eps: 1e-6}}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "{type: muon, lr: 0.03, others: {type: adamw, lr: 0.01}}",  # of the same type: merged, in it too
            {"type": "muon", "lr": 0.03, "weight_decay": 0.1, "others": {"lr": 0.01, "eps": 1e-6}},
        ),
        ("{others: {lr: 0.01}}", {"lr": 0.02, "others": {"type": "adamw", "lr": 0.01, "eps": 1e-6}}),
        ("{others: adamw}", {"others": {"lr": 0.02, "eps": 1e-6}}),
        ("{type: sgd, lr: 0.5}", {"type": "sgd", "lr": 0.5, "weight_decay": 0.0}),
        ("{type: adamw}", {"type": "adamw", "lr": 3e-4, "weight_decay": 0.01}),
    ],
)
def test_an_optimizer_written_over_another(written: str, expected: dict[str, Any]) -> None:
    """Of the same type it is merged; of another it is a new one."""
    text = f"nodes: {{embed: {{type: embedding, width: 4}}}}\ntrain: {{steps: 3, optimizer: {MUON}}}\n"
    train = loaded(text, f"train.optimizer={written}").train
    assert train is not None
    made = train.optimizer.model_dump()
    others = expected.get("others", {})
    assert {key: made[key] for key in expected if key != "others"} | {"others": others} == {"others": {}} | expected
    assert {key: made["others"][key] for key in others} == others


def test_a_tensor_rule_is_merged_with_its_short_form(tmp_path: Path) -> None:
    spec = merged(tmp_path, "huggingface: {tensors: {wte: {transpose: true}, h.N: {tensors: {attn.c: attn.query}}}}")
    assert spec.huggingface is not None
    tensors = spec.huggingface.tensors
    assert (tensors["wte"].to, tensors["wte"].transpose) == (("embed",), True)
    assert (tensors["h.N"].to, tensors["h.N"].tensors["attn.c"].to) == (("decoder.N",), ("attn.query",))
    assert not tensors["h.N"].tensors["attn.c"].transpose


def test_an_input_that_becomes_a_tensor_is_replaced(tmp_path: Path) -> None:
    spec = merged(tmp_path, "inputs: {tokens: {shape: [T, 8]}}")
    assert spec.root.inputs["tokens"].shape == ("T", 8)  # type: ignore[union-attr]


def test_values_keep_their_places(tmp_path: Path) -> None:
    spec = merged(tmp_path, "vars: {width: 16}\nblocks: {Layer: {nodes: {ffn: {hidden: 5}}}}")
    places = {
        ("vars", "width"): "top.yaml:2:15",
        ("vars", "layers"): "base.yaml:3:26",
        ("blocks", "Layer", "nodes", "ffn", "hidden"): "top.yaml:3:40",
        ("blocks", "Layer", "nodes", "ffn", "type"): "base.yaml:10:20",
    }
    assert {path: Path(str(spec.place(*path))).name for path in places} == places


def test_later_ones_of_a_list_win_and_libraries_bring_blocks(tmp_path: Path) -> None:
    library = "blockgraph: 1\nblocks: {Extra: {nodes: {a: layer_norm}}}\nvars: {width: 99}\n"
    top = "extends: [base.yaml, library.yaml]\nnodes: {decoder: {}, extra: Extra}"
    spec, found = load_file(files(tmp_path, base=BASE, library=library, top=top) / "top.yaml")
    assert found == [] and spec is not None
    assert spec.vars["width"] == 99 and list(spec.root.nodes)[2] == "extra"
    alone, found = load_file(tmp_path / "library.yaml")
    assert found == [] and alone is not None and alone.library


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        (
            "extends: top.yaml",
            ("extends-cycle", "top.yaml:1:10", "'top.yaml' extends itself, directly or through others"),
        ),
        (
            "extends: [b.yaml]",
            ("extends-cycle", "b.yaml:1:10", "'top.yaml' extends itself, directly or through others"),
        ),
        ("extends: ../x.yaml", ("extends", "top.yaml:1:10", "'../x.yaml' leaves the folder of the spec")),
        ("extends: gpt22", ("extends", "top.yaml:1:10", "there is no preset 'gpt22'")),
        (
            "extends: 3",
            ("extends", "top.yaml:1:10", "extends is a preset's name, the path of a file, or a list of them"),
        ),
        ("extends: /etc/passwd.yaml", ("extends", "top.yaml:1:10", "'/etc/passwd.yaml' leaves the folder of the spec")),
        ("nodes: {}", ("version", "top.yaml:1:1", "the version of the language is missing")),
        ("blockgraph: 2", ("version", "top.yaml:1:13", "version 2 of the language is not known here")),
        ("extends: old.yaml", ("version", "old.yaml:1:1", "the version of the language is missing")),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, top: str, expected: tuple[str, str, str]) -> None:
    folder = tmp_path / "in"
    files(tmp_path, x=BASE)
    _, found = load_file(files(folder, top=top, b="extends: top.yaml", old="blocks: {}") / "top.yaml")
    assert expected in found


def test_a_missing_file_is_shown_at_extends(tmp_path: Path) -> None:
    _, found = load_file(files(tmp_path, top="extends: nothing.yaml") / "top.yaml")
    assert [(code, place) for code, place, _ in found] == [("missing-file", "top.yaml:1:10")]


def test_links_do_not_lead_outside(tmp_path: Path) -> None:
    folder = files(tmp_path / "in", top="extends: link.yaml")
    files(tmp_path, outside=BASE)
    try:
        (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    except OSError:
        pytest.skip("no links here")
    _, found = load_file(folder / "top.yaml")
    assert [code for code, _, _ in found] == ["extends"]


def test_errors_in_a_base_say_who_extended_it(tmp_path: Path) -> None:
    broken = BASE.replace("hidden: =4*width", "hiden: =4*")
    spec, found = load_file(files(tmp_path, base=broken, top="extends: base.yaml") / "top.yaml")
    assert spec is not None
    assert found == [("expression", "base.yaml:10:33", found[0][2])]
    extended_by = spec.place("blocks", "Layer", "nodes", "ffn").source.extended_by
    assert extended_by is not None and Path(str(extended_by)).name == "top.yaml:1:10"


# --- --set ------------------------------------------------------------------------------------------------------------

SMALL = "vars: {layers: 2, x: 1}\nnodes: {embed: {type: embedding, width: =layers*x}, norm: layer_norm}\n"


def test_set_overrides_values() -> None:
    spec = loaded(SMALL, "vars.layers=4", "nodes.embed.width==64*layers", "vars.x=null", "nodes.norm.eps==1e-3 * 2")
    assert spec.vars == {"layers": 4, "x": None}
    assert node(spec, "embed").options == {"width": "=64*layers"}
    assert node(spec, "norm").options == {"eps": "=1e-3 * 2"}
    assert str(spec.place("vars", "layers")) == "--set vars.layers=4:1:14"


def test_set_can_remove_nodes_and_write_sections_and_reach_keys_with_dots() -> None:
    text = SMALL + 'init: {"*.norm.bias": zeros}\n'
    spec = loaded(
        text, "nodes.norm=null", "train.steps=5", "init.*.norm.bias=ones", "train.batch={size: 3}", "vars.x=1"
    )
    assert list(spec.root.nodes) == ["embed"]
    assert spec.train is not None and (spec.train.steps, spec.train.batch.size) == (5, 3)
    assert [(rule.pattern, rule.kind) for rule in spec.init] == [("*.norm.bias", "ones")]


@pytest.mark.parametrize(
    ("written", "code", "message"),
    [
        ("vars.layer=3", "unknown-name", "vars has no 'layer' to set"),
        ("nodes.embd.width=3", "unknown-node", "nodes has no 'embd' to set"),
        ("var.layers=3", "set", "the spec has no 'var' to set"),
        ("vars.layers", "set", "write --set PATH=VALUE, such as --set vars.layers=4"),
        ("vars.layers=[1", "yaml-syntax", "a bracket that is never closed"),
        ("blocks.Layer.nodes.a=3", "set", "the spec has no 'blocks' to set"),
    ],
)
def test_set_names_what_it_cannot_set(written: str, code: str, message: str) -> None:
    assert [(c, m) for c, _, m in problems(SMALL, written)] == [(code, message)]
