"""A node that calls a built-in block (or a plugin's): its options, its shapes, its weights. No torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from blockgraph.builder.frames import Edges, Plan, ReportedError
from blockgraph.builder.graph import Leaf, Ref, Step
from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_checks import OWN_MASK
from blockgraph.builder.scope import Handle, Scope
from blockgraph.builder.shapes import Value
from blockgraph.builder.wiring import WiringError, reference
from blockgraph.specs.diagnostics import Related
from blockgraph.specs.options import LinearOptions, Options
from blockgraph.specs.places import Span
from blockgraph.specs.problems import report_options
from blockgraph.specs.registry import BlockType, resolve

if TYPE_CHECKING:
    from blockgraph.builder.analyse import Analyser


class TiedLinearRules(Rules[LinearOptions]):
    """A linear that uses an embedding's matrix as its weight; the bias is its own (Press and Wolf 2017)."""

    def __init__(self, linear: Rules[LinearOptions]) -> None:
        self.linear = linear

    def outputs(self, o: LinearOptions, i: Inputs) -> dict[str, Value]:
        return self.linear.outputs(o, i)

    def construct(self, o: LinearOptions, i: Inputs) -> Construct:
        return Construct("TiedLinear", {"rows": o.width} | ({} if o.bias else {"bias": False}))

    def weights(self, o: LinearOptions, i: Inputs) -> dict[str, tuple[int, ...]]:
        return {"bias": (o.width,)} if o.bias and o.width is not None else {}

    def flops(self, o: LinearOptions, i: Inputs) -> int:
        return self.linear.flops(o, i)


