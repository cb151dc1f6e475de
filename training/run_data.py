"""The folder `data/` of a run: everything encoded once, with what it takes to know it again on resuming."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blockgraph.data.examples import Column, Examples, write_examples
from blockgraph.data.feeds import AllRows, Measure, Rows, WholeText, Windows
from blockgraph.data.ids import Ids, map_ids, write_documents, write_ids
from blockgraph.data.records import SPLITS, BadRow, Records
from blockgraph.data.sources import Source
from blockgraph.running.manifests import MANIFEST, digest, manifest_text, verify
from blockgraph.running.runs import TOKENIZER
from blockgraph.running.tokenizers import Tokenizer, read_tokenizer
from blockgraph.training.errors import TrainError
from blockgraph.training.files import folder_aside, restore_replaced, write_whole

if TYPE_CHECKING:
    from blockgraph.data.batch import Feed, Split
    from blockgraph.tasks.lesson import Lesson
    from blockgraph.training.settings import Batch, Settings

DATA = "data"
FACTS_FILE = "data.json"
FACTS = ("sha256", "tokenizer", "origin", "folder", "given", "counts", "labels", "bad")  # what data.json says
NOT_ENCODED = "none"  # the tokenizer's sha256 where nothing is text
SHOWN = 20  # bad rows that are written down


class RunData:
    """What a run learns from, in its folder `run`."""

    def __init__(self, run: Path) -> None:
        self.run, self.path = run, run / DATA

    # -- writing and checking ------------------------------------------------------------------------------------------

    def write(
        self,
        source: Source,
        lesson: Lesson,
        tokenizer: Tokenizer | None,
        *,
        folder: Path,
        given: Path | None,
    ) -> list[BadRow]:
        """Encodes every split once; the rows that were left out. The folder appears when it is complete. `folder` and
        `given` say where the data came from, for resuming."""
        if tokenizer is not None:
            write_whole(self.run / TOKENIZER, tokenizer.to_json())
        with folder_aside(self.path) as aside:
            counts, bad = _encode(aside, source, lesson, tokenizer)
            said = [str(row) for row in bad[:SHOWN]]
            labels = {name: list(names) for name, names in lesson.tools.labels.items()}
            values = (source.sha256, self._tokenizer_sha256(), source.origin, _absolute(folder), _absolute(given))
            facts = dict(zip(FACTS, (*values, counts, labels, {"count": len(bad), "first": said}), strict=True))
            write_whole(aside / FACTS_FILE, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
            write_whole(aside / MANIFEST, manifest_text(0, {path.name: digest(path) for path in aside.iterdir()}))
        return bad

    @property
    def written(self) -> bool:
        restore_replaced(self.path)
        return (self.path / FACTS_FILE).is_file() and (
            (self.run / TOKENIZER).is_file() or self.facts()["tokenizer"] == NOT_ENCODED
        )

    def check(self, source: Source) -> None:
        """Raises `TrainError` where data or tokenizer is not what the run was begun with, `DamagedCheckpoint` where the
        files are not what was written."""
        facts = self.facts()
        if facts["sha256"] != source.sha256:
            was = sum(facts["counts"].values())
            raise TrainError(
                f"--resume: the data has changed since {self.run} was begun ({facts['origin']}, {was:,} ids or rows "
                f"then); bring it back, or train anew with another --out"
            )
        if facts["tokenizer"] != self._tokenizer_sha256():
            raise TrainError(f"--resume: {self.run / TOKENIZER} has changed since the run was begun")
        verify(self.path)

    def facts(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads((self.path / FACTS_FILE).read_text(encoding="utf-8"))
            return {key: facts[key] for key in FACTS}
        except (OSError, ValueError, KeyError) as error:
            raise TrainError(f"--resume: {self.path / FACTS_FILE} cannot be read: {error}") from None

    def tokenizer(self) -> Tokenizer | None:
        return None if self.facts()["tokenizer"] == NOT_ENCODED else read_tokenizer(self.run / TOKENIZER)

    def labels(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(names) for name, names in self.facts()["labels"].items()}

    def _tokenizer_sha256(self) -> str:
        path = self.run / TOKENIZER
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else NOT_ENCODED

    # -- reading -------------------------------------------------------------------------------------------------------

    def feed(self, lesson: Lesson, settings: Settings) -> Feed:
        """What is learned from."""
        batch = settings.batch
        if lesson.stream:
            size = batch.windows
            by_epochs = settings.steps is None
            ids = self._ids("train", lesson)
            return Windows(ids, size, batch.length, batch.accumulate, settings.seed, lesson.collate, by_epochs)
        examples, lengths = self._examples("train", lesson)
        return Rows(examples, lengths, _measure(batch), batch.accumulate, settings.seed, lesson.collate)

    def split(self, name: str, lesson: Lesson, settings: Settings) -> Split:
        """What is judged by; empty where the data has no such split."""
        batch = settings.batch
        if lesson.stream:
            return WholeText(self._ids(name, lesson), batch.windows, batch.length, lesson.collate)
        examples, lengths = self._examples(name, lesson)
        return AllRows(examples, lengths, _measure(batch), lesson.collate)

    def _ids(self, split: str, lesson: Lesson) -> Ids:
        assert lesson.tools.tokenizer is not None
        count = self.facts()["counts"].get(split, 0)
        path = self.path / f"{split}.bin"
        ids: Ids = map_ids(path, lesson.tools.tokenizer.size) if path.is_file() else np.zeros(0, np.uint16)
        if len(ids) != count:
            raise TrainError(f"{path} holds {len(ids):,} ids, {count:,} were written: train anew with another --out")
        return ids

    def _examples(self, split: str, lesson: Lesson) -> tuple[Examples, Any]:
        columns, count = lesson.columns(), self.facts()["counts"].get(split, 0)
        examples = Examples(self.path, split, columns if count else [], count)
        return examples, _lengths(examples, columns)


def _encode(
    folder: Path, source: Source, lesson: Lesson, tokenizer: Tokenizer | None
) -> tuple[dict[str, int], list[BadRow]]:
    if not isinstance(source, Records):
        assert tokenizer is not None
        return {name: write_ids(folder / f"{name}.bin", source.pieces(name), tokenizer) for name in source.splits}, []
    counts: dict[str, int] = {}
    bad: list[BadRow] = []
    for split in SPLITS:
        if source.has(split):
            counts[split], left_out = _write_rows(folder, split, source, lesson, tokenizer)
            bad += left_out
    if not counts.get("train"):
        why = f": {bad[0]}" if bad else ""
        raise TrainError(f"{source.origin}: no row can be learned from{why}")
    return counts, bad


def _write_rows(
    folder: Path, split: str, source: Records, lesson: Lesson, tokenizer: Tokenizer | None
) -> tuple[int, list[BadRow]]:
    rows = lesson.rows(source.rows(split))
    if not lesson.stream:
        return write_examples(folder, split, rows, lesson.columns(), lesson.strict)
    assert tokenizer is not None and lesson.tools.specials.end is not None
    return write_documents(
        folder / f"{split}.bin", rows, lesson.text_fields, tokenizer, lesson.tools.specials.end, lesson.strict
    )


def _lengths(examples: Examples, columns: list[Column]) -> Any:
    """How long each text of each row is: [rows, texts]."""
    texts = [examples.lengths(column.name) for column in columns if column.shape is None] if len(examples) else []
    if not texts:
        return np.ones((len(examples), 1), np.int64)  # rows without texts count one each
    return np.maximum(np.stack(texts, axis=1), 1)


def _measure(batch: Batch) -> Measure:
    return Measure(batch.size, batch.tokens)


def _absolute(path: Path | None) -> str | None:
    return str(path.resolve()) if path is not None else None
