"""The interactive page: what it holds, that nothing in it is active but its own script, and what it does in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from blockgraph.builder.analyse import analyse
from blockgraph.builder.graph import Model
from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.viz.draw import draw
from blockgraph.viz.facts import facts
from blockgraph.viz.html import Figure, write_html
from blockgraph.viz.states import MOST_PICTURES, states
from blockgraph.viz.view import ALL, View
from tests.browser import Browser, Page
from tests.viz.handmade import model, preset

EVIL = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"quotes\" 'and' `ticks`",
    "]]> <!-- --> <![CDATA[",
    "{{data}} {{script}}",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
]


class Parsed(HTMLParser):
    """The elements of a page, and the text of its scripts and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open = tag

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open in self.texts:
            self.texts[self.open].append(data)

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.texts["script"][0])
        return found

    @property
    def policy(self) -> str:
        return next(a["content"] or "" for tag, a in self.elements if a.get("http-equiv") == "Content-Security-Policy")


def unpacked(page: str) -> dict[str, str]:
    lines, pictures = json.loads(zlib.decompress(base64.b64decode(Parsed(page).data["packed"])))
    return {opened: "\n".join(lines[number] for number in numbers) for opened, numbers in pictures}


@pytest.fixture(scope="module")
def transformer() -> str:
    return write_html(preset("transformer-base"))


# -- what the page holds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "llama3-405b", "lstm-nano"])
def test_pages_are_small(name: str) -> None:
    assert len(write_html(preset(name)).encode()) < 100_000


@pytest.mark.slow
def test_pages_of_all_presets_are_small() -> None:
    sizes = {name: len(write_html(preset(name)).encode()) for name in presets.names()}
    assert sizes.pop("siglip-base-16") < 350_000  # two towers have the most pictures that a page carries
    assert max(sizes.values()) < 300_000, sizes


def test_a_page_with_many_choices_is_small(transformer: str) -> None:
    assert len(transformer.encode()) < 300_000
    assert len(unpacked(transformer)) == MOST_PICTURES


def test_the_page_loads_nothing(transformer: str) -> None:
    page = Parsed(transformer)
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base")]
    assert not [a for _, attributes in page.elements for a in attributes if a in ("src", "href", "style", "xlink:href")]
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert "http" not in transformer.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_the_policy_allows_the_own_script_and_style_only(transformer: str) -> None:
    page = Parsed(transformer)
    script, style = page.texts["script"][1], page.texts["style"][0]
    assert len(page.texts["script"]) == 2 and len(page.texts["style"]) == 1
    for text, kind in ((script, "script-src"), (style, "style-src")):
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{hashed}';" in page.policy
    assert page.policy.startswith("default-src 'none'; ") and "unsafe" not in page.policy and "*" not in page.policy


def test_the_same_page_every_time() -> None:
    assert write_html(preset("gpt2")) == write_html(preset("gpt2"))


def test_draw_writes_pages(tmp_path: Path) -> None:
    built = preset("gpt-nano")
    assert draw(built, tmp_path / "x.html") == (tmp_path / "x.html").read_bytes() == write_html(built).encode()


def test_every_picture_shows_what_its_key_says() -> None:
    built = preset("gpt2")
    page = write_html(built)
    names = list(Parsed(page).data["tree"])
    assert names == ["decoder", "decoder.attn", "decoder.ffn"]
    pictures = unpacked(page)
    assert set(pictures) == {"", "0", "0,1", "0,2", "0,1,2"}  # an attention in a closed decoder is no choice
    for key, svg in pictures.items():
        frames = set(re.findall(r'<g class="bg-frame"[^>]*data-node="([^"]+)"', svg))
        closed = set(re.findall(r'<g class="bg-node[^>]*data-node="([^"]+)"', svg))
        assert {names[int(n)] for n in key.split(",") if n} == {n for n in names if n in frames and n not in closed}


def test_any_block_can_be_opened_and_closed_where_not_all_choices_fit(transformer: str) -> None:
    data = Parsed(transformer).data
    names = list(data["tree"])
    keys = [{names[int(n)] for n in key.split(",") if n} for key in unpacked(transformer)]
    assert set(data["start"]) in keys and set() in keys and set(names) in keys
    assert all(any(name in key for key in keys) and any(name not in key for key in keys) for name in names)


