"""A step that was cut short between two of its parts: what is done of it already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn


@dataclass
class Pending:
    """How many `parts` of the step are done, and the sum of their losses. Their gradients are the model's."""

    parts: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))

    def state(self, model: nn.Module) -> dict[str, Any]:
        """With the gradients; empty where no step is open."""
        if not self.parts:
            return {}
        found = {name: p.grad.cpu().clone() for name, p in model.named_parameters() if p.grad is not None}
        return {"parts": self.parts, "loss": self.loss.cpu(), "gradients": found}

    @classmethod
    def restored(cls, state: Mapping[str, Any], model: nn.Module) -> Self:
        """Puts back what `state` gave."""
        if not state:
            return cls()
        parameters = dict(model.named_parameters())
        for name, gradient in state["gradients"].items():
            parameters[name].grad = gradient.to(parameters[name].device)
        return cls(state["parts"], state["loss"])
