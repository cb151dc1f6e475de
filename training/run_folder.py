"""A run's folder: made or found, locked, described; and the check that what is resumed is what was begun."""

from __future__ import annotations

import difflib
import json
import os
import platform
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from blockgraph.running.manifests import step_folders
from blockgraph.running.runs import CHECKPOINTS, SPEC
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.training.errors import TrainError, is_disk_full
from blockgraph.training.files import sweep, write_whole
from blockgraph.training.run_data import RunData

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec

METRICS = "metrics.jsonl"
PLOT = "loss.png"
DIAGRAM = "diagram.svg"
ENVIRONMENT = "environment.json"
LOCK = ".lock"


class RunFolder:
    """An open run folder; nobody else can train in it until it is closed.

    `fresh`: nothing had been begun in it. Such a one vanishes again where the training is refused before its first
    checkpoint, or interrupted before it is begun, so that the same command works once the reason is mended. Of several
    processes the first one is the `owner`: it has the lock and writes. `job` is noted in the lock, for `folder_of_job`.
    """

    def __init__(self, path: Path, *, owner: bool = True, job: str | None = None) -> None:
        self.path, self.owner = path, owner
        self._lock = _lock(path / LOCK) if owner else None
        if self._lock is not None and job is not None:
            self._lock.truncate(0)
            self._lock.write(job.encode())
            self._lock.flush()
        self.fresh = not (path / SPEC).exists()

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def data(self) -> RunData:
        return RunData(self.path)

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        refused = isinstance(error, OSError) and not is_disk_full(error)
        if isinstance(error, BlockgraphError):
            refused = error.exit_code == BlockgraphError.exit_code
        if isinstance(error, KeyboardInterrupt):
            refused = not (self.path / SPEC).exists()
        self.close()
        if refused and self.owner and self.fresh and not step_folders(self.checkpoints):
            shutil.rmtree(self.path, ignore_errors=True)

    # the spec

    def begin(self, spec_text: str) -> None:
        """Writes what stays the same: the spec. Raises `TrainError` where another process was quicker."""
        if not self.fresh:
            raise TrainError(f"--out: {self.path} holds a run: go on with --resume, or name another folder")
        sweep(self.path)
        self.checkpoints.mkdir(exist_ok=True)
        write_whole(self.path / SPEC, spec_text)

    @property
    def spec_text(self) -> str:
        """The spec as it was when the run was begun."""
        return (self.path / SPEC).read_text(encoding="utf-8")

    def check_spec(self, now: Spec) -> None:
        """Raises `TrainError` where the spec does not mean what the one that was begun means, showing the lines that
        differ."""
        from blockgraph.specs.show import show

        before, text = self.spec_text, show(now)
        if without_parallel(before) != without_parallel(text) and not _means(before, now):
            shown = _changes(before, text)
            raise TrainError(
                f"--resume: the spec has changed since {self.path} was begun:\n{shown}\n"
                f"undo that, or train it anew with another --out"
            )

    # the machine

    def note_session(self, facts: dict[str, Any]) -> None:
        """Adds this session to `environment.json`."""
        path = self.path / ENVIRONMENT
        try:
            sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
        except (OSError, ValueError, KeyError, TypeError):
            sessions = []
        write_whole(path, json.dumps({"sessions": [*sessions, environment() | facts]}, indent=2) + "\n")


def without_parallel(spec_text: str) -> str:
    """A resolved spec without `train: parallel:`, which may change from one session to the next: it tells how the work
    is shared, not what it is."""
    return re.sub(r"^  parallel: (ddp|fsdp|null)\n", "", spec_text, flags=re.MULTILINE)


def _means(before: str, now: Spec) -> bool:
    """Whether a spec's text means what `now` means: in `train:` a default may be written or left out."""
    from blockgraph.specs.load import load_text

    diagnostics = Diagnostics()
    spec = load_text(before, diagnostics, name=f"{now.name}.yaml", plugins=now.plugins)
    return spec is not None and not diagnostics.has_errors and _meaning(spec) == _meaning(now)


def _meaning(spec: Spec) -> tuple[Any, str]:
    from blockgraph.specs.show import flat
    from blockgraph.specs.tree import Mapping

    rest = {name: entry for name, entry in spec.tree.entries.items() if name != "train"}
    section = None if spec.train is None else spec.train.model_dump(exclude={"parallel"})
    return section, flat(replace(spec, tree=Mapping(rest, spec.tree.span)))


def _changes(before: str, after: str) -> str:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "as begun", "now", lineterm="", n=1))
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"  {line}" for line in changed[:12]) + (
        f"\n  … {len(changed) - 12} more" if len(changed) > 12 else ""
    )


def new_folder(out: Path | None, name: str, base: Path = Path("runs")) -> Path:
    """An empty folder: `out`, or `runs/NAME-N` with the next N. Raises `TrainError` where `out` is in use."""
    if out is not None:
        return _claimed(out)
    number = max((n for n, _ in _numbered(base, name)), default=0) + 1
    while True:
        try:
            return _made(base / f"{name}-{number}", exist_ok=False)
        except FileExistsError:
            number += 1


def _claimed(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise TrainError(f"--out: {out} is a file")
    if out.is_dir() and any(path.name != LOCK for path in out.iterdir()):
        what = "holds a run: go on with --resume" if (out / SPEC).exists() else "is not empty"
        raise TrainError(f"--out: {out} {what}, or name another folder")
    return _made(out, exist_ok=True)


def _made(path: Path, exist_ok: bool) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        raise
    except OSError as error:
        raise TrainError(f"{path} cannot be made: {error.strerror}") from error
    return path


def old_folder(out: Path | None, name: str, base: Path = Path("runs")) -> Path:
    """The folder to resume: `out`, or the last `runs/NAME-N`. Raises `TrainError` where there is none."""
    path = out if out is not None else max(_numbered(base, name), default=(0, None))[1]
    if path is None:
        raise TrainError(f"--resume: there is no {base}/{name}-N; name the run by --out")
    if not (path / SPEC).is_file():
        raise TrainError(f"--resume: {path} holds no run ({SPEC} is missing)")
    return path


def folder_of_job(job: str, out: Path | None, name: str, base: Path = Path("runs")) -> Path | None:
    """The folder that a process of the same job has locked before: `out`, or one of `runs/NAME-N`."""
    candidates = [out] if out is not None else [path for _, path in sorted(_numbered(base, name), reverse=True)]
    for path in candidates:
        try:
            if (path / LOCK).read_text(encoding="utf-8") == job:
                return path
        except (OSError, UnicodeDecodeError):
            continue
    return None


def _numbered(base: Path, name: str) -> list[tuple[int, Path]]:
    pattern = re.compile(re.escape(name) + r"-(\d+)")
    found = [(pattern.fullmatch(path.name), path) for path in base.glob("*") if path.is_dir()]
    return [(int(match[1]), path) for match, path in found if match]


def _lock(path: Path) -> IO[bytes]:
    """An exclusive lock that the system gives back when the process ends, however it ends."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise TrainError(f"{path.parent} cannot be written: {error.strerror}") from error
    try:
        _lock_file(file)
    except OSError:
        file.close()
        raise TrainError(
            f"{path.parent} is being trained by another process; wait for it, or use another --out"
        ) from None
    return file


def _lock_file(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    from importlib import metadata

    import torch

    versions = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("blockgraph", "numpy", "safetensors", "tokenizers"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    machine = {"platform": platform.platform(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()}
    return {"began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "versions": versions, "machine": machine}
