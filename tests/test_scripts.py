"""The scripts: what they say where something is missing, and the runner of long checks."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("demo", "test", "lint", "docs", "site", "wheel", "accept")
posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


@pytest.mark.parametrize("name", [*(f"scripts/{name}" for name in SCRIPTS), ".ci/run"])
def test_scripts_are_short_executable_and_start_in_their_own_clone(name: str) -> None:
    path = ROOT / name
    text = path.read_text("utf-8")
    assert os.name == "nt" or os.access(path, os.X_OK)
    assert text.startswith("#!/bin/sh\n#") and "set -eu" in text and 'cd "$(dirname "$0")/.."' in text
    assert len(text.splitlines()) <= 24


def fake_python(folder: Path, missing: str) -> dict[str, str]:
    """An environment whose only Python is 3.12 and fails on code that mentions `missing`."""
    fake = folder / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{missing}*) exit 1;; *print*) echo 3.12;; esac\n', "utf-8")
    fake.chmod(0o755)
    return {"PATH": str(fake.parent), "BLOCKGRAPH_VENV": str(folder / "venv")}


def make_venv(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", ". scripts/venv.sh; make_venv ''"]
    return subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True)


@posix
def test_a_missing_venv_is_named_with_its_package(tmp_path: Path) -> None:
    done = make_venv(fake_python(tmp_path, "ensurepip"))
    assert done.returncode == 2
    assert "apt install python3.12-venv" in done.stderr


@posix
def test_an_old_python_is_refused(tmp_path: Path) -> None:
    done = make_venv(fake_python(tmp_path, "version_info"))
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr


@pytest.fixture
def accept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("accept", ROOT / "scripts/accept.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


def run_accept(
    accept: Any, monkeypatch: pytest.MonkeyPatch, *checks: tuple[str, ...], flags: tuple[str, ...] = ()
) -> int:
    monkeypatch.setattr(accept, "CHECKS", [accept.Check(*check) for check in checks])
    monkeypatch.setattr(sys, "argv", ["accept", *flags])
    code: int = accept.main()
    return code


def test_accept_compares_keeps_and_does_not_repeat(
    accept: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "once.py").write_text("open('ran', 'a').write('x')\nprint('measured: 1.5')\n", "utf-8")
    good, bad = ("good", "{python} once.py", ">= 1.5"), ("bad", "{python} once.py", "< 1.5")
    assert run_accept(accept, monkeypatch, good) == 0
    assert run_accept(accept, monkeypatch, good) == 0
    assert (tmp_path / "ran").read_text() == "x"
    assert run_accept(accept, monkeypatch, good, bad) == 1
    assert "FAILED" in capsys.readouterr().out
    stored = json.loads((tmp_path / "build/accept.json").read_text("utf-8"))
    assert stored["good"]["measured"] == 1.5 and stored["good"]["passed"] and not stored["bad"]["passed"]


def test_accept_skips_loudly_what_needs_a_peer(
    accept: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "peer.py").write_text("import sys\nprint('measured:', len(sys.argv))\n", "utf-8")
    check = ("peer", "{python} peer.py {peer:other}", "== 2")
    assert run_accept(accept, monkeypatch, check) == 0
    assert "SKIPPED: give --peer other=PATH" in capsys.readouterr().out
    assert run_accept(accept, monkeypatch, check, flags=("--peer", f"other={tmp_path}")) == 0
    assert "ok" in capsys.readouterr().out


def test_accept_fails_where_nothing_was_measured_or_the_command_failed(
    accept: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "silent.py").write_text("", "utf-8")
    (tmp_path / "broken.py").write_text("raise SystemExit(3)\n", "utf-8")
    assert run_accept(accept, monkeypatch, ("silent", "{python} silent.py", ">= 1")) == 1
    assert run_accept(accept, monkeypatch, ("broken", "{python} broken.py")) == 1


@pytest.mark.parametrize("name", ["train_step", "tinyshakespeare"])
def test_benchmarks_without_peer_or_data_say_so_loudly(name: str) -> None:
    command = [sys.executable, f"benchmarks/{name}.py"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0 and "SKIPPED" in done.stderr