def test_states_are_reachable_sets() -> None:
    tree = Figure(preset("transformer-base")).tree
    for state in states(tree):
        assert tree.within(state) == state
    assert tree.within({"decoder.self", "nobody"}) == frozenset()
    assert tree.opened(frozenset(), "decoder.self") == {"decoder", "decoder.self"}
    assert tree.closed(frozenset({"decoder", "decoder.self", "encoder"}), "decoder") == {"encoder"}


@pytest.mark.parametrize(
    ("view", "start"),
    [
        (View(depth=0), []),
        (View(open=("decoder.attn",)), ["decoder", "decoder.attn"]),
        (View(depth=ALL), ["decoder", "decoder.attn", "decoder.ffn"]),
    ],
)
def test_the_page_starts_with_the_view(view: View, start: list[str]) -> None:
    assert sorted(Figure(preset("gpt2"), view).tree.start) == start


def test_an_unrolled_view_tells_copies_apart() -> None:
    tree = Figure(preset("gpt-nano"), View(unroll=True)).tree
    assert {"decoder.0.attn", "decoder.1.attn"} <= tree.parents.keys()


@pytest.mark.parametrize("theme", ["cvd", "mono"])
def test_other_themes_keep_their_colours(theme: str) -> None:
    built = preset("gpt-nano")
    page = write_html(built, View(theme=theme))
    assert Parsed(page).data["fixed"] and ".bg-node>.bg-body" not in page
    assert ".bg-node>.bg-body" in write_html(built)


# -- facts ------------------------------------------------------------------------------------------------------------


def said(built: Model, id: str) -> dict[str, Any]:
    return facts(built, [id])[id]


def test_facts_of_a_node() -> None:
    found = said(preset("gpt2"), "decoder.attn")
    assert found["type"] == "attention"
    assert ("heads", "12", False) in found["options"] and ("sinks", "false", True) in found["options"]
    assert found["shapes"] == [("query", "[B, T, 768]"), ("→ out", "[B, T, 768]")]
    assert ("parameters", "2.36M (2,362,368)") in found["costs"]
    assert ("in 12 copies", "28.3M (28,348,416)") in found["costs"]
    assert any(name == "FLOPs" and "at B=1, T=1024" in value for name, value in found["costs"])
    assert [(file, text.split()[0]) for file, _, text in found["lines"]] == [
        ("presets/gpt2.yaml", "attn:"),
        ("presets/gpt2.yaml", "attention:"),
    ]


def test_facts_of_inputs_outputs_and_the_model() -> None:
    built = preset("gpt2")
    assert ("vocabulary", "50,257") in said(built, "tokens")["shapes"]
    assert ("shape", "[B, T, 50257]") in said(built, "logits:out")["shapes"]
    assert ("parameters", "124,439,808") in said(built, "")["costs"]
    assert "nobody" not in facts(built, ["nobody", "decoder.nobody", "decoder.attn.x", "decoder.99.attn"])


def test_copies_share_weights_or_do_not() -> None:
    body = "inputs: {x: {shape: [T, 8]}}\nblocks:\n  L:\n    nodes: {ffn: {type: ffn, hidden: 16}}\nnodes:\n"
    own = said(model(body + "  a: {type: L, repeat: 4}\n"), "a.ffn")["costs"]
    shared = said(model(body + "  a: {type: L, repeat: 4, copies: 2}\n"), "a.ffn")["costs"]
    used = said(model(body + "  a: L\n  b: {share: a}\n"), "b.ffn")["costs"]
    assert own[:2] == [("parameters", "280"), ("in 4 copies", "1,120")]
    assert shared[:2] == [("parameters", "280"), ("in 2 copies", "560")]
    assert [name for name, _ in used] == ["FLOPs"]


def test_copies_that_differ_are_counted_exactly() -> None:
    body = "inputs: {x: {shape: [T, 8]}}\nblocks:\n  L:\n    nodes: {ffn: {type: ffn, hidden: =8*(layer + 1)}}\n"
    built = model(body + "nodes:\n  a: {type: L, repeat: 3}\n")
    assert ("in 3 copies", str(built.parameters)) in said(built, "a.ffn")["costs"]
    assert "3 kinds of copies; this is one of them" in said(built, "a.ffn")["notes"]
    third = said(built, "a.2.ffn")
    assert third["notes"] == ["in copy 2 of a; 1 of 3 are like it"]
    assert third["options"][0] == ("hidden", "24", False)
    assert facts(built, ["a.0", "a.0.0"])["a.0"]["notes"][0] == "stacked 3×"  # a frame of several copies