class LeafAnalyser:
    """Validates options and applies rules; equal nodes share one `Leaf`."""

    def __init__(self, analyser: Analyser) -> None:
        self.top = analyser
        self._leaves: dict[tuple[Any, ...], Leaf] = {}
        self._options: dict[tuple[str, str], Options] = {}
        self._rules: dict[str, Rules[Any]] = {}

    # -- options -----------------------------------------------------------------------------------------------------

    def options(self, plan: Plan, type: BlockType, scope: Scope) -> Options | None:
        """The node's options over `defaults:` of its type, evaluated and validated; None after reporting errors."""
        raw = {**self.top.spec.defaults.get(type.name, {}), **plan.like.options}
        path = plan.frame.path(plan.like.name)
        model: Any = resolve(type.options)
        given: dict[str, Any] = {}
        for name, value in raw.items():
            if value is not None and name in model.model_fields:
                place = path if name in plan.like.options else ("defaults", type.name)
                given[name] = self.top.evaluate(value, scope, (*place, name))
            elif value is not None:
                given[name] = value
        if any(self.top.failed(value) for value in given.values()):
            return None
        return self._validated(plan, type, model, {name: value for name, value in given.items() if value is not None})

    def _validated(self, plan: Plan, type: BlockType, model: Any, given: dict[str, Any]) -> Options | None:
        key = (type.name, repr(given))
        if key not in self._options:
            try:
                self._options[key] = model.model_validate(given)
            except ValidationError as error:
                path = plan.frame.path(plan.like.name)
                report_options(error, type, path, given, self.top.spec, self.top.diagnostics)
                return None
        return self._options[key]

    # -- steps -------------------------------------------------------------------------------------------------------

    def step(
        self, plan: Plan, type: BlockType, options: Options, edges: Edges
    ) -> tuple[Step | None, dict[str, Value] | None]:
        try:
            options, tied = self._settle_tie(plan, type, options, edges)
        except ReportedError:
            return None, None
        if any(value is None for found in edges.values() for _, value in found):
            return None, None
        inputs = self._inputs(type, edges)
        try:
            leaf = self._leaf(type, options, inputs, tied)
        except RuleError as error:
            self._report(plan, error, edges)
            return None, None
        outputs = {name: _labelled(value, plan.node.name, name) for name, value in leaf.outputs.items()}
        return Step(leaf, {port: tuple(ref for ref, _ in found) for port, found in edges.items()}, outputs), outputs

    @staticmethod
    def _inputs(type: BlockType, edges: Edges) -> Inputs:
        """Values and edges by port; a port that reads what it follows anyway counts as left open."""
        given = {port: tuple(ref for ref, _ in found) for port, found in edges.items()}
        reads: dict[str, tuple[Ref, ...]] = {}
        for port in type.ports:
            followed = reads.get(port.follows, ()) if port.follows is not None else ()
            reads[port.name] = given.get(port.name, followed)
            if port.follows is not None and reads[port.name] == followed:
                given.pop(port.name, None)
        values = {port: tuple(value for _, value in edges[port] if value is not None) for port in given}
        return Inputs(values, given)

    def _leaf(self, type: BlockType, options: Options, inputs: Inputs, tied: bool) -> Leaf:
        shape_of_edges = _sameness(inputs)
        key = (type.name, repr(options), tuple(inputs.values.items()), shape_of_edges, tied)
        if key not in self._leaves:
            rules: Rules[Any] = TiedLinearRules(self.rules(type)) if tied else self.rules(type)
            outputs = rules.outputs(options, inputs)
            self._leaves[key] = Leaf(
                type, options, rules, inputs, outputs, rules.construct(options, inputs), rules.weights(options, inputs)
            )
        return self._leaves[key]

    def rules(self, type: BlockType) -> Rules[Any]:
        if type.name not in self._rules:
            found: Any = resolve(type.rules)
            made: Any = found() if inspect.isclass(found) else found  # a plugin may give either
            self._rules[type.name] = made
        return self._rules[type.name]

    # -- ties --------------------------------------------------------------------------------------------------------

    def tied(self, plan: Plan, scope: Scope) -> Handle | None:
        """The embedding that `tie` names; None where it is null. Raises `ReportedError` after reporting an error."""
        path = (*plan.frame.path(plan.like.name), "tie")
        names = plan.frame.wiring_scope(scope)

        def compute(raw: Any, _: Any) -> Any:
            value = self.top.evaluate(raw, names, path)
            if self.top.failed(value):
                raise ReportedError
            return value

        try:
            handle = reference(plan.like.tie, (), compute)
            if handle is not None:
                self.top.look_up(plan.frame, handle, ())
            return handle
        except WiringError as error:
            self.top.error(error.code, error.message, path, error.help)
            raise ReportedError from None

    def _settle_tie(self, plan: Plan, type: BlockType, options: Options, edges: Edges) -> tuple[Options, bool]:
        """A tied linear's width is the embedding's number of rows."""
        path = plan.frame.path(plan.like.name)
        handle = self.tied(plan, plan.frame.scope) if plan.like.tie is not None else None
        if not isinstance(options, LinearOptions):
            if handle is not None:
                self.top.error(
                    "tie",
                    f"only a linear can be tied, and '{plan.node.name}' is {_article(type.name)}",
                    (*path, "tie"),
                    key=True,
                )
                raise ReportedError
            return options, False
        if handle is None:
            if options.width is None:
                self.top.error(
                    "missing-option",
                    "linear needs `width` (or `tie`)",
                    path,
                    "write width: …, or tie: an embedding",
                    key=True,
                )
                raise ReportedError
            return options, False
        return self._tied_options(plan, handle, options, edges), True

    def _tied_options(self, plan: Plan, handle: Handle, options: LinearOptions, edges: Edges) -> LinearOptions:
        path = (*plan.frame.path(plan.like.name), "tie")
        call = plan.frame.calls.get(handle.node)
        if call is None:
            if handle.node in plan.frame.locals and plan.frame.locals[handle.node].values == [None]:
                raise ReportedError
            self.top.error(
                "tie",
                f"'{handle.node}' is not an embedding",
                path,
                "tie takes the matrix of an embedding in the same block",
            )
            raise ReportedError
        leaf = call.body
        if not isinstance(leaf, Leaf) or leaf.type.name != "embedding":
            self.top.error(
                "tie",
                f"'{handle.node}' is {_article(call.type)}, not an embedding",
                path,
                "tie takes the matrix of an embedding",
            )
            raise ReportedError
        rows, width = leaf.weights["weight"]
        value = next((found[0][1] for found in edges.values()), None)
        given = value.shape[-1].known if value is not None and value.rank else None
        if given is not None and given != width:
            self._disagree(
                plan, handle, f"'{handle.node}' has vectors of {width} features, but the input here has {given}"
            )
        if options.width is not None and options.width != rows:
            self._disagree(plan, handle, f"width {options.width} is not the {rows} rows of '{handle.node}'")
        return options.model_copy(update={"width": rows})

    def _disagree(self, plan: Plan, handle: Handle, message: str) -> None:
        related = Related("the embedding stands at", self.top.spec.place(*plan.frame.path(handle.node), key=True))
        place = self.top.spec.place(*plan.frame.path(plan.like.name), "tie")
        self.top.diagnostics.error("tie", message, place, context=self.top.context(plan.node.name), related=(related,))
        raise ReportedError

    # -- errors ------------------------------------------------------------------------------------------------------

    def _report(self, plan: Plan, error: RuleError, edges: Edges) -> None:
        span = self._place_of(plan, error)
        origin = None
        if error.width_of is not None and edges.get(error.width_of):
            origin = plan.frame.locals[edges[error.width_of][0][0].node].origin
        related = (Related("the width comes from", origin),) if origin is not None else ()
        self.top.diagnostics.error(
            error.code, error.message, span, help=error.help, context=self.top.context(plan.node.name), related=related
        )

    def _place_of(self, plan: Plan, error: RuleError) -> Span:
        """The option or port that is to blame, as far as it is written; else the node's name."""
        spec = self.top.spec
        own, like = plan.frame.path(plan.node.name), plan.frame.path(plan.like.name)
        if error.option is not None:
            if spec.written(*like, error.option) or spec.written("defaults", plan.like.type or "", error.option):
                return spec.option_place(like, plan.like.type or "", error.option)
        elif error.port is not None and spec.written(*own, "in"):
            inner = (*own, "in", error.port)
            return spec.place(*inner) if spec.written(*inner) else spec.place(*own, "in")
        return spec.place(*own, key=True)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _labelled(value: Value, node: str, output: str) -> Value:
    """A mask that a node makes is named after it."""
    return replace(value, mask=f"{node}.{output}") if value.mask == OWN_MASK else value


def _sameness(inputs: Inputs) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Which ports read the same edges, whatever these are called."""
    numbers: dict[object, int] = {}
    edges: Mapping[str, tuple[object, ...]] = inputs.edges
    return tuple((port, tuple(numbers.setdefault(ref, len(numbers)) for ref in refs)) for port, refs in edges.items())
