"""A mutator for fuzzing: what slips of the pen, merges gone wrong and hostile writers make of good specs.

for text in mutations(texts, count=5_000, seed=1): validate(text)   # must refuse or accept, never raise or hang
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

Mutation = Callable[[str, random.Random], str]

NUMBERS = ["0", "-1", "1", "2", "3", "7", "0.5", "-0.5", "1e5", "1e9", "1e18", "1e308", "1e999", "-1e-300", "100000000", "9" * 30, "9" * 5000, "0x7fffffffffffffff", "0o17", "100_000", ".inf", "-.inf", ".nan", "2.0", "010", "1e-4", "true", "null", "~", "''"]  # fmt: skip
VALUES = ["null", "true", "no", "''", "x", "[]", "{}", "[1, 2]", "{a: 1}", "=", "=width", "=layer", "=1/0", "=nothing", "[[[]]]", "{type: {type: x}}", "=down[2]", "=[0]*9999", '"=min(8, heads)"', "=2**62", "='a'*9999", "=x.y.z", "=9**9**9", "1", "-5", "0.1", '"\\0"', '"\\ud7ff"', "'\u202e'", "注意", "x.out", "x.1", "../../etc/passwd", "/dev/zero", "http://x", "Layer", "layer", "self", "forward", "T", "=T"]  # fmt: skip
SNIPPETS = ["&a ", "*a", "!!python/object/apply:os.system [x]", "!x ", "<<: ", "---\n", "...\n", "\t", "\0", "\ufeff", "\u2028", "\x85", "\r", "\x1b[31m", "\ud800", "# ", " #", ": ", ":", "- ", "? ", ", ", "{", "}", "[", "]", "'", '"', "|", ">", "%YAML 9.9\n", "{{ x }}", "${HOME}", "\\", "@", "`", "=", "=(", "=min(1, 2)", "注意力", "\U0001f600", "{x:1}", "a: &a [*a]"]  # fmt: skip
LINES = ["extends: gpt2", "extends: [a.yaml, ../b.yaml]", "extends: .", "vars: {a: =b, b: =a}", "  a: {type: ffn, in: a}", "  loop: {type: Loop, repeat: 3}", "  huge: {type: ffn, hidden: 1e9, repeat: 1e6}", "  s: {share: s}", "  t: {type: linear, tie: t}", "outputs: {a: nothing}", "outputs: []", "inputs: {}", "nodes: {}", "blocks: {A: {nodes: {b: B}}, B: {nodes: {a: A}}}", "init: {'*': {type: normal, std: =1/0}}", "train: {task: causal_lm, steps: 1e99}", "defaults: {ffn: {hidden: {}}}", "huggingface: {tensors: {N.N: N}}", "blockgraph: 2", "params: {type: 1}"]  # fmt: skip

_NUMBER = re.compile(r"(?<![\w.])\d[\d.e_-]*")
_WORD = re.compile(r"[A-Za-z_]{2,}")
_KEY = re.compile(r"[A-Za-z_][\w.]*(?=:)")
_VALUE = re.compile(r"(?<=: )[^\n,{}\[\]]+")


def mutations(texts: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """`count` texts, each made from one of `texts` by one to five mutations; the same for the same seed."""
    for index in range(count):
        chance = random.Random(f"{seed}-{index}")
        text = chance.choice(texts)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
            text = chance.choice(MUTATIONS)(text, chance)
        yield text


def _lines(change: Callable[[list[str], int, random.Random], None]) -> Mutation:
    def mutate(text: str, chance: random.Random) -> str:
        lines = text.splitlines(keepends=True) or [""]
        change(lines, chance.randrange(len(lines)), chance)
        return "".join(lines)

    mutate.__name__ = change.__name__
    return mutate


@_lines
def delete_line(lines: list[str], at: int, chance: random.Random) -> None:
    del lines[at : at + chance.choice((1, 1, 1, 5))]


@_lines
def repeat_line(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at:at] = lines[at : at + chance.choice((1, 3))] * chance.choice((1, 1, 1, 50))


@_lines
def swap_lines(lines: list[str], at: int, chance: random.Random) -> None:
    other = chance.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


@_lines
def insert_line(lines: list[str], at: int, chance: random.Random) -> None:
    lines.insert(at, chance.choice(LINES) + "\n")


@_lines
def indent_line(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at] = chance.choice((" ", "  ", "    ", "\t")) + lines[at] if chance.random() < 0.6 else lines[at].lstrip(" ")


@_lines
def join_lines(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at] = lines[at].rstrip("\n")


def _replaced(pattern: re.Pattern[str], text: str, chance: random.Random, new: Callable[[str], str]) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text
    match = chance.choice(found)
    return text[: match.start()] + new(match[0]) + text[match.end() :]


def absurd_number(text: str, chance: random.Random) -> str:
    return _replaced(_NUMBER, text, chance, lambda _: chance.choice(NUMBERS))


def wrong_value(text: str, chance: random.Random) -> str:
    return _replaced(_VALUE, text, chance, lambda _: chance.choice(VALUES))


def misspell(text: str, chance: random.Random) -> str:
    return _replaced(chance.choice((_KEY, _WORD)), text, chance, lambda word: _slip(word, chance))


def _slip(word: str, chance: random.Random) -> str:
    at = chance.randrange(len(word))
    kind = chance.randrange(5)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    return word[:at] + chance.choice("abcxyzXYZ_0.-é") + word[at + (kind == 3) :]


def swap_words(text: str, chance: random.Random) -> str:
    """One name where another of the same text stood: other types, other options, other wires."""
    words = sorted(set(_WORD.findall(text)))
    return _replaced(_WORD, text, chance, lambda word: chance.choice(words) if words else word)


def rename_everywhere(text: str, chance: random.Random) -> str:
    words = sorted(set(_WORD.findall(text)))
    if not words:
        return text
    return re.sub(rf"\b{chance.choice(words)}\b", chance.choice([*words, "layer", "forward", "x", "state"]), text)


def insert_snippet(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(SNIPPETS) * chance.choice((1, 1, 1, 1, 40)) + text[at:]


def delete_stretch(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + chance.choice((1, 1, 2, 10, 100)) :]


def copy_stretch(text: str, chance: random.Random) -> str:
    start, at = chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)
    return text[:at] + text[start : start + chance.choice((5, 40, 400))] + text[at:]


def change_character(text: str, chance: random.Random) -> str:
    if not text:
        return text
    at = chance.randrange(len(text))
    return (
        text[:at]
        + chr(chance.choice((ord(text[at]) ^ 1 << chance.randrange(7), chance.randrange(0x3000))))
        + text[at + 1 :]
    )


_BRACKET = re.compile(r"[\[\]{}()'\"]")


def break_bracket(text: str, chance: random.Random) -> str:
    return _replaced(_BRACKET, text, chance, lambda _: chance.choice(["", "[", "]", "{", "}", '"', "("]))


def nest(text: str, chance: random.Random) -> str:
    depth = chance.choice((3, 30, 63, 64, 65, 1000, 20_000))
    opening, closing = chance.choice((("[", "]"), ("{a: ", "}"), ("{nodes: ", "}")))
    return _replaced(_VALUE, text, chance, lambda value: opening * depth + value + closing * depth)


def nest_expression(text: str, chance: random.Random) -> str:
    depth = chance.choice((5, 50, 95, 150, 5000))
    opening, closing = chance.choice((("(", ")"), ("-", ""), ("not ", ""), ("[", "]"), ("min(", ")"), ("1+", "")))
    return _replaced(_VALUE, text, chance, lambda _: f"={opening * depth}1{closing * depth}")


def many_values(text: str, chance: random.Random) -> str:
    many = ", ".join(["1"] * chance.choice((*[100] * 40, *[1_000] * 6, 5_000, 60_000)))
    return _replaced(_VALUE, text, chance, lambda _: f"[{many}]")


MUTATIONS: list[Mutation] = [
    delete_line, repeat_line, swap_lines, insert_line, indent_line, join_lines, rename_everywhere, insert_snippet,
    absurd_number, absurd_number, absurd_number, wrong_value, wrong_value, wrong_value, misspell, misspell, swap_words,
    swap_words, swap_words, insert_snippet, delete_stretch, copy_stretch, change_character, break_bracket, nest,
    nest_expression, many_values,
]  # fmt: skip
