"""`train`: a spec and a text in, a run folder out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from blockgraph.data.texts import Texts
from blockgraph.running.runs import SPEC
from blockgraph.training.board import check_tensorboard
from blockgraph.training.errors import Stopped, TrainError, disk_full, is_disk_full
from blockgraph.training.launched import job, start_number, started_by_torchrun
from blockgraph.training.memory import keep_freed_memory
from blockgraph.training.precision import Precision
from blockgraph.training.progress import reporter_for
from blockgraph.training.run_data import RunData
from blockgraph.training.run_folder import RunFolder, folder_of_job, new_folder, old_folder
from blockgraph.training.session import Draw, Session
from blockgraph.training.settings import Settings, from_spec
from blockgraph.training.world import World

if TYPE_CHECKING:
    from rich.console import Console

    from blockgraph.specs.spec import Spec


def train(
    spec: Spec,
    *,
    out: str | Path | None = None,
    data: str | Path | Texts | None = None,
    resume: bool = False,
    device: str = "auto",
    console: Console | None = None,
    draw: Draw | None = None,
) -> Path:
    """Trains a spec as its `train:` section says, and returns the run's folder.

    `out`: the folder, by default `runs/NAME-N`; with `resume`, the run to go on with, by default the last
    `runs/NAME-N`. `data` replaces the spec's paths: a file, a folder, or texts. `draw` writes the diagram, where the
    caller can draw.
    Progress goes to `console` (None: nowhere). Resuming gives the losses and weights, bit for bit, that the training
    would have had without the break (on a CPU; a GPU's kernels may add in another order). From here on the process
    keeps memory that is freed (see `keep_freed_memory`).

    Raises `TrainError` (nothing was trained), `Stopped` (exit code 3), `NotFinite` and `DiskFull` (exit code 4).
    """
    if spec.train is None:
        raise TrainError(f"{spec.name} has no `train:` section: add one, or train a preset that has")
    keep_freed_memory()
    settings, where = from_spec(spec.train), _device(device)
    if settings.tensorboard:
        check_tensorboard()
    given = Path(out) if out is not None else None
    with processes(settings, where) as world:
        folder, resume = world.shared(lambda: _folder(given, spec.name, resume))
        reporter = reporter_for(console if world.first else None)
        if settings.parallel and world.kind is None:
            reporter.message(f"parallel: {settings.parallel} needs torchrun; this is one process, which trains alone")
        reporter.message(f"run: {folder}")
        with _ending_in_words(folder, world), RunFolder(folder, owner=world.first, job=job()) as run:
            Session(spec, settings, run, reporter, where, world).train(data, resume, draw)
        reporter.message(f"run: {folder}")
    return folder


def processes(settings: Settings, device: torch.device) -> World:
    """Those that torchrun started; else this one. torch.distributed is read only where it is needed."""
    if not started_by_torchrun():
        return World()
    from blockgraph.training.distributed import join

    return join(settings, device, Precision(settings.precision, device).name)


def _folder(given: Path | None, name: str, resume: bool) -> tuple[Path, bool]:
    """The run's folder, and whether to go on with what is in it: also where torchrun restarts the job that began it."""
    if start_number() and (own := job()) is not None and (before := folder_of_job(own, given, name)) is not None:
        return before, (before / SPEC).is_file()
    return (old_folder(given, name), True) if resume else (new_folder(given, name), False)


@contextmanager
def _ending_in_words(folder: Path, world: World) -> Iterator[None]:
    """However it is cut short: what happened, and how to go on."""
    again = f"blockgraph train {folder / SPEC} --out {folder} --resume"
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / SPEC).exists():
            raise  # nothing was begun
        if not RunData(folder).written:
            raise Stopped("stopped before the first step; begin again: the same command with --resume") from None
        raise Stopped(f"stopped at once; go on from the last checkpoint: {again}") from None
    except Stopped as stopped:
        raise Stopped(f"{stopped}; go on: {again}") from None
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder, "the checkpoints before are intact") from error
        raise
    except RuntimeError as error:
        if world.lost(error):
            raise Stopped(f"another process of this training ended; go on from the last checkpoint: {again}") from error
        raise


def _device(name: str) -> torch.device:
    from blockgraph.builder.build import resolve_device

    device = resolve_device(name)
    if started_by_torchrun() and name == "auto" and device.type not in ("cpu", "cuda"):
        device = torch.device("cpu")
    if started_by_torchrun() and device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "meta":
        raise TrainError("--device meta has no numbers to train; use cpu, cuda or mps")
    return device
