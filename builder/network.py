"""A definition as a `networkx.MultiDiGraph`, and what graph theory says of it. No torch."""

from __future__ import annotations

from typing import Any

import networkx as nx

from blockgraph.builder.graph import Definition, Ref


def graph_of(definition: Definition) -> nx.MultiDiGraph[str]:
    """Nodes are inputs, calls and outputs (`->NAME`); see `Definition.graph` for the attributes."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=definition.name)
    for name in definition.inputs:
        graph.add_node(name, call=None)
    for name, call in definition.calls.items():
        graph.add_node(name, call=call)
        if call.tie is not None:
            graph.add_edge(call.tie, name, port="tie", output=None, index=None, step=None)
        for number, step in enumerate(call.steps):
            for port, refs in step.inputs.items():
                for ref in refs:
                    if ref.node != name:
                        graph.add_edge(ref.node, name, **_edge(port, ref, number if len(call.steps) > 1 else None))
        if call.weights_of is not None:
            graph.add_edge(call.weights_of, name, port="share", output=None, index=None, step=None)
    for name, output in definition.outputs.items():
        graph.add_node(f"->{name}", call=None)
        graph.add_edge(output.ref.node, f"->{name}", **_edge("", output.ref, None))
    return _merged(graph)


def _edge(port: str, ref: Ref, step: int | None) -> dict[str, object]:
    return {"port": port, "output": ref.output, "index": ref.index, "step": step}


def _merged(graph: nx.MultiDiGraph[str]) -> nx.MultiDiGraph[str]:
    """Edges that every repetition of a call reads alike become one with `step` None."""
    merged: nx.MultiDiGraph[str] = nx.MultiDiGraph(**graph.graph)
    merged.add_nodes_from(graph.nodes(data=True))
    seen: dict[tuple[Any, ...], list[int | None]] = {}
    for source, target, data in graph.edges(data=True):
        seen.setdefault((source, target, data["port"], data["output"], data["index"]), []).append(data["step"])
    for (source, target, port, output, index), steps in seen.items():
        call = graph.nodes[target]["call"]
        everywhere = call is None or len(set(steps)) == len(call.steps) or steps[0] is None
        for step in [None] if everywhere else steps:
            merged.add_edge(source, target, port=port, output=output, index=index, step=step)
    return merged


def dead_names(definition: Definition) -> list[str]:
    """Inputs and calls that reach no output, in file order."""
    graph = definition.graph
    alive: set[str] = set()
    for name in definition.outputs:
        alive |= nx.ancestors(graph, f"->{name}")
    return [name for name in (*definition.inputs, *definition.calls) if name not in alive]
