"""Which names a spec may use, and what each kind of name looks like."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
BLOCK_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
AXIS: Final = re.compile(r"[A-Z][A-Z0-9_]*")

TOP_KEYS: Final = (
    "blockgraph",
    "name",
    "about",
    "extends",
    "vars",
    "defaults",
    "params",
    "blocks",
    "inputs",
    "nodes",
    "outputs",
    "init",
    "train",
    "huggingface",
)
BLOCK_KEYS: Final = ("label", "about", "inputs", "params", "nodes", "outputs")
NODE_KEYS: Final = ("type", "share", "in", "if", "repeat", "copies", "tie", "label", "about", "recompute")
SHARE_KEYS: Final = ("share", "in", "if", "label", "about")

FUNCTIONS: Final = frozenset({"min", "max", "round", "ceil", "sqrt", "log", "len"})
WORDS: Final = frozenset({"true", "false", "null", "and", "or", "not", "in", "is", "if", "else", "layer"})

# What `nn.Module` owns (a test compares this with torch), and what the model itself adds to it.
MODULE_NAMES: Final = frozenset(
    (
        "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "compile", "cpu", "cuda", "double",
        "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer", "get_extra_state", "get_parameter",
        "get_submodule", "half", "ipu", "load_state_dict", "modules", "mtia", "named_buffers", "named_children",
        "named_modules", "named_parameters", "parameters", "register_backward_hook", "register_buffer",
        "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
        "register_full_backward_pre_hook", "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
        "register_module", "register_parameter", "register_state_dict_post_hook", "register_state_dict_pre_hook",
        "requires_grad_", "set_extra_state", "set_submodule", "share_memory", "state_dict", "to", "to_empty", "train",
        "training", "type", "xpu", "zero_grad",
    )
)  # fmt: skip
MODEL_NAMES: Final = frozenset({"definition", "new_state", "reset_parameters", "spec"})


def why_not_a_name(name: str) -> str | None:
    """Why `name` cannot name a node, input, output, param or var; None where it can."""
    if NAME.fullmatch(name):
        return None
    return "a name starts with a small letter and has small letters, digits and _ only"


def snake_case(name: str) -> str:
    """The nearest name that is allowed: `FeedForward-1` becomes `feed_forward_1`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", words.lower())).strip("_").lstrip("0123456789_")
