"""Rotary position embedding (Su et al. 2021, RoFormer)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from blockgraph.blocks.canonical import DerivedBuffers
from blockgraph.blocks.rope_scaling import RopeScaling

TYPES = ("default", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional")


class RotaryPositions(DerivedBuffers):
    """Rotate each head's features by its position: pair n of position t by the angle t · theta^(-2n/d).

    `d` = int(head_dim · fraction) features are rotated, the rest pass through. `pairing`: `halves` pairs feature n with
    n + d/2 (Llama, NeoX), `interleaved` 2n with 2n + 1 (RoFormer, GPT-J). `type` and the numbers of its own change the
    frequencies for longer texts: see `RopeScaling`. `proportional` pairs features as if all were rotated, and turns the
    first `fraction` of the pairs. Angles, sines and cosines are float32, applied in x's dtype.

    Types `dynamic` and `longrope` choose by how long the text is so far: T, or `start` + T with a state. Beyond
    original_length, keys that a state holds keep the frequencies they were rotated by, so there, and only there,
    decoding step by step is not one pass over the whole (as in the reference's cache). So `running.reader` begins
    a text of type longrope anew when it gets that long, as Phi-3's code does.

    No weights. In eager mode the table of sines is kept and grows; under `torch.compile` it is part of the graph.
    """

    frequencies: Tensor
    beyond: Tensor | None
    limit: Tensor | None

    def __init__(
        self,
        head_dim: int,
        theta: float = 10000.0,
        fraction: float = 1.0,
        pairing: str = "halves",
        type: str = "default",
        **numbers: Any,
    ) -> None:
        super().__init__()
        if type not in TYPES:
            raise ValueError(f"rope type is one of {', '.join(TYPES)}, not {type!r}")
        if pairing not in ("halves", "interleaved"):
            raise ValueError(f"pairing is halves or interleaved, not {pairing!r}")
        if type == "proportional":
            numbers["share"], fraction = fraction, 1.0
        self.rotary = int(head_dim * fraction + 1e-6)  # a fraction may come from a division
        if self.rotary % 2 or not 0 < self.rotary <= head_dim:
            raise ValueError(f"{self.rotary} of {head_dim} features are to be rotated: an even number, at least 2")
        self.rest = head_dim - self.rotary
        self.theta, self.pairing, self.halves = float(theta), pairing, pairing == "halves"
        self.scaling = RopeScaling(type, **numbers)
        self.factor, self.amplitude = self.scaling.times, self.scaling.amplitude
        self.by_length, self.dynamic = self.scaling.by_length, type == "dynamic"
        self.original_length = float(self.scaling.original_length)
        self.register_buffer("frequencies", torch.empty(self.rotary // 2), persistent=False)
        self.register_buffer("beyond", torch.empty(self.rotary // 2) if self.by_length else None, persistent=False)
        self.register_buffer("limit", torch.empty(()) if self.by_length else None, persistent=False)
        self.fill_buffers()

    def fill_buffers(self, device: torch.device | None = None) -> None:
        device = device or self.frequencies.device
        self.frequencies = self.scaling.frequencies(self.theta, self.rotary, device)
        if self.by_length:
            self.beyond = self.scaling.beyond(self.theta, self.rotary, device)
            self.limit = torch.tensor(self.original_length, dtype=torch.float32, device=device)
        self.kept: tuple[Tensor, Tensor] | None = None
        self.kept_beyond = False

    def reset_parameters(self) -> None:
        self.fill_buffers()

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """[batch, T, heads, head_dim], whose first position is `start` → the same shape, rotated."""
        cos, sin = self.tables(start, x.shape[1], x)
        if not self.rest:
            return self.rotate(x, cos, sin)
        turned = self.rotate(x[..., : self.rotary], cos, sin)
        return torch.cat((turned, x[..., self.rotary :]), dim=-1)

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x · cos + partner(x) · sin, where the sign of the partner is in the table."""
        partner = x.roll(self.rotary // 2, -1) if self.halves else x.view(*x.shape[:-1], -1, 2).flip(-1).flatten(-2)
        return torch.addcmul(x * cos, partner, sin)

    def tables(self, start: int, count: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines [count, 1, rotary] of the positions from `start`, in `like`'s dtype."""
        stop = start + count
        if torch.compiler.is_compiling():
            return self.compute(start, stop, like, stop)
        if self.by_length:
            beyond = stop > self.original_length
            if beyond and self.dynamic:  # each length has frequencies of its own
                return self.compute(start, stop, like, stop)
            if beyond != self.kept_beyond:
                self.kept, self.kept_beyond = None, beyond
        kept = self.kept
        if kept is None or kept[0].shape[0] < stop or kept[0].dtype != like.dtype or kept[0].device != like.device:
            with torch.inference_mode(False), torch.no_grad():
                self.kept = kept = self.compute(0, max(32, 1 << (stop - 1).bit_length()), like, stop)
        cos, sin = kept
        return cos.narrow(0, start, count), sin.narrow(0, start, count)

    def compute(self, start: int, stop: int, like: Tensor, length: int) -> tuple[Tensor, Tensor]:
        if self.frequencies.device != like.device:
            self.fill_buffers(like.device)
        positions = torch.arange(start, stop, dtype=torch.float32, device=like.device)
        angles = positions.unsqueeze(-1) * self.at(length)
        cos, sin = angles.cos() * self.amplitude, angles.sin() * self.amplitude
        if self.halves:
            cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
        else:
            cos, sin = cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)
        return cos.unsqueeze(1).to(like.dtype), sin.unsqueeze(1).to(like.dtype)

    def at(self, length: int) -> Tensor:
        """The frequencies of a text of `length` positions; the choice is a tensor's, not a constant of the graph."""
        if self.beyond is None or self.limit is None:
            return self.frequencies
        beyond = self.beyond
        if self.dynamic:
            stretch = (self.factor * length / self.limit - (self.factor - 1.0)).clamp(min=1.0)
            beyond = 1.0 / (self.theta * stretch ** (self.rotary / (self.rotary - 2))) ** beyond
        return torch.where(self.limit < length, beyond, self.frequencies)

    def extra_repr(self) -> str:
        scaling = "" if self.scaling.type == "default" else f", {self.scaling.type} {self.factor:g}"
        return f"{self.rotary} of {self.rotary + self.rest}, theta={self.theta:g}, {self.pairing}{scaling}"
