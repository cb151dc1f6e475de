"""Spec to block graph: params, choices, wiring and shapes are settled, block by block; nothing is allocated. No torch.

A block is analysed once for each distinct set of params and inputs; copies of a repeated block that never look at
`layer` share one analysis, so 126 layers cost what 2 cost. A node whose input is wrong stays silent.
"""

from __future__ import annotations

import keyword
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

from blockgraph.builder.calls import CallAnalyser, TooMuchError
from blockgraph.builder.counts import check_size, default_sizes
from blockgraph.builder.frames import FAILED, Frame, Local, Outcome, ReportedError
from blockgraph.builder.graph import Definition, Input, Model, Output, Ref
from blockgraph.builder.network import dead_names
from blockgraph.builder.scope import Handle, Layer, Scope
from blockgraph.builder.shapes import Size, Value
from blockgraph.builder.wiring import WiringError, reference
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.expressions import ExpressionError, evaluate
from blockgraph.specs.places import Span
from blockgraph.specs.problems import from_expression
from blockgraph.specs.reading import names_read
from blockgraph.specs.spec import Block, Broken, Node, Spec
from blockgraph.specs.suggest import did_you_mean
from blockgraph.specs.tree import find

# In a block that nothing calls only what no input could mend is told.
ALONE = frozenset(
    {
        "unknown-node",
        "later-node",
        "unknown-type",
        "unknown-option",
        "unknown-name",
        "unknown-port",
        "expression",
        "recursive-block",
    }
)


def analyse(spec: Spec, diagnostics: Diagnostics) -> Model | None:
    """The block graph of `spec`, or None where errors were added to `diagnostics` or the spec is a library."""
    analyser = Analyser(spec, diagnostics)
    try:
        root = analyser.root() if spec.root.nodes else None
        analyser.check_uncalled()
    except TooMuchError:
        return None
    if diagnostics.has_errors or root is None:
        return None
    model = Model(root, analyser.definitions, spec.name or "model", spec.about, spec=spec)
    model.sizes = default_sizes(model, spec)
    check_size(model, spec, diagnostics)
    return None if diagnostics.has_errors else model


