"""A real text that every CPython carries: the language reference, as `pydoc_data.topics` holds it for `help()`.

Its licence is Python's own (PSF-2.0). Whole paragraphs come several times (19% of the long ones) and many lines are
table rules, which a small model learns first and then prints for ever: both are left out. Topics, not lines, are split,
so that nothing that is judged was learned from.
"""

from __future__ import annotations

import re

ORIGIN = "the Python language reference in pydoc_data.topics (PSF licence)"
EVERY = 20  # every 20th topic, from the first, is for validation
LONG = 60  # shorter paragraphs (titles, code of one line) may repeat
REPLACED = {"–": "-", "—": "--", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "ß": "ss", "\t": "    "}


def demo_text() -> tuple[str, str]:
    """(training text, validation text): about 340,000 characters in all, printable ASCII and line ends."""
    from pydoc_data.topics import topics

    seen: set[str] = set()
    train: list[str] = []
    valid: list[str] = []
    for number, name in enumerate(sorted(topics)):
        text = _without_repeats(_cleaned(topics[name]), seen)
        if text:
            (valid if number % EVERY == 0 else train).append(text)
    return "\n\n\n".join(train) + "\n", "\n\n\n".join(valid) + "\n"


def _cleaned(text: str) -> str:
    for sign, plain in REPLACED.items():
        text = text.replace(sign, plain)
    text = re.sub(r"[^\n -~]", "", text)
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(line for line in lines if not _is_rule(line)))


def _is_rule(line: str) -> bool:
    """A line that mostly draws: `+----+----+`, `| x | y |`, `*****` under a title."""
    signs = line.replace(" ", "")
    drawn = sum(signs.count(sign) for sign in "+-|=*~#^")
    return (signs[:1] == signs[-1:] == "|") or (len(signs) >= 4 and drawn > len(signs) / 2)


def _without_repeats(text: str, seen: set[str]) -> str:
    kept = []
    for paragraph in text.strip("\n").split("\n\n"):
        words = " ".join(paragraph.split())
        if len(words) >= LONG and words in seen:
            continue
        seen.add(words)
        kept.append(paragraph)
    return "\n\n".join(kept).strip("\n")
