"""Text to ids and back: bytes, characters, and whatever a `tokenizers` file says. Saved as `tokenizer.json` in a run.

Making one from a text is training's business (`training/vocabulary.py`); these only read, write and apply.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "blockgraph_tokenizer"
UNKNOWN = "<unk>"
LONGEST_CHARACTER = 4  # bytes, hence ids, of one character in UTF-8; what stays open longer is not UTF-8
PIECE = 1 << 20  # characters given to `tokenizers` at once; cut at line ends


class TokenizerError(BlockgraphError):
    """A text cannot be encoded, or a tokenizer file cannot be read."""


class TextStream(Protocol):
    """Ids in, text out, never half a character."""

    def push(self, token: int) -> str:
        """The text that `token` completes: empty while a character is still open."""

    def finish(self) -> str:
        """What is left; an open character becomes U+FFFD."""


class Tokenizer(Protocol):
    """`size` ids, 0 to size-1. `kind` is the name that a spec gives it; `specials` are the ids that stand for no text,
    by their names."""

    kind: str

    @property
    def specials(self) -> Mapping[str, int]: ...

    @property
    def size(self) -> int: ...

    def encode(self, text: str) -> NDArray[np.integer[Any]]:
        """Ids [n] of `text`. Raises `TokenizerError` where a character is not known."""

    def offsets(self, text: str) -> NDArray[np.integer[Any]]:
        """Which characters each id of `encode(text)` stands for: [n, 2], from and to."""

    def decode(self, ids: Sequence[int]) -> str: ...

    def stream(self, after: Sequence[int] = ()) -> TextStream:
        """A stream of what follows the ids `after`: some decoders strip the first space of a text."""

    def to_json(self) -> str: ...


class Bytes:
    """The 256 bytes of UTF-8, behind the special ids: no text is unknown and nothing is learned."""

    kind = "bytes"

    def __init__(self, specials: tuple[str, ...] = ()) -> None:
        self.specials: Mapping[str, int] = {name: number for number, name in enumerate(specials)}

    @property
    def size(self) -> int:
        return 256 + len(self.specials)

    def encode(self, text: str) -> NDArray[np.integer[Any]]:
        import numpy as np

        found = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        return found.astype(np.int32) + len(self.specials) if self.specials else found

    def offsets(self, text: str) -> NDArray[np.integer[Any]]:
        return _offsets([len(character.encode("utf-8")) for character in text])

    def bytes_of(self, ids: Sequence[int]) -> bytes:
        """The bytes, without special ids."""
        first = len(self.specials)
        return bytes(token - first for token in known(ids, self.size) if token >= first)

    def decode(self, ids: Sequence[int]) -> str:
        return self.bytes_of(ids).decode("utf-8", errors="replace")

    def stream(self, after: Sequence[int] = ()) -> TextStream:
        return _ByteStream(self)

    def to_json(self) -> str:
        return json.dumps({FORMAT: 1, "type": self.kind, **_written(self.specials)}) + "\n"


class _ByteStream:
    def __init__(self, tokenizer: Bytes) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        return self._decoder.decode(self._tokenizer.bytes_of([token]))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class Characters:
    """One id per character of the text it was made from, in code-point order, behind the special ids. Every other
    character is the special id `<unk>`, where there is one."""

    kind = "characters"

    def __init__(self, characters: str, lowercase: bool = False, specials: tuple[str, ...] = ()) -> None:
        self.characters = characters
        self.lowercase = lowercase
        self.specials: Mapping[str, int] = {name: number for number, name in enumerate(specials)}

    @property
    def size(self) -> int:
        return len(self.characters) + len(self.specials)

    def encode(self, text: str) -> NDArray[np.integer[Any]]:
        import numpy as np

        if self.lowercase:
            text = text.lower()
        points = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        table = np.full(max(int(points.max(initial=0)), *map(ord, self.characters), 0) + 1, -1, dtype=np.int32)
        table[[ord(character) for character in self.characters]] = np.arange(len(self.specials), self.size)
        ids = table[points]
        if UNKNOWN in self.specials:
            ids[ids < 0] = self.specials[UNKNOWN]
        if (ids < 0).any():
            unknown = sorted({text[place] for place in np.flatnonzero(ids < 0)[:1000]})
            raise TokenizerError(_unknown_characters(unknown))
        return ids

    def offsets(self, text: str) -> NDArray[np.integer[Any]]:
        return _offsets([len(character.lower()) if self.lowercase else 1 for character in text])

    def decode(self, ids: Sequence[int]) -> str:
        first = len(self.specials)
        return "".join(self.characters[token - first] for token in known(ids, self.size) if token >= first)

    def stream(self, after: Sequence[int] = ()) -> TextStream:
        return _WholeStream(self)

    def to_json(self) -> str:
        facts = {"characters": self.characters, "lowercase": self.lowercase, **_written(self.specials)}
        return json.dumps({FORMAT: 1, "type": self.kind, **facts}) + "\n"


def _offsets(counts: Sequence[int]) -> NDArray[np.integer[Any]]:
    """The characters of each id, where every character is `counts` ids."""
    import numpy as np

    first = np.repeat(np.arange(len(counts)), counts)
    return np.stack([first, first + 1], 1)


def _written(specials: Mapping[str, int]) -> dict[str, list[str]]:
    return {"specials": list(specials)} if specials else {}


def _unknown_characters(unknown: list[str]) -> str:
    shown = ", ".join(f"{character!a}" for character in unknown[:8]) + (", …" if len(unknown) > 8 else "")
    noun, verb = ("character", "is") if len(unknown) == 1 else ("characters", "are")
    return f"the {noun} {shown} {verb} not among those that this tokenizer was made from; leave them out"


class _WholeStream:
    """For tokenizers whose ids are whole characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def push(self, token: int) -> str:
        return self._tokenizer.decode([token])

    def finish(self) -> str:
        return ""


