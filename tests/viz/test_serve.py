"""The page while its spec is written: saves, errors, files that come and go, and who may ask."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from blockgraph.specs import presets
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.problems import problems
from blockgraph.viz.serve import News, Server, Studio
from tests.browser import Browser, Page

ROOT = Path(__file__).resolve().parent.parent.parent
GOOD = presets.text("gpt2")
BAD = GOOD.replace("in: [add1, ffn]", "in: [add7, ffn]")
SLOWEST = 5.0  # seconds that a busy machine may take; benchmarks/serve.py measures


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "gpt.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def studio(spec: Path) -> Iterator[Studio]:
    found = Studio(str(spec))
    thread = threading.Thread(target=found.follow)
    thread.start()
    yield found
    found.stop()
    thread.join()


@pytest.fixture
def server(spec: Path) -> Iterator[Server]:
    found = Server(Studio(str(spec)))
    thread = threading.Thread(target=found.run)
    thread.start()
    yield found
    found.stop()
    thread.join()


def layers(number: int) -> str:
    return GOOD.replace("layers: 12", f"layers: {number}")


def heads(news: News) -> list[str]:
    """What is said, by line."""
    rows = [(number, one["head"]) for file in news.problems for number, _, said in file["rows"] for one in said]
    loose = [(0, one["head"]) for file in news.problems for one in file.get("said", ())]
    return [f"{number} {re.sub('^column .*?: ', '', head)}" for number, head in (*loose, *rows)]


# -- reading again ----------------------------------------------------------------------------------------------------


def test_a_save_is_read_and_drawn(studio: Studio, spec: Path) -> None:
    spec.write_text(layers(7))
    news = studio.after(1, SLOWEST)
    assert news.number == news.drawn == 2 and not news.stale and not news.problems
    assert news.figure is not None and ">7×</text>" in news.figure.first


def test_an_error_keeps_the_last_picture(studio: Studio, spec: Path) -> None:
    spec.write_text(BAD)
    news = studio.after(1, SLOWEST)
    assert news.stale and news.drawn == 1 and news.figure is not None
    line = BAD.splitlines().index(next(text for text in BAD.splitlines() if "add7" in text)) + 1
    assert heads(news) == [f"{line} error[unknown-node]: there is no node or input 'add7' here"]
    spec.write_text(GOOD)
    news = studio.after(2, SLOWEST)
    assert not news.stale and news.drawn == 3


def test_a_file_that_is_gone_and_comes_back(studio: Studio, spec: Path) -> None:
    spec.unlink()
    news = studio.after(1, SLOWEST)
    assert news.stale and heads(news) == [f"0 error[missing-file]: there is no file '{spec}'"]
    spec.write_text(layers(5))
    news = studio.after(2, SLOWEST)
    assert not news.stale and news.figure is not None and ">5×</text>" in news.figure.first


def test_editors_that_replace_the_file_are_no_error(studio: Studio, spec: Path) -> None:
    """Written beside and renamed; moved away, then written anew; emptied, then filled."""
    beside = spec.with_suffix(".new")
    beside.write_text(layers(3))
    os.replace(beside, spec)
    assert not studio.after(1, SLOWEST).stale
    os.rename(spec, spec.with_suffix(".yaml~"))
    time.sleep(0.08)
    spec.write_text(layers(4))
    assert not studio.after(2, SLOWEST).stale
    with spec.open("w") as file:
        for piece in (GOOD[:200], GOOD[200:900], GOOD[900:]):
            file.write(piece)
            file.flush()
            time.sleep(0.01)
    news = studio.after(3, SLOWEST)
    assert news.number == 4 and not news.stale


def test_half_a_file_is_an_error_until_it_is_whole(studio: Studio, spec: Path) -> None:
    spec.write_text(GOOD[: GOOD.index("nodes:\n  embed") + 20])
    assert studio.after(1, SLOWEST).stale
    spec.write_text(GOOD)
    assert not studio.after(2, SLOWEST).stale


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"\0" * 10, b"[" * 5000, b"- 1\n"])
def test_rubbish_is_told_and_ends_nothing(studio: Studio, spec: Path, data: bytes) -> None:
    spec.write_bytes(data)
    news = studio.after(1, SLOWEST)
    assert news.stale and heads(news)
    json.dumps(news.problems)


def test_files_that_are_extended_are_watched(tmp_path: Path) -> None:
    base, own = tmp_path / "base.yaml", tmp_path / "own.yaml"
    own.write_text("blockgraph: 1\nextends: base.yaml\n")
    studio = Studio(str(own))
    assert studio.news.figure is None and "missing-file" in heads(studio.news)[0]
    thread = threading.Thread(target=studio.follow)
    thread.start()
    try:
        base.write_text(GOOD)  # a new file in the folder
        news = studio.after(1, SLOWEST)
        assert news.figure is not None and not news.problems
        base.write_text(BAD)
        news = studio.after(2, SLOWEST)
        assert news.stale and [file["file"] for file in news.problems] == [str(base)]
        base.write_text(layers(9))
        news = studio.after(3, SLOWEST)
        assert news.figure is not None and ">9×</text>" in news.figure.first
    finally:
        studio.stop()
        thread.join()


def test_a_bug_is_told_and_ends_nothing(studio: Studio, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patched:
        patched.setattr("blockgraph.viz.serve.analyse", broken)
        spec.write_text(layers(2))
        news = studio.after(1, SLOWEST)
    assert news.stale and "ZeroDivisionError: oh" in news.message and "bug of blockgraph" in news.message
    spec.write_text(layers(3))
    assert not studio.after(2, SLOWEST).stale


def test_a_library_has_nothing_to_draw(tmp_path: Path) -> None:
    path = tmp_path / "parts.yaml"
    path.write_text("blockgraph: 1\nblocks:\n  L:\n    nodes: {n: layer_norm}\n")
    news = Studio(str(path)).news
    assert news.figure is None and "library" in news.message


def test_long_files_are_shown_near_their_problems(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(BAD + "# \n" * 5000)
    rows = Studio(str(path)).news.problems[0]["rows"]
    assert len(rows) < 50 and rows[-1][0] == 0


def test_marks_lie_on_what_is_meant() -> None:
    from blockgraph.specs.diagnostics import Diagnostic
    from blockgraph.specs.places import Source, Span

    source = Source("x.yaml", "a:\tb中c\n")
    found = problems(
        [Diagnostic("code", "wrong", Span(source, 1, 4, 1, 6)), Diagnostic("code", "end", Span(source, 1, 7, 1, 7))]
    )
    assert found[0]["rows"][0][1] == [["a: ", False], ["b中", True], ["c", False], [" ", True]]


# -- who may ask ------------------------------------------------------------------------------------------------------


def ask(server: Server, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    return found


def test_it_listens_on_loopback_only(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(BlockgraphError, match="--port 0"):
        Server(server.studio, server.server_port)


def test_the_page_and_pictures(server: Server) -> None:
    status, page, headers = ask(server, "/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8" and "connect-src 'self'" in page
    assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    status, svg, headers = ask(server, "/picture?open=decoder&open=decoder.attn&open=nobody")
    assert status == 200 and re.search('class="bg-frame" [^>]*data-node="decoder.attn"', svg)
    assert headers["content-security-policy"] == "default-src 'none'" and headers["content-type"].startswith(
        "image/svg"
    )


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "0.0.0.0:{port}"]
)
def test_other_names_are_not_answered(server: Server, host: str) -> None:
    for path in ("/", "/events", "/picture"):
        status, text, _ = ask(server, path, host=host.format(port=server.server_port))
        assert status == 421 and "gpt" not in text


@pytest.mark.parametrize(
    "path",
    ["/gpt.yaml", "/../gpt.yaml", "/%2e%2e/gpt.yaml", "//etc/passwd", "/page.js", "/favicon.ico", "*", "/events/"],
)
def test_nothing_else_is_there(server: Server, path: str) -> None:
    status, text, _ = ask(server, path)
    assert status == 404 and text == "there is no such page\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_can_be_sent(server: Server, method: str) -> None:
    assert ask(server, "/", method)[0] == 501


def test_neither_the_page_nor_the_server_needs_torch() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'tokenizers', 'safetensors', 'pygraphviz']))\n"
        "from blockgraph.viz.serve import Studio\nassert 'gpt2' in Studio('gpt2').page()\n"
        "import blockgraph\nassert blockgraph.draw('gpt2', format='html')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_command(spec: Path) -> None:
    command = [sys.executable, "-m", "blockgraph", "serve", str(spec)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # what starts tests may ignore it
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        preexec_fn=heard,  # noqa: PLW1509
    )
    assert started.stdout is not None
    line = started.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert found is not None, line
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    connection.request("GET", "/")
    assert b"gpt2" in connection.getresponse().read()
    connection.close()
    started.send_signal(signal.SIGINT)
    try:
        out, err = started.communicate(timeout=60)
    finally:
        started.kill()  # nothing where it has ended
    assert (started.returncode, out.strip(), err) == (0, "", "")


# -- in the browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def page(chromium: Browser, server: Server) -> Iterator[Page]:
    opened = chromium.page()
    opened.go(server.url, "document.documentElement.dataset.number")
    yield opened
    complaints, requests = opened.complaints(), opened.requests()
    opened.close()
    assert complaints == [] and all(url.startswith((server.url, "about:")) for url in requests)


def times(number: int) -> str:
    return f"document.querySelector('.bg-times')?.textContent === '{number}×'"


def test_a_save_brings_a_new_picture(page: Page, spec: Path) -> None:
    page.click("[data-node='decoder.attn'] > .bg-body")
    page.wait("document.querySelector('.bg-frame[data-node=\"decoder.attn\"]')")
    spec.write_text(layers(7))
    page.wait(times(7), SLOWEST)
    assert page.js("document.querySelector('.bg-frame[data-node=\"decoder.attn\"]') !== null")  # stays open
    page.js("document.activeElement.blur()")
    assert "7 copies" in page.js("document.querySelector('#facts').innerText")  # of the selected node, as it is now


def test_errors_stand_over_their_line_and_the_picture_stays(page: Page, spec: Path) -> None:
    spec.write_text(BAD)
    page.wait("document.querySelector('#problems .bad')", SLOWEST)
    rows = page.js("[...document.querySelectorAll('#problems .bad')].map((e) => e.innerText)")
    number = next(n for n, text in enumerate(BAD.splitlines(), 1) if "add7" in text)
    assert "error[unknown-node]: there is no node or input 'add7' here" in rows[0] and "did you mean 'add1'?" in rows[0]
    assert (
        rows[1].split()[0] == str(number) and page.js("document.querySelector('#problems mark').textContent") == "add7"
    )
    assert page.js(times(12)) and page.js("document.body.classList.contains('stale')")
    assert "last version" in page.js("document.querySelector('#banner').textContent")
    spec.write_text(layers(8))
    page.wait(times(8), SLOWEST)
    page.wait("document.querySelector('#problems').hidden && !document.body.classList.contains('stale')")


def test_a_file_that_is_broken_from_the_start(chromium: Browser, tmp_path: Path) -> None:
    spec = tmp_path / "new.yaml"
    spec.write_text("blockgraph: 1\nnodes: {a: attenton}\n</script><img src=x onerror=alert(1)>\n")
    server = Server(Studio(str(spec)))
    thread = threading.Thread(target=server.run)
    thread.start()
    opened = chromium.page()
    try:
        opened.go(server.url, "document.documentElement.dataset.number")
        opened.wait("document.querySelector('#problems .bad')")
        assert opened.js("document.querySelectorAll('img').length") == 0
        shutil.copy(presets.path("gpt-nano"), spec)
        opened.wait("document.querySelector('[data-node=\"decoder\"]')", SLOWEST)
        assert opened.js("document.title") == "gpt-nano" and opened.complaints() == []
    finally:
        opened.close()
        server.stop()
        thread.join()


def test_the_page_says_that_the_server_is_gone(chromium: Browser, spec: Path) -> None:
    server = Server(Studio(str(spec)))
    thread = threading.Thread(target=server.run)
    thread.start()
    opened = chromium.page()
    try:
        opened.go(server.url, "document.documentElement.dataset.number")
        server.stop()
        thread.join()
        opened.wait("document.querySelector('#banner').textContent.includes('does not answer')")
    finally:
        opened.close()
