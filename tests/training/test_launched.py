"""What torchrun's variables say, which run a restarted job goes on with, and that a process ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.training.errors import NotFinite, TrainError
from blockgraph.training.launched import first_speaks, job, start_number, started_by_torchrun
from blockgraph.training.run_folder import RunFolder, folder_of_job, without_parallel
from tests.training.processes import ROOT

LAUNCHED = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_several_only_with_all_of_the_variables(launched: pytest.MonkeyPatch) -> None:
    assert started_by_torchrun()
    assert start_number() == 0
    launched.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert start_number() == 2
    launched.delenv("RANK")
    assert not started_by_torchrun()


def test_a_job_is_its_name_or_else_its_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert job() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night")
    assert job() == "night"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # what torchrun says without --rdzv-id
    assert str(os.getppid()) in (job() or "")


def test_a_job_finds_the_run_that_it_began_and_no_other(tmp_path: Path) -> None:
    for number, name in ((1, "mine"), (2, "other")):
        folder = tmp_path / f"tiny-{number}"
        folder.mkdir()
        RunFolder(folder, job=name).close()
    assert folder_of_job("mine", None, "tiny", tmp_path) == tmp_path / "tiny-1"
    assert folder_of_job("mine", tmp_path / "tiny-2", "tiny", tmp_path) is None
    assert folder_of_job("nobody", None, "tiny", tmp_path) is None
    RunFolder(tmp_path / "tiny-1", job="later").close()
    assert folder_of_job("mine", None, "tiny", tmp_path) is None


def test_only_the_first_process_locks(tmp_path: Path) -> None:
    with RunFolder(tmp_path), RunFolder(tmp_path, owner=False), pytest.raises(TrainError, match="another process"):
        RunFolder(tmp_path)


def test_how_work_is_shared_is_no_part_of_what_is_trained() -> None:
    spec = "vars:\n  parallel: true\ntrain:\n  steps: 3\n  parallel: fsdp\n  clip: 1.0\n"
    assert without_parallel(spec) == "vars:\n  parallel: true\ntrain:\n  steps: 3\n  clip: 1.0\n"


def test_the_first_process_tells_what_ends_them_all(launched: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as quiet, first_speaks():
        raise NotFinite("the loss is nan")
    assert quiet.value.code == 4
    with pytest.raises(TrainError, match="process 1: no such disk"), first_speaks():
        raise TrainError("no such disk")
    launched.setenv("RANK", "0")
    with pytest.raises(BlockgraphError, match="the loss is nan"), first_speaks():
        raise NotFinite("the loss is nan")


CHILD = "import time; from blockgraph.training.launched import end_with_parent; end_with_parent(); print(1, flush=True)"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_ends_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, f"{CHILD}; time.sleep(60)"]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    child = Path("/proc") / parent.stdout.readline().strip()
    assert child.exists()
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 5
    while child.exists() and " Z " not in (child / "stat").read_text() and time.monotonic() < end:
        time.sleep(0.01)
    assert not child.exists() or " Z " in (child / "stat").read_text()
