"""The outputs that a class of the reference library gives, put in place of a preset's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from blockgraph.specs.expressions import ExpressionError, is_expression, parse
from blockgraph.specs.tree import Entry, Scalar, Sequence, Tree, find, plain
from blockgraph.specs.tree import Mapping as MappingTree


def with_outputs(tree: MappingTree, outputs: Mapping[str, str] | None) -> MappingTree:
    """The spec with the outputs of one class: {their name: our node}. What stands behind the last of these nodes, and
    inputs that nothing reads any more, are left out. Without `outputs`, nodes that `huggingface: outputs:` names become
    outputs beside the spec's own."""
    if outputs is None:
        return _more(tree)
    nodes = _part(tree, "nodes")
    last = max(list(nodes.entries).index(_node(reference)) for reference in outputs.values())
    kept = MappingTree(dict(list(nodes.entries.items())[: last + 1]), nodes.span)
    tree = _with(tree, "nodes", kept)
    tree = _with(tree, "outputs", _texts(outputs, nodes))
    tree = _with(tree, "inputs", _read_inputs(tree, kept))
    section = _part(tree, "huggingface")
    section = _with(section, "outputs", _texts({name: name for name in outputs}, nodes))
    section = _with(section, "inputs", _their_inputs(section, _part(tree, "inputs")))
    return _with(tree, "huggingface", section)


def _more(tree: MappingTree) -> MappingTree:
    """Adds what `huggingface: outputs:` names and the spec does not give, under the reference library's name."""
    named = find(tree, ("huggingface", "outputs"))
    nodes = find(tree, ("nodes",))
    if not isinstance(named, MappingTree) or not isinstance(nodes, MappingTree) or not nodes.entries:
        return tree
    own = find(tree, ("outputs",))
    last = list(nodes.entries)[-1]
    given = own if isinstance(own, MappingTree) else _texts({last: last if own is None else str(plain(own))}, nodes)
    more = {their: entry for their, entry in named.entries.items() if plain(entry.value) not in given.entries}
    return _with(tree, "outputs", MappingTree({**given.entries, **more}, given.span)) if more else tree


def _read_inputs(tree: MappingTree, nodes: MappingTree) -> MappingTree:
    """The inputs that the nodes read: the first is read by the first node unless that names another."""
    inputs = _part(tree, "inputs")
    names = {name.partition(".")[0] for entry in nodes.entries.values() for name in _references(entry.value)}
    first = next(iter(nodes.entries.values())).value
    unbound = not (isinstance(first, MappingTree) and "in" in first.entries)
    entries = {n: e for i, (n, e) in enumerate(inputs.entries.items()) if n in names or (unbound and i == 0)}
    return MappingTree(entries, inputs.span)


def _references(node: Tree) -> Iterator[str]:
    found = find(node, ("in",)) if isinstance(node, MappingTree) else None
    todo = [found] if found is not None else []
    while todo:
        top = todo.pop()
        if isinstance(top, MappingTree):
            todo += [entry.value for entry in top.entries.values()]
        elif isinstance(top, Sequence):
            todo += top.items
        elif is_expression(top.value):
            try:
                yield from parse(str(top.value)).names
            except ExpressionError:
                continue
        elif isinstance(top.value, str):
            yield top.value


def _their_inputs(section: MappingTree, inputs: MappingTree) -> MappingTree:
    """`huggingface: inputs:` without the rules for inputs that are gone."""
    rules = _part(section, "inputs")

    def there(rule: Tree) -> bool:
        to = find(rule, ("to",)) if isinstance(rule, MappingTree) else rule
        return to is not None and str(plain(to)).partition(".")[0] in inputs.entries

    return MappingTree({name: entry for name, entry in rules.entries.items() if there(entry.value)}, rules.span)


def _node(reference: str) -> str:
    return reference.partition(".")[0]


def _part(tree: MappingTree, name: str) -> MappingTree:
    found = find(tree, (name,))
    return found if isinstance(found, MappingTree) else MappingTree({}, tree.span)


def _with(tree: MappingTree, name: str, value: Tree) -> MappingTree:
    key = tree.entries[name].key if name in tree.entries else Scalar(name, name, "", tree.span)
    return MappingTree({**tree.entries, name: Entry(key, value)}, tree.span)


def _texts(texts: Mapping[str, str], at: MappingTree) -> MappingTree:
    def scalar(text: str) -> Scalar:
        return Scalar(text, text, "", at.span)

    return MappingTree({name: Entry(scalar(name), scalar(text)) for name, text in texts.items()}, at.span)
