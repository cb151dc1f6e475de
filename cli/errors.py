"""The one place where errors become messages and exit codes.

| code | meaning                                                        |
|------|----------------------------------------------------------------|
| 0    | done; warnings too                                             |
| 1    | differs (`fmt --check`, `draw --check`, `diff`)                |
| 2    | input refused; with `--strict` warnings too; wrong usage       |
| 3    | stopped and resumable                                          |
| 4    | disk full, or a loss that is not finite                        |
| 70   | a bug of blockgraph                                            |
| 130  | interrupted where nothing can be resumed                       |
| 141  | the reader of our output went away (`| head`)                  |
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from blockgraph.specs.diagnostics import BlockgraphError, SpecError

DIFFERS, REFUSED, STOPPED, DISK_FULL, BUG, INTERRUPTED, NO_READER = 1, 2, 3, 4, 70, 130, 141


@contextmanager
def refusing(debug: bool = False) -> Iterator[None]:
    """Turns every exception into a message on stderr and an exit code; click's own ones pass."""
    try:
        yield
        sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except BrokenPipeError:
        leave_quietly()
    except KeyboardInterrupt:
        click.echo("\nstopped", err=True)
        raise SystemExit(INTERRUPTED) from None
    except BlockgraphError as error:
        print_refusal(error)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        refuse_os_error(error, debug)
    except Exception as error:  # noqa: BLE001 - the last resort
        report_bug(error, debug)


@contextmanager
def saying_warnings() -> Iterator[None]:
    """Warnings of ours, such as characters that no font has, go to stderr as one line each."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for each in found:
        if issubclass(each.category, UserWarning):
            click.echo(f"warning: {each.message}", err=True)


def print_refusal(error: BlockgraphError) -> None:
    if isinstance(error, SpecError):
        from blockgraph.specs.render import render_text

        click.echo(render_text(error.diagnostics, color=colored(sys.stderr)).rstrip("\n"), err=True)
    elif error.exit_code == STOPPED:
        click.echo(str(error), err=True)
    else:
        word = click.style("error", fg="red", bold=True) if colored(sys.stderr) else "error"
        click.echo(f"{word}: {error}", err=True)


def refuse_os_error(error: OSError, debug: bool) -> NoReturn:
    """Files that cannot be read or written are the user's to mend; an error without a file is a bug."""
    if error.errno == errno.EPIPE:
        leave_quietly()
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        click.echo(f"error: no space left on the disk{named(error)}; what was saved before is intact", err=True)
        raise SystemExit(DISK_FULL)
    if error.filename is None:
        report_bug(error, debug)
    click.echo(f"error: {(error.strerror or str(error)).lower()}{named(error)}", err=True)
    raise SystemExit(REFUSED)


def named(error: OSError) -> str:
    return f": {error.filename}" if error.filename is not None else ""


def leave_quietly() -> NoReturn:
    """Nobody reads on. Python would complain once more when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(NO_READER)


def report_bug(error: Exception, debug: bool) -> NoReturn:
    if debug:
        import traceback

        click.echo(traceback.format_exc(), err=True, nl=False)
    kind = type(error).__name__
    first_line = (str(error).splitlines() or [""])[0][:200]
    click.echo(f"error: {kind}: {first_line}", err=True)
    click.echo("this is a bug of blockgraph, not of your input; please report it", err=True)
    if not debug:
        click.echo("BLOCKGRAPH_DEBUG=1 shows the traceback", err=True)
    raise SystemExit(BUG)


def colored(stream: object) -> bool:
    """Colours only on a terminal that wants them (https://no-color.org)."""
    terminal = getattr(stream, "isatty", lambda: False)()
    return bool(terminal) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
