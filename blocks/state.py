"""What decoding remembers between calls: one cache per block that looks back, and the model's whole state.

Caches hold numbers, not history: nothing flows back through them. Every cache knows `numbers` (how many numbers it
holds), `nbytes`, and `select(rows)`, which reorders, repeats or drops sequences in place (beam search).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor


class Cache:
    """Base of all caches. `length` counts the positions seen so far.

    `pads_left`: texts may have padding before them: their mask, and `State.pad_left`, are all that the block needs.
    """

    pads_left: ClassVar[bool] = False

    def __init__(self) -> None:
        self.length = 0

    def tensors(self) -> Iterator[Tensor]:
        """The tensors that it keeps."""
        return iter(())

    @property
    def numbers(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors())

    @property
    def nbytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())

    def select(self, rows: Tensor) -> None:
        """Keep the sequences `rows` (int [new batch]), in that order, in place."""


class PositionCache(Cache):
    """How many positions there were (`length`), of the keys that `relative_bias` was given once (`keys`), and how many
    ids of each sequence were not padding (`counts`, int [batch, 1]).

    `padding` [batch]: how many positions each sequence has before its own first one; None: none has any.
    """

    pads_left = True

    def __init__(self) -> None:
        super().__init__()
        self.keys: int | None = None
        self.padding: Tensor | None = None
        self.counts: Tensor | None = None

    def tensors(self) -> Iterator[Tensor]:
        if self.counts is not None:
            yield self.counts

    def select(self, rows: Tensor) -> None:
        if self.padding is not None:
            self.padding = self.padding.index_select(0, rows.to(self.padding.device))
        if self.counts is not None:
            self.counts = self.counts.index_select(0, rows.to(self.counts.device))


class KeyValueCache(Cache):
    """Keys and values of the positions so far, [batch, heads, length, head_dim], allocated once."""

    pads_left = True

    def __init__(
        self,
        batch: int,
        heads: int,
        length: int,
        head_dim: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.keys = torch.zeros(batch, heads, length, head_dim, device=device, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    def tensors(self) -> Iterator[Tensor]:
        yield self.keys
        yield self.values

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the new [batch, heads, new, head_dim]; views of all so far. ValueError if they don't fit."""
        start, new = self.length, keys.shape[2]
        stop = start + new
        if stop > self.keys.shape[2]:
            raise ValueError(f"the state holds {self.capacity} positions, and {stop} are needed: make it longer")
        if keys.shape[0] != self.keys.shape[0]:
            raise ValueError(f"the state is for {self.keys.shape[0]} sequences, not for {keys.shape[0]}")
        self.keys.narrow(2, start, new).copy_(keys.detach())
        self.values.narrow(2, start, new).copy_(values.detach())
        self.length = stop
        return self.keys.narrow(2, 0, stop), self.values.narrow(2, 0, stop)

    def places(self, queries: int, device: torch.device) -> Tensor | None:
        """The positions of the keys that the last update gave, int [keys]; None: 0, 1, 2, … in order."""
        return None

    def select(self, rows: Tensor) -> None:
        self.keys, self.values = self._rows(self.keys, rows), self._rows(self.values, rows)

    def _rows(self, tensor: Tensor, rows: Tensor) -> Tensor:
        filled = min(self.length, self.capacity)
        found = tensor[:, :, :filled].index_select(0, rows.to(tensor.device))
        chosen = tensor if len(rows) == len(tensor) else tensor.new_zeros(len(rows), *tensor.shape[1:])
        chosen[:, :, :filled] = found
        return chosen


class WindowCache(KeyValueCache):
    """Keys and values of the last positions only, as many as a window is wide: position p lies in row p mod window.

    One new position takes the row of the one that leaves the window; rows are then not in the order of positions, which
    attention does not mind (`places` says where each belongs). Several at once see the window before them too.
    """

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        start, new, rows = self.length, keys.shape[2], self.capacity
        stop = start + new
        if stop <= rows:
            return super().update(keys, values)
        if keys.shape[0] != self.keys.shape[0]:
            raise ValueError(f"the state is for {self.keys.shape[0]} sequences, not for {keys.shape[0]}")
        self.length = stop
        if new == 1:
            self.keys[:, :, start % rows] = keys[:, :, 0].detach()
            self.values[:, :, start % rows] = values[:, :, 0].detach()
            return self.keys, self.values
        before = torch.arange(max(0, start - rows + 1), start, device=keys.device) % rows
        seen = tuple(
            torch.cat((kept[:, :, before], fresh), 2) for kept, fresh in ((self.keys, keys), (self.values, values))
        )
        last = torch.arange(max(start, stop - rows), stop, device=keys.device) % rows
        self.keys[:, :, last] = keys[:, :, -len(last) :].detach()
        self.values[:, :, last] = values[:, :, -len(last) :].detach()
        return seen[0], seen[1]

    def places(self, queries: int, device: torch.device) -> Tensor | None:
        stop, rows = self.length, self.capacity
        if stop <= rows:
            return None
        if queries > 1:
            start = stop - queries
            return torch.arange(max(0, start - rows + 1), stop, device=device)
        return stop - 1 - (stop - 1 - torch.arange(rows, device=device)) % rows


