"""Frequencies of rotary positions, as models trained on short texts change them for longer ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class RopeScaling(NamedTuple):
    """A type of scaling and its numbers; each type reads its own and leaves the others alone.

    Written so that rounding is the reference library's: of 1e-7 in a frequency, a thousand positions make 1e-4.

    | type | frequencies | source |
    |---|---|---|
    | default | f = theta^(-2n/d) | Su et al. 2021 |
    | linear | f / factor | Chen et al. 2023, §2.3 |
    | dynamic | of theta · (factor · r - factor + 1)^(d/(d-2)), r = length / original_length where over 1 | NTK-aware |
    | llama3 | f / factor for long wavelengths, f for short ones, a mixture between | Llama 3.1, 2024 |
    | yarn | f / factor for few turns, f for many, a ramp between; sines times attention_factor | Peng et al. 2023 |
    | proportional | f / factor for the first `share` of the pairs, 0 for the rest | Gemma 3n and 4 |
    | longrope | f / short_factor, past original_length f / long_factor; sines as in yarn | Ding et al. 2024 |
    """

    type: str = "default"
    factor: float | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_length: int = 8192
    max_length: int | None = None
    short_factor: Sequence[float] = ()
    long_factor: Sequence[float] = ()
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True
    share: float = 1.0

    @property
    def times(self) -> float:
        """How many times longer texts became: `factor`, or else what the two lengths say."""
        if self.factor is not None:
            return float(self.factor)
        return 1.0 if self.max_length is None else self.max_length / self.original_length

    @property
    def amplitude(self) -> float:
        """What multiplies cosines and sines."""
        if self.type not in ("yarn", "longrope"):
            return 1.0
        if self.attention_factor is not None:
            return float(self.attention_factor)
        if self.times <= 1:
            return 1.0
        if self.type == "yarn":
            return 0.1 * math.log(self.times) + 1.0
        return math.sqrt(1 + math.log(self.times) / math.log(self.original_length))

    @property
    def by_length(self) -> bool:
        """Whether frequencies depend on how long the text is."""
        return self.type in ("dynamic", "longrope")

    def frequencies(self, theta: float, rotary: int, device: torch.device) -> Tensor:
        """Angles per position of the pairs of `rotary` features, float32 [rotary / 2], up to the original length."""
        wavelengths = theta ** _exponents(rotary, device)  # over 2π
        if self.type == "linear":
            return 1.0 / wavelengths / self.times
        if self.type == "llama3":
            return self._llama3(1.0 / wavelengths)
        if self.type == "yarn":
            kept = self._kept_share(theta, rotary, device)
            return 1.0 / (self.times * wavelengths) * (1 - kept) + 1.0 / wavelengths * kept
        if self.type == "proportional":
            turning = torch.arange(rotary // 2, device=device) < int(self.share * rotary // 2)
            return torch.where(turning, 1.0 / wavelengths / self.times, 0.0)
        if self.type == "longrope":
            wavelengths = wavelengths * torch.tensor(self.short_factor, dtype=torch.float32, device=device)
        return 1.0 / wavelengths

    def beyond(self, theta: float, rotary: int, device: torch.device) -> Tensor:
        """What counts beyond the original length, float32 [rotary / 2]: longrope's frequencies; dynamic's exponents of
        a theta that is theta · (factor · r - factor + 1)^(d/(d-2)) there."""
        exponents = _exponents(rotary, device)
        if self.type == "dynamic":
            return exponents
        return 1.0 / (torch.tensor(self.long_factor, dtype=torch.float32, device=device) * theta**exponents)

    def _llama3(self, frequencies: Tensor) -> Tensor:
        """Wavelengths over original_length / low_freq_factor are scaled, those under … / high_freq_factor stay."""
        turns = self.original_length / (2 * math.pi / frequencies)
        kept = ((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0, 1)
        return (1 - kept) * frequencies / self.times + kept * frequencies

    def _kept_share(self, theta: float, rotary: int, device: torch.device) -> Tensor:
        """How much of each pair's frequency yarn keeps: 1 at beta_fast turns and more, 0 at beta_slow and fewer."""

        def pair(turns: float) -> float:
            return rotary * math.log(self.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = pair(self.beta_fast), pair(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotary - 1)
        width = high - low or 0.001
        pairs = torch.arange(rotary // 2, dtype=torch.float32, device=device)
        return 1 - ((pairs - low) / width).clamp(0, 1)


def _exponents(rotary: int, device: torch.device) -> Tensor:
    return torch.arange(0, rotary, 2, dtype=torch.float32, device=device) / rotary
