"""The `forward` of one generated class, line by line. No torch."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from blockgraph.builder.graph import Call, Definition, Leaf, Ref, Step
from blockgraph.builder.masks import made_masks, mask_inputs, needed_masks, read_mask
from blockgraph.builder.shapes import Value
from blockgraph.builder.streaming import Streaming, stateful


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
        head = f"def forward(self, {', '.join(given)}) -> {returned}:"
        return [
            head,
            *(
                f"    {line}"
                for line in [*self.body(self.definition.calls.values()), f"return {', '.join(self._returned())}"]
            ),
        ]

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
        """Whether one loop serves every repetition: the same signature, the same wiring but for the chain, no new masks."""
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


class RootForward(Forward):
    """Writes the model's own forward: named inputs, their masks, decoding state, one tensor or a dict."""

    def __init__(self, definition: Definition, plan: Streaming) -> None:
        self.plan = plan
        super().__init__(definition)

    def _input_name(self, name: str) -> str:
        return self._fresh(name)

    @property
    def decodes(self) -> bool:
        return self.plan.refusal is None

    def keeps_state(self, call: Call) -> bool:
        return self.decodes and call.name not in self.plan.once

    def lines(self) -> list[str]:
        lines = [f"def forward(self, {', '.join(self._parameters())}):"]
        body = [*self._defaults(), *self._input_masks()]
        if self._remembers():
            body.append("cache = None if state is None else state.caches")
        if self.split:
            body += self._read_kept()
        body += self.body(call for call in self.definition.calls.values() if call.name not in self.split)
        if self.decodes:
            body += ["if state is not None:", f"    state.advance({self.plan.inputs[0]}.shape[1])"]
        lines += [f"    {line}" for line in [*body, f"return {self._result()}"]]
        return [*lines, "", *self._once()] if self.split else lines

    @property
    def split(self) -> tuple[str, ...]:
        """The calls that a step leaves out, where the model decodes at all."""
        return self.plan.once if self.decodes else ()

    def _remembers(self) -> bool:
        return any(stateful(call.body) and self.keeps_state(call) for call in self.definition.calls.values())

    def _optional(self, name: str) -> bool:
        static = self.split and name not in self.plan.inputs
        return bool(static) or self.definition.inputs[name].default is not None

    def _parameters(self) -> list[str]:
        given: list[str] = []
        optional = False
        for name in self.definition.inputs:
            optional = optional or self._optional(name)
            given.append(f"{name}: Tensor | None = None" if optional else f"{name}: Tensor")
        masks = [f"{name}_mask: Tensor | None = None" for name in self._masked()]
        given += ["*", *masks] if masks or self.decodes else []
        return [*given, "state: State | None = None"] if self.decodes else given

    def _masked(self) -> list[str]:
        return [name for name, given in self.definition.inputs.items() if given.value.mask == name]

    def _defaults(self) -> list[str]:
        lines = []
        seen_optional = False
        for name, given in self.definition.inputs.items():
            seen_optional = seen_optional or self._optional(name)
            if given.default is not None:
                other = self._sized_like(name)
                lines += [f"if {name} is None:", f"    {name} = torch.full_like({other}, {given.default})"]
            elif seen_optional and not self._optional(name):
                lines += [f"if {name} is None:", f'    raise TypeError("the input {name} is missing")']
        return lines

    def _sized_like(self, name: str) -> str:
        shape = self.definition.inputs[name].value.shape
        return next(
            o for o, g in self.definition.inputs.items() if g.default is None and g.value.shape[: len(shape)] == shape
        )

    def _input_masks(self) -> list[str]:
        lines = []
        for name in self._masked():
            if name not in self.needed:
                continue
            variable, pad = self.mask(name), self.definition.inputs[name].value.pad
            absent = (
                "None"
                if pad is None
                else f"{name} != {pad}"
                if not self._optional(name)
                else f"None if {name} is None else {name} != {pad}"
            )
            lines.append(
                f"{variable} = ({absent}) if {name}_mask is None else {name}_mask.bool()"
                if pad is not None
                else f"{variable} = None if {name}_mask is None else {name}_mask.bool()"
            )
            if self.decodes and name in self.plan.inputs:
                lines += ["if state is not None:", f'    {variable} = state.extend_mask("{name}", {variable}, {name})']
        return lines

    # -- what runs once ----------------------------------------------------------------------------------------------

    def _static_inputs(self) -> list[str]:
        return [name for name in self.definition.inputs if name not in self.plan.inputs]

    def _kept(self) -> list[str]:
        """Variables that the steps read of what ran once: values and masks."""
        names = dict.fromkeys(
            self.read(Ref(ref.node, ref.output)) if ref.index is None else self._list(ref) for ref in self.plan.kept
        )
        static = {*self._static_inputs(), *self.split}
        masks = [self.mask(label) for label in sorted(self.needed) if label.split(".")[0] in static]
        return [*names, *masks]

    def _read_kept(self) -> list[str]:
        arguments = [*self._static_inputs(), *(self.mask(name) for name in self._static_masks())]
        lines = [
            "if state is None or not state.started:",
            f"    kept = self._once({', '.join(arguments)})",
            "else:",
            "    kept = state.kept",
        ]
        lines += ["if state is not None:", "    state.kept = kept"]
        return lines + [f'{name} = kept["{name}"]' for name in self._kept()]

    def _static_masks(self) -> list[str]:
        return [name for name in self._masked() if name in self.needed and name not in self.plan.inputs]

    def _once(self) -> list[str]:
        arguments = [*self._static_inputs(), *(self.mask(name) for name in self._static_masks())]
        calls = [call for call in self.definition.calls.values() if call.name in self.split]
        kept = ", ".join(f'"{name}": {name}' for name in self._kept())
        lines = [
            f"def _once(self, {', '.join(f'{name}: Tensor | None' for name in arguments)}) -> dict:",
            '    """What does not follow the streamed axis: computed at the first step only."""',
        ]
        for name in self._static_inputs():
            if self.definition.inputs[name].default is None:
                lines += [f"    if {name} is None:", f'        raise TypeError("the input {name} is missing")']
        return [*lines, *(f"    {line}" for line in self.body(calls)), f"    return {{{kept}}}"]

    def _result(self) -> str:
        outputs = self.definition.outputs
        if len(outputs) == 1:
            return self.read(next(iter(outputs.values())).ref)
        return "{" + ", ".join(f'"{name}": {self.read(output.ref)}' for name, output in outputs.items()) + "}"
