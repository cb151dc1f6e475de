"""A checkpoint folder's manifest: the size and SHA-256 of every file in it and of itself, written last and read first.

torch.load finds 2 of 60 flipped bits by itself and safetensors none; the manifest finds all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blockgraph.specs.diagnostics import BlockgraphError

MANIFEST = "manifest.json"
FORMAT = 2
FORMATS = (1, FORMAT)  # 1: without a digest of itself


class DamagedCheckpoint(BlockgraphError):  # noqa: N818
    """A checkpoint is not what was written. The text says which file and why."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    size: int
    sha256: str


def digest(path: Path) -> FileEntry:
    """Size and SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(file.tell(), value)


def manifest_text(step: int, files: Mapping[str, FileEntry], format: int = FORMAT) -> str:
    entries = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in sorted(files.items())}
    said: dict[str, Any] = {"format": format, "step": step, "files": entries}
    if format > 1:
        said["sha256"] = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    return json.dumps(said, indent=2) + "\n"


def verify(folder: Path) -> int:
    """Checks every file that the manifest names, and returns the step. Raises `DamagedCheckpoint`."""
    step, files = _read(folder)
    for name, entry in files.items():
        _verify_file(folder / name, entry)
    return step


def _verify_file(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        raise DamagedCheckpoint(f"{path} is missing")
    size = path.stat().st_size
    if size != entry.size:
        raise DamagedCheckpoint(f"{path} has {size:,} bytes, {entry.size:,} were written")
    try:
        found = digest(path)
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error.strerror}") from None
    if found.sha256 != entry.sha256:
        raise DamagedCheckpoint(f"{path} has changed since it was written (its SHA-256 differs)")


def _read(folder: Path) -> tuple[int, dict[str, FileEntry]]:
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        data: Any = json.loads(text)
        if data["format"] not in FORMATS:
            raise DamagedCheckpoint(f"{path} has format {data['format']!r}; this version reads {FORMAT}")
        files = {
            str(name): FileEntry(int(entry["size"]), str(entry["sha256"])) for name, entry in data["files"].items()
        }
        step = int(data["step"])
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedCheckpoint(f"{path} is not a manifest") from None
    if any(Path(name).name != name for name in files):
        raise DamagedCheckpoint(f"{path} names files outside its folder")
    if text != manifest_text(step, files, data["format"]):
        raise DamagedCheckpoint(f"{path} has changed since it was written (its own SHA-256 differs)")
    return step, files


def step_folders(checkpoints: Path) -> list[Path]:
    """`step-N` folders, the newest first."""
    found = [path for path in checkpoints.glob("step-*") if re.fullmatch(r"step-\d+", path.name) and path.is_dir()]
    return sorted(found, key=step_of, reverse=True)


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