class SourceCache(Cache):
    """Cross-attention's keys and values, projected at the first call only. `length` counts query positions."""

    pads_left = True

    def __init__(self) -> None:
        super().__init__()
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def tensors(self) -> Iterator[Tensor]:
        if self.keys is not None and self.values is not None:
            yield self.keys
            yield self.values

    def fill(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys.detach(), values.detach()

    def select(self, rows: Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys = self.keys.index_select(0, rows.to(self.keys.device))
            self.values = self.values.index_select(0, rows.to(self.values.device))


class LatentCache(Cache):
    """Latents and shared keys of the positions so far, [batch, length, width], allocated once (DeepSeek-V2, §2.1)."""

    pads_left = True

    def __init__(
        self,
        batch: int,
        length: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.latents = torch.zeros(batch, length, width, device=device, dtype=dtype)

    def tensors(self) -> Iterator[Tensor]:
        yield self.latents

    def update(self, latents: Tensor) -> Tensor:
        """Append the new [batch, new, width]; a view of all so far. ValueError if they don't fit."""
        start, stop = self.length, self.length + latents.shape[1]
        if stop > self.latents.shape[1]:
            raise ValueError(f"the state holds {len(self.latents[0])} positions, and {stop} are needed: make it longer")
        if latents.shape[0] != self.latents.shape[0]:
            raise ValueError(f"the state is for {self.latents.shape[0]} sequences, not for {latents.shape[0]}")
        self.latents[:, start:stop] = latents.detach()
        self.length = stop
        return self.latents[:, :stop]

    def select(self, rows: Tensor) -> None:
        chosen = self.latents.new_zeros(len(rows), *self.latents.shape[1:])
        chosen[:, : self.length] = self.latents[:, : self.length].index_select(0, rows.to(self.latents.device))
        self.latents = chosen


class RecurrentCache(Cache):
    """A recurrent network's last state [batch, width] (lstm: hidden then cell, [batch, 2·width]); zero at first.

    `started` tells a state that has been written from the zeros that an `initial` replaces.
    """

    def __init__(
        self,
        batch: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.state = torch.zeros(batch, width, device=device, dtype=dtype)

    @property
    def started(self) -> bool:
        return self.length > 0

    def tensors(self) -> Iterator[Tensor]:
        yield self.state

    def update(self, state: Tensor, positions: int) -> None:
        self.state = state.detach()
        self.length += positions

    def select(self, rows: Tensor) -> None:
        self.state = self.state.index_select(0, rows.to(self.state.device))


class State:
    """A model's memory between calls of `model(tokens, state=state)`.

    `caches` is a tree of dicts and lists with a cache at every leaf (None for blocks without one), shaped like the
    model; `position` counts the positions done; `masks` and `kept` (tensors, lists of them, None) hold what later calls
    need of earlier inputs, batch axis first (a tensor whose first axis is not the batch, such as a relative bias, is
    the same for all sequences).
    """

    def __init__(self, caches: Any, batch: int) -> None:
        self.caches = caches
        self.batch = batch
        self.position = 0
        self.masks: dict[str, Tensor] = {}
        self.kept: dict[str, Any] = {}

    @property
    def started(self) -> bool:
        return self.position > 0

    def leaves(self) -> Iterator[Cache]:
        """Every cache, in the order of the tree."""
        yield from cache_leaves(self.caches)

    @property
    def numbers(self) -> int:
        """How many numbers the caches hold."""
        return sum(cache.numbers for cache in self.leaves())

    @property
    def nbytes(self) -> int:
        """Bytes of the caches, the masks and what is kept."""
        extra = _tensors([*self.masks.values(), *self.kept.values()])
        return sum(cache.nbytes for cache in self.leaves()) + sum(t.numel() * t.element_size() for t in extra)

    def advance(self, positions: int) -> None:
        """Count the positions of a call that is done."""
        self.position += positions

    def extend_mask(self, name: str, mask: Tensor | None, ids: Tensor) -> Tensor | None:
        """The padding mask of all positions so far, bool [batch, position + new]; None while nothing was padding.

        `ids` [batch, new, …] are the call's own; without a `mask` they are all real.
        """
        earlier = self.masks.get(name)
        if mask is None and earlier is None:
            return None
        if earlier is None:
            earlier = torch.ones(ids.shape[0], self.position, dtype=torch.bool, device=ids.device)
        if mask is None:
            mask = torch.ones(ids.shape[:2], dtype=torch.bool, device=ids.device)
        # A caller may give the mask of the new positions, or of all.
        self.masks[name] = mask if mask.shape[1] > ids.shape[1] else torch.cat((earlier, mask), dim=1)
        return self.masks[name]

    def pad_left(self, counts: Tensor) -> None:
        """Before the first call: sequence n begins after counts[n] positions of padding, which its mask must hide too,
        so that absolute positions count from there (int [batch]). Without this they count the padding."""
        for cache in self.leaves():
            if isinstance(cache, PositionCache):
                cache.padding = counts

    def select(self, rows: Tensor) -> None:
        """Keep the sequences `rows` (int [new batch]), in that order, in place: beams."""
        for cache in self.leaves():
            cache.select(rows)
        self.masks = {name: self._rows(mask, rows) for name, mask in self.masks.items()}
        self.kept = {name: self._rows(value, rows) for name, value in self.kept.items()}
        self.batch = len(rows)

    def _rows(self, value: Any, rows: Tensor) -> Any:
        if isinstance(value, list):
            return [self._rows(item, rows) for item in value]
        if value is None or value.dim() == 0 or value.shape[0] != self.batch:
            return value
        return value.index_select(0, rows.to(value.device))


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, list):
            yield from _tensors(value)
        elif value is not None:
            yield value


def cache_leaves(tree: Any) -> Iterator[Cache]:
    """The caches of a tree of dicts, lists and tuples."""
    if isinstance(tree, Cache):
        yield tree
    elif isinstance(tree, dict):
        for branch in tree.values():
            yield from cache_leaves(branch)
    elif isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from cache_leaves(branch)
