"""Attention shown: the page's numbers and what it does in a browser, the picture and its fonts."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import font_manager, image

from blockgraph.viz.attention_page import SINK, STEPS, Heads, Word, write_page
from blockgraph.viz.attention_picture import faces, write_picture
from tests.browser import Browser, Page
from tests.viz.test_html import EVIL, Parsed

SOURCE: tuple[Word, ...] = (("猫", False), ("が", True), ("好き", True), ("</s>", False))
TARGET: tuple[Word, ...] = (("<s>", False), ("I", False), ("like", False), ("cat", False), ("s", True))


def heads(node: str, stack: str, queries: tuple[Word, ...], keys: tuple[Word, ...], **more: Any) -> Heads:
    """Two heads of random weights; `cross` and the like in `more`."""
    random = np.random.default_rng(len(node) + more.get("layer", 0))
    weights = random.dirichlet(np.ones(len(keys)) * 0.5, (2, len(queries))).astype(np.float32)
    return Heads(node, stack, more.get("layer", 0), more.get("cross", False), (0, 1), queries, keys, weights)


MAPS = [
    heads("encoder.0", "encoder", SOURCE, SOURCE),
    heads("encoder.1", "encoder", SOURCE, SOURCE, layer=1),
    heads("decoder.cross", "decoder.cross", TARGET, SOURCE, cross=True),
    heads("decoder.self", "decoder.self", TARGET, (*TARGET, (SINK, False))),
]


# -- what the page holds ----------------------------------------------------------------------------------------------


def test_the_page_holds_every_weight() -> None:
    data = Parsed(write_page(MAPS, "Attention")).data
    numbers = np.frombuffer(zlib.decompress(base64.b64decode(data["packed"])), "<u2") / STEPS
    start = 0
    for one, told in zip(MAPS, data["maps"], strict=True):
        found = numbers[start : start + one.weights.size].reshape(one.weights.shape)
        start += one.weights.size
        assert abs(found - one.weights).max() <= 0.5 / STEPS + 1e-9
        assert [tuple(word) for word in data["texts"][told["keys"]]] == list(one.keys)
        assert (told["node"], told["sink"]) == (one.node, one.node == "decoder.self")
    assert start == numbers.size and len(data["texts"]) == 3


def test_nothing_in_the_page_is_active_but_its_script() -> None:
    words = tuple((text, False) for text in EVIL)
    page = write_page([heads(EVIL[0], EVIL[1], words, words)], EVIL[2], EVIL)
    parsed, plain = Parsed(page), Parsed(write_page(MAPS, "x"))
    assert {tag for tag, _ in parsed.elements} == {tag for tag, _ in plain.elements} | {"p"}
    assert parsed.texts["script"][1] == plain.texts["script"][1] and page.count("</script>") == 2
    assert not [
        a
        for _, attributes in parsed.elements
        for a in attributes
        if a in ("src", "href", "style") or a.startswith("on")
    ]
    assert parsed.policy.startswith("default-src 'none'; ") and "unsafe" not in parsed.policy
    assert [word for word, _ in parsed.data["texts"][0]] == EVIL


# -- in the browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    opened = chromium.page()
    yield opened
    complaints, requests = opened.complaints(), opened.requests()
    opened.close()
    assert complaints == [] and all(url.startswith(("file:", "about:")) for url in requests)


def show(page: Page, folder: Path, maps: list[Heads] = MAPS) -> None:
    path = folder / "attention.html"
    path.write_text(write_page(maps, "Attention"), "utf-8")
    page.go(path.as_uri(), "document.documentElement.dataset.ready")


def percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share < 0.0995 else f"{100 * share:.0f}%"


def numbers(page: Page, side: str) -> list[str]:
    found: list[str] = page.js(f"[...document.querySelectorAll('#{side} small')].map((e) => e.textContent)")
    return found


def chosen(page: Page) -> str:
    found: str = page.js("document.querySelector('#chosen').textContent")
    return found


def said(page: Page) -> str:
    found: str = page.js("document.querySelector('#said').textContent")
    return found


def shown(row: Any) -> list[str]:
    return [percent(round(float(share) * STEPS) / STEPS) for share in row]


def test_hovering_goes_from_word_to_word(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path)
    assert page.js("[...document.querySelectorAll('#queries span')].map((e) => e.textContent)") == [
        w for w, _ in SOURCE
    ]
    for number, (word, _) in enumerate(SOURCE):
        page.move(f"#queries button:nth-child({number + 1})")
        page.wait(f"document.querySelector('#said').textContent.startsWith({json.dumps(word + ' looks at ')})")
        assert numbers(page, "keys") == shown(MAPS[0].weights[0, number])
        strongest = SOURCE[int(MAPS[0].weights[0, number].argmax())][0]
        assert said(page).startswith(f"{word} looks at {strongest} ")
    page.move("#keys button:nth-child(1)")
    page.wait("document.querySelector('#said').textContent.startsWith('猫 is looked at by ')")
    assert numbers(page, "queries") == shown(MAPS[0].weights[0, :, 0]) and set(numbers(page, "keys")) == {""}


def test_all_layers_and_heads_are_there(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path)
    cells = page.js("[...document.querySelectorAll('#grid button')].map((e) => e.ariaLabel)")
    assert cells == [f"encoder.{n}, {head}" for n in (0, 1) for head in ("head 0", "head 1", "mean of the heads")]
    page.move("[data-cell='1 1']")
    page.wait("document.querySelector('#chosen').textContent === 'encoder.1, head 1'")
    assert numbers(page, "keys") == shown(MAPS[1].weights[1, 0])
    page.move("[data-cell='1 2']")
    page.wait("document.querySelector('#chosen').textContent === 'encoder.1, mean of the heads'")
    rounded = np.rint(MAPS[1].weights[:, 0] * STEPS) / STEPS
    assert numbers(page, "keys") == [percent(float(share)) for share in rounded.mean(0)]
    page.click("#stacks button:nth-child(2)")
    page.move("#queries button:nth-child(4)")
    page.wait("document.querySelector('#said').textContent.startsWith('cat looks at ')")
    assert chosen(page).startswith("decoder.cross, ")


def test_what_a_sink_took_stands_beside_the_keys(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path)
    page.click("#stacks button:nth-child(3)")
    page.move("#queries button:nth-child(2)")
    page.wait("document.querySelector('#said').textContent.startsWith('I looks at ')")
    assert page.js("document.querySelector('#keys .sink span').textContent") == SINK
    assert numbers(page, "keys") == shown(MAPS[3].weights[0, 1])


def test_keys_of_the_keyboard(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path)

    def focused() -> str:
        found: str = page.js("document.activeElement.firstChild.textContent")
        return found

    page.js("document.querySelector('#queries button').focus()")
    page.press("ArrowRight")
    assert focused() == "が" and said(page).startswith("が looks at ")
    page.press("ArrowDown")
    assert chosen(page) == "encoder.1, head 0" and focused() == "が"
    assert numbers(page, "keys") == shown(MAPS[1].weights[0, 1])
    page.press("ArrowRight", shift=True)
    assert chosen(page) == "encoder.1, head 1"
    for _ in range(9):
        page.press("ArrowRight")
    assert focused() == "</s>"
    page.press("Tab")
    page.wait("document.querySelector('#said').textContent.startsWith('猫 is looked at by ')")
    page.press("Tab")
    assert page.js("document.activeElement.dataset.cell") == "1 1"
    page.press("ArrowUp")
    page.press("ArrowLeft")
    assert page.js("document.activeElement.dataset.cell") == "0 0" and chosen(page) == "encoder.0, head 0"


def test_the_whole_head_can_be_pointed_at(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path)
    page.js("document.querySelector('#map').scrollIntoView()")
    step, x, y = page.js(
        "(() => { const m = document.querySelector('#map'), b = m.getBoundingClientRect(); return [+m.dataset.step, b.x, b.y] })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 5, y=y + 1 + 2.5 * step)
    page.wait("document.querySelector('#said').textContent.startsWith('好き looks at ')")


def test_light_and_dark(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path)

    def colours() -> list[Any]:
        found: list[Any] = page.js(
            "[getComputedStyle(document.body).backgroundColor, document.querySelector('#map').toDataURL()]"
        )
        return found

    def redrawn(before: list[Any]) -> list[Any]:
        page.wait(f"document.querySelector('#map').toDataURL() !== {json.dumps(before[1])}")
        return colours()

    light = colours()
    page.dark(True)
    dark = redrawn(light)
    assert light[0] == "rgb(255, 255, 255)" and dark[0] != light[0]
    page.click("#theme")  # light, whatever the system says
    assert redrawn(dark) == light
    page.dark(False)


def test_hostile_words_run_nothing(page: Page, tmp_path: Path) -> None:
    words = tuple((text, False) for text in EVIL)
    show(page, tmp_path, [heads(EVIL[0], EVIL[1], words, words)])
    for number, text in enumerate(EVIL):
        page.move(f"#queries button:nth-child({number + 1})")
        page.wait(f"document.querySelector('#said').textContent.startsWith({json.dumps(text + ' looks at ')})")
    assert page.js("document.querySelectorAll('script, img').length") == 2


# -- the picture ------------------------------------------------------------------------------------------------------


def pixels(data: bytes) -> Any:
    return image.imread(BytesIO(data))


def test_a_cell_is_as_dark_as_its_weight() -> None:
    words = tuple((letter, False) for letter in "abcd")
    weights = np.eye(4, dtype=np.float32)[None]
    found = pixels(write_picture([Heads("a", "a", 0, False, (0,), words, words, weights)], "x")[0])
    dark = (found[..., :3] < (0.05, 0.2, 0.5)).all(-1) & (found[..., 2] > 0.35)  # the strongest blue
    rows, columns = np.nonzero(dark[:, : int(dark.shape[1] * 0.7)])
    assert len(rows) > 1000 and abs(np.corrcoef(rows, columns)[0, 1] - 1) < 0.1  # a diagonal


def test_the_same_picture_every_time_and_of_every_kind() -> None:
    assert write_picture(MAPS, "x") == write_picture(MAPS, "x")
    assert (
        write_picture(MAPS[:1], "x", "svg")[0].startswith(b"<?xml")
        and write_picture(MAPS[:1], "x", "pdf")[0][:5] == b"%PDF-"
    )


def test_a_picture_of_many_heads_stays_within_bounds() -> None:
    words = tuple((f"w{n}", False) for n in range(120))
    weights = np.full((16, 120, 120), 1 / 120, dtype=np.float32)
    data, notes = write_picture([Heads("a", "a", 0, False, tuple(range(16)), words, words, weights)], "x")
    assert pixels(data).shape[1] < 45 * 120 and notes == [
        "the maps are too small for the words beside them: an .html page, or fewer heads by --layer and --head, shows them"
    ]


def test_fonts_are_found_for_all_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found, lacking = faces("cat 猫\U000f0000")
    assert found[0] == "DejaVu Sans" and "c" not in lacking
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    assert faces("cat 猫好é") == (["DejaVu Sans"], {"猫", "好"})
    notes = write_picture(MAPS[:1], "x")[1]  # a missing glyph would warn, and a warning is an error here
    assert len(notes) == 1 and notes[0].startswith("no font on this machine has が き 好 猫: install Noto Sans CJK")


@pytest.mark.skipif(bool(faces("猫")[1]), reason="no font here has Chinese letters")
def test_single_signs_stand_upright() -> None:
    """Words on the lower side are turned, and Chinese is not read from the side."""
    words: tuple[Word, ...] = (("猫", False), ("好き", False))
    picture = write_picture([Heads("a", "a", 0, False, (0,), words, words, np.full((1, 2, 2), 0.5))], "x", "svg")[0]
    turned = write_picture([Heads("a", "a", 0, False, (0,), words[1:], words[1:], np.ones((1, 1, 1)))], "x", "svg")[0]
    assert picture.count(b"rotate(-90)") == turned.count(b"rotate(-90)")


def test_chinese_words_are_painted() -> None:
    def picture(letter: str) -> bytes:
        words = ((letter, False),)
        data, notes = write_picture(
            [Heads("a", "a", 0, False, (0,), words, words, np.ones((1, 1, 1), np.float32))], "x"
        )
        assert notes == []
        return data

    assert len({picture("猫"), picture("爱"), picture("が")}) == 3  # empty boxes would be alike
