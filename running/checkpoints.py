"""A folder's `*.safetensors`, memory-mapped: names, shapes, and one tensor at a time.

Pages of a mapped file count as memory of this process while the mapping lives, so it is closed and opened again after
every few megabytes that were read: what is in memory at once stays small, however large the checkpoint.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from blockgraph.running.weights import WeightsError

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
KEPT = 16 * 2**20  # bytes read through one mapping


class PublishedWeights:
    """The tensors of a checkpoint's folder, by name."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.kinds: dict[str, str] = {}
        self._open: tuple[Path, Any, ExitStack] | None = None
        self._read = 0
        for path in files_of(folder):
            self._list(path)

    def _list(self, path: Path) -> None:
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                if name in self.files:
                    raise WeightsError(f"{path}: {name} is in {self.files[name].name} too")
                part = file.get_slice(name)
                self.files[name], self.shapes[name] = path, tuple(part.get_shape())
                self.kinds[name] = str(part.get_dtype())

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in set(self.files.values()))

    @property
    def dtype(self) -> torch.dtype:
        """What most of the numbers are: float32, bfloat16 or float16."""
        known = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
        counts = dict.fromkeys(known, 0)
        for name, kind in self.kinds.items():
            if kind in counts:
                counts[kind] += torch.Size(self.shapes[name]).numel()
        return known[max(counts, key=lambda kind: counts[kind])]

    def tensor(self, name: str) -> Tensor:
        """One tensor: a view of the file, to be copied from and dropped before the next `done`."""
        path = self.files[name]
        if self._open is None or self._open[0] != path:
            self.close()
            stack = ExitStack()
            self._open = (path, stack.enter_context(_opened(path)), stack)
        found: Tensor = self._open[1].get_tensor(name)
        return found

    def done(self, count: int) -> None:
        """`count` bytes have been read, and nothing holds on to them."""
        self._read += count
        if self._read >= KEPT:
            self.close()

    def close(self) -> None:
        if self._open is not None:
            stack = self._open[2]
            self._open = None
            stack.close()
        self._read = 0


def files_of(folder: Path) -> list[Path]:
    """The files that hold the weights: those of the index, `model.safetensors`, or all that there are."""
    if (folder / INDEX).is_file():
        return _indexed(folder)
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise WeightsError(_none(folder))
    return found


def _none(folder: Path) -> str:
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if not pickles:
        return f"{folder}: there is no *.safetensors in it"
    why = "a pickle, which can run code when it is opened, so it is never read"
    how = "AutoModel….from_pretrained(FOLDER).save_pretrained(OTHER)"
    return f"{folder}: {pickles[0]} is {why}. Where you trust it, transformers writes it as safetensors: {how}"


def _indexed(folder: Path) -> list[Path]:
    path = folder / INDEX
    try:
        names = sorted(set(json.loads(path.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: cannot read the index: {error!r}") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise WeightsError(f"{path}: {name!r} is not the name of a *.safetensors beside it")
        if not (folder / name).is_file():
            raise WeightsError(f"{folder / name} is missing; {INDEX} names it")
    return [folder / name for name in names]


def _opened(path: Path) -> Any:
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot read the weights: {error}") from None
