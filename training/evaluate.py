"""`evaluate`: a run's loss and measures over a split of its data, or over new data."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blockgraph.data.batch import Batch, Split
from blockgraph.data.records import SPLITS, BadRow, Record, Records
from blockgraph.data.sources import Source, one_file, source_of
from blockgraph.data.tables import is_table
from blockgraph.data.texts import Texts, read_text
from blockgraph.tasks.asking import Answer, Choices
from blockgraph.tasks.contrastive import Contrastive
from blockgraph.tasks.lesson import LOSS
from blockgraph.tasks.scores import sacrebleu
from blockgraph.tasks.seq2seq import Seq2Seq
from blockgraph.tasks.task import Written
from blockgraph.training.errors import TrainError
from blockgraph.training.loop import evaluate as judged
from blockgraph.training.predict import answers
from blockgraph.training.recall import Vectors
from blockgraph.training.run_data import RunData
from blockgraph.training.trained import Trained

Progress = Callable[[str, int, int], None]  # what is done, rows done, rows in all


@dataclass(frozen=True)
class Measured:
    """`measures` by name; `rows` counts what was judged (windows of a text, `targets` of it are predicted), `answered`
    the rows whose answers were compared as texts; `bad` are rows that were left out; `notes` say what could not be
    measured and why."""

    split: str
    rows: int
    measures: dict[str, float]
    step: int
    targets: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    bad: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Chosen:
    """What is judged: encoded rows; and the rows as they were read (None: they cannot be found any more)."""

    split: Split
    name: str
    records: Callable[[], Iterator[Record | BadRow]] | None
    bad: tuple[BadRow, ...] = ()
    note: str = ""


@dataclass
class _Texts:
    """What comparing answers with the rows' texts gave, and of how many rows."""

    measures: dict[str, float] = field(default_factory=dict)
    rows: int = 0
    notes: list[str] = field(default_factory=list)


class _Watched:
    """A split that counts what it gave."""

    def __init__(self, split: Split, progress: Progress, total: int) -> None:
        self.split, self.progress, self.total = split, progress, total
        self.rows = 0
        self.targets: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.split)

    def batches(self) -> Iterator[Batch]:
        for batch in self.split.batches():
            yield batch
            self.rows += len(next(iter(batch.inputs.values())))
            for name, count in batch.counts.items():
                self.targets[name] = self.targets.get(name, 0) + count
            self.progress("measured", self.rows, self.total)


def evaluate(
    trained: Trained,
    *,
    split: str | None = None,
    data: Path | None = None,
    choices: Choices | None = None,
    alternatives: str | None = None,
    progress: Progress = lambda *_: None,
) -> Measured:
    """Everything that the run's tasks measure over `split` (None: test, where the data has one, else valid).

    `data`: a file, all of which is judged, or a folder as training's `--data`. Tasks that write do it with `choices`;
    `alternatives` is what stands between several right texts of a row, the first of which the loss is about. Raises
    `BlockgraphError`.
    """
    with _chosen(trained, split, data, alternatives) as chosen:
        if not len(chosen.split):
            raise TrainError(f"{chosen.name}: there is nothing to judge: a text needs two tokens at least")
        total = math.ceil(len(chosen.split) / (trained.settings.batch.length if trained.lesson.stream else 1))
        watched = _Watched(chosen.split, progress, total)
        found, notes = _judged(trained, watched)
        texts = _compared(trained, chosen, choices or Choices(), alternatives, progress)
    said = tuple(note for note in (chosen.note, *notes, *texts.notes) if note)
    step, counted = trained.run.step, (watched.targets, texts.rows)
    return Measured(chosen.name, watched.rows, found | texts.measures, step, *counted, chosen.bad, said)


