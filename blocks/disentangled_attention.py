"""DeBERTa's attention: content and relative positions are compared apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.kernel import attend_fused

CONTENT = ("query", "key", "value")


def signed_buckets(distance: Tensor, span: int, max_distance: int | None) -> Tensor:
    """The row of each i - j in a table of 2 · span rows: int of any shape → int (He et al. 2021a, §3.1, and its code).

    Distance zero has row `span`, later keys rows below it; what is too far shares the first or last row. With
    `max_distance`, distances up to span // 2 keep rows of their own and those beyond grow logarithmically, so that
    max_distance is the last (DeBERTa-v2). Logarithms are float32, since the next whole number above them counts.
    """
    if max_distance is not None:
        half = span // 2
        far = distance.abs().clamp(min=half)
        steps = torch.log(far / half) / torch.log(torch.tensor((max_distance - 1) / half, device=distance.device))
        grown = (torch.ceil(steps * (half - 1)) + half).long() * distance.sign()
        distance = torch.where(distance.abs() <= half, distance, grown)
    return (distance + span).clamp(0, 2 * span - 1)


class DisentangledAttention(CanonicalWeights):
    """softmax(scale · (q kᵀ + q p_kᵀ + p_q kᵀ)) v per head, then the output projection (He et al. 2021a, eq. 4).

    x [B, T, width] → the same. `table` [2 · span, table_width] has a vector for every relative position; p_k and p_q
    are its projections, and each pair of positions reads the row of `signed_buckets`. `to_position` is the term
    q p_kᵀ, `from_position` p_q kᵀ. `shared`: p_k and p_q use the content's own projections, else `position_key` and
    `position_query`. Scores are scaled by (head_dim · (1 + terms))^-0.5. Without a table (no `span`) only the first
    term is there, with the same scale. `bias` is for all projections or by name. Weights start Xavier-uniform, biases
    at zero.

    `mask` bool [B, T], true = a real token. Padding is hidden from real tokens; as a query it takes the mean of all
    values, as in DeBERTa's code, so that what reads the first position of a text padded on the left agrees too.
    """

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter | None
    out_weight: nn.Parameter
    out_bias: nn.Parameter | None

    def __init__(
        self,
        width: int,
        heads: int,
        span: int | None = None,
        *,
        head_dim: int | None = None,
        table_width: int | None = None,
        to_position: bool = True,
        from_position: bool = True,
        bias: bool | Mapping[str, bool] = True,
        shared: bool = False,
        max_distance: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.span, self.shared, self.max_distance = heads, span, shared, max_distance
        self.head_dim = head_dim or width // heads
        self.to_position, self.from_position, self.dropout = to_position, from_position, float(dropout)
        self.scale = (self.head_dim * (1 + to_position + from_position)) ** -0.5
        if shared and (table_width or width) != width:
            raise ValueError(f"shared projections want a table of width {width}, not {table_width}")
        names = (*CONTENT, "out", "position_key", "position_query")
        biases = {name: bias if isinstance(bias, bool) else bool(bias.get(name, True)) for name in names}
        self._add_projections(width, table_width or width, biases)
        self.reset_parameters()

    def _add_projections(self, width: int, table_width: int, bias: Mapping[str, bool]) -> None:
        """Query, key and value are one matrix where their biases agree."""
        inner = self.heads * self.head_dim
        self.fused = len({bias[name] for name in CONTENT}) == 1
        for name in ("qkv",) if self.fused else CONTENT:
            rows = dict.fromkeys(CONTENT if self.fused else (name,), inner)
            self.add_weights(name, rows, width, bias[next(iter(rows))])
        for name, there in (("position_key", self.to_position), ("position_query", self.from_position)):
            if there and self.span is not None and not self.shared:
                self.add_weights(name, {name: inner}, table_width, bias[name])
        self.add_weights("out", {"out": width}, inner, bias["out"])

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)

    def forward(self, x: Tensor, table: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        if self.fused:
            qkv = F.linear(x, self.qkv_weight, self.qkv_bias)
        else:
            qkv = torch.cat([F.linear(x, *self._weights(name)) for name in CONTENT], -1)
        q, k, v = torch.unflatten(qkv, -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        bias = None if table is None or self.span is None else self._bias(q, k, table, self.span)
        if mask is not None and bias is None:
            bias = q.new_zeros(1, 1, 1, 1)
        if mask is not None and bias is not None:
            bias = torch.where(mask[:, None, None], bias, -torch.inf)
        dropout = self.dropout if self.training else 0.0
        out = attend_fused(q, k, v, mask=bias, scale=self.scale, dropout=dropout)
        if mask is not None:
            out = torch.where(mask[:, None, :, None], out, v.mean(2, keepdim=True))
        return F.linear(out.transpose(1, 2).flatten(2), self.out_weight, self.out_bias)

    def _bias(self, q: Tensor, k: Tensor, table: Tensor, span: int) -> Tensor | None:
        """Both terms with positions, scaled: [B, H, T, T]; None where there is neither."""
        places = torch.arange(q.shape[2], device=q.device)
        rows = signed_buckets(places.unsqueeze(1) - places, span, self.max_distance)
        bias: Tensor | None = None
        if self.to_position:
            scores = q @ self._positions("key", table).transpose(1, 2)  # [B, H, T, 2 · span]
            bias = scores.gather(-1, rows.expand(*scores.shape[:2], -1, -1))
        if self.from_position:
            scores = k @ self._positions("query", table).transpose(1, 2)
            term = scores.gather(-1, rows.T.expand(*scores.shape[:2], -1, -1)).transpose(-2, -1)
            bias = term if bias is None else bias + term
        return None if bias is None else bias * self.scale

    def _positions(self, name: str, table: Tensor) -> Tensor:
        """The table's rows as keys or queries: [H, 2 · span, D]."""
        rows = F.linear(table, *self._weights(name if self.shared else f"position_{name}"))
        return torch.unflatten(rows, -1, (self.heads, -1)).transpose(0, 1)

    def _weights(self, name: str) -> tuple[Tensor, Tensor | None]:
        """A projection's weight and bias, which may be rows of the fused ones."""
        if not self.fused or name not in CONTENT:
            return getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        inner = self.heads * self.head_dim
        start = CONTENT.index(name) * inner
        bias = None if self.qkv_bias is None else self.qkv_bias[start : start + inner]
        return self.qkv_weight[start : start + inner], bias

    def extra_repr(self) -> str:
        terms = ["to_position"] * self.to_position + ["from_position"] * self.from_position + ["shared"] * self.shared
        span = [] if self.span is None else [f"span={self.span}"]
        said = [f"{self.out_weight.shape[0]}, {self.heads} heads × {self.head_dim}", *span, *terms]
        said += [] if self.max_distance is None else [f"max_distance={self.max_distance}"]
        return ", ".join(said + ([f"dropout={self.dropout:g}"] if self.dropout else []))
