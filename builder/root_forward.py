"""The `forward` of the model itself: named inputs, padding masks, decoding state. No torch."""

from __future__ import annotations

from blockgraph.builder.forward import Forward, nested
from blockgraph.builder.graph import Call, Definition, Ref
from blockgraph.builder.streaming import Streaming, stateful


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
        lines += [f"    {line}" for line in nested([*body, f"return {self._result()}"])]
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
