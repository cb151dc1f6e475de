"""What a person sees while it trains: a live bar at a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

REFRESH = 0.4  # seconds between two drawings of the bar
LINE_EVERY = 10.0  # seconds between two plain lines
IDS = "ids"


class Reporter(Protocol):
    def start(self, step: int, steps: int, unit: str = IDS) -> None:
        """`unit` is what a step's tokens are."""

    def step(self, step: int, loss: float, lr: float, tokens: int) -> None:
        """Called after every step: must cost next to nothing."""

    def evaluation(self, step: int, measures: dict[str, float], best: bool) -> None: ...

    def message(self, text: str) -> None: ...

    def close(self) -> None: ...


class Silent:
    """Says nothing; keeps messages, for callers who want them."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def start(self, step: int, steps: int, unit: str = IDS) -> None: ...

    def step(self, step: int, loss: float, lr: float, tokens: int) -> None: ...

    def evaluation(self, step: int, measures: dict[str, float], best: bool) -> None: ...

    def message(self, text: str) -> None:
        self.messages.append(text)

    def close(self) -> None: ...


class Pace:
    """Ids or rows a second and time left, over everything since `start`: evaluations take their share later on too."""

    def __init__(self, step: int, steps: int, unit: str = IDS) -> None:
        self.first, self.steps, self.unit, self.tokens = step, steps, unit, 0
        self.began = time.monotonic()

    def rate(self) -> str:
        """`5,629 ids/s`"""
        return f"{self.tokens / max(1e-9, time.monotonic() - self.began):,.0f} {self.unit}/s"

    def left(self, step: int) -> str:
        rate = (step - self.first) / max(1e-9, time.monotonic() - self.began)
        return duration((self.steps - step) / rate) if rate > 0 else "?"


def measured(measures: dict[str, float]) -> str:
    """`loss 1.4390, accuracy 0.512`."""
    return ", ".join(f"{name} {value:.4f}" for name, value in measures.items())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class PlainLines:
    """For logs and pipes."""

    def __init__(self, console: Console, every: float = LINE_EVERY) -> None:
        self._console, self._every = console, every
        self._pace, self._last = Pace(0, 1), 0.0

    def start(self, step: int, steps: int, unit: str = IDS) -> None:
        self._pace, self._last = Pace(step, steps, unit), time.monotonic()

    def step(self, step: int, loss: float, lr: float, tokens: int) -> None:
        now = time.monotonic()
        self._pace.tokens += tokens
        if now - self._last >= self._every or step == self._pace.steps:
            self._last = now
            rate, left = self._pace.rate(), self._pace.left(step)
            self.message(
                f"step {step:,} of {self._pace.steps:,} · loss {loss:.3f} · lr {lr:.2e} · {rate} · {left} left"
            )

    def evaluation(self, step: int, measures: dict[str, float], best: bool) -> None:
        self.message(f"step {step:,} · validation {measured(measures)}" + (" (the best so far)" if best else ""))

    def message(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None: ...


class LiveBar:
    """A rich bar, drawn by the training itself a few times a second: no thread takes time from it."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=None), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console, auto_refresh=False, expand=True)
        self._task: TaskID | None = None
        self._pace, self._last, self._valid = Pace(0, 1), 0.0, ""

    def start(self, step: int, steps: int, unit: str = IDS) -> None:
        self._pace = Pace(step, steps, unit)
        self._task = self._bar.add_task("", total=steps, completed=step)
        self._bar.start()

    def step(self, step: int, loss: float, lr: float, tokens: int) -> None:
        now = time.monotonic()
        self._pace.tokens += tokens
        if now - self._last < REFRESH and step != self._pace.steps:
            return
        self._last = now
        rate, left = self._pace.rate(), self._pace.left(step)
        done = f"{step:,}/{self._pace.steps:,} · {left} left"  # a narrow terminal cuts what comes last
        shown = f"{done} · loss {loss:.3f}{self._valid} · lr {lr:.1e} · {rate}"
        self._show(completed=step, description=shown)

    def _show(self, **fields: Any) -> None:
        if self._task is not None:
            self._bar.update(self._task, **fields)
            self._bar.refresh()

    def evaluation(self, step: int, measures: dict[str, float], best: bool) -> None:
        self._valid = f" · validation {next(iter(measures.values())):.4f}"

    def message(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        if self._task is not None:
            self._bar.refresh()
            self._bar.stop()


def reporter_for(console: Console | None) -> Reporter:
    """Nothing without a console, a bar at a terminal, lines elsewhere."""
    if console is None:
        return Silent()
    return LiveBar(console) if console.is_terminal else PlainLines(console)