def test_lines_come_from_the_file_that_says_them(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "blockgraph: 1\ninputs: {x: {shape: [T, 8]}}\nnodes:\n  f:\n    type: ffn\n    hidden: 16\n    gated: true\n"
    )
    (tmp_path / "own.yaml").write_text("blockgraph: 1\nextends: base.yaml\nnodes: {f: {hidden: 32}}\n")
    found = Diagnostics()
    spec = load_spec(tmp_path / "own.yaml", found)
    assert spec is not None
    built = analyse(spec, found)
    assert built is not None
    lines = [(Path(file).name, number) for file, number, _ in said(built, "f")["lines"]]
    assert ("own.yaml", 3) in lines and ("base.yaml", 5) in lines and ("base.yaml", 7) in lines


# -- strangers' text --------------------------------------------------------------------------------------------------


def hostile() -> Model:
    nodes = "".join(
        f"  n{number}: {{type: ffn, hidden: 4, label: {json.dumps(text)}, about: {json.dumps(text)}}} # {text.split()[0]}\n"
        for number, text in enumerate([*EVIL, "a\u2028b\u2029c"])
    )
    about = json.dumps(" ".join(EVIL))
    return model(f"about: {about}\ninputs: {{x: {{shape: [T, 8]}}}}\nnodes:\n{nodes}")


def test_hostile_text_stays_text() -> None:
    page = write_html(hostile())
    parsed = Parsed(page)
    harmless = Parsed(write_html(preset("gpt-nano")))
    assert {tag for tag, _ in parsed.elements} <= {tag for tag, _ in harmless.elements} | {"path", "circle", "text"}
    assert parsed.texts["script"][1] == harmless.texts["script"][1]
    assert page.count("</script>") == 2 and "\u2028" not in page
    shown = json.dumps(parsed.data, ensure_ascii=False)
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in shown for text in EVIL)


# -- in the browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    opened = chromium.page()
    yield opened
    complaints, requests = opened.complaints(), opened.requests()
    opened.close()
    assert complaints == [] and all(url.startswith(("file:", "about:")) for url in requests)


def show(page: Page, shown: Model | str, folder: Path, view: View | None = None) -> None:
    path = folder / "page.html"
    path.write_text(shown if isinstance(shown, str) else write_html(shown, view or View()), "utf-8")
    page.go(path.as_uri())


def frames(page: Page) -> list[str]:
    found: list[str] = page.js("[...document.querySelectorAll('.bg-frame')].map((e) => e.dataset.node)")
    return found


def focused(page: Page) -> str:
    found: str = page.js("document.activeElement.dataset?.node || document.activeElement.id")
    return found


def panel(page: Page) -> str:
    found: str = page.js("document.querySelector('#facts').innerText")
    return found


def test_blocks_open_and_close_where_they_are(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path)
    assert frames(page) == ["decoder"]
    page.click("[data-node='decoder.attn'] > .bg-body")
    page.wait("document.querySelector('.bg-frame[data-node=\"decoder.attn\"]')")
    assert "decoder.ffn" not in frames(page)
    page.click(".bg-frame[data-node='decoder.attn'] > .handle")
    page.wait("document.querySelector('.bg-node[data-node=\"decoder.attn\"]')")
    page.click(".bg-frame[data-node='decoder'] > .handle")
    page.wait("document.querySelector('.bg-node[data-node=\"decoder\"]')")
    assert "decoder.attn" not in page.js("[...document.querySelectorAll('[data-node]')].map((e) => e.dataset.node)")


def test_less_and_more(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path)
    page.click("#more")
    page.wait("document.querySelector('.bg-frame[data-node=\"decoder.ffn\"]')")
    assert page.js("document.querySelector('#more').disabled")
    page.click("#less")
    page.wait("!document.querySelector('.bg-frame[data-node=\"decoder.ffn\"]')")
    page.click("#less")
    page.wait("document.querySelector('.bg-node[data-node=\"decoder\"]')")
    assert page.js("document.querySelector('#less').disabled")


