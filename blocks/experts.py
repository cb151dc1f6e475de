"""Mixtures of experts: a router picks a few feed-forward networks for each position."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.activations import ACTIVATION_FUNCTIONS, clipped_gate
from blockgraph.blocks.canonical import CanonicalWeights


class Mixture(CanonicalWeights):
    """y = scale · Σ over the top_k experts e of weight_e · expert_e(x) (Shazeer et al. 2017). [..., width] → the same.

    An expert is down(act(up x)), or gated down(act(gate x) · up x). Its weight comes from the router's logits:

    | score | weights of the chosen | chosen by | source |
    |---|---|---|---|
    | softmax | softmax over all experts | the same | Switch, Mixtral |
    | sigmoid | sigmoid of each logit | the same | DeepSeek-V3 2024, eq. 15 |
    | softmax_after | softmax over the chosen ones | the logits | GPT-OSS |

    `normalize` divides them by their sum. `correction`: a number for each expert is added for the choice only
    (DeepSeek-V3, eq. 16); no gradient reaches it. `groups`: only experts of the `top_groups` best groups may be chosen.
    A group is as good as its best expert (DeepSeek-V2, §2.2.2), with a correction as its best two together (V3,
    §2.1.2). Scores are at least float32.

    Canonical weights: `router` [experts, width]; `experts.gate`, `experts.up` [experts, hidden, width] and
    `experts.down` [experts, width, hidden]. Each matrix starts Xavier-uniform by its own size; the rest is zero.

    Positions are sorted by expert, and each expert that is used computes its own at once. On meta, and where a graph is
    exported, `gathered` computes the same without looking at data.
    """

    router_weight: nn.Parameter
    router_bias: nn.Parameter | None
    router_correction: nn.Parameter | None

    def __init__(
        self,
        width: int,
        experts: int,
        top_k: int,
        hidden: int,
        *,
        activation: str = "silu",
        gated: bool = True,
        bias: bool = False,
        score: str = "softmax",
        normalize: bool = True,
        groups: int = 1,
        top_groups: int | None = None,
        correction: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if score not in ("softmax", "sigmoid", "softmax_after"):
            raise ValueError(f"score is softmax, sigmoid or softmax_after, not {score!r}")
        self.experts, self.top_k, self.hidden = experts, top_k, hidden
        self.activation, self.function = activation, ACTIVATION_FUNCTIONS[activation]
        self.gated, self.score, self.normalize = gated, score, normalize
        self.groups, self.top_groups = groups, top_groups or groups
        self.scale = float(scale)
        self.add_weights("router", {"router": experts}, width, bias)
        frozen = nn.Parameter(torch.empty(experts), requires_grad=False) if correction else None
        self.register_parameter("router_correction", frozen)
        self.parts["router_correction"] = (("router.correction", experts),)
        for name, rows, columns in self._sides(width):
            self._add_experts(name, rows, columns, bias)
        self.reset_parameters()

    def _sides(self, width: int) -> list[tuple[str, int, int]]:
        sides = [("gate", self.hidden, width), ("up", self.hidden, width), ("down", width, self.hidden)]
        return sides if self.gated else sides[1:]

    def _add_experts(self, name: str, rows: int, columns: int, bias: bool) -> None:
        weight, biases = torch.empty(self.experts, rows, columns), torch.empty(self.experts, rows)
        self.register_parameter(f"experts_{name}_weight", nn.Parameter(weight))
        self.register_parameter(f"experts_{name}_bias", nn.Parameter(biases) if bias else None)
        for kind in ("weight", "bias"):
            self.parts[f"experts_{name}_{kind}"] = ((f"experts.{name}.{kind}", self.experts),)

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            if path.endswith("weight"):
                for matrix in part.tensor if part.tensor.dim() == 3 else [part.tensor]:
                    nn.init.xavier_uniform_(matrix)
            else:
                nn.init.zeros_(part.tensor)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = self.route(flat)
        if x.is_meta or torch.compiler.is_exporting():
            out = self.gathered(flat, chosen)
        else:
            out = self.dispatched(flat, chosen)
        return (out * weights.to(out.dtype).unsqueeze(-1)).sum(1).view(x.shape)

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, width] → weights and numbers of the chosen experts, both [N, top_k]."""
        logits = F.linear(x, self.router_weight, self.router_bias)
        scores = self._scores(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        votes = scores if self.router_correction is None else scores + self.router_correction
        if self.top_groups < self.groups:
            votes = votes.masked_fill(~self._eligible(votes), -torch.inf)
        chosen = votes.topk(self.top_k, dim=-1).indices
        weights = scores.gather(-1, chosen)
        if self.score == "softmax_after":
            weights = torch.softmax(weights, dim=-1)
        if self.normalize:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)  # sigmoids may all be zero
        return weights * self.scale, chosen

    def _scores(self, logits: Tensor) -> Tensor:
        if self.score == "softmax":
            return torch.softmax(logits, dim=-1)
        return torch.sigmoid(logits) if self.score == "sigmoid" else logits

    def _eligible(self, votes: Tensor) -> Tensor:
        """Which experts are in the best groups: bool, as `votes` [N, experts]."""
        members = torch.unflatten(votes, -1, (self.groups, -1))
        counted = min(members.shape[-1], 1 if self.router_correction is None else 2)
        best = members.topk(counted, dim=-1).values.sum(-1).topk(self.top_groups, dim=-1).indices
        allowed = torch.zeros(len(votes), self.groups, dtype=torch.bool, device=votes.device).scatter(1, best, True)
        return allowed.repeat_interleave(members.shape[-1], dim=1)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def dispatched(self, x: Tensor, chosen: Tensor) -> Tensor:
        """[N, width] → what each chosen expert says, [N, top_k, width]: one product per expert that is used."""
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=self.experts).tolist()
        sorted_rows = torch.split(x.index_select(0, order // self.top_k), counts)
        sides = {name: self._matrices(name) for name, _, _ in self._sides(x.shape[-1])}
        outs = [
            self._expert({name: matrices[number] for name, matrices in sides.items()}, rows)
            for number, rows in enumerate(sorted_rows)
            if len(rows) or not len(flat)
        ]
        return torch.cat(outs).index_select(0, order.argsort()).view(*chosen.shape, x.shape[-1])

    def _matrices(self, name: str) -> list[tuple[Tensor, Tensor | None]]:
        weights, biases = getattr(self, f"experts_{name}_weight"), getattr(self, f"experts_{name}_bias")
        return list(zip(weights.unbind(), [None] * self.experts if biases is None else biases.unbind(), strict=True))

    def _expert(self, sides: dict[str, tuple[Tensor, Tensor | None]], x: Tensor) -> Tensor:
        up = F.linear(x, *sides["up"])
        hidden = self._gate(F.linear(x, *sides["gate"]), up) if self.gated else self.function(up)
        return F.linear(hidden, *sides["down"])

    def _gate(self, gate: Tensor, up: Tensor) -> Tensor:
        return clipped_gate(gate, up) if self.activation == "clipped" else self.function(gate) * up

    def gathered(self, x: Tensor, chosen: Tensor) -> Tensor:
        """The same as `dispatched`, written out: every position with copies of the matrices that it chose."""
        x = x.unsqueeze(1).expand(-1, self.top_k, -1)
        up = self._gathered_side("up", x, chosen)
        hidden = self._gate(self._gathered_side("gate", x, chosen), up) if self.gated else self.function(up)
        return self._gathered_side("down", hidden, chosen)

    def _gathered_side(self, name: str, x: Tensor, chosen: Tensor) -> Tensor:
        weights, biases = getattr(self, f"experts_{name}_weight"), getattr(self, f"experts_{name}_bias")
        out: Tensor = (weights[chosen] @ x.unsqueeze(-1)).squeeze(-1)
        return out if biases is None else out + biases[chosen]

    def extra_repr(self) -> str:
        width, gated = self.router_weight.shape[1], "gated " if self.gated else ""
        said = [f"{width} → {self.hidden} → {width}", f"{self.top_k} of {self.experts} experts"]
        said += [f"{gated}{self.activation}", self.score]
        said += [f"{self.top_groups} of {self.groups} groups"] if self.groups > 1 else []
        said += ["correction"] if self.router_correction is not None else []
        said += [f"scale={self.scale:g}"] if self.scale != 1.0 else []
        return ", ".join(said)
