"""`train`: a spec and a text in, a run folder out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from blockgraph.data.texts import Texts
from blockgraph.running.runs import SPEC
from blockgraph.training.board import check_tensorboard
from blockgraph.training.errors import Stopped, TrainError, disk_full, is_disk_full
from blockgraph.training.progress import reporter_for
from blockgraph.training.run_folder import RunFolder, new_folder, old_folder
from blockgraph.training.session import Draw, Session
from blockgraph.training.settings import from_spec

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
    would have had without the break (on a CPU; a GPU's kernels may add in another order).

    Raises `TrainError` (nothing was trained), `Stopped` (exit code 3), `NotFinite` and `DiskFull` (exit code 4).
    """
    if spec.train is None:
        raise TrainError(f"{spec.name} has no `train:` section: add one, or train a preset that has")
    settings, where = from_spec(spec.train), _device(device)
    if settings.tensorboard:
        check_tensorboard()
    given = Path(out) if out is not None else None
    folder = old_folder(given, spec.name) if resume else new_folder(given, spec.name)
    reporter = reporter_for(console)
    reporter.message(f"run: {folder}")
    with _ending_in_words(folder), RunFolder(folder) as run:
        Session(spec, settings, run, reporter, where).train(data, resume, draw)
    reporter.message(f"run: {folder}")
    return folder


@contextmanager
def _ending_in_words(folder: Path) -> Iterator[None]:
    """However it is cut short: what happened, and how to go on."""
    again = f"blockgraph train {folder / SPEC} --out {folder} --resume"
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped at once; go on from the last checkpoint: {again}") from None
    except Stopped as stopped:
        raise Stopped(f"{stopped}; go on: {again}") from None
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder, "the checkpoints before are intact") from error
        raise


def _device(name: str) -> torch.device:
    from blockgraph.builder.build import resolve_device

    device = resolve_device(name)
    if device.type == "meta":
        raise TrainError("--device meta has no numbers to train; use cpu, cuda or mps")
    return device