class Pieces:
    """A tokenizer of the `tokenizers` library: byte-level BPE that we trained, or a file that somebody gave.

    `framed`: ids come with the special ones that the file's own template puts around a text, and texts without any.
    `rewritten`: decoding may change what stands at the end of a text when more follows (a space before a comma goes).
    """

    def __init__(self, library: Any, kind: str = "file", *, framed: bool = False, rewritten: bool = False) -> None:
        self.library = library
        self.kind = kind
        self.framed, self.rewritten = framed, rewritten

    @property
    def size(self) -> int:
        """One more than the largest id (files may leave ids out)."""
        return max(self.library.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @property
    def specials(self) -> Mapping[str, int]:
        added = self.library.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if token.special}

    def encode(self, text: str) -> NDArray[np.integer[Any]]:
        import numpy as np

        pieces = [text] if self.framed else _pieces(text)
        encodings = self.library.encode_batch(pieces, add_special_tokens=self.framed)
        return np.concatenate([np.asarray(e.ids, dtype=np.int64) for e in encodings] or [np.zeros(0, dtype=np.int64)])

    def offsets(self, text: str) -> NDArray[np.integer[Any]]:
        import numpy as np

        pieces = [text] if self.framed else _pieces(text)
        found, before = [np.zeros((0, 2), dtype=np.int64)], 0
        for piece, encoding in zip(
            pieces, self.library.encode_batch(pieces, add_special_tokens=self.framed), strict=True
        ):
            found.append(np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2) + before)
            before += len(piece)
        return np.concatenate(found)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.library.decode(known(ids, self.size), skip_special_tokens=True))

    def single_bytes(self) -> frozenset[int]:
        """The ids that stand for one byte where no piece says a character (`<0x0A>`); decoders join runs of them."""
        if not getattr(self.library.model, "byte_fallback", False):
            return frozenset()
        found = (self.library.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(number for number in found if number is not None)

    def stream(self, after: Sequence[int] = ()) -> TextStream:
        return RewrittenStream(self) if self.rewritten else _PieceStream(self, after)

    def to_json(self) -> str:
        return str(self.library.to_str(pretty=True)) + "\n"


class _PieceStream:
    """Decodes what came since the last whole text, together with the ids before it: some decoders look one id back."""

    def __init__(self, tokenizer: Pieces, after: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(after)
        self._settled = len(self._ids)  # ids before this one have been given out
        self._bytes = tokenizer.single_bytes()

    def push(self, token: int) -> str:
        self._ids.append(token)
        if token in self._bytes:  # what follows may change what a run of bytes says
            return ""
        text = self._open_text()
        open_ids = len(self._ids) - self._settled
        return "" if text.endswith("\ufffd") and open_ids < LONGEST_CHARACTER else self._settle(text)

    def finish(self) -> str:
        return self._settle(self._open_text())

    def _open_text(self) -> str:
        before = self._tokenizer.decode(self._ids[: self._settled])
        return self._tokenizer.decode(self._ids)[len(before) :]

    def _settle(self, text: str) -> str:
        if text:  # ids that have no text (special ones) tell a decoder nothing: those before them stay
            self._ids = self._ids[self._settled :]
        self._settled = len(self._ids)
        return text


class RewrittenStream:
    """For decoders that join words and punctuation: all ids are decoded anew, and the last word is held back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0  # characters

    def push(self, token: int) -> str:
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        return self._give(text[: max(text.rfind(" "), self._given)])

    def finish(self) -> str:
        return self._give(self._tokenizer.decode(self._ids))

    def _give(self, text: str) -> str:
        new, self._given = text[self._given :], len(text)
        return new


def _pieces(text: str) -> list[str]:
    """`text` cut behind line ends into pieces of about `PIECE` characters: they are encoded in parallel."""
    pieces, start = [], 0
    while start < len(text):
        cut = text.find("\n", start + PIECE) + 1 or len(text)
        pieces.append(text[start:cut])
        start = cut
    return pieces


def known(ids: Sequence[int], size: int) -> list[int]:
    for token in ids:
        if not 0 <= token < size:
            raise TokenizerError(
                f"the id {token} is beyond the tokenizer's {size}: the model has more ids than the tokenizer"
            )
    return list(ids)


def read_tokenizer(path: Path) -> Tokenizer:
    """Our own `tokenizer.json`, or any file of the `tokenizers` library. Raises `TokenizerError`."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
    except OSError as error:
        raise TokenizerError(f"{path}: cannot read the tokenizer: {error.strerror}") from None
    except ValueError:
        raise TokenizerError(f"{path}: not a tokenizer file (no JSON)") from None
    if not isinstance(data, dict):
        raise TokenizerError(f"{path}: not a tokenizer file")
    return _own(data, path) if FORMAT in data else _library(text, path)


def _own(data: dict[str, Any], path: Path) -> Tokenizer:
    kind, characters = data.get("type"), data.get("characters")
    specials = tuple(str(name) for name in data.get("specials", ()))
    if kind == "bytes":
        return Bytes(specials)
    if kind == "characters" and isinstance(characters, str) and characters:
        return Characters(characters, bool(data.get("lowercase", False)), specials)
    raise TokenizerError(f"{path}: a tokenizer of a kind that this version does not know")


def _library(text: str, path: Path) -> Tokenizer:
    import tokenizers

    try:
        library = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001  the library raises plain Exception
        raise TokenizerError(f"{path}: the tokenizers library cannot read it: {error}") from None
    library.no_padding()
    library.no_truncation()
    return Pieces(library)
