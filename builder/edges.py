"""What each port of a node reads: `in:`, evaluated and looked up. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from blockgraph.builder.frames import Edges, Plan, ReportedError
from blockgraph.builder.scope import Handle, Scope
from blockgraph.builder.wiring import WiringError, bind, check_ports, reference
from blockgraph.specs.expressions import is_expression
from blockgraph.specs.registry import Port

if TYPE_CHECKING:
    from blockgraph.builder.analyse import Analyser


class EdgeReader:
    """Reads a node's wiring in the scope of one repetition."""

    def __init__(self, analyser: Analyser) -> None:
        self.top = analyser

    def read(self, plan: Plan, scope: Scope, ports: tuple[Port, ...], owner: str, *, strict: bool) -> Edges | None:
        """Port to what it reads; None after reporting what is wrong. Not `strict`: unfed and unknown ports pass."""
        frame, node = plan.frame, plan.node
        names = frame.wiring_scope(scope)
        base = frame.path(node.name)

        def compute(raw: Any, path: tuple[str | int, ...]) -> Any:
            value = self.top.evaluate(raw, names, (*base, *path))
            if self.top.failed(value):
                raise ReportedError
            return value

        try:
            wiring = node.wiring
            if isinstance(wiring, str) and wiring.startswith("="):
                wiring = compute(wiring, ("in",))
                bound: Any = {ports[0].name: [(wiring, ("in",))]} if ports else {}
            elif strict or not isinstance(wiring, (list, Mapping)):
                bound = bind(self._without_open(wiring, ports, compute), ports, owner)
            else:
                bound = self._loose(wiring, ports)
            return self._read(plan, bound, ports, owner, compute, strict)
        except ReportedError:
            return None
        except WiringError as error:
            self.top.error(
                error.code, error.message, (*base, *error.path), error.help, key=error.code == "unknown-port"
            )
            return None

    @staticmethod
    def _without_open(wiring: Any, ports: tuple[Port, ...], compute: Any) -> Any:
        """A port that only another choice of the node's type has may be named if its expression leaves it open."""
        if not isinstance(wiring, Mapping):
            return wiring
        known = {port.name for port in ports}
        return {
            name: item
            for name, item in wiring.items()
            if name in known or not is_expression(item) or compute(item, ("in", name)) is not None
        }

    @staticmethod
    def _loose(wiring: Any, ports: tuple[Port, ...]) -> Any:
        if isinstance(wiring, Mapping):
            known = {port.name for port in ports}
            return {
                name: [(item, ("in", name))]
                for name, item in wiring.items()
                if name in known and not isinstance(item, list)
            }
        bound: dict[str, Any] = {}
        for number, item in enumerate(wiring):
            port = ports[min(number, len(ports) - 1)]
            if number < len(ports) or port.many:
                bound.setdefault(port.name, []).append((item, ("in", number)))
        return bound

    def _read(self, plan: Plan, bound: Any, ports: tuple[Port, ...], owner: str, compute: Any, strict: bool) -> Edges:
        edges: Edges = {}
        for port in ports:
            found = []
            for raw, path in bound.get(port.name, []):
                handle = raw if isinstance(raw, Handle) else reference(raw, path, compute)
                if handle is not None:
                    found.append(self.top.look_up(plan.frame, handle, path))
            if found:
                edges[port.name] = tuple(found)
        if ports and ports[0].name not in bound and plan.previous is not None:
            edges = {ports[0].name: (self.top.look_up(plan.frame, Handle(plan.previous), ("in",)),), **edges}
        if strict:
            check_ports(edges, ports, owner)
        return edges
