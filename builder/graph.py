"""The block graph: one `networkx.MultiDiGraph` per distinct block, nodes are calls, edges carry ports. No torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from blockgraph.builder.rules import Construct, Inputs, Rules
from blockgraph.builder.shapes import Value
from blockgraph.specs.options import Options
from blockgraph.specs.pictured import Pictured
from blockgraph.specs.registry import BlockType

if TYPE_CHECKING:
    import networkx as nx

    from blockgraph.specs.spec import Spec


@dataclass(frozen=True, slots=True)
class Ref:
    """An output that is read: of node (or block input) `node`, output `output` (None: the first), repetition `index`
    (0-based; None: the last)."""

    node: str
    output: str | None = None
    index: int | None = None

    def __str__(self) -> str:
        return (
            self.node
            + (f"[{self.index}]" if self.index is not None else "")
            + (f".{self.output}" if self.output else "")
        )


@dataclass(eq=False, slots=True)
class Leaf:
    """A built-in (or plugin) block with its options evaluated: nothing inside that the spec could see."""

    type: BlockType
    options: Options
    rules: Rules[Any]
    inputs: Inputs
    outputs: dict[str, Value]
    construct: Construct
    weights: dict[str, tuple[int, ...]]


@dataclass(eq=False, slots=True)
class Step:
    """One repetition of a call: what is called (`body`), on what (`inputs`, port to references, in port order)."""

    body: Leaf | Definition
    inputs: dict[str, tuple[Ref, ...]]
    outputs: dict[str, Value]


@dataclass(eq=False)
class Call:
    """A node: one call of a block, or `repeat` of them, stacked.

    `steps` has one entry per repetition (one for a plain node); step i's first input is step i-1's first output.
    `weights_of` is the node whose weights are used instead of own ones (`share`), `tie` the embedding of a tied linear.
    """

    name: str
    type: str
    steps: list[Step]
    repeat: int | None = None
    copies: int | None = None
    weights_of: str | None = None
    tie: str | None = None
    label: str | None = None
    about: str | None = None
    recompute: bool = False

    @property
    def facts(self) -> Hashable:
        """All of it but the steps."""
        made = (self.name, self.type, self.repeat, self.copies, self.weights_of, self.tie)
        return (*made, self.label, self.about, self.recompute)

    @property
    def first(self) -> Step:
        return self.steps[0]

    @property
    def outputs(self) -> dict[str, Value]:
        return self.steps[-1].outputs

    @property
    def body(self) -> Leaf | Definition:
        return self.steps[0].body

    @property
    def uniform(self) -> bool:
        """Every repetition calls the same block with the same options (it may still read other edges)."""
        return all(step.body is self.body for step in self.steps)


@dataclass(frozen=True, slots=True)
class Input:
    """A block's input: its value, and for the model's own inputs what the spec says of ids."""

    value: Value
    label: str | None = None
    start: int | None = None
    end: int | None = None
    default: int | None = None


@dataclass(frozen=True, slots=True)
class Output:
    ref: Ref
    value: Value
    label: str | None = None


@dataclass(eq=False)
class Definition:
    """A block as it is after its params, `if`s and shapes are settled; the model itself is the outermost one.

    Nodes stand in the order of the file, which is an order of execution.
    """

    name: str
    inputs: dict[str, Input]
    calls: dict[str, Call]
    outputs: dict[str, Output]
    label: str | None = None
    about: str | None = None
    masks: dict[str, str] = field(default_factory=dict)  # mask label to the input whose position axis it belongs to

    @property
    def content(self) -> Hashable:
        """Equal for definitions that are the same block: copies that looked at `layer` and came out alike."""
        calls = tuple(
            (call.facts, tuple((id(s.body), tuple(s.inputs.items()), tuple(s.outputs.items())) for s in call.steps))
            for call in self.calls.values()
        )
        inputs = tuple((name, given.value) for name, given in self.inputs.items())
        outputs = tuple((name, output.ref, output.value) for name, output in self.outputs.items())
        return (self.name, inputs, calls, outputs)

    @cached_property
    def graph(self) -> nx.MultiDiGraph[str]:
        """Nodes: inputs and calls (attribute `call`, None for inputs), and outputs as `->NAME`. Edges from producer to
        reader with `port`, `output`, `index` (which repetition is read), `step` (which one reads; None: all)."""
        from blockgraph.builder.network import graph_of

        return graph_of(self)

    @cached_property
    def parameters(self) -> int:
        from blockgraph.builder.counts import parameters

        return parameters(self)


@dataclass(eq=False)
class Model(Pictured):
    """An analysed spec: the outermost definition and every distinct definition below it, callees first.

    `sizes` gives the length at which costs are stated for each symbolic axis; `spec` is what was analysed: where each
    node is written.
    """

    root: Definition
    definitions: list[Definition]
    name: str
    about: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    spec: Spec | None = field(default=None, repr=False)

    @property
    def parameters(self) -> int:
        return self.root.parameters
