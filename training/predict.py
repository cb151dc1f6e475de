"""`predict`: what a run's model says of texts, or of the rows of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from blockgraph.data.arrays import Arrays
from blockgraph.data.reading import no_text, open_text
from blockgraph.data.records import BadRow, Record, RowError
from blockgraph.data.tables import Layout, Table, is_table
from blockgraph.tasks.asking import TOGETHER, Answer, Choices, in_groups
from blockgraph.tasks.language import TEXT
from blockgraph.tasks.task import Task
from blockgraph.training.errors import TrainError
from blockgraph.training.trained import Trained

Told = Answer | BadRow


def predict(trained: Trained, rows: Iterable[Record | BadRow], choices: Choices) -> Iterator[Told]:
    """An answer for each row, in their order; a row that cannot be read stays what it is, with the reason. Raises
    `TrainError` for a task that has none."""
    for task in trained.lesson.tasks:
        if type(task).answers is Task.answers:  # said before any row is looked at
            task.answers(trained.asked([], choices))
    return answers(trained, trained.lesson.tasks, rows, choices)


def answers(
    trained: Trained, tasks: Sequence[Task], rows: Iterable[Record | BadRow], choices: Choices
) -> Iterator[Told]:
    """`predict`, of some of the tasks."""
    for group in in_groups(rows, max(1, TOGETHER // choices.beams)):
        checked = [_checked(trained, row) for row in group]
        good = [row for row in checked if isinstance(row, Record)]
        found = iter(_together(trained, tasks, good, choices) if good else [])
        yield from (next(found) if isinstance(row, Record) else row for row in checked)


def _checked(trained: Trained, row: Record | BadRow) -> Record | BadRow:
    """A row whose inputs can be encoded."""
    if isinstance(row, BadRow):
        return row
    try:
        trained.asked([], Choices()).encoded(row.values)
    except RowError as error:
        return BadRow(row.place, str(error))
    return row


def _together(trained: Trained, tasks: Sequence[Task], rows: list[Record], choices: Choices) -> list[Told]:
    """The answers of all tasks; where the rows cannot be read together, each alone."""
    try:
        asked = trained.asked([row.values for row in rows], choices)
        told = [task.answers(asked) for task in tasks]
        return [
            _joined(dict(zip((task.name for task in tasks), found, strict=True))) for found in zip(*told, strict=True)
        ]
    except RowError as error:
        if len(rows) == 1:
            return [BadRow(rows[0].place, str(error))]
        return [told for row in rows for told in _together(trained, tasks, [row], choices)]


def _joined(answers: Mapping[str, Answer]) -> Answer:
    if len(answers) == 1:
        return next(iter(answers.values()))
    text = "\t".join(f"{name}: {answer.text}" for name, answer in answers.items())
    return Answer(text, {name: answer.values for name, answer in answers.items()})


def rows_of_texts(trained: Trained, texts: Iterable[str], place: str = "text") -> Iterator[Record | BadRow]:
    """A row of each text; where the model reads several fields, tabs stand between them."""
    names = fields(trained)
    readers = {name: part for part in trained.lesson.inputs for name in part.fields}
    for number, text in enumerate(texts, 1):
        parts = [text] if len(names) == 1 else text.split("\t")
        if len(parts) != len(names):
            found = "one part" if len(parts) == 1 else f"{len(parts)} parts"
            reason = f"it has {found}, and the model reads {', '.join(names)}: write tabs between them"
            yield BadRow(f"{place}:{number}", reason)
            continue
        if (garbled := no_text(text)) is not None:
            yield BadRow(f"{place}:{number}", garbled)
            continue
        values: dict[str, Any] = {
            name: readers[name].value_of(part) if name in readers else part
            for name, part in zip(names, parts, strict=True)
        }
        yield Record(f"{place}:{number}", values)


def rows_of_file(trained: Trained, path: Path) -> Iterator[Record | BadRow]:
    """The rows of a csv, tsv or jsonl file, or of NumPy's, or the lines of another. Raises `TrainError`."""
    if not path.is_file():
        raise TrainError(f"--data: {path} is not a file")
    if path.suffix in (".npz", ".npy"):
        return Arrays([path], fields(trained)).rows("train")
    if is_table(path):
        section = trained.section.data
        header, delimiter = getattr(section, "header", None), getattr(section, "delimiter", None)
        layout = Layout(fields(trained), header, delimiter, trained.lesson.picture_fields)
        return Table([path], layout).rows("train")
    return rows_of_texts(trained, _lines(path), path.name)


def _lines(path: Path) -> Iterator[str]:
    with open_text(path) as file:
        for line in file:
            yield line.rstrip("\r\n")


def fields(trained: Trained) -> tuple[str, ...]:
    """The fields of a row that the model reads, without its targets."""
    found = [name for part in trained.lesson.inputs for name in part.fields]
    return tuple(dict.fromkeys(found)) or (TEXT,)