def test_hovering_and_focus_show_facts(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path)
    assert "124,439,808" in panel(page)
    page.move("[data-node='decoder.ffn'] > .bg-body")
    page.wait("document.querySelector('#facts .path')?.textContent === 'decoder.ffn'")
    said = panel(page)
    assert "3072" in said and "[B, T, 768]" in said and "4.72M" in said and "FLOPs" in said
    assert "presets/gpt2.yaml:20" in said and "ffn:   ffn" in page.js(
        "document.querySelector('#facts pre').textContent"
    )
    page.move("h1")
    page.wait("document.querySelector('#facts h2').textContent === 'gpt2'")
    page.js("document.querySelector('[data-node=\"embed\"]').focus()")
    assert "38.6M" in panel(page)


def test_parts_of_a_built_in_block_say_whose_they_are(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path, View(open=("decoder.attn",)))
    part = page.js("document.querySelector('.bg-frame[data-node=\"decoder.attn\"] .bg-node').dataset.node")
    page.move(f".bg-node[data-node='{part}'] > .bg-body")
    page.wait("document.querySelector('#facts').innerText.includes('Part of decoder.attn')")


def test_search_finds_what_is_shown_and_what_is_hidden(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path, View(close=("decoder",)))
    page.press("/")
    page.type("norm")
    page.wait("document.querySelectorAll('#hits li').length === 3")
    assert page.js("[...document.querySelectorAll('.match')].map((e) => e.dataset.node)") == ["norm"]
    page.press("Enter")
    page.wait("document.querySelector('.selected')?.dataset.node === 'norm'")
    page.press("Enter")
    page.wait("document.querySelector('.selected')?.dataset.node === 'decoder.norm1'")
    assert "decoder" in frames(page)
    page.press("Escape")
    assert page.js("document.querySelector('#search').value") == "" and not page.js(
        "document.querySelector('.searching')"
    )


def test_keys(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path)
    page.press("ArrowUp")
    assert focused(page) == "tokens"
    for expected in ("embed", "positions", "decoder", "decoder.norm1", "decoder.attn"):
        page.press("ArrowUp")
        assert focused(page) == expected
    page.press("Enter")
    page.wait("document.querySelector('.bg-frame[data-node=\"decoder.attn\"]')")
    assert focused(page) == "decoder.attn"
    assert page.js("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.press("ArrowUp")
    assert focused(page).startswith("decoder.attn.")
    page.press("Escape")
    page.wait("document.querySelector('.bg-node[data-node=\"decoder.attn\"]')")
    assert focused(page) == "decoder.attn"
    page.press("Tab")
    assert focused(page) == "decoder.add1"
    page.press("Tab", shift=True)
    page.press("ArrowDown")
    assert focused(page) == "decoder.norm1"


def test_light_and_dark(page: Page, tmp_path: Path) -> None:
    show(page, preset("gpt2"), tmp_path)

    def colours() -> list[str]:
        found: list[str] = page.js(
            "[getComputedStyle(document.body).backgroundColor, "
            "getComputedStyle(document.querySelector('[data-node=\"decoder.attn\"] > .bg-body')).fill]"
        )
        return found

    light = colours()
    page.dark(True)
    dark = colours()
    assert light[0] == "rgb(255, 255, 255)" and dark[0] != light[0] and dark[1] != light[1]
    page.click("#theme")  # light, whatever the system says
    assert colours() == light
    page.dark(False)
    page.click("#theme")
    assert colours() == dark


def test_a_choice_that_the_page_does_not_hold_opens_the_block_all_the_same(
    page: Page, transformer: str, tmp_path: Path
) -> None:
    show(page, transformer, tmp_path)
    wanted = ["encoder.norm1", "encoder.norm2", "decoder.norm1", "decoder.norm2", "decoder.norm3", "encoder.ffn"]
    for name in wanted:
        page.click(f"[data-node='{name}'] > .bg-body")
        page.wait(f"document.querySelector('.bg-frame[data-node=\"{name}\"]')")
    assert "other blocks" in page.js("document.querySelector('#banner').textContent")


def test_hostile_text_runs_nothing(page: Page, tmp_path: Path) -> None:
    show(page, hostile(), tmp_path)
    for number in range(len(EVIL)):
        page.js(f"document.querySelector('[data-node=\"n{number}\"]').focus()")
        assert " ".join(EVIL[number].split()) in panel(page)
    page.press("/")
    page.type("</script>")
    page.wait("document.querySelectorAll('#hits li').length")
    assert page.js("document.querySelectorAll('script, img').length") == 2
