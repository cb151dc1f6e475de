"""The base of a block type's rules: what it means before any tensor exists. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from blockgraph.builder.shapes import Value
from blockgraph.specs.options import Options

O = TypeVar("O", bound=Options)  # noqa: E741


class RuleError(Exception):
    """A node breaks a rule of its type. `option` or `port` is the word of the node to point at; `code` is documented.

    `width_of` names the port whose feature width is to blame; the message then also shows where that was written.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        option: str | None = None,
        port: str | None = None,
        help: str | None = None,
        width_of: str | None = None,
    ) -> None:
        self.code, self.message, self.option, self.port, self.help, self.width_of = (
            code,
            message,
            option,
            port,
            help,
            width_of,
        )
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The values at a node's ports. An open optional port is absent; a port that follows another is absent too
    (`same(a, b)` tells whether two ports read one edge, e.g. self-attention)."""

    values: Mapping[str, tuple[Value, ...]]
    edges: Mapping[str, tuple[object, ...]] = field(default_factory=dict)

    def __getitem__(self, port: str) -> Value:
        return self.values[port][0]

    def __contains__(self, port: str) -> bool:
        return bool(self.values.get(port))

    def all(self, port: str) -> Sequence[Value]:
        return self.values.get(port, ())

    def at(self, sizes: Mapping[str, Any]) -> Inputs:
        return Inputs({port: tuple(v.at(sizes) for v in values) for port, values in self.values.items()}, self.edges)


@dataclass(frozen=True, slots=True)
class Construct:
    """How the generated source makes the module: a class of the type's `module`, its keyword arguments (literals)."""

    name: str
    arguments: Mapping[str, Any]


class Rules(Generic[O]):
    """Rules are stateless; every method takes the validated options `o` and the inputs `i`.

    `outputs` runs first and raises `RuleError`s; the others may rely on what it checked. `flops` and `state` are given
    inputs whose sizes are all known.
    """

    reads_mask: ClassVar[str | None] = (
        None  # the port whose padding mask the module takes as `mask=` (attention: `key_mask=`)
    )
    makes_mask: ClassVar[bool] = False  # the module has `masks(inputs, masks)` because it changes the position axis
    stateful: ClassVar[bool] = False  # the module has `new_cache(batch, length)` and takes `cache=`
    lifted: ClassVar[frozenset[str]] = (
        frozenset()
    )  # integer arguments in which copies may differ without a class of their own

    def outputs(self, o: O, i: Inputs) -> dict[str, Value]:
        """Output name to value, in order; the first is what the bare node name means."""
        raise NotImplementedError

    def construct(self, o: O, i: Inputs) -> Construct:
        raise NotImplementedError

    def weights(self, o: O, i: Inputs) -> dict[str, tuple[int, ...]]:
        """Trainable tensors by canonical name below the node (`query.weight`), with their shapes."""
        return {}

    def flops(self, o: O, i: Inputs) -> int:
        """Floating-point operations of the matrix products of one forward pass, as `FlopCounterMode` counts them."""
        return 0

    def state(self, o: O, i: Inputs, length: int) -> int:
        """Numbers (not bytes) that decoding keeps for this node when it holds `length` positions."""
        return 0

    def mask_port(self, o: O, i: Inputs) -> str | None:
        """The port whose padding mask this node's options make it read; `reads_mask` unless they make it pointless."""
        return self.reads_mask

    def keeps_state(self, o: O, i: Inputs) -> bool:
        """Does this node's module take a cache when the model decodes step by step?"""
        return self.stateful

    def decodable(self, o: O, i: Inputs) -> str | None:
        """None, or why this node cannot run step by step (`a bidirectional lstm reads the text from its end`)."""
        return None

    def reads_source(self, o: O, i: Inputs, axis: str) -> bool:
        """Does it keep at its first step what it reads along `axis`, as cross-attention does of its source? Then that
        axis must not grow."""
        return False

    def missing(self, o: O) -> str | None:
        """None where `build` can make this node from the spec alone, else a sentence that says what it needs."""
        return None
