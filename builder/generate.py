"""The block graph as Python source: one `nn.Module` class per distinct block, straight-line forwards. No torch.

The same text runs in memory (`build.py`) and stands alone when exported (`export.py`). A node's name is an attribute
(hence a key of the state dict); variables carry a trailing underscore, so that a node may be called `self` or `x`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

from blockgraph.builder.classes import BlockClass, Classes
from blockgraph.builder.counts import owners
from blockgraph.builder.forward import Forward
from blockgraph.builder.graph import Call, Definition, Leaf, Model, Step
from blockgraph.builder.root_forward import RootForward
from blockgraph.builder.streaming import Streaming, stateful, stateful_call, streaming

RUNTIME = {"Model", "State", "Tensor", "nn", "torch", "checkpoint"}
TORCH_IMPORTS = ("import torch", "from torch import Tensor, nn", "from torch.utils.checkpoint import checkpoint")


def generate(model: Model, imports: bool = True) -> str:
    """The source of all classes of `model`, callees first; the last class is the model. `imports`: with the lines that
    import the blocks (the exported file carries their source instead)."""
    made = _constructed(model)
    classes = Classes(model.definitions, {*RUNTIME, *made, root_name(model)})
    classes.of(model.root).name = root_name(model)
    plan = streaming(model.root)
    parts = [_header(model, made)] if imports else []
    parts += [_Writer(found, classes, plan if found.sample is model.root else None).text() for found in classes.classes]
    return "\n\n".join(parts)


def root_name(model: Model) -> str:
    """The model's class name: `bert-base` is BertBase."""
    words = re.findall(r"[A-Za-z0-9]+", model.name)
    name = "".join(word[:1].upper() + word[1:] for word in words) or "Network"
    name = f"Model{name}" if name[0].isdigit() else name
    return (
        f"{name}Model"
        if name in _constructed(model) or name in {d.name for d in model.definitions[:-1]} or name in RUNTIME
        else name
    )


def _constructed(model: Model) -> dict[str, Any]:
    """Class name to the Python module it comes from, for every leaf."""
    found: dict[str, Any] = {}
    for definition in model.definitions:
        for call in definition.calls.values():
            for step in call.steps:
                if isinstance(step.body, Leaf):
                    found[step.body.construct.name] = step.body.type.module
    return found


def constructed(model: Model) -> Mapping[str, Any]:
    return _constructed(model)


def _header(model: Model, made: Mapping[str, Any]) -> str:
    names: dict[str, list[str]] = {"blockgraph.blocks.model": ["Model"], "blockgraph.blocks.state": ["State"]}
    for name, module in made.items():
        if isinstance(module, str):
            names.setdefault(module, []).append(name)
    lines = [f'"""{_line(model.about or model.name)}"""', "", *TORCH_IMPORTS, ""]
    lines += [f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(names.items())]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """One line of a docstring: nothing in it ends the string."""
    text = " ".join(text.replace("\\", "\\\\").replace('"""', "'''").split())
    return f"{text} " if text.endswith('"') else text


def wrap(line: str, width: int = 100) -> list[str]:
    """A line that is too long, with what its first bracket of several parts holds one to a line, or packed if short;
    what is far too long even so is cut again."""
    if len(line) <= width or '"""' in line:
        return [line]
    for start in (place for place, letter in enumerate(line) if letter in "([{"):
        parts, end = _parts(line, start)
        if len(parts) > 1 and (" for " not in parts[0] or parts[0].startswith("*")):
            indent = " " * (len(line) - len(line.lstrip()))
            inside = [f"{indent}    {text}," for text in (_packed(parts, width) if len(parts) > 12 else parts) if text]
            shorter = [each for text in inside for each in (wrap(text, width) if len(text) > width + 20 else [text])]
            return [line[: start + 1], *shorter, f"{indent}{line[end:]}"]
    return [line]


def _parts(line: str, start: int) -> tuple[list[str], int]:
    """What stands between the commas of the bracket at `start`, and where it closes."""
    parts, depth, quote, part = [], 0, "", ""
    end = start
    for end in range(start, len(line)):
        letter = line[end]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if depth == 0:
            break
        if letter == "," and depth == 1 and not quote:
            parts.append(part.strip())
            part = ""
        elif end > start:
            part += letter
    return [*parts, part.strip()], end


def _packed(parts: list[str], width: int) -> list[str]:
    """Many short parts, several to a line."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) < width - 20:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def attribute(owner: str, name: str) -> str:
    """`self.attn`, also where the node's name is a word that Python keeps."""
    return f'getattr({owner}, "{name}")' if keyword.iskeyword(name) else f"{owner}.{name}"


