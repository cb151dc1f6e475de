"""Rules of the recurrent layers, which differ in how many gates they have and what state they keep. No torch."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from blockgraph.builder.rules import Construct, Inputs, RuleError, Rules
from blockgraph.builder.rules_checks import rows, want_features, want_floats, without_defaults
from blockgraph.builder.shapes import Size, Value
from blockgraph.specs.options import GRUOptions, LSTMOptions, RecurrentOptions, RNNOptions

R = TypeVar("R", bound=RecurrentOptions)


class RecurrentRules(Rules[R]):
    """x [B, T, ·], initial [B, states · width · directions] → out [B, T, width · directions], final as initial."""

    name: ClassVar[str]
    gates: ClassVar[int]
    states: ClassVar[int] = 1  # hidden; lstm: hidden, then cell
    reads_mask = "x"
    stateful = True

    def outputs(self, o: R, i: Inputs) -> dict[str, Value]:
        x = want_floats(i["x"], self.name, "x", 3)
        want_features(x, self.name, "x")
        width = o.width * (2 if o.bidirectional else 1)
        final = Value((x.shape[0], Size(self.states * width)))
        if "initial" in i:
            self._check_initial(i["initial"], final)
        return {"out": x.widened(width), "final": final}

    def _check_initial(self, initial: Value, final: Value) -> None:
        want_floats(initial, self.name, "initial", 2, "[batch, features]")
        if initial.shape != final.shape:
            message = f"{self.name}'s initial state must be {final}, but it is {initial}"
            raise RuleError("shape", message, port="initial", width_of="initial")

    def construct(self, o: R, i: Inputs) -> Construct:
        rest = without_defaults(o.model_dump(), {"bidirectional": False, "dropout": 0.0})
        return Construct(self.name.upper(), {"in_width": i["x"].width, **rest})

    def weights(self, o: R, i: Inputs) -> dict[str, tuple[int, ...]]:
        inner = self.gates * o.width
        one = {
            "weight_ih": (inner, i["x"].width),
            "weight_hh": (inner, o.width),
            "bias_ih": (inner,),
            "bias_hh": (inner,),
        }
        return one | ({f"{name}_reverse": shape for name, shape in one.items()} if o.bidirectional else {})

    def flops(self, o: R, i: Inputs) -> int:
        directions = 2 if o.bidirectional else 1
        return 2 * directions * rows(i["x"]) * self.gates * o.width * (i["x"].width + o.width)

    def state(self, o: R, i: Inputs, length: int) -> int:
        return self.states * int(i["x"].shape[0]) * o.width if self.keeps_state(o, i) else 0

    def keeps_state(self, o: R, i: Inputs) -> bool:
        return not o.bidirectional

    def decodable(self, o: R, i: Inputs) -> str | None:
        return f"a bidirectional {self.name} also reads the text from its end" if o.bidirectional else None


class RNNRules(RecurrentRules[RNNOptions]):
    name = "rnn"
    gates = 1


class LSTMRules(RecurrentRules[LSTMOptions]):
    name = "lstm"
    gates = 4
    states = 2


class GRURules(RecurrentRules[GRUOptions]):
    name = "gru"
    gates = 3
