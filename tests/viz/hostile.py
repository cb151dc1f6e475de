"""Labels that try to break out of a picture: written by hand, and any number of random ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

from blockgraph.viz.text import clean

LABELS = [
    "<b>bold</b>",
    "<table>",
    "\\N and \\G",
    "ends in \\",
    'a "quote"',
    "&lt;script&gt; & &#60;",
    "<script>alert(1)</script>",
    "a\x00b\x1b[31m\x7f\ufffe",
    "שלום עולם",
    "词元嵌入",
    "-->",
    "]]>",
    "\u202egnol",
    "x" * 500,
    "${HOME} %n %s {0}",
    "\\n\\l\\r",
    "graph [dpi=1 ",
    "'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "url(http://example.org)",
    "</style><style>*{fill:red}",
    "#quot; %%{init: {}}%% `**md**`",
    "1. a list",
    "- a list",
    "end",
    "\ud800 alone",
]
PIECES = [
    *LABELS,
    *"<>&\"'\\`#%{}[]()|;:=-+*_~$@!?/., \n\t\r\0\x0b\x85\u2028\u200d\ufeff\U0001f600",
    "<!--",
    "<![CDATA[",
]
PIECES += [
    "&amp;",
    "&#x0;",
    "\\\\",
    '\\"',
    "onclick=",
    "href=",
    "<foreignObject>",
    "<image>",
    "<a>",
    "e\u0301",
    "ﬀ",
    "😀",
]


def labels(number: int, seed: int = 0) -> Iterator[str]:
    """`number` labels: those by hand first, then random ones; none is empty when cleaned."""
    random = Random(seed)
    yield from LABELS[:number]
    for _ in range(number - len(LABELS)):
        label = ""
        while not clean(label):
            label = "".join(_piece(random) for _ in range(random.randint(1, 6)))
        yield label


def _piece(random: Random) -> str:
    if random.random() < 0.6:
        piece: str = random.choice(PIECES)
        return piece
    limit = random.choice((0x80, 0x2FFF, 0xFFFF, 0x10FFFF))
    return "".join(chr(random.randint(0, limit)) for _ in range(random.randint(1, 12)))


def groups(number: int, seed: int, each: int) -> Iterator[tuple[str, ...]]:
    """The same in groups of `each`."""
    made = labels(number, seed)
    while some := tuple(islice(made, each)):
        yield some
