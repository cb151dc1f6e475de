"""Two analysed models side by side: which nodes were added, removed or changed, and what that costs. No torch.

`compare(a, a)` is equal; `compare(b, a)` says the same as `compare(a, b)` the other way round. Names that nobody
computes with (of the file, of a block's definition, labels) and the order of what has no order are no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from blockgraph.builder import counts
from blockgraph.builder.differences import Comparer, Difference, Level, external, kinds_of, merged
from blockgraph.builder.graph import Call, Definition, Input, Model
from blockgraph.builder.streaming import streaming

Kind = Literal["added", "removed", "changed"]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a node or a model costs: trainable numbers, FLOPs per token, bytes of all outputs and of decoding state in
    one forward pass (fp32)."""

    parameters: int = 0
    flops_per_token: int = 0
    activation_bytes: int = 0
    state_bytes: int = 0

    def __sub__(self, other: Figures) -> Figures:
        return Figures(*(mine - theirs for mine, theirs in zip(self._all, other._all, strict=True)))

    @property
    def _all(self) -> tuple[int, ...]:
        return tuple(asdict(self).values())


@dataclass(frozen=True, slots=True)
class Change:
    """`name` is an option (`rope.theta`), a port (`in.key`), an output (`out.x`), or `type`, `shape`, `repeat`,
    `copies`, `share`, `tie`, `recompute`, `weights`, `present`; None: not there. `copies`: in which repetitions, if not
    in all."""

    name: str
    was: Any
    now: Any
    copies: tuple[Level, ...] = ()

    @property
    def where(self) -> str:
        """`copies 0, 2, 4 of 6`, or nothing where the change is in all repetitions."""
        if len(self.copies) != 1:
            return "some copies" if self.copies else ""
        numbers, of = self.copies[0]
        told = [str(number) for number in numbers]
        listed = ", ".join(told if len(told) <= 6 else [*told[:3], "…", told[-1]])
        return f"{'copy' if len(told) == 1 else 'copies'} {listed} of {of}"


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node that is not in both, or not the same in both. `was` and `now` are its types; `delta` is over all its
    repetitions, with what is inside it. `renamed` is the node on the other side that is the same but for the name."""

    path: Path
    kind: Kind
    was: str | None
    now: str | None
    changes: tuple[Change, ...]
    delta: Figures
    reads: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    renamed: str | None = None

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Setting:
    """Something outside the nodes: an input, an output, an initial weight, a training setting, a var."""

    section: Literal["inputs", "outputs", "init", "train", "vars"]
    name: str
    was: Any
    now: Any


@dataclass(frozen=True)
class Comparison:
    """What makes two models differ. Costs are stated at `sizes`, the lengths that both can take."""

    before: str
    after: str
    nodes: tuple[NodeChange, ...]
    settings: tuple[Setting, ...]
    totals: tuple[Figures, Figures]
    sizes: Mapping[str, int]

    @property
    def equal(self) -> bool:
        """A var by itself is no difference: what it changes is."""
        return not self.nodes and all(setting.section == "vars" for setting in self.settings)


def compare(before: Model, after: Model) -> Comparison:
    """What became of `before` in `after`."""
    sizes = _common(before.sizes, after.sizes)
    old, new = _Costs(replace(before, sizes=sizes)), _Costs(replace(after, sizes=sizes))
    comparer = Comparer()
    found = comparer.definitions(before.root, after.root)
    nodes = tuple(_nodes(found, old, new, _relations(comparer, before.root, after.root)))
    outputs = [Setting("outputs", d.name.removeprefix("out."), d.was, d.now) for d in found if not d.path]
    settings = (*_inputs(before.root, after.root), *outputs, *_written(before, after))
    return Comparison(before.name, after.name, nodes, settings, (old.total, new.total), sizes)


def _common(was: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {name: min(was.get(name, now.get(name, 1)), now.get(name, was.get(name, 1))) for name in {**was, **now}}


# -- nodes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Relation:
    """A node that only one side has: what it is connected to, and what it may be called on the other side."""

    reads: tuple[str, ...]
    read_by: tuple[str, ...]
    renamed: str | None


def _nodes(
    found: list[Difference], old: _Costs, new: _Costs, relations: Mapping[Path, _Relation]
) -> Iterator[NodeChange]:
    by_path: dict[Path, list[Difference]] = {}
    for difference in found:
        if difference.path:
            by_path.setdefault(difference.path, []).append(difference)
    for path, differences in by_path.items():
        kind: Kind = "removed" if path not in new.kinds else "added" if path not in old.kinds else "changed"
        delta = new.figures(path) - old.figures(path)
        changes = tuple(_change(d) for d in differences) if kind == "changed" else ()
        relation = relations.get(path) if kind != "changed" else None
        told = (relation.reads, relation.read_by, relation.renamed) if relation else ((), (), None)
        yield NodeChange(path, kind, old.kinds.get(path), new.kinds.get(path), changes, delta, *told)


def _change(difference: Difference) -> Change:
    copies = () if difference.everywhere else difference.copies
    return Change(difference.name, difference.was, difference.now, copies)


def _relations(comparer: Comparer, was: Definition, now: Definition) -> dict[Path, _Relation]:
    found: dict[Path, _Relation] = {}
    for prefix, pair in comparer.places(was, now):
        back = {new: old for old, new in pair.renames.items()}
        for names, home, others in ((pair.removed, pair.was, pair.renames), (pair.added, pair.now, back)):
            for name in names:
                reads = (str(ref) for refs in external(home.calls[name]).values() for ref in refs)
                found[(*prefix, name)] = _Relation(tuple(dict.fromkeys(reads)), _readers(home, name), others.get(name))
    return found


def _readers(home: Definition, name: str) -> tuple[str, ...]:
    def reads(call: Call) -> bool:
        return any(ref.node == name for refs in external(call).values() for ref in refs)

    outputs = tuple(f"output {key}" for key, output in home.outputs.items() if output.ref.node == name)
    return tuple(call.name for call in home.calls.values() if call.name != name and reads(call)) + outputs


# -- costs ------------------------------------------------------------------------------------------------------------


class _Costs:
    """Types and costs of every node of a model, by path."""

    def __init__(self, model: Model) -> None:
        self._tokens = max(1, counts.tokens(model))
        self._sizes = model.sizes
        self._known: dict[int, dict[Path, tuple[str, int, counts.Cost]]] = {}
        plan = streaming(model.root)
        self._stateless = set(model.root.calls) if plan.refusal is not None else set(plan.once)
        self._rows = self._inside(model.root)
        self.kinds = {path: row[0] for path, row in self._rows.items()}
        self.total = self._figures(model.parameters, counts.costs(model))

    def figures(self, path: Path) -> Figures:
        if path not in self._rows:
            return Figures()
        _, parameters, cost = self._rows[path]
        return self._figures(parameters, replace(cost, state_bytes=0) if path[0] in self._stateless else cost)

    def _figures(self, parameters: int, cost: counts.Cost) -> Figures:
        return Figures(parameters, cost.flops // self._tokens, cost.activation_bytes, cost.state_bytes)

    def _inside(self, body: Definition) -> dict[Path, tuple[str, int, counts.Cost]]:
        if id(body) not in self._known:
            rows: dict[Path, tuple[str, int, counts.Cost]] = {}
            for call in body.calls.values():
                rows[(call.name,)] = (kinds_of(call), counts.call_parameters(call), counts.call_cost(call, self._sizes))
                self._add_inner(rows, call)
            self._known[id(body)] = rows
        return self._known[id(body)]

    def _add_inner(self, rows: dict[Path, tuple[str, int, counts.Cost]], call: Call) -> None:
        """The rows of what the call's repetitions hold, summed over them; shared weights count where they are owned."""
        owners = [] if call.weights_of is not None else [id(step.body) for step in counts.owners(call)]
        runs = [id(step.body) for step in call.steps]
        for body in {id(step.body): step.body for step in call.steps}.values():
            for path, (kind, parameters, cost) in self._inside(body).items() if isinstance(body, Definition) else ():
                place = (call.name, *path)
                _, before, spent = rows.get(place, (kind, 0, counts.Cost()))
                total = before + parameters * owners.count(id(body))
                rows[place] = (kind, total, spent + _times(cost, runs.count(id(body))))


