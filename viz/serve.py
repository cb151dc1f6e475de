"""The interactive page while its spec is being written: a small server on this machine's loopback address only.

| address    | answer                                                                       |
|------------|------------------------------------------------------------------------------|
| `/`        | the page                                                                     |
| `/events`  | server-sent events: after every save what is wrong, and the figure's new data |
| `/picture` | the SVG with the blocks opened that `open=` names, as often as there are any |

Nothing else is answered, no file is ever sent, and only requests that name this very address are heard (a page from
elsewhere cannot make a name of its own point here).
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from blockgraph.builder.analyse import analyse
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostic, Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.specs.spec import Spec
from blockgraph.viz.html import EMPTY, Figure, fill
from blockgraph.viz.problems import problems
from blockgraph.viz.view import DEFAULT, View
from blockgraph.viz.watch import Watch

HOST = "127.0.0.1"
BREATH = 10.0  # seconds between signs of life to a page
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class News:
    """What the page is told: `number` counts the readings, `drawn` is that of the figure, the last good one."""

    number: int = 0
    drawn: int = 0
    figure: Figure | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)
    message: str = ""

    @property
    def stale(self) -> bool:
        return self.figure is not None and self.drawn != self.number


class Studio:
    """A spec's file, read again whenever it or what it extends changes."""

    def __init__(self, file: str, sets: Sequence[str] = (), plugins: Sequence[str] = (), view: View = DEFAULT) -> None:
        self.file, self.sets, self.plugins, self.view = file, tuple(sets), tuple(plugins), view
        self.run = secrets.token_hex(4)  # pages of an earlier server on the same port notice
        self.news = News()
        self.stopped = threading.Event()
        self._changed = threading.Condition()
        self._watch = Watch([Path(file)])
        self.read()

    def follow(self) -> None:
        """Reads after every change, until `stop`."""
        while self._watch.wait(self.stopped):
            self.read()

    def stop(self) -> None:
        self.stopped.set()
        with self._changed:
            self._changed.notify_all()

    def after(self, number: int, seconds: float) -> News:
        """The latest news, as soon as they are newer than `number`, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.news.number != number or self.stopped.is_set(), seconds)
            return self.news

    def read(self) -> None:
        """Reads the spec; a figure that can be drawn takes the place of the one before."""
        self._watch.mark()
        diagnostics = Diagnostics()
        spec, figure, message = None, None, ""
        try:
            spec = load_spec(self.file, diagnostics, sets=self.sets, plugins=self.plugins)
            figure, message = self._figure(spec, diagnostics)
        except BlockgraphError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 - the next save may mend it: a server that ends takes the picture with it
            message = f"{type(error).__name__}: {error}; this is a bug of blockgraph, not of your input"
        found = list(diagnostics)
        self._watch.follow(self._files(spec, found))
        number = self.news.number + 1
        kept = (self.news.drawn, self.news.figure) if figure is None else (number, figure)
        with self._changed:
            self.news = News(number, *kept, problems(found), message)
            self._changed.notify_all()

    def _figure(self, spec: Spec | None, diagnostics: Diagnostics) -> tuple[Figure | None, str]:
        model = analyse(spec, diagnostics) if spec is not None else None
        if model is not None:
            figure = Figure(model, self.view)
            assert figure.first and figure.data  # drawn here: what goes wrong is told as well
            return figure, ""
        return None, "" if diagnostics.has_errors else "a library: it has only blocks, so there is nothing to draw"

    def _files(self, spec: Spec | None, found: Sequence[Diagnostic]) -> list[Path]:
        """What to watch: all files that the spec was read from. Where one is missing, their folders too."""
        named = [Path(self.file), *(Path(source.name) for source in (spec.folders if spec else ()))]
        named += [Path(one.span.source.name) for one in found if one.span is not None]
        named += self._watch.paths if spec is None else []
        if any(one.code in ("missing-file", "extends") for one in found):
            named += [path.parent for path in named if not path.is_dir()]
        return named

    # -- what is sent --------------------------------------------------------------------------------------------------

    def page(self) -> str:
        news = self.news
        return fill(news.figure, {**self._data(news), "file": self.file}, live=True, name=Path(self.file).name)

    def event(self, news: News) -> str:
        said = {
            "run": self.run,
            "number": news.number,
            "figure": self._data(news),
            "stale": news.stale,
            "problems": news.problems,
            "message": news.message,
        }
        return f"id: {news.number}\ndata: {json.dumps(said)}\n\n"

    def _data(self, news: News) -> dict[str, Any]:
        data = news.figure.data if news.figure else {**EMPTY, "name": Path(self.file).name}
        return {**data, "drawn": f"{self.run}-{news.drawn}"}

    def picture(self, open: Sequence[str]) -> str | None:
        figure = self.news.figure
        return figure.picture(frozenset(open)) if figure else None


class Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "blockgraph"
    sys_version = ""

    def do_GET(self) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            return self.answer(HTTPStatus.MISDIRECTED_REQUEST, "this server answers at its own address only\n")
        address = urlsplit(self.path)
        studio = self.server.studio
        if address.path == "/":
            self.answer(HTTPStatus.OK, studio.page(), "text/html")
        elif address.path == "/events":
            self.stream(studio)
        elif address.path == "/picture":
            svg = studio.picture(parse_qs(address.query).get("open", []))
            self.answer(HTTPStatus.OK if svg else HTTPStatus.NOT_FOUND, svg or "", "image/svg+xml")
        else:
            self.answer(HTTPStatus.NOT_FOUND, "there is no such page\n")

    def answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.begin(status, kind, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def begin(self, status: HTTPStatus, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        locked = {} if kind == "text/html" else {"Content-Security-Policy": "default-src 'none'"}
        for name, value in {"Content-Type": f"{kind}; charset=utf-8", **HEADERS, **locked, **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def stream(self, studio: Studio) -> None:
        """News until the page goes away."""
        self.begin(HTTPStatus.OK, "text/event-stream", {})
        sent = -1
        while not studio.stopped.is_set():
            news = studio.after(sent, BREATH)
            self.wfile.write((studio.event(news) if news.number != sent else ": still here\n\n").encode())
            self.wfile.flush()
            sent = news.number

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for the one line that says where the page is."""


class Server(ThreadingHTTPServer):
    """`url` is where the page is. `run` serves until it is interrupted."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers have one port

    def __init__(self, studio: Studio, port: int = 0) -> None:
        self.studio = studio
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise BlockgraphError(f"cannot listen at port {port}: {why}; --port 0 takes a free one") from None
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        if self.server_port == 80:
            self.hosts |= {HOST, "localhost"}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    def run(self) -> None:
        """Serves until `stop`, or Ctrl-C in the main thread."""
        watcher = threading.Thread(target=self.studio.follow, daemon=True)
        watcher.start()
        try:
            self.serve_forever(poll_interval=0.1)
        finally:
            self.studio.stop()
            self.server_close()
            watcher.join(2)

    def stop(self) -> None:
        self.studio.stop()
        self.shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away is no error; anything else is told on stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
