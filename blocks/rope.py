"""Rotary position embedding (Su et al. 2021, RoFormer)."""

from __future__ import annotations

import torch
from torch import Tensor

from blockgraph.blocks.canonical import DerivedBuffers


class RotaryPositions(DerivedBuffers):
    """Rotate each head's features by its position: pair n of position t by the angle t · theta^(-2n/d).

    `d` = int(head_dim · fraction) features are rotated, the rest pass through. `pairing`: `halves` pairs feature n with
    n + d/2 (Llama, NeoX), `interleaved` 2n with 2n + 1 (RoFormer, GPT-J). `type`: `default`, or `linear`, which divides
    positions by `factor` (Chen et al. 2023, §2.3). Angles, sines and cosines are float32, applied in x's dtype.

    No weights. In eager mode the table of sines is kept and grows; under `torch.compile` it is part of the graph.
    """

    frequencies: Tensor

    def __init__(
        self,
        head_dim: int,
        theta: float = 10000.0,
        fraction: float = 1.0,
        pairing: str = "halves",
        type: str = "default",
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        if type not in ("default", "linear"):
            raise ValueError(f"rope type {type!r} has no module yet: default or linear")
        if pairing not in ("halves", "interleaved"):
            raise ValueError(f"pairing is halves or interleaved, not {pairing!r}")
        self.rotary = int(head_dim * fraction + 1e-6)  # a fraction may come from a division
        if self.rotary % 2 or not 0 < self.rotary <= head_dim:
            raise ValueError(f"{self.rotary} of {head_dim} features are to be rotated: an even number, at least 2")
        self.rest = head_dim - self.rotary
        self.theta, self.pairing, self.scaling, self.factor = float(theta), pairing, type, float(factor)
        self.halves = pairing == "halves"
        self.register_buffer("frequencies", torch.empty(self.rotary // 2), persistent=False)
        self.fill_buffers()

    def fill_buffers(self, device: torch.device | None = None) -> None:
        device = device or self.frequencies.device
        exponents = torch.arange(0, self.rotary, 2, dtype=torch.float32, device=device) / self.rotary
        frequencies = 1.0 / self.theta**exponents
        self.frequencies = frequencies / self.factor if self.scaling == "linear" else frequencies
        self.kept: tuple[Tensor, Tensor] | None = None

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
        if torch.compiler.is_compiling():
            return self.compute(start, start + count, like)
        if self.kept is None or self.kept[0].device != like.device or self.kept[0].dtype != like.dtype:
            self.kept = None
        if self.kept is None or len(self.kept[0]) < start + count:
            with torch.inference_mode(False), torch.no_grad():
                self.kept = self.compute(0, max(32, 1 << (start + count - 1).bit_length()), like)
        cos, sin = self.kept
        return cos[start : start + count], sin[start : start + count]

    def compute(self, start: int, stop: int, like: Tensor) -> tuple[Tensor, Tensor]:
        if self.frequencies.device != like.device:
            self.fill_buffers(like.device)
        positions = torch.arange(start, stop, dtype=torch.float32, device=like.device)
        angles = positions.unsqueeze(-1) * self.frequencies
        cos, sin = angles.cos(), angles.sin()
        if self.halves:
            cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
        else:
            cos, sin = cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)
        return cos.unsqueeze(1).to(like.dtype), sin.unsqueeze(1).to(like.dtype)

    def extra_repr(self) -> str:
        linear = f", linear {self.factor:g}" if self.scaling == "linear" else ""
        return f"{self.rotary} of {self.rotary + self.rest}, theta={self.theta:g}, {self.pairing}{linear}"
