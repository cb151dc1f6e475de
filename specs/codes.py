"""Every code that a message can have: what it means, an example that has it, and the same mended.

`blockgraph explain CODE` prints an entry, `docs/errors.md` lists all. Entries stand in the order of the alphabet.
Most examples are whole specs, and a test holds that the first has the code and the second is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """What `explain` says. `bad` and `good` are specs, or, where a spec alone cannot show it, text."""

    summary: str
    explanation: str
    bad: str
    good: str

    @property
    def is_spec(self) -> bool:
        """Whether the examples are whole specs."""
        return "blockgraph: 1\n" in self.good


def _model(nodes: str, rest: str = "") -> str:
    """A spec with a token input, an embedding, and the given nodes after it."""
    head = f"blockgraph: 1\n{rest}inputs: {{tokens: {{tokens: 100, axis: T}}}}\nnodes:\n"
    return head + "  embed: {type: embedding, width: 64}\n" + nodes


_FFN = "  ffn: {type: ffn, hidden: 256}\n"
_LAYER = """\
blocks:
  Layer:
    nodes:
      attn: {type: attention, heads: 4}
      add: {type: add, in: [x, attn]}
"""

CODES: dict[str, Code] = {
    "alias": Code(
        "a YAML alias (*name)",
        "Aliases make one part of a file the copy of another, and a short file can grow without bounds by them. A spec "
        "has names of its own for that: a value in `vars` is read with `=name`, options that many nodes share stand in "
        "`defaults`, structure that repeats is a block. A text that starts with `*` needs quotes.",
        _model("  a: &same {type: ffn, hidden: 256}\n  b: *same\n"),
        _model("  a: ffn\n  b: ffn\n", "defaults: {ffn: {hidden: 256}}\n"),
    ),
    "anchor": Code(
        "a YAML anchor (&name)",
        "Anchors name a part of a file so that aliases can copy it. A spec has `vars`, `defaults`, block `params` and "
        "`extends` for that, whose names appear in messages and pictures. A text that starts with `&` needs quotes.",
        _model("  ffn: &feed {type: ffn, hidden: 256}\n"),
        _model(_FFN),
    ),
    "bad-choice": Code(
        "a word that is not among the choices of an option",
        "The option takes one of a few words. The message lists them, or names the nearest.",
        _model("  ffn: {type: ffn, hidden: 256, activation: glue}\n"),
        _model("  ffn: {type: ffn, hidden: 256, activation: gelu}\n"),
    ),
    "bad-name": Code(
        "a name that is not written as names are",
        "Inputs, nodes, vars and params are written in lower case with digits and underscores, beginning with a "
        "letter; blocks in CamelCase; symbolic axes begin with an upper-case letter. Names of nodes are the paths of "
        "weights in checkpoints, so they hold no dots, blanks or dashes.",
        _model("  ffn: {type: ffn, hidden: 256}\n", "vars: {feed-forward: 256}\n"),
        _model("  ffn: {type: ffn, hidden: =feed_forward}\n", "vars: {feed_forward: 256}\n"),
    ),
    "bad-option": Code(
        "a value that an option does not accept",
        "The value has the right kind but lies outside what the option means: a dropout of 1.5, a width of 0, a number "
        "of groups that does not divide the experts.",
        _model("  ffn: {type: ffn, hidden: 256, dropout: 1.5}\n"),
        _model("  ffn: {type: ffn, hidden: 256, dropout: 0.1}\n"),
    ),
    "config": Code(
        "a value in config.json that is missing or of another kind",
        "A published model's config.json gives a preset its sizes, by the `vars:` of the preset's `huggingface:` "
        "section. Each must be there and be of the kind that the preset has: a whole number, a number, true, a text. "
        "Null is taken only where the preset's own value is null, or its section has a list that ends in null.",
        '{"model_type": "gpt2", "n_embd": "768"}',
        '{"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257}',
    ),
    "copies": Code(
        "`copies` that do not fit `repeat`",
        "`copies: k` keeps k sets of weights for the repetitions of a node: repetition i of n uses set i * k // n. It "
        "therefore needs a `repeat`, and k divides it.",
        _model("  layers: {type: Layer, repeat: 6, copies: 4}\n", _LAYER),
        _model("  layers: {type: Layer, repeat: 6, copies: 3}\n", _LAYER),
    ),
    "cut-expression": Code(
        "YAML ended an expression early",
        "Inside `{ }` and `[ ]` a comma or a bracket ends an unquoted text, and ` #` begins a comment everywhere: YAML "
        "reads `{hidden: =min(256, 4*width)}` as two entries. Put such an expression in quotes. At the end of a line "
        "of its own an expression needs quotes only for `: ` and ` #`.",
        _model("  ffn: {type: ffn, hidden: =min(256, 4*width)}\n", "vars: {width: 64}\n"),
        _model('  ffn: {type: ffn, hidden: "=min(256, 4*width)"}\n', "vars: {width: 64}\n"),
    ),
    "dead-input": Code(
        "an input that reaches no output",
        "Nothing that leads to an output reads this input. Wire it with `in:`, or delete it.",
        _model(_FFN).replace("axis: T}}", "axis: T}, extra: {shape: [T, 8]}}"),
        _model("  ffn: {type: ffn, hidden: 256}\n  mix: {type: concat, in: [ffn, extra]}\n").replace(
            "axis: T}}", "axis: T}, extra: {shape: [T, 8]}}"
        ),
    ),
    "dead-node": Code(
        "a node that reaches no output",
        "Its result is computed and thrown away, which is nearly always a wire that was forgotten: a residual `add` "
        "without `in`, an `outputs:` that names an earlier node. A node without `in` reads the node before it.",
        _model("  ffn: {type: ffn, hidden: 256}\n  add: {type: add, in: [embed, embed]}\n"),
        _model("  ffn: {type: ffn, hidden: 256}\n  add: {type: add, in: [embed, ffn]}\n"),
    ),
    "documents": Code(
        "more than one YAML document in a file",
        "A line `---` in the middle of a file begins a second document. A file holds one spec; use `extends` to build "
        "one on another.",
        _model(_FFN) + "---\nblockgraph: 1\n",
        _model(_FFN),
    ),
    "dtype": Code(
        "a value of the wrong type at a port",
        "Numbers, ids (int) and masks (bool) flow along edges. An embedding reads ids, an attention's `mask` is bool, "
        "and layers compute on float.",
        _model("  again: {type: embedding, width: 64}\n"),
        _model("  again: {type: embedding, width: 64, in: tokens}\n  add: {type: add, in: [embed, again]}\n"),
    ),
    "duplicate-key": Code(
        "a key that is written twice in one mapping",
        "YAML loaders keep the last one without a word, and the first is lost. Names of nodes are keys too: each node "
        "of a block needs its own.",
        _model("  ffn: {type: ffn, hidden: 256}\n  ffn: {type: ffn, hidden: 128}\n"),
        _model("  ffn1: {type: ffn, hidden: 256}\n  ffn2: {type: ffn, hidden: 128}\n"),
    ),
    "duplicate-name": Code(
        "one name for two things",
        "Inputs and nodes of a block share one set of names, because references name both; so do a block's params and "
        "the options that every node has.",
        _model("  tokens: {type: ffn, hidden: 256}\n"),
        _model(_FFN),
    ),
    "encoding": Code(
        "bytes or characters that a YAML file cannot hold",
        "Specs are UTF-8 text. Editors can save as UTF-8; a NUL or another control character is usually a sign that "
        "the file is no text at all.",
        "a file saved as UTF-16 or Latin-1, or one with a NUL character in it",
        "the same file saved as UTF-8",
    ),
    "expression": Code(
        "an expression that cannot be read or computed",
        "A value that starts with `=` is an expression: arithmetic, comparison, `and or not`, `… if … else …`, `in`, "
        "`x[i]`, `x.key`, lists, the functions min max round ceil sqrt log len, and true, false, null. It is at most "
        "200 characters long; numbers stay below 2**63.",
        _model("  ffn: {type: ffn, hidden: =4*(width}\n", "vars: {width: 64}\n"),
        _model("  ffn: {type: ffn, hidden: =4*width}\n", "vars: {width: 64}\n"),
    ),
    "extends": Code(
        "an `extends` that cannot be followed",
        "`extends` takes a preset's name, a path relative to the file that it stands in, or a list of these. Paths "
        "lead to regular files in the folder of the spec.",
        "blockgraph: 1\nextends: 5\n",
        "extends: gpt2",
    ),
    "extends-cycle": Code(
        "files that extend each other in a circle",
        "A file cannot extend itself, directly or through others.",
        "a.yaml has `extends: b.yaml`, and b.yaml has `extends: a.yaml`",
        "both have `extends: common.yaml`",
    ),
    "float-size": Code(
        "a number with a fraction where a whole number belongs",
        "Sizes and counts are whole numbers. `/` gives a fraction even where it divides evenly into a whole float "
        "(which is accepted); write `//` to divide into a whole number. `1e5` is whole and accepted.",
        _model("  ffn: {type: ffn, hidden: =width / 3}\n", "vars: {width: 64}\n"),
        _model("  ffn: {type: ffn, hidden: =width // 3}\n", "vars: {width: 64}\n"),
    ),
    "heads": Code(
        "heads that do not divide the width",
        "An attention splits its width over its heads, and its key heads over its query heads, evenly. Choose a number "
        "that divides, or set `head_dim`, which makes the heads independent of the width.",
        _model("  attn: {type: attention, heads: 7}\n"),
        _model("  attn: {type: attention, heads: 8}\n"),
    ),
    "init": Code(
        "an `init:` rule that cannot be used",
        "`init:` maps globs over the paths of weights to how they start: normal, zeros, ones, xavier_uniform, "
        "xavier_normal, kaiming_uniform, kaiming_normal, trunc_normal. The first glob that matches wins.",
        _model(_FFN, 'init: {"*.weight": null}\n'),
        _model(_FFN, 'init: {"*.weight": ones}\n'),
    ),
    "json-syntax": Code(
        "a file named .json that is not JSON",
        "A FILE whose name ends in .json is read as a published model's config.json: one JSON object, at most 64 deep. "
        "The place is where the text stops being JSON. A spec is YAML, in a file named .yaml.",
        '{"model_type": "gpt2",}',
        '{"model_type": "gpt2"}',
    ),
    "later-node": Code(
        "a node that reads one written after it",
        "Only the block's inputs and earlier nodes can be read, so a graph reads from top to bottom; reading a later "
        "one would be a cycle. For recurrence over layers use `repeat`, over positions an rnn, lstm or gru.",
        _model("  add: {type: add, in: [embed, ffn]}\n  ffn: {type: ffn, hidden: 256}\n"),
        _model("  ffn: {type: ffn, hidden: 256}\n  add: {type: add, in: [embed, ffn]}\n"),
    ),
    "merge-key": Code(
        "the merge key `<<`",
        "YAML 1.1's merge key is not part of the language. `defaults` gives options to every node of a type, a block's "
        "`params` to its inside, `extends` merges files.",
        _model("  ffn: {type: ffn, <<: {hidden: 256}}\n"),
        _model(_FFN),
    ),
    "missing-file": Code(
        "a file that is not there or cannot be read",
        "Paths are relative to the file that names them. A name without `.yaml` and without a folder is a preset; "
        "`blockgraph presets` lists them.",
        "blockgraph validate gtp2.yaml",
        "blockgraph validate gpt2",
    ),
    "missing-key": Code(
        "a section without a key that it needs",
        "The message names the key and where it belongs.",
        _model(_FFN).replace("tokens: 100, ", ""),
        _model(_FFN),
    ),
    "missing-option": Code(
        "an option that has no default is not given",
        "Options without a default (`blockgraph blocks TYPE` shows them) are given at the node or in `defaults`.",
        _model("  attn: attention\n"),
        _model("  attn: {type: attention, heads: 4}\n"),
    ),
    "missing-port": Code(
        "a port that needs an input has none",
        "Only the first port takes the node before by itself; `?` ports may stay open; every other one is bound with "
        "`in: [a, b]` or `in: {port: a}`.",
        _model("  same: equal\n"),
        _model(
            "  same: {type: equal, in: [tokens, tokens]}\n"
            "  attn: {type: attention, heads: 4, in: {query: embed, mask: same}}\n"
        ),
    ),
    "missing-space": Code(
        "a colon without the space after it",
        "`{width:64}` is one key, `width:64`, without a value: YAML needs a space after the colon. A text that holds a "
        "colon can be put in quotes.",
        _model("  ffn: {type: ffn, hidden:256}\n"),
        _model(_FFN),
    ),
    "missing-tensor": Code(
        "a weight that no tensor of a published checkpoint becomes",
        "Every weight of the model must come from the file. The message names the weight, the tensor that the rule of "
        "`huggingface: tensors:` would read it from, and the line of that rule. Usually the rule's name is misspelt, "
        "or the model has a part (a bias, a norm, a head) that the published one lacks.",
        "huggingface: {tensors: {wte: embed}}      # and no rule for the weights of `norm`",
        "huggingface: {tensors: {wte: embed, ln_f: norm}}",
    ),
    "not-built": Code(
        "a block that cannot be built from the spec alone",
        "The rows of an embedding that is `pretrained` are the words of a tokenizer. `train` makes one; `build` is "
        "given one (`--tokenizer`, in Python `tokenizer=`), such as that of a run. Without it the spec is validated, "
        "counted and drawn; every command that takes a run's folder uses its weights.",
        "blockgraph build glove.yaml   # a spec whose embedding is `pretrained`",
        "blockgraph build glove.yaml --tokenizer runs/glove-1/tokenizer.json",
    ),
    "number-text": Code(
        "a text that looks like a number",
        "YAML 1.2 reads `100_000` as text. `.inf` and `.nan` are refused, since no option can use them. Large numbers "
        "can be written `1e5`; a text that looks like a number needs quotes.",
        _model(_FFN, "vars: {steps: 100_000}\n"),
        _model("  ffn: {type: ffn, hidden: =hidden}\n", "vars: {hidden: 1e2}\n"),
    ),
    "plugin": Code(
        "a plugin that cannot be used",
        "`--plugin my_blocks.py` reads block types from a Python file. Each is a `BlockType` with options, ports, "
        "rules and a module; a type's name is not one of the built-in ones.",
        "blockgraph validate model.yaml --plugin my_blocks.txt",
        "blockgraph validate model.yaml --plugin my_blocks.py",
    ),
    "recursive-block": Code(
        "a block inside itself",
        "Blocks may use other blocks, but none that leads back to itself: the model would be infinite. `repeat` stacks "
        "a block.",
        _model("  layer: Layer\n", "blocks:\n  Layer:\n    nodes:\n      inner: Layer\n"),
        _model("  layers: {type: Layer, repeat: 2}\n", _LAYER),
    ),
    "repeat": Code(
        "a `repeat` that cannot be",
        "`repeat` is a whole number from 0 on. The first output of each copy feeds the first input of the next, so "
        "both have the same shape.",
        _model("  layers: {type: Layer, repeat: =0 - 1}\n", _LAYER),
        _model("  layers: {type: Layer, repeat: 2}\n", _LAYER),
    ),
    "reserved-name": Code(
        "a name that is taken",
        "`layer` counts repetitions; `type in if repeat copies share tie label about recompute` belong to every node "
        "and cannot be params; nodes cannot be named like what every PyTorch module has (`forward`, `train`, `half`, "
        "…); inputs are not named `state` or `…_mask`, since models are called with these.",
        _model("  forward: {type: ffn, hidden: 256}\n"),
        _model(_FFN),
    ),
    "set": Code(
        "a `--set` that cannot be applied",
        "`--set path.to.key=value` overrides one value; the value is read as YAML. The path leads through keys that "
        "are there.",
        "blockgraph show gpt2 --set vars.layers",
        "blockgraph show gpt2 --set vars.layers=4",
    ),
    "shape": Code(
        "shapes that do not fit together",
        "Every shape is worked out before anything is built. The message gives both shapes as [axis, …, width]; "
        "symbolic axes such as T stand for a length that is known only when the model runs.",
        _model("  wide: {type: linear, width: 96}\n  add: {type: add, in: [embed, wide]}\n"),
        _model("  wide: {type: linear, width: 64}\n  add: {type: add, in: [embed, wide]}\n"),
    ),
    "share": Code(
        "a `share` that cannot be",
        "`share: node` calls an earlier node of the same block again, with its weights and options. It stands instead "
        "of `type`, and only `in`, `if`, `label` and `about` may differ.",
        _model("  ffn: {type: ffn, hidden: 256}\n  again: {share: ffn, hidden: 128}\n"),
        _model("  ffn: {type: ffn, hidden: 256}\n  again: {share: ffn}\n"),
    ),
    "tag": Code(
        "a YAML tag (!name)",
        "Tags tell YAML loaders to make objects of some type, which is how loading a file can run code. A spec needs "
        "none. A text that starts with `!` needs quotes.",
        _model("  ffn: {type: ffn, hidden: !!int 256}\n"),
        _model(_FFN),
    ),
    "tensor-shape": Code(
        "a published tensor of another shape than the weight that it would be",
        "A rule of `huggingface: tensors:` leads from the tensor to the weight, and their shapes differ. A matrix may "
        "be stored with its axes swapped (`transpose: true`), several weights may lie in one tensor (a list, which "
        "cuts it along one axis, with `groups:` where they take turns), or a var has another value than the file.",
        "mlp.c_fc: ffn.up                               # stored as [in, out]",
        "mlp.c_fc: {to: ffn.up, transpose: true}",
    ),
    "tensor-twice": Code(
        "two published tensors that differ and would be the same weight",
        "Two rules lead to one weight, or to an embedding and to a linear that is tied to it. Where both tensors hold "
        "the same numbers that is fine; where they differ, the published model has two weights and the spec one.",
        "vars: {tied: true}       # the file holds wte.weight and another lm_head.weight",
        "vars: {tied: false}",
    ),
    "tie": Code(
        "a `tie` that cannot be",
        "`tie: node` on a linear uses the matrix of an embedding as its weight: the embedding is an earlier node of "
        "the same block, its width is the linear's input width, and its number of rows the linear's width.",
        _model("  ffn: {type: ffn, hidden: 256}\n  logits: {type: linear, tie: ffn}\n"),
        _model("  ffn: {type: ffn, hidden: 256}\n  logits: {type: linear, tie: embed}\n"),
    ),
    "too-big": Code(
        "a size beyond anything that could be built",
        "Sizes are counted from the spec alone, before anything is allocated; what no machine could hold is refused "
        "there. Usually a digit too many.",
        _model("  layers: {type: Layer, repeat: 100000000}\n", _LAYER),
        _model("  layers: {type: Layer, repeat: 100}\n", _LAYER),
    ),
    "too-deep": Code(
        "lists and mappings nested too deeply",
        "64 levels are allowed; specs need about eight.",
        "[[[[[[ … 65 brackets",
        "[[1]]",
    ),
    "too-large": Code(
        "a file that is too large",
        "A spec has at most 1,000,000 bytes and 50,000 values. Repetition is said with `repeat`, not written out.",
        "a file of 2 MB",
        "blocks in a library file, brought in with `extends`",
    ),
    "too-many-inputs": Code(
        "more inputs than ports",
        "`in: [a, b]` fills the ports in their order; the type has fewer. `blockgraph blocks TYPE` shows its ports.",
        _model("  ffn: {type: ffn, hidden: 256, in: [embed, embed]}\n"),
        _model("  ffn: {type: ffn, hidden: 256, in: embed}\n"),
    ),
    "train": Code(
        "a `train:` section that does not fit",
        "The section has one of `steps` and `epochs`; the task needs inputs and an output of its kind; paths are "
        "relative to the file.",
        "train: {task: causal_lm, steps: 100, epochs: 3}",
        "train: {task: causal_lm, steps: 100}",
    ),
    "unknown-key": Code(
        "a key that this section does not have",
        "Keys that mean nothing are refused, since they are usually a slip of the pen that would change the model "
        "silently. The message names the nearest key that there is.",
        _model(_FFN, "varz: {width: 64}\n"),
        _model(_FFN),
    ),
    "unknown-model": Code(
        "a published model that no preset draws",
        "The `model_type` of a config.json, or the class that it names in `architectures`, is none that a shipped "
        "preset knows. The message lists those that are known. Other models are written as specs.",
        '{"model_type": "gpt2", "architectures": ["GPT2DoubleHeadsModel"]}',
        '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}',
    ),
    "unknown-name": Code(
        "an expression reads a name that is not there",
        "Options know `vars`, the block's params and `layer` (inside a `repeat`); wiring (`in`, `share`, `tie`) knows "
        "nodes and inputs besides. `vars` are evaluated in order, so each can use those before it.",
        _model("  a: {type: linear, width: =width}\n  b: {type: ffn, hidden: =4*widht}\n", "vars: {width: 64}\n"),
        _model("  a: {type: linear, width: =width}\n  b: {type: ffn, hidden: =4*width}\n", "vars: {width: 64}\n"),
    ),
    "unknown-node": Code(
        "a reference to a node that is not there",
        "References name inputs and nodes of the same block. To use a node of an outer block, give the block an input "
        "and bind it where the block is called.",
        _model("  ffn: {type: ffn, hidden: 256}\n  add: {type: add, in: [embed, fnn]}\n"),
        _model("  ffn: {type: ffn, hidden: 256}\n  add: {type: add, in: [embed, ffn]}\n"),
    ),
    "unknown-option": Code(
        "an option that this type does not have",
        "`blockgraph blocks TYPE` lists a type's options. A block of your own has the options that its `params` name.",
        _model("  ffn: {type: ffn, hidden: 256, activaton: relu}\n"),
        _model("  ffn: {type: ffn, hidden: 256, activation: relu}\n"),
    ),
    "unknown-output": Code(
        "a reference to an output that a node does not have",
        "`node.output` reads one of several outputs. Most types have one, which the bare name means; rnn, lstm and gru "
        "have `out` and `final`; split has those that `into` names; a block those of its `outputs`.",
        _model("  lstm: {type: lstm, width: 64}\n  ffn: {type: ffn, hidden: 256, in: lstm.last}\n"),
        _model("  lstm: {type: lstm, width: 64}\n  ffn: {type: ffn, hidden: 256, in: lstm.out}\n"),
    ),
    "unknown-port": Code(
        "an input port that this type does not have",
        "`in: {port: reference}` names ports: those of the type (`blockgraph blocks TYPE`), or the `inputs` of your "
        "block.",
        _model("  attn: {type: attention, heads: 4, in: {keys: embed}}\n"),
        _model("  attn: {type: attention, heads: 4, in: {key: embed}}\n"),
    ),
    "unknown-type": Code(
        "a block type that is not there",
        "Built-in types are written in snake_case (`blockgraph blocks` lists them), blocks of the file's `blocks:` in "
        "CamelCase; a plugin's types need `--plugin`.",
        _model("  attn: {type: atention, heads: 4}\n"),
        _model("  attn: {type: attention, heads: 4}\n"),
    ),
    "unknown-weight": Code(
        "a rule that leads to a weight that the model does not have",
        "A published tensor has a rule in `huggingface: tensors:`, and what stands on its right is no weight of the "
        "model: a misspelt node, or a part that a var switches off (a bias). A tensor that is not needed belongs in "
        "`ignore:`.",
        "huggingface: {tensors: {ln_f: nrom}}",
        "huggingface: {tensors: {ln_f: norm}}",
    ),
    "unmapped-tensor": Code(
        "a published tensor that no rule is for",
        "Reading a checkpoint is total: each of its tensors becomes a weight by a rule of `huggingface: tensors:`, or "
        "a pattern of `ignore:` says that it is not needed. What is merely left over is often a part of the published "
        "model that the spec lacks, and leaving it out would give other numbers.",
        "huggingface: {tensors: {wte: embed}}      # the file has wpe.weight too",
        "huggingface: {tensors: {wte: embed, wpe: positions}, ignore: ['*.attn.masked_bias']}",
    ),
    "unsupported-model": Code(
        "a published model with a part that the preset lacks",
        "The config.json switches something on that the preset for its `model_type` does not have, such as "
        "attention to an encoder. It is refused, since the picture and the numbers would be those of another model. "
        "A spec that `extends` the preset can add the part.",
        '{"model_type": "gpt2", "add_cross_attention": true}',
        '{"model_type": "gpt2", "add_cross_attention": false}',
    ),
    "unused-var": Code(
        "a variable that nothing reads",
        "A warning: the model is built. A var that changes nothing is usually a misspelt one or a left-over. A var "
        "that is null says nothing, so that a file can name what others that extend it may set.",
        _model(_FFN, "vars: {hiden: 256}\n"),
        _model("  ffn: {type: ffn, hidden: =hidden}\n", "vars: {hidden: 256}\n"),
    ),
    "version": Code(
        "the language's version is missing or not known",
        "A spec begins with `blockgraph: 1`, libraries too; a file that extends another inherits it.",
        _model(_FFN).replace("blockgraph: 1", "blockgraph: 2"),
        _model(_FFN),
    ),
    "wrong-type": Code(
        "a text, number, list or mapping where another belongs",
        "The message says what belongs there. `on`, `off`, `yes` and `no` are texts; true and false are written out.",
        _model("  attn: {type: attention, heads: 4, causal: yes}\n"),
        _model("  attn: {type: attention, heads: 4, causal: true}\n"),
    ),
    "yaml-syntax": Code(
        "text that is not YAML",
        "The message says what stands there and how it can be mended: usually a bracket or quote that is not closed, a "
        "tab in the indentation, a line that is indented unlike its neighbours, or a `:` in a text without quotes.",
        _model("  ffn: {type: ffn, hidden: 256\n"),
        _model(_FFN),
    ),
}  # fmt: skip
