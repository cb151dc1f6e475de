"""`blockgraph serve`: seconds from a save until the new picture has arrived, worst of all saves.

A client does what the page does: it waits for the event and fetches the picture. Every third save has an error, for
which the event alone counts. With `--browser` it is the page itself, in a headless Chromium: until it shows the picture
or the error.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import measured

from blockgraph.specs import presets

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import Page, browser  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="transformer-base")
    parser.add_argument("--saves", type=int, default=30)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(presets.text(given.preset))
        taken = sorted(seconds(path, given.saves, given.browser))
    print(f"{given.preset}: {given.saves} saves, median {taken[len(taken) // 2]:.3f} s, worst {taken[-1]:.3f} s")
    measured(taken[-1])


def seconds(path: Path, saves: int, in_browser: bool) -> list[float]:
    command = [sys.executable, "-m", "blockgraph", "serve", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    found = re.search(r":(\d+)/", server.stdout.readline())
    assert found is not None
    try:
        if not in_browser:
            client = Client(int(found[1]))
            return [save(path, number, client.shows) for number in range(saves)]
        with browser() as chromium:
            if chromium is None:
                sys.exit("there is no Chromium here")
            page = chromium.page()
            page.go(f"http://127.0.0.1:{found[1]}/", "document.documentElement.dataset.number")
            return [save(path, number, lambda layers: shows(page, layers)) for number in range(saves)]
    finally:
        server.terminate()
        server.wait()


class Client:
    """A page: its stream of events, and requests for pictures."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.request("GET", "/events")
        self.answer = self.connection.getresponse()
        self.event()

    def event(self) -> dict[str, Any]:
        while True:
            line = self.answer.readline()
            if line.startswith(b"data: "):
                news: dict[str, Any] = json.loads(line[6:])
                return news

    def shows(self, layers: int | None) -> None:
        """Waits for the picture with so many layers, or for an error."""
        news = self.event()
        assert news["stale"] == (layers is None)
        assert layers is None or f"{layers}×".encode() in self.picture(news["figure"])

    def picture(self, figure: dict[str, Any]) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/picture?" + "&".join(f"open={name}" for name in figure["start"]))
        return connection.getresponse().read()


def shows(page: Page, layers: int | None) -> None:
    error = "!document.querySelector('#problems').hidden"
    page.wait(error if layers is None else f"document.querySelector('.bg-times')?.textContent === '{layers}×'")


def save(path: Path, number: int, shown: Callable[[int | None], None]) -> float:
    text = re.sub(r"layers: \d+", f"layers: {number + 2}", path.read_text()).replace("attenton", "attention")
    broken = number % 3 == 2
    start = time.perf_counter()
    path.write_text(text.replace("attention", "attenton") if broken else text)
    shown(None if broken else number + 2)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
