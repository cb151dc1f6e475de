"""Watches the files of a spec by looking at them: no library, the same on every system and every network drive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

POLL = 0.04  # seconds between two looks
PATIENCE = 0.6  # a file that keeps changing is read after so long
ABSENCE = 0.3  # a file that is gone for less was only being replaced

Mark = tuple[tuple[int, int, int] | None, ...]


@dataclass
class Watch:
    """Says when the watched files have changed and lie still again."""

    paths: list[Path] = field(default_factory=list)
    seen: Mark = ()

    def follow(self, paths: Iterable[Path]) -> None:
        """From now on these. Call `mark` before the files are read: what is written meanwhile is a change."""
        paths = list(dict.fromkeys(paths))
        if paths != self.paths:
            known = dict(zip(self.paths, self.seen, strict=False))
            self.paths = paths
            self.seen = tuple(known[path] if path in known else _mark(path) for path in paths)

    def mark(self) -> None:
        self.seen = self._look()

    def wait(self, stop: Event) -> bool:
        """Returns True when something changed, False when `stop` was set."""
        while not stop.wait(POLL):
            now = self._look()
            if now != self.seen:
                self._settle(now, stop)
                return not stop.is_set()
        return False

    def _settle(self, now: Mark, stop: Event) -> None:
        start = time.monotonic()
        while not stop.wait(POLL):
            before, now = now, self._look()
            gone = any(mark is None and was is not None for mark, was in zip(now, self.seen, strict=True))
            still = now == before
            if time.monotonic() - start > (ABSENCE if gone and still else 0 if still else PATIENCE):
                return

    def _look(self) -> Mark:
        return tuple(map(_mark, self.paths))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
