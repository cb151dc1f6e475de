"""torchrun itself: a killed process costs no step, a killed torchrun leaves nobody behind, a signal saves and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.training.processes import ROOT, job, train_together, written
from tests.training.test_distributed import KINDS, lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="children and their ends are read from /proc"),
]
PATIENCE = 120.0  # seconds
STEPS = 150


@contextmanager
def torchrun(spec: Path, out: Path, *options: str, kind: str = "ddp") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    command += ["-m", "blockgraph", "train", str(spec), "--out", str(out), "--device", "cpu"]
    settings = {"train.parallel": kind, "train.steps": STEPS, "train.checkpoint.every": 5, "train.evaluate.every": 50}
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    plain = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**plain, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in [process.pid, *children(process.pid)]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def rank_of(pid: int) -> str:
    found = [pair for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pair.startswith(b"RANK=")]
    return found[0].decode().removeprefix("RANK=") if found else ""


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def reached(run: Path, step: int) -> bool:
    return any(int(path.name.removeprefix("step-")) >= step for path in (run / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    spec, sets = written(folder), (f"train.steps={STEPS}", "train.evaluate.every=50")
    train_together([job(spec, folder / kind, f"train.parallel={kind}", *sets) for kind in KINDS], folder)
    return folder


@pytest.mark.parametrize("rank", ["0", "1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_costs_no_step(tmp_path: Path, uninterrupted: Path, kind: str, rank: str) -> None:
    run = tmp_path / "run"
    with torchrun(written(tmp_path), run, "--max-restarts", "2", kind=kind) as agent:
        until(lambda: reached(run, 20))
        victim = next(pid for pid in children(agent.pid) if rank_of(pid) == rank)
        os.kill(victim, signal.SIGKILL)
        output = agent.communicate(timeout=PATIENCE)[0]
    assert agent.returncode == 0, output
    assert "goes on from step-" in output
    assert lines(run) == lines(uninterrupted / kind)


def test_a_killed_torchrun_leaves_no_process(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with torchrun(written(tmp_path), run) as agent:
        until(lambda: reached(run, 10))
        workers = children(agent.pid)
        assert len(workers) >= 2
        os.kill(agent.pid, signal.SIGKILL)
        end = time.monotonic() + 5
        while any(alive(pid) for pid in workers) and time.monotonic() < end:
            time.sleep(0.02)
        assert not any(alive(pid) for pid in workers)
        before = lines(run)
    assert before[-1]["step"] < STEPS


def test_sigterm_saves_and_stops(tmp_path: Path) -> None:
    """All processes stop after the same step, whichever saw the signal first."""
    spec, run = written(tmp_path), tmp_path / "run"
    with torchrun(spec, run) as agent:
        until(lambda: reached(run, 10))
        os.kill(agent.pid, signal.SIGTERM)
        output = agent.communicate(timeout=PATIENCE)[0]
    assert "stopped by" in output and "and saved; go on:" in output
    assert output.count("and saved") == 1, "only the first process speaks"
    step = lines(run)[-1]["step"]
    assert (run / "checkpoints" / f"step-{step}").is_dir()
