"""In which number format the products run: autocast, and fp16's loss scaling."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from blockgraph.training.errors import TrainError


class Precision:
    """`auto` is bf16 on CUDA and fp32 elsewhere. Weights, gradients, norms and the loss stay fp32."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = _automatic(device) if name == "auto" else name
        self._device = device
        if self.name == "fp16" and device.type != "cuda":
            raise TrainError(f"train: precision: fp16 needs a CUDA device, this is {device.type}; write bf16 or fp32")
        self.scaler = torch.amp.GradScaler("cuda") if self.name == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.float16 if self.name == "fp16" else torch.bfloat16)

    def backward(self, loss: torch.Tensor) -> None:
        (self.scaler.scale(loss) if self.scaler is not None else loss).backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, Any]:
        return self.scaler.state_dict() if self.scaler is not None else {}

    def load(self, state: dict[str, Any]) -> None:
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)


def _automatic(device: torch.device) -> str:
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