def _times(cost: counts.Cost, times: int) -> counts.Cost:
    return counts.Cost(cost.flops * times, cost.activation_bytes * times, cost.state_bytes * times)


# -- settings ---------------------------------------------------------------------------------------------------------


def _inputs(was: Definition, now: Definition) -> Iterator[Setting]:
    for name in merged(list(was.inputs), list(now.inputs)):
        old, new = (_input(side.inputs.get(name)) for side in (was, now))
        if old is None or new is None:
            yield Setting("inputs", name, old and old["shape"], new and new["shape"])
        else:
            yield from (Setting("inputs", f"{name}.{key}", old[key], new[key]) for key in old if old[key] != new[key])


def _input(given: Input | None) -> dict[str, Any] | None:
    """What is said of an input; the label is only for pictures."""
    if given is None:
        return None
    value = given.value
    facts = {"shape": str(value), "dtype": value.dtype, "vocabulary": value.vocabulary, "pad": value.pad}
    return {**facts, "mask": value.mask is not None, "start": given.start, "end": given.end, "default": given.default}


def _written(before: Model, after: Model) -> Iterator[Setting]:
    """What the specs say outside the nodes."""
    if before.spec is None or after.spec is None:
        return
    yield from _init(before, after)
    was, now = (spec.train and spec.train.model_dump(mode="json") for spec in (before.spec, after.spec))
    yield from _train(was, now, "")
    for name, value in after.spec.vars.items():
        if name in before.spec.vars and before.spec.vars[name] != value:
            yield Setting("vars", name, before.spec.vars[name], value)


