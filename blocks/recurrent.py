"""Recurrent networks on torch's fused kernels, with one weight of each name."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.elementwise import drop
from blockgraph.blocks.state import RecurrentCache


class Recurrent(nn.Module):
    """Base of `RNN`, `LSTM` and `GRU`: one layer over x [B, T, in_width].

    Gives (out [B, T, width·directions], final [B, width·directions·parts]). `final` is one tensor: forward, then
    backward direction; an lstm's hidden states, then its cell states (parts = 2). `initial` has the same form.
    `mask` (bool [B, T], true = a real token; padding on the right): `final` is the state after the last real token,
    the backward direction begins there, and a sequence without any token keeps its initial state. `out` at padding is
    zero. `dropout` falls on `out`.

    With a cache the state goes on from it (one direction only), and a mask covers all positions so far.

    Weights (torch's order of gates): `weight_ih` [gates·width, in_width], `weight_hh` [gates·width, width], `bias_ih`,
    `bias_hh` [gates·width], and the same + `_reverse`. All start uniform within ±width^-0.5, as torch's do.
    """

    gates = 1
    states = 1  # tensors that make up the state

    def __init__(self, in_width: int, width: int, bidirectional: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.in_width, self.width, self.bidirectional = in_width, width, bidirectional
        self.directions = 2 if bidirectional else 1
        self.dropout = float(dropout)
        rows = self.gates * width
        for suffix in ("", "_reverse")[: self.directions]:
            self.register_parameter(f"weight_ih{suffix}", nn.Parameter(torch.empty(rows, in_width)))
            self.register_parameter(f"weight_hh{suffix}", nn.Parameter(torch.empty(rows, width)))
            self.register_parameter(f"bias_ih{suffix}", nn.Parameter(torch.empty(rows)))
            self.register_parameter(f"bias_hh{suffix}", nn.Parameter(torch.empty(rows)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for weight in self.parameters():
            nn.init.uniform_(weight, -(self.width**-0.5), self.width**-0.5)

    def kernel(self, *arguments: Any) -> tuple[Tensor, ...]:
        """torch's fused kernel of this type, padded or packed."""
        raise NotImplementedError

    def cell(self, x: Tensor, h: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One step written out: what the input and the last state become with their weights, and the new states."""
        raise NotImplementedError

    def new_cache(
        self,
        batch: int,
        length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> RecurrentCache:
        if self.bidirectional:
            raise ValueError("a bidirectional network cannot decode step by step: it looks ahead")
        like = next(self.parameters())
        width = self.width * self.states
        return RecurrentCache(batch, width, device=device or like.device, dtype=dtype or like.dtype)

    def forward(
        self,
        x: Tensor,
        initial: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        cache: RecurrentCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        if cache is not None and cache.started:
            initial = cache.state
        begin = self.split(x, initial)
        mask = None if mask is None else mask[:, -x.shape[1] :]
        if torch.compiler.is_exporting():
            out, *final = self.run_steps(x, begin, mask)
        elif mask is None or x.is_meta:
            out, *final = self.run(x, begin)
        else:
            out, *final = self.run_packed(x, begin, mask)
        joined = torch.cat([self.flat(state) for state in final], dim=-1)
        if cache is not None:
            cache.update(joined, x.shape[1])
        return (drop(out, self.dropout) if self.training and self.dropout else out), joined

    def split(self, x: Tensor, initial: Tensor | None) -> list[Tensor]:
        """[B, states·directions·width] → for each state [directions, B, width]; zeros where there is no initial."""
        if initial is None:
            zeros = x.new_zeros(self.directions, x.shape[0], self.width)
            return [zeros] * self.states
        parts = initial.view(x.shape[0], self.states, self.directions, self.width).permute(1, 2, 0, 3)
        return [part.contiguous() for part in parts.unbind(0)]

    def flat(self, state: Tensor) -> Tensor:
        """[directions, B, width] → [B, directions·width]."""
        return state.transpose(0, 1).reshape(state.shape[1], -1)

    def run(self, x: Tensor, begin: list[Tensor]) -> tuple[Tensor, ...]:
        weights = list(self.parameters())
        state = begin[0] if self.states == 1 else tuple(begin)
        # biases: yes, layers: 1, dropout between layers: none, training, bidirectional, batch first
        return self.kernel(x, state, weights, True, 1, 0.0, self.training, self.bidirectional, True)

    def run_packed(self, x: Tensor, begin: list[Tensor], mask: Tensor) -> tuple[Tensor, ...]:
        """The kernel over real tokens only."""
        counts = mask.sum(dim=1)
        packed = nn.utils.rnn.pack_padded_sequence(x, counts.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        data, sizes, order, back = packed
        assert order is not None and back is not None
        sorted_begin = [state.index_select(1, order) for state in begin]
        state = sorted_begin[0] if self.states == 1 else tuple(sorted_begin)
        weights = list(self.parameters())
        out, *final = self.kernel(data, sizes, state, weights, True, 1, 0.0, self.training, self.bidirectional)
        padded, _ = nn.utils.rnn.pad_packed_sequence(
            packed._replace(data=out), batch_first=True, total_length=x.shape[1]
        )
        empty = (counts == 0).view(1, -1, 1)
        kept = [torch.where(empty, old, new.index_select(1, back)) for old, new in zip(begin, final, strict=True)]
        return padded.masked_fill(empty.view(-1, 1, 1), 0.0), *kept

    def run_steps(self, x: Tensor, begin: list[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
        """The same, one position after the other: the form in which an exported graph leaves the length open."""
        from torch._higher_order_ops.scan import scan

        def step(states: list[Tensor], given: list[Tensor]) -> tuple[list[Tensor], Tensor]:
            new = self.cell(given[0], F.linear(states[0], over, over_bias), *states)
            states = [torch.where(given[1], here, there) for here, there in zip(new, states, strict=True)]
            return states, states[0].clone()

        real = torch.ones_like(x[..., 0], dtype=torch.bool)  # the first positions, as many as there are real tokens
        if mask is not None:
            real = (real.cumsum(dim=1) - 1) < mask.sum(dim=1, keepdim=True)
        weights, outs, ends = list(self.parameters()), [], []
        for way in range(self.directions):
            into, over, into_bias, over_bias = weights[4 * way : 4 * way + 4]
            given = [F.linear(x, into, into_bias).transpose(0, 1), real.transpose(0, 1).unsqueeze(-1)]
            states, out = scan(step, [state[way].clone() for state in begin], given, reverse=bool(way))
            outs.append(out.transpose(0, 1))
            ends.append(states)
        final = [torch.stack([states[number] for states in ends]) for number in range(self.states)]
        return torch.cat(outs, dim=-1).masked_fill(~real.unsqueeze(-1), 0.0), *final

    def extra_repr(self) -> str:
        both = ", bidirectional" if self.bidirectional else ""
        return f"{self.in_width} → {self.width * self.directions}{both}" + (
            f", dropout={self.dropout:g}" if self.dropout else ""
        )


class RNN(Recurrent):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990)."""

    def kernel(self, *arguments: Any) -> tuple[Tensor, ...]:
        return torch.rnn_tanh(*arguments)

    def cell(self, x: Tensor, h: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        return (torch.tanh(x + h),)


class LSTM(Recurrent):
    """Input, forget, cell and output gates (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    The forget gate's biases start with the sum 1, so that memory is kept at first (Jozefowicz et al. 2015, §2.2);
    torch's own start near 0.
    """

    gates = 4
    states = 2

    def reset_parameters(self) -> None:
        super().reset_parameters()
        forget = slice(self.width, 2 * self.width)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("bias"):
                    parameter[forget] = 1.0 if name.startswith("bias_ih") else 0.0

    def kernel(self, *arguments: Any) -> tuple[Tensor, ...]:
        return torch.lstm(*arguments)

    def cell(self, x: Tensor, h: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        into, keep, new, out = (x + h).chunk(4, dim=-1)
        memory = torch.sigmoid(keep) * states[1] + torch.sigmoid(into) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(memory), memory


class GRU(Recurrent):
    """Reset and update gates (Cho et al. 2014), the reset gate after the matrix product as in cuDNN and torch."""

    gates = 3

    def kernel(self, *arguments: Any) -> tuple[Tensor, ...]:
        return torch.gru(*arguments)

    def cell(self, x: Tensor, h: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        from_x, from_h = x.chunk(3, dim=-1), h.chunk(3, dim=-1)
        reset, keep = (torch.sigmoid(a + b) for a, b in zip(from_x[:2], from_h[:2], strict=True))
        new = torch.tanh(from_x[2] + reset * from_h[2])
        return ((1 - keep) * new + keep * states[0],)
