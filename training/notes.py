"""What to know of the data before it is learned from: unknown signs, rows that were cut, a single class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from blockgraph.data.feeds import Rows, Windows
from blockgraph.tasks.inputs import TextInput
from blockgraph.tasks.seq2seq import Seq2Seq
from blockgraph.tasks.spans import Spans

if TYPE_CHECKING:
    from blockgraph.data.batch import Feed
    from blockgraph.tasks.lesson import Lesson

UNKNOWN = ("<unk>", "[UNK]")


def notes_on(feed: Feed, lesson: Lesson) -> Iterator[str]:
    """Sentences on the training data. Reads every id once."""
    limits = _limits(lesson)
    found = [feed.ids] if isinstance(feed, Windows) else []
    if isinstance(feed, Rows):
        found = [feed.examples.values(name) for name in limits]
        yield from _cut(feed, limits, lesson)
    yield from _unknown(found, lesson)
    for name, labels in lesson.tools.labels.items():
        if len(labels) == 1:
            yield f"careful: every training row has the same class ({labels[0]}): there is nothing to learn for {name}"


def _limits(lesson: Lesson) -> dict[str, int]:
    """How many ids a row's texts may have, by column."""
    length = lesson.tools.length
    found = {part.name: length for part in lesson.inputs if isinstance(part, TextInput)}
    return found | {task.input: length - 1 for task in lesson.tasks if isinstance(task, Seq2Seq)}


def _cut(feed: Rows, limits: dict[str, int], lesson: Lesson) -> Iterator[str]:
    if any(isinstance(task, Spans) for task in lesson.tasks):  # long texts became windows
        return
    full = np.zeros(len(feed.examples), bool)
    for name, limit in limits.items():
        full |= feed.examples.lengths(name) >= limit
    if full.any():
        length = lesson.tools.length
        yield f"{full.sum():,} of {len(full):,} training rows fill batch: length: {length}; longer texts are cut there"


def _unknown(columns: list[np.ndarray], lesson: Lesson) -> Iterator[str]:
    specials = lesson.tools.tokenizer.specials if lesson.tools.tokenizer is not None else {}
    unknown = next((specials[name] for name in UNKNOWN if name in specials), None)
    if unknown is None:
        return
    count, total = sum(int((ids == unknown).sum()) for ids in columns), sum(map(len, columns))
    if count:
        share = f"{100 * count / total:.2g}% of the training ids stand for what the tokenizer does not know"
        yield f"{share}: a larger size knows more, and byte_bpe and bytes know everything"