def _train(was: Any, now: Any, path: str) -> Iterator[Setting]:
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now) == 1:
        was, now = was[0], now[0]
    if isinstance(was, dict) and isinstance(now, dict):
        for key in merged(list(was), list(now)):
            yield from _train(was.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif was != now:
        yield Setting("train", path, _brief(was), _brief(now))


def _brief(value: Any) -> Any:
    """A table that only one side has is not spelled out."""
    return value.get("type", "written") if isinstance(value, dict) else value


def _init(before: Model, after: Model) -> Iterator[Setting]:
    """How weights that both have start, where that differs: one line for each pattern and change."""
    rules = [_rules(model) for model in (before, after)]
    if rules[0] == rules[1]:
        return
    theirs = counts.weight_shapes(after.root)
    told: dict[str, Setting] = {}
    for weight in counts.weight_shapes(before.root):
        old, new = (next((r for r in side if fnmatchcase(weight, r[0])), None) for side in rules)
        if weight in theirs and (old and old[1:]) != (new and new[1:]):
            pattern = new[0] if new else old[0] if old else ""
            setting = Setting("init", pattern, old and _rule(old[1], old[2]), new and _rule(new[1], new[2]))
            told.setdefault(str(setting), setting)
    yield from told.values()


def _rules(model: Model) -> list[tuple[str, str, dict[str, Any]]]:
    return [(rule.pattern, rule.kind, dict(rule.options)) for rule in (model.spec.init if model.spec else ())]


def _rule(kind: str, options: Mapping[str, Any]) -> Any:
    return {"type": kind, **options} if options else kind


# -- words ------------------------------------------------------------------------------------------------------------


def plain(value: Any) -> str:
    """A value as the YAML would say it, short."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {plain(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
