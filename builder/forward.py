"""The `forward` of one generated class, line by line. No torch."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from blockgraph.builder.graph import Call, Definition, Leaf, Ref, Step
from blockgraph.builder.masks import made_masks, mask_inputs, needed_masks, read_mask
from blockgraph.builder.shapes import Value
from blockgraph.builder.streaming import stateful

_ASSIGNMENT = re.compile(r"(\w+_) = ((?:self\.\w+|getattr\(self, \"\w+\"\))(?:\[\d+\])?\(.*\))")
_DEEPEST = 3  # calls in calls that one line may hold


class Forward:
    """Writes the forward of a block: `def forward(self, x_, memory_, mask_x=None, cache=None)`."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.needed = needed_masks(definition)
        self.taken: set[str] = set()
        self.names: dict[tuple[str, str | None], str] = {}
        self.indexed = self._indexed()
        for name in definition.inputs:
            self.names[name, None] = self._input_name(name)

    # -- names -------------------------------------------------------------------------------------------------------

    def _fresh(self, name: str) -> str:
        while name in self.taken or keyword.iskeyword(name):
            name += "_"
        self.taken.add(name)
        return name

    def _input_name(self, name: str) -> str:
        return self._fresh(f"{name}_")

    def variable(self, node: str, output: str | None = None) -> str:
        """The variable of a node's output; the first output's is the node's own."""
        call = self.definition.calls.get(node)
        if call is not None and (output is None or output == next(iter(call.outputs))):
            output = None
        if (node, output) not in self.names:
            self.names[node, output] = self._fresh(f"{node}_{output}_" if output else f"{node}_")
        return self.names[node, output]

    @staticmethod
    def mask(label: str | None) -> str:
        return "None" if label is None else "mask_" + label.replace(".", "_")

    def read(self, ref: Ref) -> str:
        call = self.definition.calls.get(ref.node)
        if call is not None and ref.index is not None and call.repeat is not None:
            return f"{self._list(ref)}[{ref.index}]"
        return self.variable(ref.node, ref.output)

    def _list(self, ref: Ref) -> str:
        return self.variable(ref.node, ref.output) + "all"

    def _indexed(self) -> dict[str, set[str | None]]:
        """Which outputs of which repeated nodes are read by repetition, and so kept in a list."""
        found: dict[str, set[str | None]] = {}
        for name, call in self.definition.calls.items():
            for step in call.steps:
                for refs in step.inputs.values():
                    for ref in refs:
                        if ref.index is not None and ref.node != name:
                            found.setdefault(ref.node, set()).add(self._output_name(ref))
        for output in self.definition.outputs.values():
            if output.ref.index is not None:
                found.setdefault(output.ref.node, set()).add(self._output_name(output.ref))
        return found

    def _output_name(self, ref: Ref) -> str:
        return ref.output or next(iter(self.definition.calls[ref.node].outputs))

    def value(self, ref: Ref) -> Value:
        if ref.node in self.definition.inputs:
            return self.definition.inputs[ref.node].value
        outputs = self.definition.calls[ref.node].steps[-1 if ref.index is None else ref.index].outputs
        return outputs[ref.output] if ref.output else next(iter(outputs.values()))

    # -- the whole ---------------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        given = [f"{self.variable(name)}: Tensor" for name in self.definition.inputs]
        given += [f"{self.mask(name)}: Tensor | None = None" for name in mask_inputs(self.definition)]
        if stateful(self.definition):
            given.append("cache: dict | None = None")
        returned = "Tensor" if len(self._returned()) == 1 else "tuple[Tensor, ...]"
        body = [*self.body(self.definition.calls.values()), f"return {', '.join(self._returned())}"]
        return [f"def forward(self, {', '.join(given)}) -> {returned}:", *(f"    {line}" for line in nested(body))]

    def _returned(self) -> list[str]:
        values = [self.read(output.ref) for output in self.definition.outputs.values()]
        return values + [self.mask(self.definition.outputs[name].value.mask) for name in made_masks(self.definition)]

    def body(self, calls: Iterable[Call]) -> list[str]:
        lines: list[str] = []
        for call in calls:
            lines += self._call(call)
        return lines

    # -- one call ----------------------------------------------------------------------------------------------------

    def _call(self, call: Call) -> list[str]:
        if call.repeat is None:
            return self._lines_of(call, call.first, self._module(call, None), f'cache["{call.name}"]')
        kept = [f"{self.variable(call.name, name)}all" for name in sorted(self.indexed.get(call.name, ()), key=str)]
        lines = [f"{name} = []" for name in kept]
        return lines + (self._loop(call, kept) if self._loops(call) else self._unrolled(call, kept))

    def _module(self, call: Call, number: int | None) -> str:
        name = call.weights_of or call.name
        owner = f'getattr(self, "{name}")' if keyword.iskeyword(name) else f"self.{name}"
        if number is None:
            return owner
        return f"{owner}[{number if call.copies is None else number * call.copies // len(call.steps)}]"

    def _unrolled(self, call: Call, kept: list[str]) -> list[str]:
        lines: list[str] = []
        for number, step in enumerate(call.steps):
            lines += self._lines_of(call, step, self._module(call, number), f'cache["{call.name}"][{number}]')
            lines += [f"{name}.append({name[:-3]})" for name in kept]
        return lines

    def _loops(self, call: Call) -> bool:
        """Whether one loop serves every repetition: one signature, one wiring but for the chain, no masks made."""
        if len(call.steps) < 2 or any(
            own_masks(call.name, step) != [None] * len(step.outputs) for step in call.steps[:2]
        ):
            return False
        first, second = call.steps[0], call.steps[1]
        for number, step in enumerate(call.steps[1:], 1):
            if _signature(step) != _signature(first) or _unchained(call, step, number) != _unchained(call, second, 1):
                return False
        chained = _chained_ports(call, second)
        return all(first.inputs[port] == second.inputs[port] for port in first.inputs if port not in chained)

    def _loop(self, call: Call, kept: list[str]) -> list[str]:
        second = call.steps[1]
        chained = _chained_ports(call, second)
        targets = [self.variable(call.name, output) for output in chained.values()]
        sources = [self.read(call.first.inputs[port][0]) for port in chained]
        owner = self._module(call, None)
        layers, module = owner, "layer"
        numbered = stateful(call.body)
        if call.copies is not None:
            count = len(call.steps)
            layers, module = f"range({count})", f"{owner}[i * {call.copies} // {count}]"
            head = f"for i in {layers}:"
        else:
            head = f"for i, layer in enumerate({layers}):" if numbered else f"for layer in {layers}:"
        body = self._lines_of(call, second, module, f'cache["{call.name}"][i]', chained)
        body += [f"{name}.append({name[:-3]})" for name in kept]
        return [f"{', '.join(targets)} = {', '.join(sources)}", head, *(f"    {line}" for line in body)]

    def _lines_of(
        self, call: Call, step: Step, module: str, cache: str, chained: dict[str, str] | None = None
    ) -> list[str]:
        """The lines that make one call: the call itself and the masks that it makes."""

        def source(port: str, ref: Ref) -> str:
            if chained and port in chained:
                return self.variable(call.name, chained[port])
            return self.variable(call.name, ref.output) if ref.node == call.name else self.read(ref)

        arguments = self._arguments(call, step, source)
        if stateful(step.body) and self.keeps_state(call):
            arguments.append(f"cache=cache and {cache}")
        target = self._targets(call, step)
        function = f"{module}({', '.join(arguments)})"
        if call.recompute:
            function = f"checkpoint({', '.join([module, *arguments])}, use_reentrant=False)"
        lines = [f"{target} = {function}"]
        if isinstance(step.body, Leaf) and step.body.rules.makes_mask:
            lines += self._made(call, step, module, source)
        return lines

    def keeps_state(self, call: Call) -> bool:
        return True

    def _arguments(self, call: Call, step: Step, source: object) -> list[str]:
        read = source
        assert callable(read)
        if isinstance(step.body, Definition):
            given = [read(port, step.inputs[port][0]) for port in step.body.inputs]
            for name in mask_inputs(step.body):
                given.append(f"mask_{name}={self.mask(self._mask_label(call, step, name))}")
            return given
        return self._leaf_arguments(call, step, step.body, read)

    def _leaf_arguments(self, call: Call, step: Step, leaf: Leaf, read: object) -> list[str]:
        assert callable(read)
        given: list[str] = []
        for port in leaf.type.ports:
            refs = leaf.inputs.edges.get(port.name, ())
            sources = [read(port.name, ref) for ref in step.inputs.get(port.name, ())] if refs else []
            named = (port.optional or port.follows is not None) and not port.many
            given += [f"{port.name}={text}" for text in sources] if named else sources
        if call.tie is not None:
            owner = self.definition.calls[call.tie].weights_of or call.tie
            given.append(f'getattr(self, "{owner}").weight' if keyword.iskeyword(owner) else f"self.{owner}.weight")
        label = read_mask(leaf)
        if label is not None:
            word = "key_mask" if leaf.type.port("mask") else "mask"
            given.append(f"{word}={self.mask(label)}")
        return given

    def _mask_label(self, call: Call, step: Step, port: str) -> str | None:
        return self.value(step.inputs[port][0]).mask

    def _targets(self, call: Call, step: Step) -> str:
        names = [self.variable(call.name, output) for output in step.outputs]
        if isinstance(step.body, Definition):
            names += [self.mask(step.outputs[name].mask) for name in made_masks(step.body)]
        single = len(names) == 1 and not (isinstance(step.body, Leaf) and not step.body.type.outputs)
        return names[0] if single else "(" + ", ".join(names) + ",)" if len(names) == 1 else ", ".join(names)

    def _made(self, call: Call, step: Step, module: str, read: object) -> list[str]:
        """The masks that a concat, split or convolution along positions makes, where somebody reads them."""
        assert callable(read)
        labels = own_masks(call.name, step)
        if not any(label in self.needed for label in labels if label):
            return []
        inputs = [(read(port, ref), self.value(ref).mask) for port, refs in step.inputs.items() for ref in refs]
        values = "".join(f"{text}, " for text, _ in inputs).rstrip()
        masks = "".join(f"{self.mask(label)}, " for _, label in inputs).rstrip()
        targets = ", ".join(self.mask(label) if label else "_" for label in labels)
        return [f"{targets} = {module}.masks(({values}), ({masks}))"]