def _judged(trained: Trained, split: _Watched) -> tuple[dict[str, float], list[str]]:
    """What the model's outputs over the split tell, and what they do not."""
    lesson, model = trained.lesson, trained.run.model
    pairs = [Vectors(model, task) for task in lesson.tasks if isinstance(task, Contrastive)]
    with ExitStack() as watching:
        for one in pairs:
            watching.enter_context(one)
        found = judged(model, lesson, split, trained.precision)
    for task in lesson.tasks:
        if task.has_perplexity:
            found[lesson.key(task, "perplexity")] = _exp(found[lesson.key(task, LOSS)])
    for one in pairs:
        found |= {lesson.key(one.task, name): value for name, value in one.recalls().items()}
    unknown = [one.task.output for one in pairs if not one.known]
    return found, [f"no recall over all rows: '{name}' is not made by a node of type similarity" for name in unknown]


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def _compared(
    trained: Trained, chosen: _Chosen, choices: Choices, alternatives: str | None, progress: Progress
) -> _Texts:
    """What the tasks that write answer to the rows, compared with the rows' own texts."""
    found, lesson = _Texts(), trained.lesson
    writing = [task for task in lesson.tasks if isinstance(task, Written)]
    if chosen.records is None or not writing:
        return found
    rows = [row for row in chosen.records() if isinstance(row, Record)]
    for task in writing:
        told, right = _answered(trained, task, rows, choices, alternatives, progress)
        found.rows = len(told)
        found.measures |= {lesson.key(task, name): value for name, value in task.compared(told, right).items()}
        if unread := len(rows) - len(told):
            found.notes.append(f"{unread:,} of {len(rows):,} rows cannot be read: no answer of theirs was compared")
    if sacrebleu() is None and any(isinstance(task, Seq2Seq) for task in writing):
        found.notes.append("BLEU and chrF need sacrebleu: pip install 'blockgraph[metrics]'")
    return found


def _answered(
    trained: Trained, task: Written, rows: list[Record], choices: Choices, alternatives: str | None, progress: Progress
) -> tuple[list[str], list[list[str]]]:
    """What the model answers to the rows that it can read, like lengths together, and what is right."""
    ordered = sorted(rows, key=lambda row: sum(len(str(value)) for value in row.values.values()))
    told: list[str] = []
    right: list[list[str]] = []
    for number, (row, answer) in enumerate(zip(ordered, answers(trained, [task], ordered, choices), strict=True), 1):
        if isinstance(answer, Answer):
            told.append(answer.text)
            right.append([one for text in task.right(row.values) for one in _parts(text, alternatives)])
        progress("answered", number, len(ordered))
    return told, right


def _parts(text: str, sign: str | None) -> list[str]:
    return text.split(sign) if sign else [text]


# -- what is judged ----------------------------------------------------------------------------------------------------


@contextmanager
def _chosen(trained: Trained, split: str | None, data: Path | None, alternatives: str | None) -> Iterator[_Chosen]:
    if data is None and alternatives is None:
        yield _encoded(trained, split)
        return
    source, name = _new(trained, split, data) if data is not None else _own(trained, split)
    with tempfile.TemporaryDirectory(prefix="blockgraph-") as folder:
        yield _anew(trained, source, name, Path(folder), alternatives)


def _encoded(trained: Trained, split: str | None) -> _Chosen:
    """A split as it lies in the run's folder; its texts are read where they were then."""
    run, note, records = RunData(trained.run.folder), "", None
    name = _split_name(split, _facts(trained)["counts"], trained.run.folder)
    if any(isinstance(task, Written) for task in trained.lesson.tasks):
        try:
            records = _rows_of(_own(trained, name)[0], name)
        except (TrainError, OSError) as error:
            note = f"no answer was compared: {error}"
    return _Chosen(run.split(name, trained.lesson, trained.settings), name, records, note=note)


def _facts(trained: Trained) -> dict[str, Any]:
    run = RunData(trained.run.folder)
    if not run.written:
        raise TrainError(f"{trained.run.folder} holds no data: give --data")
    return run.facts()


