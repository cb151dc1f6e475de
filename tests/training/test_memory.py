"""Memory that a step frees is there for the next one: counted in page faults, each in a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from blockgraph.training.memory import LARGE_PAGES, keep_freed_memory

PAGES = 3 * 1200 * 1200 * 4 >> 12  # of 4 KB in the gradients of a step

FAULTS = """
import resource
from blockgraph.training.memory import keep_freed_memory
kept = {} and keep_freed_memory()
import torch
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.set_num_threads(1)
model = torch.nn.Sequential(*(torch.nn.Linear(1200, 1200) for _ in range(3)))
def step():
    model.zero_grad()
    model(torch.ones(100, 1200)).relu().mean().backward()
for _ in range(10): step()
before = faults()
for _ in range(5): step()
print(kept, faults() - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")


def faults(keep: bool, **environment: str) -> tuple[bool, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "THP_"))}
    command = [sys.executable, "-c", FAULTS.format(keep)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**clean, LARGE_PAGES: "0", **environment}
    )
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@glibc
def test_what_a_step_frees_the_next_one_has_without_page_faults() -> None:
    kept, count = faults(True)
    assert kept
    assert count < PAGES // 2


def pages_are_small() -> bool:
    """Whether Linux gives large pages only to who asks for them."""
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return not setting.exists() or "[always]" not in setting.read_text()


@glibc
@pytest.mark.skipif(not pages_are_small(), reason="every page is large here, and faults are few")
def test_without_it_each_step_makes_its_pages_anew() -> None:
    """Else the test above would prove nothing."""
    assert faults(False)[1] > PAGES


@glibc
@pytest.mark.parametrize(
    "name, value", [("MALLOC_TRIM_THRESHOLD_", "65536"), ("GLIBC_TUNABLES", "glibc.malloc.perturb=1")]
)
def test_what_the_user_has_set_stands(name: str, value: str) -> None:
    assert not faults(True, **{name: value})[0]


def test_large_pages_are_asked_for_unless_the_user_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # this process is left as it is
    monkeypatch.setenv(LARGE_PAGES, "0")
    keep_freed_memory()
    assert os.environ[LARGE_PAGES] == "0"
    monkeypatch.delenv(LARGE_PAGES)
    keep_freed_memory()
    assert os.environ[LARGE_PAGES] == "1"


def test_another_c_library_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("blockgraph.training.memory.ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