class Analyser:
    """Analyses blocks and remembers them; `calls.py` analyses the nodes inside."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec = spec
        self.diagnostics = diagnostics
        self.definitions: list[Definition] = []
        self.active: list[str] = []
        self.trail: list[str] = []
        self.called: set[str] = set()
        self.work = 0
        self._outcomes: dict[tuple[Any, ...], Outcome] = {}
        self._distinct: dict[Hashable, Definition] = {}
        self._calls = CallAnalyser(self)

    # -- diagnostics -------------------------------------------------------------------------------------------------

    def context(self, node: str | None = None) -> str | None:
        trail = [*self.trail, *([node] if node else [])]
        return "in " + " → ".join(trail) if self.trail else None

    def error(
        self, code: str, message: str, path: tuple[str | int, ...], help: str | None = None, *, key: bool = False
    ) -> None:
        self.diagnostics.error(code, message, self.spec.place(*path, key=key), help=help)

    @staticmethod
    def failed(value: Any) -> bool:
        return value is FAILED

    def evaluate(self, raw: Any, scope: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
        """The value of `raw`, with all expressions in it computed; FAILED after reporting an error."""
        if self.spec.broken and names_read(find(self.spec.tree, path) or self.spec.tree) & self.spec.broken:
            return FAILED
        try:
            return evaluate(raw, scope)
        except ExpressionError as error:
            from_expression(error, self.spec.tree, path, self.diagnostics)
            return FAILED

    # -- blocks ------------------------------------------------------------------------------------------------------

    def root(self) -> Definition | None:
        block = self.spec.root
        scope = Scope(self.spec.vars)
        params = self.params(block, {}, scope, ())
        inputs = self._root_inputs(block, scope)
        values = {name: given.value if given else None for name, given in inputs.items()}
        outcome = self._analyse(block, Scope(self.spec.vars, params), values, {})
        if outcome.definition is not None:
            outcome.definition.inputs = {name: given for name, given in inputs.items() if given is not None}
        return outcome.definition

    def params(
        self, block: Block, given: Mapping[str, Any], scope: Scope, path: tuple[str | int, ...]
    ) -> dict[str, Any]:
        """The block's params for one call: given ones (already evaluated), else defaults, in order."""
        settled: dict[str, Any] = {}
        for name, default in block.params.items():
            value = given.get(name)
            if value is None:
                value = self.evaluate(
                    default, Scope(self.spec.vars, settled, scope.layer), (*block.path, "params", name)
                )
            settled[name] = value
        return settled

    def define(
        self,
        block: Block,
        params: dict[str, Any],
        inputs: dict[str, Value | None],
        layer: Layer | None,
        origins: dict[str, Span | None],
    ) -> Outcome:
        """Analyses `block` for these params and inputs, or remembers that it did."""
        self.called.add(block.name)
        own = {name: value and replace(value, mask=name if value.mask else None) for name, value in inputs.items()}
        key: tuple[Any, ...] = (block.name, repr(params), tuple(own.items()))
        known = self._outcomes.get(key)
        if known is None and layer is not None:
            known = self._outcomes.get((*key, layer.index))
            layer.read = layer.read or known is not None
        if known is None:
            inner = Layer(layer.index) if layer is not None else None
            known = self._analyse(block, Scope(self.spec.vars, params, inner), own, origins)
            read = inner is not None and inner.read
            self._outcomes[(*key, inner.index) if read and inner else key] = known
            if layer is not None:
                layer.read = layer.read or read
        return known

    def _analyse(
        self, block: Block, scope: Scope, inputs: dict[str, Value | None], origins: dict[str, Span | None]
    ) -> Outcome:
        frame = Frame(block, scope, wrong=any(value is FAILED for value in scope.params.values()))
        for name, value in inputs.items():
            frame.locals[name] = Local([None if value is None else {"out": value}], origin=origins.get(name))
        self.active.append(block.name)
        previous = next(iter(inputs), None)
        for name, node in block.nodes.items():
            if isinstance(node, Broken):
                frame.locals[name] = Local([None])
                frame.wrong = True
            else:
                self._calls.analyse(frame, node, previous)
            previous = name
        self.active.pop()
        return self._finish(frame, inputs)

    def _finish(self, frame: Frame, inputs: dict[str, Value | None]) -> Outcome:
        outputs = self._outputs(frame)
        values = {name: output.value if output else None for name, output in outputs.items()}
        origins = {name: frame.locals[output.ref.node].origin if output else None for name, output in outputs.items()}
        block = frame.block
        if not outputs and not frame.wrong:
            self.error("missing-key", f"{block.name} has no output: it needs at least one node", block.path, key=True)
            frame.wrong = True
        if frame.wrong or any(value is None for value in (*inputs.values(), *values.values())):
            return Outcome(None, values, origins)
        definition = Definition(
            block.name or self.spec.name or "model",
            {name: Input(value) for name, value in inputs.items() if value is not None},
            frame.calls,
            {name: output for name, output in outputs.items() if output is not None},
            block.label,
            block.about,
        )
        known = self._distinct.setdefault(definition.content, definition)
        if known is definition:
            for name in dead_names(definition):
                if not _waits(frame.block, name):
                    self._dead(frame, definition, name)
            self.definitions.append(definition)
        return Outcome(known, values, origins)

    def _dead(self, frame: Frame, definition: Definition, name: str) -> None:
        frame.wrong = True
        if name in definition.inputs:
            self.error(
                "dead-input",
                f"nothing reads the input '{name}'",
                self._input_path(frame.block, name),
                "read it in some node's `in`, or leave it out",
                key=True,
            )
        else:
            self.error(
                "dead-node",
                f"'{name}' reaches no output",
                frame.path(name),
                "read it in some node's `in`, name it under `outputs`, or leave it out",
                key=True,
            )

    def _input_path(self, block: Block, name: str) -> tuple[str | int, ...]:
        """Where an input is written: in a mapping (of the model) or in a list of names."""
        path = (*block.path, "inputs", name)
        return path if self.spec.written(*path) else (*block.path, "inputs", list(block.inputs).index(name))

    # -- outputs -----------------------------------------------------------------------------------------------------

    def _outputs(self, frame: Frame) -> dict[str, Output | None]:
        """Output name to reference and value; None where that is not known."""
        block = frame.block
        if not frame.block.nodes:
            return {}
        if block.outputs is None:
            last = list(block.nodes)[-1]
            return {last: self._output(frame, Handle(last), (*block.path, "nodes", last), None)}
        if not isinstance(block.outputs, Mapping):
            found = self._output(frame, block.outputs, (*block.path, "outputs"), None)
            return {found.ref.node if found else "out": found}
        named = {}
        for name, output in block.outputs.items():
            path = (*block.path, "outputs", name)
            named[name] = self._output(frame, output.source, path, output.label)
        return named

    def _output(self, frame: Frame, raw: Any, path: tuple[str | int, ...], label: str | None) -> Output | None:
        def compute(value: Any, _: Any) -> Any:
            found = self.evaluate(value, frame.wiring_scope(frame.scope), path)
            if found is FAILED:
                raise ReportedError
            return found

        try:
            handle = raw if isinstance(raw, Handle) else reference(raw, (), compute)
            if handle is None:
                raise WiringError("unknown-node", "an output needs a node")
            ref, value = self.look_up(frame, handle, ())
        except ReportedError:
            frame.wrong = True
            return None
        except WiringError as error:
            self.error(error.code, error.message, path, error.help)
            frame.wrong = True
            return None
        return None if value is None else Output(ref, value, label)

    def look_up(self, frame: Frame, handle: Handle, path: tuple[str | int, ...]) -> tuple[Ref, Value | None]:
        """The reference behind a handle, past nodes that are not there, and its value (None: not known)."""
        local = frame.locals.get(handle.node)
        if local is None:
            raise _unknown(frame, handle, path)
        if local.alias is not None:
            return self.look_up(frame, Handle(local.alias.node, local.alias.output, local.alias.index), path)
        index = handle.index
        if index is not None and not -len(local.values) <= index < len(local.values):
            raise WiringError(
                "unknown-node", f"'{handle.node}' has {len(local.values)} repetitions; there is no [{index}]", path
            )
        values = local.values[-1 if index is None else index]
        ref = Ref(handle.node, handle.output, None if index is None else index % len(local.values))
        if values is None:
            return ref, None
        if handle.output is None:
            return ref, next(iter(values.values()))
        if handle.output not in values or handle.node in frame.block.inputs:
            outputs = [] if handle.node in frame.block.inputs else list(values)
            help = did_you_mean(handle.output, outputs) or (
                f"its outputs: {', '.join(outputs)}" if outputs else f"write {handle.node}"
            )
            raise WiringError("unknown-output", f"'{handle.node}' has no output '{handle.output}'", path, help)
        return ref, values[handle.output]

    # -- inputs of the model -----------------------------------------------------------------------------------------

    def _root_inputs(self, block: Block, scope: Scope) -> dict[str, Input | None]:
        found: dict[str, Input | None] = {}
        axes: dict[str, str] = {}
        for name, model in block.inputs.items():
            path = ("inputs", name)
            if keyword.iskeyword(name):
                self.error("reserved-name", f"an input cannot be named '{name}': Python keeps the word", path, key=True)
            if model is None:
                found[name] = None
                continue
            fields = {
                key: self.evaluate(getattr(model, key), scope, (*path, key))
                for key in ("tokens", "shape", "pad", "start", "end", "default", "batch", "axis")
            }
            if any(value is FAILED for value in fields.values()):
                found[name] = None
            elif fields["tokens"] is not None:
                found[name] = self._token_input(name, fields, axes, model.label)
            else:
                found[name] = self._tensor_input(name, fields, model.dtype, model.label)
        self._check_defaults(found)
        return found

    def _token_input(self, name: str, fields: dict[str, Any], axes: dict[str, str], label: str | None) -> Input | None:
        tokens = self._whole(fields["tokens"], ("inputs", name, "tokens"), 1)
        if tokens is None:
            return None
        axis = fields["axis"] or "T"
        mask = axes.setdefault(str(axis), name)  # one mask per axis: that of its first token input
        value = replace(
            Value.of(fields["batch"] or "B", axis, dtype="int", mask=mask), vocabulary=tokens, pad=fields["pad"]
        )
        for word in ("pad", "start", "end", "default"):
            if fields[word] is not None and not (isinstance(fields[word], int) and 0 <= fields[word] < tokens):
                self.error(
                    "bad-option", f"{word} must be an id below {tokens}, not {fields[word]!r}", ("inputs", name, word)
                )
                return None
        return Input(value, label, fields["start"], fields["end"], fields["default"])

    def _tensor_input(self, name: str, fields: dict[str, Any], dtype: Any, label: str | None) -> Input | None:
        shape: list[Size] = [Size.of(fields["batch"] or "B")]
        for number, size in enumerate(fields["shape"] or []):
            if isinstance(size, str) and size[:1].isupper():
                shape.append(Size.of(size))
                continue
            whole = self._whole(size, ("inputs", name, "shape", number), 1)
            if whole is None:
                return None
            shape.append(Size.of(whole))
        return Input(Value(tuple(shape), dtype), label, default=fields["default"])

    def _check_defaults(self, inputs: dict[str, Input | None]) -> None:
        """An input that may be left out takes its sizes from one that may not."""
        for name, given in inputs.items():
            if given is not None and given.default is not None:
                others = (other for other in inputs.values() if other is not None and other.default is None)
                if not any(other.value.shape[:2] == given.value.shape for other in others):
                    message = (
                        f"'{name}' has a default, but no other input has its axes {given.value} to take the sizes from"
                    )
                    self.error(
                        "shape", message, ("inputs", name, "default"), "give it the `axis` of another token input"
                    )

    def _whole(self, value: Any, path: tuple[str | int, ...], least: int) -> int | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31:
            return value
        if isinstance(value, float):
            self.error("float-size", f"{value!r} is not a whole number", path, "divide with //")
        else:
            self.error("bad-option", f"{value!r} is not a whole number from {least} to 2147483647", path)
        return None

    # -- blocks that nothing calls -----------------------------------------------------------------------------------

    def check_uncalled(self) -> None:
        """Looks through blocks that no node calls, as far as that goes without inputs."""
        kept, self.diagnostics = self.diagnostics, Diagnostics()
        for name, block in self.spec.blocks.items():
            if name not in self.called:
                scope = Scope(self.spec.vars, {}, Layer(0))
                self.define(block, self.params(block, {}, scope, ()), dict.fromkeys(block.inputs), Layer(0), {})
        for diagnostic in self.diagnostics:
            if diagnostic.code in ALONE:
                kept.add(diagnostic)
        self.diagnostics = kept


def _unknown(frame: Frame, handle: Handle, path: tuple[str | int, ...]) -> WiringError:
    if handle.node in frame.block.nodes:
        message = f"'{handle.node}' comes later in the file; a node reads only what stands above it"
        return WiringError("later-node", message, path, "move it up: a graph has no cycles")
    names = list(frame.locals)
    return WiringError(
        "unknown-node",
        f"there is no node or input '{handle.node}' here",
        path,
        did_you_mean(handle.node, names) or f"known here: {', '.join(names[:12])}",
    )


def _waits(block: Block, name: str) -> bool:
    """Whether it is an input that may be left out, and only nodes whose `if` takes them out here read it."""
    if getattr(block.inputs.get(name), "default", None) is None:
        return False
    wired = [node.wiring for node in block.nodes.values() if isinstance(node, Node) and node.has_condition]
    return any(name in _mentioned(wiring) for wiring in wired)


def _mentioned(wiring: Any) -> set[str]:
    """The texts of an `in:` as written."""
    parts = wiring.values() if isinstance(wiring, Mapping) else wiring if isinstance(wiring, list) else [wiring]
    return {text for part in parts for text in (part if isinstance(part, list) else [part]) if isinstance(text, str)}
