"""One node of a block: is it there, what does it call, how often, on what. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blockgraph.builder.edges import EdgeReader
from blockgraph.builder.frames import Edges, Frame, Local, Plan
from blockgraph.builder.graph import Call, Definition, Leaf, Ref, Step
from blockgraph.builder.leaves import LeafAnalyser
from blockgraph.builder.scope import Layer, Scope
from blockgraph.builder.shapes import Value
from blockgraph.specs.places import Span
from blockgraph.specs.registry import Port
from blockgraph.specs.spec import Block, Broken, Node
from blockgraph.specs.suggest import did_you_mean

if TYPE_CHECKING:
    from blockgraph.builder.analyse import Analyser

MOST_REPEATS = 10_000
MOST_WORK = 40_000  # nodes looked at in all: a spec that needs more would take seconds to analyse


def same_module(one: Leaf | Definition, other: Leaf | Definition) -> bool:
    """Whether one module can serve both calls: the same constructor, the same weights, all the way down."""
    if one is other:
        return True
    if isinstance(one, Leaf) or isinstance(other, Leaf):
        both = isinstance(one, Leaf) and isinstance(other, Leaf)
        return both and one.construct == other.construct and one.weights == other.weights  # type: ignore[union-attr]
    if one.name != other.name or list(one.calls) != list(other.calls):
        return False
    pairs = [(a.steps, b.steps) for a, b in zip(one.calls.values(), other.calls.values(), strict=True)]
    return all(
        len(a) == len(b) and all(same_module(x.body, y.body) for x, y in zip(a, b, strict=True)) for a, b in pairs
    )


class TooMuchError(Exception):
    """The spec unfolds into more than is looked at; reported."""


class CallAnalyser:
    """Turns a `Node` into a `Call`, or says what is wrong with it and leaves its value unknown."""

    def __init__(self, analyser: Analyser) -> None:
        self.top = analyser
        self.leaves = LeafAnalyser(analyser)
        self.edges = EdgeReader(analyser)

    def analyse(self, frame: Frame, node: Node, previous: str | None) -> None:
        plan = Plan(frame, node, node, previous)
        self._count(frame, node)
        if not self._settle_share(plan) or not self._settle_presence(plan):
            return
        if not self._settle_numbers(plan):
            return
        if plan.repeat == 0:
            self._pass_on(plan)
            return
        steps, values = self._steps(plan)
        first = steps[0] if steps else None
        frame.locals[node.name] = Local(values, origin=self._origin(plan, first))
        if first is None or len(steps) < (plan.repeat or 1):
            frame.wrong = True
            return
        if not self._check_copies(plan, steps) or not self._check_share(plan, steps):
            return
        tie = self._tie(plan) if plan.like.tie is not None else None
        frame.calls[node.name] = Call(
            node.name,
            self._type_name(first),
            steps,
            plan.repeat,
            plan.copies,
            self._owner(frame, node),
            tie,
            node.label,
            node.about,
            node.recompute,
        )

    # -- is it there? ------------------------------------------------------------------------------------------------

    def _count(self, frame: Frame, node: Node) -> None:
        self.top.work += 1
        if self.top.work > MOST_WORK:
            self.top.error(
                "too-big",
                f"this spec unfolds into more than {MOST_WORK:,} different nodes",
                frame.path(node.name),
                key=True,
            )
            raise TooMuchError

    def _settle_share(self, plan: Plan) -> bool:
        """`share` calls an earlier node of the same block again: its type and options count, and its presence."""
        name = plan.node.share
        if name is None:
            return True
        frame = plan.frame
        local = frame.locals.get(name)
        earlier = frame.block.nodes.get(name)
        if local is None or earlier is None:
            names = [known for known in frame.locals if known in frame.block.nodes]
            later = name in frame.block.nodes
            message = f"'{name}' comes later in the file" if later else f"there is no node '{name}' to share"
            self._fail(plan, "later-node" if later else "unknown-node", message, ("share",), did_you_mean(name, names))
            return False
        if isinstance(earlier, Broken) or local.values == [None]:
            self._unknown(plan)
            return False
        while earlier.share is not None:
            following = frame.block.nodes[earlier.share]
            if isinstance(following, Broken):
                return False
            earlier = following
        plan.like = earlier
        if local.alias is not None and earlier.name not in frame.calls:
            self._pass_on(plan)
            return False
        return True

    def _settle_presence(self, plan: Plan) -> bool:
        """A node whose `if` is false, null or 0 is not there: whoever reads it reads its first input."""
        for node in {plan.like.name: plan.like, plan.node.name: plan.node}.values():
            if not node.has_condition:
                continue
            present = self._evaluate(
                plan, node.condition, plan.frame.scope, (), path=(*plan.frame.path(node.name), "if")
            )
            if self.top.failed(present):
                self._unknown(plan)
                return False
            if not present:
                self._check_names(plan)
                self._pass_on(plan)
                return False
        return True

    def _check_names(self, plan: Plan) -> None:
        """A node that is not there may still be misspelt."""
        raw = plan.like.type
        if isinstance(raw, str) and not raw.startswith("="):
            self._callee(plan, plan.frame.scope)

    def _pass_on(self, plan: Plan) -> None:
        scope = plan.frame.scope.inside(Layer(0) if plan.like.repeat is not None else None)
        edges = self.edges.read(plan, scope, (Port("x"),), plan.node.name, strict=False)
        read = next((found for found in (edges or {}).values() if found), None)
        if read is None:
            self._unknown(plan)
            return
        ref, value = read[0]
        values = None if value is None else {"out": value}
        plan.frame.locals[plan.node.name] = Local([values], alias=ref, origin=plan.frame.locals[ref.node].origin)

    # -- how often? --------------------------------------------------------------------------------------------------

    def _settle_numbers(self, plan: Plan) -> bool:
        for word, least in (("repeat", 0), ("copies", 1)):
            raw = getattr(plan.like, word)
            if raw is None:
                continue
            path = (*plan.frame.path(plan.like.name), word)
            value = self._evaluate(plan, raw, plan.frame.scope, (), path=path)
            if self.top.failed(value) or (value is not None and not self._check_number(plan, word, value, least)):
                self._unknown(plan)
                return False
            setattr(plan, word, value if value is None else int(value))
        if plan.copies is not None and (plan.repeat is None or plan.repeat % plan.copies):
            message = (
                f"copies: {plan.copies} does not divide repeat: {plan.repeat}"
                if plan.repeat
                else "copies needs a repeat"
            )
            self._fail(
                plan, "copies", message, ("copies",), "repetition i uses the weights of copy i * copies // repeat"
            )
            return False
        return True

    def _check_number(self, plan: Plan, word: str, value: Any, least: int) -> bool:
        whole = isinstance(value, float) and value.is_integer()
        if isinstance(value, bool) or not (isinstance(value, int) or whole) or value < least:
            code = "float-size" if isinstance(value, float) and not whole else word
            help = "divide with //" if code == "float-size" else None
            self._fail(
                plan, code, f"{word} must be a whole number from {least}, not {value!r}", (word,), help, like=True
            )
            return False
        if value > MOST_REPEATS:
            self._fail(
                plan, "too-big", f"{word}: {int(value):,} is over the limit of {MOST_REPEATS:,}", (word,), like=True
            )
            return False
        return True

    def _steps(self, plan: Plan) -> tuple[list[Step], list[dict[str, Value] | None]]:
        """One `Step` a repetition; the list ends early where something is wrong."""
        steps: list[Step] = []
        values: list[dict[str, Value] | None] = []
        count = plan.repeat or 1
        for number in range(count):
            layer = Layer(number) if plan.repeat is not None else None
            step, value = self._step(plan, layer, steps[-1] if steps else None, number)
            values.append(value)
            if step is None:
                break
            steps.append(step)
            if number > 0 and layer is not None and not layer.read and self._settled(steps):
                steps += [self._again(plan, step, later) for later in range(number + 1, count)]
                values += [value] * (count - number - 1)
                break
        return steps, values

    @staticmethod
    def _settled(steps: list[Step]) -> bool:
        """The last repetition is like the one before and gives what it was given: so will all later ones."""
        return steps[-1].body is steps[-2].body and _plain(steps[-1].outputs) == _plain(steps[-2].outputs)

    @staticmethod
    def _again(plan: Plan, step: Step, number: int) -> Step:
        name = plan.node.name
        inputs = {
            port: tuple(replace(ref, index=number - 1) if ref.node == name else ref for ref in refs)
            for port, refs in step.inputs.items()
        }
        return Step(step.body, inputs, step.outputs)

    def _step(
        self, plan: Plan, layer: Layer | None, before: Step | None, number: int
    ) -> tuple[Step | None, dict[str, Value] | None]:
        scope = plan.frame.scope.inside(layer)
        callee = self._callee(plan, scope)
        if callee is None:
            return None, None
        if isinstance(callee, Block):
            ports: tuple[Port, ...] = tuple(Port(name) for name in callee.inputs)
        else:
            ports = callee.ports
        edges = self.edges.read(plan, scope, ports, f"{callee.name}", strict=before is None)
        options = self._options(plan, callee, scope)
        if edges is None or options is None:
            return None, None
        if before is not None:
            edges = self._chain(plan, edges, ports, before, number)
        if isinstance(callee, Block):
            return self._block_step(plan, callee, options, edges, scope.layer)
        return self.leaves.step(plan, callee, options, edges)

    @staticmethod
    def _chain(plan: Plan, edges: Edges, ports: tuple[Port, ...], before: Step, number: int) -> Edges:
        """The first output feeds the next copy's first input; an output named like an input feeds that input."""
        chained = dict(edges)
        for position, port in enumerate(ports):
            output = port.name if port.name in before.outputs else next(iter(before.outputs)) if position == 0 else None
            if output is not None:
                chained[port.name] = ((Ref(plan.node.name, output, number - 1), before.outputs[output]),)
        return chained

    def _check_copies(self, plan: Plan, steps: list[Step]) -> bool:
        """Repetitions that use one set of weights are one module: nothing in them may differ."""
        for number, step in enumerate(steps if plan.copies is not None else ()):
            first = number // (len(steps) // (plan.copies or 1)) * (len(steps) // (plan.copies or 1))
            if not same_module(step.body, steps[first].body):
                message = f"repetition {number} uses the weights of repetition {first}, but is not built like it"
                self._fail(plan, "copies", message, ("copies",), "leave out `layer` inside it, or leave out copies")
                return False
        return True

    def _check_share(self, plan: Plan, steps: list[Step]) -> bool:
        """A shared node is the same module on other inputs."""
        if plan.like is plan.node:
            return True
        owner = plan.frame.calls[plan.like.name]
        for step, own in zip(steps, owner.steps, strict=True):
            if not same_module(step.body, own.body):
                message = (
                    f"'{plan.like.name}' cannot be shared here: on this input it would need other weights or options"
                )
                self._fail(plan, "share", message, ("share",), "the inputs of both must have the same widths")
                return False
        return True

    # -- what does it call? ------------------------------------------------------------------------------------------

    def _callee(self, plan: Plan, scope: Scope) -> Any:
        """The block or block type that the node calls; None after reporting that there is none."""
        spec, raw = self.top.spec, plan.like.type
        path = (*plan.frame.path(plan.like.name), "type")
        if isinstance(raw, str) and raw.startswith("="):
            raw = self._evaluate(plan, raw, _Types(scope, spec.blocks, spec.types), (), path=path)
            if self.top.failed(raw):
                return None
        found = spec.blocks.get(raw) or spec.types.get(raw) if isinstance(raw, str) else None
        if found is None:
            names = [*spec.blocks, *spec.types]
            help = did_you_mean(raw, names) if isinstance(raw, str) else None
            self.top.error(
                "unknown-type",
                f"there is no block type {raw!r}",
                path,
                help or "`blockgraph blocks` lists the built-in ones",
            )
            return None
        if isinstance(found, Block) and found.name in self.top.active:
            chain = " → ".join([*self.top.active[self.top.active.index(found.name) :], found.name])
            self.top.error("recursive-block", f"a block cannot be inside itself: {chain}", path)
            return None
        return found

    def _options(self, plan: Plan, callee: Any, scope: Scope) -> Any:
        if not isinstance(callee, Block):
            return self.leaves.options(plan, callee, scope)
        given: dict[str, Any] = {}
        path = plan.frame.path(plan.like.name)
        for name, raw in plan.like.options.items():
            if name not in callee.params:
                help = did_you_mean(name, callee.params) or (
                    f"its params: {', '.join(callee.params)}" if callee.params else "it has no params"
                )
                self.top.error("unknown-option", f"{callee.name} has no param '{name}'", (*path, name), help, key=True)
                return None
            given[name] = self.top.evaluate(raw, scope, (*path, name))
        if any(self.top.failed(value) for value in given.values()):
            return None
        params = self.top.params(callee, given, scope, path)
        return None if any(self.top.failed(value) for value in params.values()) else params

    def _block_step(
        self, plan: Plan, block: Block, params: dict[str, Any], edges: Edges, layer: Layer | None
    ) -> tuple[Step | None, dict[str, Value] | None]:
        inputs = {port: edges[port][0][1] for port in block.inputs}
        origins = {
            port: plan.frame.locals[edges[port][0][0].node].origin
            if edges[port][0][0].node in plan.frame.locals
            else None
            for port in block.inputs
        }
        times = f" × {plan.repeat}" if plan.repeat is not None else ""
        self.top.trail.append(f"{plan.node.name} ({block.name}{times})")
        outcome = self.top.define(block, params, inputs, layer, origins)
        self.top.trail.pop()
        outputs = {
            name: None if value is None else self._outside(plan, name, value, inputs)
            for name, value in outcome.outputs.items()
        }
        known = {name: value for name, value in outputs.items() if value is not None}
        if outcome.definition is None:
            return None, known if known and len(known) == len(outputs) else None
        return Step(
            outcome.definition, {port: tuple(ref for ref, _ in found) for port, found in edges.items()}, known
        ), known

    @staticmethod
    def _outside(plan: Plan, name: str, value: Value, inputs: Mapping[str, Value | None]) -> Value:
        """A callee's output as its caller sees it: the mask of an input is the mask of what was given for it."""
        if value.mask is None:
            return value
        given = inputs.get(value.mask)
        return replace(value, mask=given.mask if given is not None else f"{plan.node.name}.{name}")

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _tie(self, plan: Plan) -> str | None:
        handle = self.leaves.tied(plan, plan.frame.scope)
        return handle.node if handle is not None else None

    def _owner(self, frame: Frame, node: Node) -> str | None:
        name = node.share
        while name is not None:
            following = frame.block.nodes[name]
            if isinstance(following, Broken) or following.share is None:
                return name
            name = following.share
        return None

    @staticmethod
    def _type_name(step: Step) -> str:
        return step.body.type.name if isinstance(step.body, Leaf) else step.body.name

    def _origin(self, plan: Plan, step: Step | None) -> Span | None:
        """Where the feature width of the node's output was written, as far as that is plain."""
        path = (*plan.frame.path(plan.like.name), "width")
        raw = plan.like.options.get("width")
        if raw is not None:
            name = raw[1:].strip() if isinstance(raw, str) and raw.startswith("=") else None
            if name in self.top.spec.vars and name not in plan.frame.scope.params:
                return self.top.spec.place("vars", str(name))
            return self.top.spec.place(*path)
        if step is None:
            return None
        for refs in step.inputs.values():
            local = plan.frame.locals.get(refs[0].node)
            return local.origin if local is not None else None
        return None

    def _evaluate(
        self, plan: Plan, raw: Any, scope: Any, below: tuple[str | int, ...], *, path: tuple[str | int, ...]
    ) -> Any:
        return self.top.evaluate(raw, scope, (*path, *below))

    def _fail(
        self,
        plan: Plan,
        code: str,
        message: str,
        below: tuple[str | int, ...],
        help: str | None = None,
        *,
        like: bool = False,
    ) -> None:
        name = plan.like.name if like else plan.node.name
        self.top.error(code, message, (*plan.frame.path(name), *below), help)
        self._unknown(plan)

    def _unknown(self, plan: Plan) -> None:
        plan.frame.wrong = True
        plan.frame.locals[plan.node.name] = Local([None])


class _Types(Mapping[str, Any]):
    """In a `type:` expression block names stand for themselves."""

    def __init__(self, scope: Scope, blocks: Mapping[str, Any], types: Mapping[str, Any]) -> None:
        self.scope, self.blocks, self.types = scope, blocks, types

    def __getitem__(self, name: str) -> Any:
        if name in self.blocks:
            return name
        try:
            return self.scope[name]
        except KeyError:
            if name in self.types:
                return name
            raise

    def __iter__(self) -> Any:
        return iter((*self.blocks, *self.scope, *self.types))

    def __len__(self) -> int:
        return len(self.blocks) + len(self.scope) + len(self.types)


def _plain(outputs: Mapping[str, Value]) -> dict[str, Value]:
    """Values without the names of their masks: those name the repetition that made them."""
    return {name: replace(value, mask="" if value.mask else None) for name, value in outputs.items()}
