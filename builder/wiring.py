"""`in:` becomes edges: which port reads which node. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from blockgraph.builder.scope import Handle
from blockgraph.specs.registry import Port
from blockgraph.specs.suggest import did_you_mean

Path = tuple[str | int, ...]
Bound = dict[str, list[tuple[Any, Path]]]

_REFERENCE = re.compile(r"([a-z][a-z0-9_]*)(?:\.([a-z][a-z0-9_]*))?")


class WiringError(Exception):
    """A reference or a port that cannot be; `path` leads from the node to the word to point at."""

    def __init__(self, code: str, message: str, path: Path = (), help: str | None = None) -> None:
        self.code, self.message, self.path, self.help = code, message, path, help
        super().__init__(message)


def bind(raw: Any, ports: Sequence[Port], owner: str) -> Bound:
    """Port name to what stands there (raw references with their paths below the node): a reference, a list in port
    order, or a mapping by port (language rule 2). Ports that are left open are absent. Raises `WiringError`."""
    if raw is None:
        return {}
    if isinstance(raw, Mapping):
        return _bind_named(raw, ports, owner)
    items: list[tuple[Any, Path]] = [(raw, ("in",))]
    if isinstance(raw, list):
        items = [(item, ("in", number)) for number, item in enumerate(raw)]
    return _bind_in_order(items, ports, owner)


def _bind_named(raw: Mapping[str, Any], ports: Sequence[Port], owner: str) -> Bound:
    names = {port.name: port for port in ports}
    bound: Bound = {}
    for name, item in raw.items():
        if name not in names:
            known = f"its ports: {', '.join(names)}" if names else "it takes no inputs"
            raise WiringError(
                "unknown-port", f"{owner} has no port '{name}'", ("in", name), did_you_mean(name, names) or known
            )
        if names[name].many and isinstance(item, list):
            bound[name] = [(part, ("in", name, number)) for number, part in enumerate(item)]
        else:
            bound[name] = [(item, ("in", name))]
    return bound


def _bind_in_order(items: list[tuple[Any, Path]], ports: Sequence[Port], owner: str) -> Bound:
    bound: Bound = {}
    rest = list(items)
    for port in ports:
        if not rest:
            break
        bound[port.name], rest = (rest, []) if port.many else ([rest[0]], rest[1:])
    if rest:
        count = len(ports)
        takes = "takes no inputs" if count == 0 else "takes 1 input" if count == 1 else f"takes {count} inputs"
        help = f"its ports: {', '.join(port.name for port in ports)}" if ports else "leave out `in`"
        raise WiringError("too-many-inputs", f"{owner} {takes}, but {len(items)} are given", rest[0][1], help)
    return bound


def check_ports(bound: Iterable[str], ports: Sequence[Port], owner: str) -> None:
    """Raises `WiringError` where a port that must be fed is open."""
    given = set(bound)
    for port in ports:
        if port.name not in given and not port.optional and port.follows is None:
            raise WiringError(
                "missing-port", f"{owner} needs its input '{port.name}'", ("in",), f"write in: {{{port.name}: …}}"
            )


def reference(raw: Any, path: Path, evaluate: Callable[[Any, Path], Any]) -> Handle | None:
    """The node that one reference names; None leaves the port open. Raises `WiringError` for what is no reference."""
    if raw is None:
        return None
    if isinstance(raw, str) and raw.startswith("="):
        found = evaluate(raw, path)
        if found is None or isinstance(found, Handle):
            return found
        raise WiringError("unknown-node", f"this expression gives {found!r}, not a node", path, "name a node, or null")
    match = _REFERENCE.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        help = (
            f'write "={raw}" to compute a reference'
            if isinstance(raw, str) and "[" in raw
            else "write node, node.output or an expression"
        )
        raise WiringError("unknown-node", f"{raw!r} is not a reference to a node", path, help)
    return Handle(match[1], match[2])
