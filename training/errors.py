"""What ends a training, as exceptions that carry the exit code of the command line."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from blockgraph.data.errors import TrainError
from blockgraph.specs.diagnostics import BlockgraphError

__all__ = ["DiskFull", "Followed", "NotFinite", "Stopped", "TrainError", "disk_full", "is_disk_full"]


class Stopped(BlockgraphError):  # noqa: N818
    """Stopped by SIGINT or SIGTERM, saved, and resumable."""

    exit_code = 3


class DiskFull(BlockgraphError):  # noqa: N818
    """A file could not be written for want of space. Earlier checkpoints are intact."""

    exit_code = 4


class NotFinite(BlockgraphError):  # noqa: N818
    """The loss or a gradient is inf or nan. The weights were not touched by it."""

    exit_code = 4


class Followed(BlockgraphError):  # noqa: N818
    """The first of several processes was refused, and has said why: this one ends with it, and with its exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("the first process has said why")
        self.exit_code = exit_code


_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or what it was raised from, is for want of space. safetensors only says so in its text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if re.search(r"No space left|os error (28|112|122)\b", str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(path: Path, kept: str) -> DiskFull:
    """The message for a full disk: where, how much is free, what is safe, how to go on."""
    import shutil

    try:
        free = f"{shutil.disk_usage(path).free / 1e6:,.0f} MB free"
    except OSError:
        free = "free space unknown"
    return DiskFull(f"the disk is full: {path} cannot be written ({free}); {kept}. Make room, then go on with --resume")