def _own(trained: Trained, split: str | None) -> tuple[Source, str]:
    """What the run learned from, and which split of it. Raises `TrainError` where it is gone or not the same."""
    facts = _facts(trained)
    given = Path(facts["given"]) if facts["given"] else None
    try:
        source = source_of(trained.section.data, Path(facts["folder"]), given, trained.lesson.wanted)
    except TrainError as error:
        raise TrainError(f"what the run learned from is not found: {error}; or give its files by --data") from None
    if source.sha256 != facts["sha256"]:
        raise TrainError(f"what the run learned from has changed since then ({facts['origin']}); give --data")
    return source, _split_name(split, facts["counts"], trained.run.folder)


def _split_name(split: str | None, counts: Mapping[str, int], where: Path) -> str:
    there = [name for name in SPLITS if counts.get(name)]
    name = split if split is not None else next((one for one in ("test", "valid", "train") if one in there), "test")
    if name not in there:
        raise TrainError(f"--split {name}: the data of {where} has none; there is {', '.join(there) or 'nothing'}")
    return name


def _new(trained: Trained, split: str | None, data: Path) -> tuple[Source, str]:
    """New data and which split of it: a single file is one by itself."""
    if not data.exists():
        raise TrainError(f"--data: {data} does not exist")
    if data.is_dir():
        source = source_of(trained.section.data, None, data, trained.lesson.wanted)
        there = {name: _has(source, name) for name in SPLITS}
        return source, _split_name(split, there, data)
    if split is not None:
        raise TrainError(f"--split {split}: {data} is one file, all of which is judged: leave --split out")
    if trained.lesson.stream:
        return Texts(read_text(data), "", data.name), "train"
    section = trained.section.data
    if section.type != "npz" and not is_table(data) and getattr(section, "header", None) is None:
        raise TrainError(f"--data: {data} is no table: give a csv, tsv or jsonl file with the columns that are read")
    return one_file(section, data, trained.lesson.wanted), "train"


def _has(source: Source, split: str) -> bool:
    return source.has(split) if isinstance(source, Records) else any(source.pieces(split))


def _anew(trained: Trained, source: Source, name: str, folder: Path, alternatives: str | None) -> _Chosen:
    """The split `name` of a source, encoded into `folder` as if it were all there is."""
    lesson, encoded = trained.lesson, RunData(folder)
    fields = [task.field for task in lesson.tasks if isinstance(task, Written)]
    if not isinstance(source, Records):
        alone: Source = Texts("".join(source.pieces(name)), "", source.origin)
    else:
        alone = _Part(source, name, alternatives, fields)
    bad = encoded.write(alone, lesson, lesson.tools.tokenizer, folder=folder, given=None)
    title = source.origin if name == "train" else name
    return _Chosen(encoded.split("train", lesson, trained.settings), title, _rows_of(source, name), tuple(bad))


class _Part(Records):
    """One split of other rows, under the name of the training's. Of the texts in `fields` the first of several that
    `sign` stands between (None: they are one)."""

    def __init__(self, whole: Records, split: str, sign: str | None, fields: list[str]) -> None:
        self.whole, self.split, self.sign, self.fields, self.origin = whole, split, sign, fields, whole.origin

    def has(self, split: str) -> bool:
        return split == "train"

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        for row in self.whole.rows(self.split):
            if isinstance(row, Record) and self.sign:
                texts = {name: row.values[name] for name in self.fields if isinstance(row.values[name], str)}
                firsts = {name: text.split(self.sign)[0] for name, text in texts.items()}
                yield Record(row.place, {**row.values, **firsts})
            else:
                yield row

    @property
    def sha256(self) -> str:
        return self.whole.sha256


def _rows_of(source: Source, split: str) -> Callable[[], Iterator[Record | BadRow]] | None:
    return (lambda: source.rows(split)) if isinstance(source, Records) else None
