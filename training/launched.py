"""What torchrun tells the processes that it starts: that they are several, which job they are of, whether it started
them again. And they end with it: an orphan would hold the run, and train on unseen. No torch."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from blockgraph.data.errors import TrainError
from blockgraph.specs.diagnostics import BlockgraphError

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def started_by_torchrun() -> bool:
    """Whether this is one of several processes, by the variables that torchrun (or another launcher) sets."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))


def start_number() -> int:
    """How often torchrun has started this job's processes again, after one of them ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def job() -> str | None:
    """What all starts of one job have in common, and no other: its name (`--rdzv-id`), else the process of torchrun
    on this machine. None without torchrun."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None or name != "none":
        return name
    return f"{platform.node()}:{os.getppid()}:{os.environ.get('MASTER_PORT')}"


@contextmanager
def first_speaks() -> Iterator[None]:
    """What ends all processes alike is told by the first one; what may be the matter of one machine, by each."""
    rank = int(os.environ.get("RANK", "0")) if started_by_torchrun() else 0
    try:
        yield
    except TrainError as error:
        if rank:
            raise TrainError(f"process {rank}: {error}") from None
        raise
    except BlockgraphError as error:
        if rank:
            raise SystemExit(error.exit_code) from None
        raise


def end_with_parent() -> None:
    """Linux kills this process as soon as the one that started it ends, however that ends. (Elsewhere it goes on; the
    lock of its run keeps others out.)"""
    if sys.platform != "linux":
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended in between
        os._exit(1)
