"""Files of an export: there whole or not at all. Safetensors are written tensor by tensor, in shards where they are
large, so that no second copy of the weights is ever in memory.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from blockgraph.running.checkpoints import INDEX, WHOLE
from blockgraph.specs.diagnostics import BlockgraphError

SHARD = 5 * 10**9  # bytes of one file
KINDS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class ExportError(BlockgraphError):
    """A model cannot be written in the form that was asked for. The text says what is in the way."""


def library(name: str, extra: str) -> Any:
    """A package that only exporting needs. Raises `ExportError`, which says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ExportError(f'{error.name or name} is not installed: pip install "blockgraph[{extra}]"') from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and progress bars of other libraries."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A folder in which a file named as `path` is to be made; with all that was made beside it, it then moves to its
    place."""
    with _aside(path) as aside:
        yield aside / path.name
        for made in sorted(aside.iterdir(), key=lambda each: each.name == path.name):
            made.replace(path.parent / made.name)


@contextmanager
def new_folder(path: Path, force: bool) -> Iterator[Path]:
    """A folder that takes its place at `path` when it is done. Raises `ExportError` where something stands there."""
    if path.exists() and not (path.is_dir() and (force or not any(path.iterdir()))):
        what = f"{path} is not empty: --force replaces it" if path.is_dir() else f"{path} is a file, not a folder"
        raise ExportError(what)
    with _aside(path) as aside:
        yield aside
        old = path.with_name(f".{path.name}-old")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        aside.rename(path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    aside = path.with_name(f".{path.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        yield aside
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


# --- safetensors ------------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A tensor that is to be written."""

    name: str
    shape: tuple[int, ...]
    kind: str

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * KINDS[self.kind].itemsize


def kind_of(dtype: torch.dtype) -> str:
    """The name that safetensors has for a dtype."""
    return next(name for name, each in KINDS.items() if each == dtype)


def write_weights(folder: Path, entries: Sequence[Entry], tensor: Callable[[Entry], Tensor], limit: int = SHARD) -> int:
    """Writes `model.safetensors`, or shards of at most `limit` bytes with their index; how many files there are."""
    shards: list[list[Entry]] = [[]]
    for entry in entries:
        if shards[-1] and sum(each.bytes for each in shards[-1]) + entry.bytes > limit:
            shards.append([])
        shards[-1].append(entry)
    if len(shards) == 1:
        _write(folder / WHOLE, entries, tensor)
        return 1
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        _write(folder / name, shard, tensor)
    places = {entry.name: name for name, shard in zip(names, shards, strict=True) for entry in shard}
    size = {"total_size": sum(entry.bytes for entry in entries)}
    (folder / INDEX).write_text(json.dumps({"metadata": size, "weight_map": places}, indent=2) + "\n", "utf-8")
    return len(names)


def _write(path: Path, entries: Sequence[Entry], tensor: Callable[[Entry], Tensor]) -> None:
    """One file: the length of the header, the header, then the numbers in its order (the format's page, 2023)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    ordered = sorted(entries, key=lambda entry: -KINDS[entry.kind].itemsize)  # so that every tensor is aligned
    for entry in ordered:
        stop = start + entry.bytes
        header[entry.name] = {"dtype": entry.kind, "shape": list(entry.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for entry in ordered:
            data = tensor(entry).detach().to("cpu", KINDS[entry.kind]).contiguous().reshape(-1)
            file.write(data.view(torch.uint8).numpy().data)
