"""What an unquoted scalar means: YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

`on`, `off`, `yes`, `no`, `12:30` and dates are texts, `1e-4` is a number, `010` is ten.
"""

from __future__ import annotations

import math
import re

from blockgraph.specs.tree import Value

DIGITS = 100  # longer integers are refused before Python converts them

_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_UNDERSCORES = re.compile(r"[-+]?\d[\d_]*_[\d_]*(?:\.\d+)?", re.ASCII)


class ScalarError(ValueError):
    """A scalar that looks like a number and is none. `code` is documented; `value` is what was probably meant."""

    def __init__(self, code: str, message: str, help: str, value: Value = None) -> None:
        self.code, self.message, self.help, self.value = code, message, help, value
        super().__init__(message)


def resolve(text: str) -> Value:
    """The value of the plain scalar `text`. Raises `ScalarError` for numbers that cannot be."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[0].isascii() or not (text[0].isdigit() or text[0] in "+-."):
        return text
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError(
            "number-text", f"{text} cannot be used as a number", "write a finite number, or quote the text"
        )
    if _UNDERSCORES.fullmatch(text):
        raise _underscored(text)
    return text


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ScalarError("too-big", f"a number of {len(text)} digits", f"write at most {DIGITS} digits")
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        return value
    raise ScalarError("too-big", f"{text[:30]} is larger than any float", "write a number below 1e308")


def _underscored(text: str) -> ScalarError:
    digits = text.replace("_", "")
    message = f"{text[:40]} is text in YAML 1.2, not a number"
    if len(digits) > DIGITS:
        return ScalarError("number-text", message, "leave the underscores out")
    value = float(digits) if "." in digits else int(digits)
    return ScalarError("number-text", message, f"write {digits}", value)


def write(value: Value) -> str:
    """The plain scalar that `resolve` reads back as `value`. Raises ValueError for a text that needs quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if is_plain(value):
        return value
    raise ValueError("this text needs quotes")


_PLAIN = re.compile(r"[A-Za-z_./=][^\x00-\x1f\x7f-\xa0:#,\[\]{}\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*(?<! )")


def is_plain(text: str) -> bool:
    """Whether `text` can be written without quotes anywhere in a YAML file and is read back as this same text."""
    if not _PLAIN.fullmatch(text) or text in _WORDS:
        return False
    try:
        return isinstance(resolve(text), str)
    except ScalarError:
        return False
