"""The command line as a whole: help, exit codes, errors without tracebacks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from blockgraph.cli import errors
from blockgraph.cli.main import COMMANDS, app
from blockgraph.specs.diagnostics import BlockgraphError

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="blockgraph", **kwargs)


def test_help_lists_every_command_with_its_line() -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert any(row.split() == [name, *line.split()] for row in shown.output.splitlines()), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_under_its_name_and_explains_itself(name: str) -> None:
    shown = run(name, "-h")
    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: blockgraph {name} ")
    command = app.get_command(click.Context(app), name)
    assert command is not None and command.name == name and command.help


def test_version() -> None:
    from blockgraph import __version__

    assert run("--version").output == f"blockgraph {__version__}\n"


def test_a_wrong_command_is_refused_with_a_suggestion() -> None:
    refused = run("validat", "x.yaml")
    assert refused.exit_code == 2
    assert "there is no command 'validat', did you mean 'validate'?" in refused.output


def test_set_and_plugin_stand_on_every_command_that_reads_a_spec() -> None:
    for name in ("validate", "show", "build", "train", "draw", "schema"):
        shown = run(name, "--help").output
        assert "--set" in shown and "--plugin" in shown, name


class StrangeError(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "code", "shown"),
    [
        (BlockgraphError("no such preset"), 2, "error: no such preset"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x.svg"),
            2,
            "error: no such file or directory: x.svg",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "x.pt"), 4, "no space left on the disk: x.pt"),
        (KeyboardInterrupt(), 130, "stopped"),
        (StrangeError("seven"), 70, "this is a bug of blockgraph"),
        (OSError(errno.EIO, "no file named"), 70, "this is a bug of blockgraph"),
    ],
)
def test_exceptions_become_messages_and_exit_codes(
    raised: BaseException, code: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left, errors.refusing():
        raise raised
    assert left.value.code == code
    out, err = capsys.readouterr()
    assert shown in err and out == "" and "Traceback" not in err


def test_exit_codes_of_errors_are_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    class StoppedError(BlockgraphError):
        exit_code = 3

    with pytest.raises(SystemExit) as left, errors.refusing():
        raise StoppedError("stopped at step 7; --resume goes on")
    assert left.value.code == 3
    assert capsys.readouterr().err == "stopped at step 7; --resume goes on\n"


def test_debug_shows_the_traceback_of_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), errors.refusing(debug=True):
        raise StrangeError("seven")
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_clicks_own_exceptions_pass() -> None:
    with pytest.raises(click.UsageError), errors.refusing():
        raise click.UsageError("wrong")


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert errors.colored(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not errors.colored(Terminal())
    monkeypatch.delenv("NO_COLOR")
    assert not errors.colored(object())


@pytest.mark.skipif(os.name == "nt", reason="pipes report their end differently there")
def test_a_reader_that_goes_away_is_met_quietly() -> None:
    command = [sys.executable, "-m", "blockgraph", "show", "gpt2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert shown.stdout and shown.stderr
    shown.stdout.close()
    error = shown.stderr.read()
    shown.stderr.close()
    assert (shown.wait(), error) == (errors.NO_READER, b"")


def test_output_is_utf8_whatever_the_locale() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "blockgraph", "draw", "--help"]
    done = subprocess.run(command, check=False, capture_output=True, env=env)
    assert done.returncode == 0
    assert "N×" in done.stdout.decode("utf-8")