class _Writer:
    """Writes one class."""

    def __init__(self, found: BlockClass, classes: Classes, plan: Streaming | None) -> None:
        self.found, self.classes, self.plan = found, classes, plan
        self.definition = found.sample
        self.arguments = found.arguments
        self.position = 0

    def text(self) -> str:
        base = "Model" if self.plan else "nn.Module"
        lines = [f"class {self.found.name}({base}):", *_indented(self._docstring()), ""]
        lines += _indented([*self._init(), ""])
        forward = RootForward(self.definition, self.plan) if self.plan else Forward(self.definition)
        lines += _indented(forward.lines())
        keeps = [call for call in self.definition.calls.values() if stateful_call(call) and forward.keeps_state(call)]
        if keeps or (self.plan and self.plan.refusal is None):
            lines += ["", *_indented(self._new_cache(keeps))]
        return "\n".join(wrapped for line in lines for wrapped in wrap(line)) + "\n"

    def _docstring(self) -> Iterator[str]:
        inputs = ", ".join(f"{name} {given.value}" for name, given in self.definition.inputs.items())
        outputs = ", ".join(f"{name} {output.value}" for name, output in self.definition.outputs.items())
        about = f"{_line(self.definition.about)}: " if self.definition.about else ""
        yield f'"""{about}{inputs} -> {outputs}."""'
        if self.plan and self.plan.refusal:
            yield ""
            yield f"refusal = {self.plan.refusal!r}"

    # -- __init__ ----------------------------------------------------------------------------------------------------

    def _init(self) -> list[str]:
        values = self.classes.values(self.definition)
        given = "".join(f", {name}: {type(values[position]).__name__}" for position, name in self.arguments.items())
        lines = [f"def __init__(self{given}) -> None:", "    super().__init__()"]
        for call in self.definition.calls.values():
            if call.weights_of is None:
                lines += [f"    {line}" for line in self._module(call)]
        return lines

    def _module(self, call: Call) -> list[str]:
        made = [self._constructor(call, step) for step in owners(call)]
        expression = made[0] if call.repeat is None else self._stack(made)
        if keyword.iskeyword(call.name):
            return [f'self.add_module("{call.name}", {expression})']
        return [f"self.{call.name} = {expression}"]

    @staticmethod
    def _stack(made: list[str]) -> str:
        runs: list[tuple[str, int]] = []
        for text in made:
            runs = [*runs[:-1], (text, runs[-1][1] + 1)] if runs and runs[-1][0] == text else [*runs, (text, 1)]
        if len(runs) == 1 and len(made) > 1:
            return f"nn.ModuleList({made[0]} for _ in range({len(made)}))"
        parts = [
            f"*({text} for _ in range({count}))" if count > 2 else ", ".join([text] * count) for text, count in runs
        ]
        return f"nn.ModuleList([{', '.join(parts)}])"

    def _constructor(self, call: Call, step: Step) -> str:
        if isinstance(step.body, Leaf):
            leaf = step.body
            given = [
                f"{name}={self._literal(value, name in leaf.rules.lifted)}"
                for name, value in leaf.construct.arguments.items()
            ]
            return f"{leaf.construct.name}({', '.join(given)})"
        inner = self.classes.of(step.body)
        values = self.classes.values(step.body)
        given = [
            f"{name}={self._number(values[position], self.position + position)}"
            for position, name in inner.arguments.items()
        ]
        self.position += len(values)
        return f"{inner.name}({', '.join(given)})"

    def _number(self, value: Any, position: int) -> str:
        return self.arguments.get(position) or repr(value)

    def _literal(self, value: Any, liftable: bool) -> str:
        """The Python literal; a number that members of the class differ in is the constructor's argument."""
        if isinstance(value, Mapping):
            return "{" + ", ".join(f'"{key}": {self._literal(item, liftable)}' for key, item in value.items()) + "}"
        if isinstance(value, (list, tuple)):
            return "(" + "".join(f"{item!r}, " for item in value).rstrip() + ")" if value else "()"
        if isinstance(value, float) or (liftable and isinstance(value, int) and not isinstance(value, bool)):
            self.position += 1
            return self._number(value, self.position - 1)
        return _quoted(value)

    # -- state -------------------------------------------------------------------------------------------------------

    def _new_cache(self, keeps: list[Call]) -> list[str]:
        lines = ["def new_cache(self, batch: int, length: int, **options) -> dict:"]
        if not keeps:
            return [*lines, "    return {}"]
        lines.append("    return {")
        lines += [f'        "{call.name}": {self._cache(call)},' for call in keeps]
        return [*lines, "    }"]

    @staticmethod
    def _cache(call: Call) -> str:
        owner = attribute("self", call.weights_of or call.name)
        made = "new_cache(batch, length, **options)"
        if call.repeat is None:
            return f"{owner}.{made}"
        if not all(stateful(step.body) for step in call.steps):
            each = [f"{owner}[{i}].{made}" if stateful(step.body) else "None" for i, step in enumerate(call.steps)]
            return f"[{', '.join(each)}]"
        if call.copies is not None:
            return f"[{owner}[i * {call.copies} // {call.repeat}].{made} for i in range({call.repeat})]"
        return f"[layer.{made} for layer in {owner}]"


def _indented(lines: Any) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        text = repr(value)
        return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text
    return repr(value)


def distinct(model: Model) -> int:
    """How many classes `generate` writes."""
    return len(Classes(model.definitions, set()).classes)


__all__ = ["Definition", "attribute", "constructed", "distinct", "generate", "root_name"]
