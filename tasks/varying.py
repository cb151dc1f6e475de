"""How pictures are varied while learning. Legend: B rows, C channels, H × W pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F


class Varied(Protocol):
    def applied(self, x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """float32 [B, C, H, W] → the same, each picture on its own; what comes in at a side is zero."""


@dataclass(frozen=True)
class Moved:
    """By up to so many whole `pixels` (height, width), and half of them mirrored."""

    pixels: tuple[int, int] = (0, 0)
    flip: bool = False

    def applied(self, x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        (up, left), (height, width) = self.pixels, x.shape[2:]
        moves = np.stack([random.integers(0, 2 * most + 1, len(x)) for most in self.pixels], 1).tolist()
        mirrored = (random.random(len(x)) < 0.5).tolist() if self.flip else [False] * len(x)
        wide = F.pad(x, (left, left, up, up))
        rows = [one[:, top : top + height, side : side + width] for one, (top, side) in zip(wide, moves, strict=True)]
        return torch.stack([row.flip(-1) if flip else row for row, flip in zip(rows, mirrored, strict=True)])


@dataclass(frozen=True)
class Transformed:
    """Turned by up to `degrees`, larger or smaller by up to a share `zoom`, moved by up to `pixels` in both directions,
    parts of a pixel too."""

    degrees: float
    zoom: float
    pixels: float

    def applied(self, x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        chance = torch.from_numpy(random.uniform(-1, 1, (4, len(x))).astype(np.float32))
        angles, zooms = chance[0] * math.radians(self.degrees), 1 + chance[1] * self.zoom
        return transformed(x, angles, zooms, chance[2:] * self.pixels)


def transformed(x: torch.Tensor, angles: torch.Tensor, zooms: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Pictures turned counterclockwise by `angles` [B] (radians) about their middle, times `zooms` [B], then moved by
    `moves` [2, B] pixels down and to the right. Values between pixels are interpolated linearly."""
    height, width = x.shape[2:]
    cos, sin = torch.cos(angles) / zooms, torch.sin(angles) / zooms
    down, right = moves[0] * 2 / height, moves[1] * 2 / width  # in halves of a side, as the sampler counts
    ratio = height / width
    columns = [cos, -sin * ratio, -(cos * right - sin * ratio * down)]
    rows = [sin / ratio, cos, -(sin / ratio * right + cos * down)]
    places = torch.stack([torch.stack(columns, -1), torch.stack(rows, -1)], dim=1)
    return F.grid_sample(x, F.affine_grid(places, list(x.shape), align_corners=False), align_corners=False)
