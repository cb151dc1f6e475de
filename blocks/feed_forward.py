"""The position-wise feed-forward network, plain or gated."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.activations import ACTIVATION_FUNCTIONS, clipped_gate
from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.elementwise import drop


class FeedForward(CanonicalWeights):
    """y = down(dropout(act(up x))), or gated y = down(dropout(act(gate x) · up x)). [..., width] → [..., width].

    Vaswani et al. 2017, §3.3; gated: Shazeer 2020, GLU variants. Canonical weights: `gate` (if gated) and `up`
    [hidden, width], `down` [width, hidden], each with a bias or none; in memory gate and up are one matrix unless
    `fused=False`. Starts Xavier-uniform, each projection by its own size; biases zero.
    """

    gate_up_weight: nn.Parameter
    gate_up_bias: nn.Parameter | None
    gate_weight: nn.Parameter
    gate_bias: nn.Parameter | None
    up_weight: nn.Parameter
    up_bias: nn.Parameter | None
    down_weight: nn.Parameter
    down_bias: nn.Parameter | None

    def __init__(
        self,
        width: int,
        hidden: int,
        activation: str = "gelu",
        gated: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        *,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.function = ACTIVATION_FUNCTIONS[activation]
        self.gated = gated
        self.fused = gated and fused
        self.dropout = float(dropout)
        if self.fused:
            self.add_weights("gate_up", {"gate": hidden, "up": hidden}, width, bias)
        else:
            for name in ("gate", "up") if gated else ("up",):
                self.add_weights(name, {name: hidden}, width, bias)
        self.add_weights("down", {"down": width}, hidden, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.gate(x) if self.gated else self.function(F.linear(x, self.up_weight, self.up_bias))
        if self.training and self.dropout:
            hidden = drop(hidden, self.dropout)
        return F.linear(hidden, self.down_weight, self.down_bias)

    def gate(self, x: Tensor) -> Tensor:
        """act(gate x) · up x: [..., width] → [..., hidden]."""
        if self.fused:
            gate, up = F.linear(x, self.gate_up_weight, self.gate_up_bias).chunk(2, dim=-1)
        else:
            gate, up = F.linear(x, self.gate_weight, self.gate_bias), F.linear(x, self.up_weight, self.up_bias)
        return clipped_gate(gate, up) if self.activation == "clipped" else self.function(gate) * up

    def extra_repr(self) -> str:
        width, hidden = self.down_weight.shape
        gated = "gated " if self.gated else ""
        dropout = f", dropout={self.dropout:g}" if self.dropout else ""
        return f"{width} → {hidden} → {width}, {gated}{self.activation}, bias={self.down_bias is not None}{dropout}"