def nested(lines: list[str]) -> list[str]:
    """Values that only the next line reads stand in that line: they are freed as soon as they are used, as in code by
    hand (keeping them costs 2 to 4% of a layer on CPU: the next result lands in memory that is not in the cache)."""
    text = "\n".join(lines)
    done: list[str] = []
    for line in lines:
        before = _ASSIGNMENT.fullmatch(done[-1]) if done else None
        if before is not None and before[2].count("(") - before[2].count("getattr(") < _DEEPEST:
            name = re.compile(rf'(?<![\w."]){before[1]}(?![\w"])')
            if len(name.findall(text)) == 2 and len(name.findall(line)) == 1 and not line.startswith((" ", "for ")):
                done[-1] = name.sub(before[2].replace("\\", r"\\"), line)
                continue
        done.append(line)
    return done


def own_masks(node: str, step: Step) -> list[str | None]:
    """For each output the label of its mask where the node makes it, else None."""
    labels = [value.mask for value in step.outputs.values()]
    return [label if label is not None and label.startswith(f"{node}.") else None for label in labels]


def _signature(step: Step) -> object:
    body = step.body
    if isinstance(body, Definition):
        return (tuple(body.inputs), tuple(body.outputs), mask_inputs(body), stateful(body), made_masks(body))
    return (
        body.type.name,
        body.construct.name,
        tuple(body.inputs.edges),
        tuple(body.outputs),
        read_mask(body),
        stateful(body),
    )


def _unchained(call: Call, step: Step, number: int) -> object:
    """The step's wiring with its reads of the repetition before it made alike."""
    return {
        port: tuple(
            (ref.node, ref.output, None if ref.node == call.name and ref.index == number - 1 else ref.index)
            for ref in refs
        )
        for port, refs in step.inputs.items()
    }


def _chained_ports(call: Call, step: Step) -> dict[str, str]:
    """Port to the output of the repetition before that feeds it."""
    return {
        port: refs[0].output or "" for port, refs in step.inputs.items() if len(refs) == 1 and refs[0].node == call.name
    }
