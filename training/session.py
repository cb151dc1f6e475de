"""One sitting of a run: from an open folder, through data, tokenizer, model and checkpoint, to the loop and back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from blockgraph.data.records import SPLITS, BadRow, Record, Records
from blockgraph.data.sources import Source, source_of
from blockgraph.data.specials import NAMES, specials_of
from blockgraph.data.texts import Texts
from blockgraph.data.vocabulary import Corpus, Wanted, check_fits, tokenizer_for
from blockgraph.running.generate import longest
from blockgraph.running.manifests import step_folders
from blockgraph.running.tokenizers import Tokenizer, read_tokenizer
from blockgraph.running.vectors import load_vectors
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.tasks.lesson import Lesson
from blockgraph.tasks.plan import lesson_for
from blockgraph.training.checkpoints import Checkpoints
from blockgraph.training.errors import TrainError
from blockgraph.training.loop import Outcome, Trainer
from blockgraph.training.metrics import draw_losses, read_metrics
from blockgraph.training.progress import Reporter
from blockgraph.training.run_folder import DIAGRAM, PLOT, RunFolder
from blockgraph.training.samples import SAMPLES, Samples
from blockgraph.training.settings import Settings
from blockgraph.training.start import load_start, start_folder, start_tokenizer

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec
    from blockgraph.specs.train import Train

PLOT_EVERY = 60.0  # seconds
SHOWN = 5  # rows that were left out and are told of
MANY = 0.1  # share of rows that were left out above which something is wrong with all of them

Draw = Callable[["Spec", Path], None]  # writes the model's picture


@dataclass(frozen=True, slots=True)
class Sources:
    """What is learned from; the folder that the spec's paths are relative to; where `--data` pointed."""

    data: Source
    folder: Path
    given: Path | None


@dataclass
class Session:
    """One sitting of a run: everything that `train` needs between opening the folder and closing it."""

    spec: Spec
    settings: Settings
    run: RunFolder
    reporter: Reporter
    device: torch.device
    _plotted: float = 0.0

    def train(self, data: str | Path | Texts | None, resume: bool, draw: Draw | None) -> Outcome:
        lesson = self._lesson()
        sources = self._sources(data, lesson, resume)
        begun = resume and bool(step_folders(self.run.checkpoints))
        start = None if begun else start_folder(self._section.start, self._folder("train", "start"))
        self._prepare(sources, lesson, start, resume)
        self._draw(draw)
        trainer = self._trainer(lesson, start)
        if resume:
            self._restore(trainer)
        if self.settings.samples:
            trainer.sample = Samples.of(trainer, sources.data, self.run.path / SAMPLES).show
        self.run.note_session(
            {"device": str(self.device), "precision": trainer.precision.name, "from_step": trainer.progress.step}
        )
        self._compile(trainer.model)
        outcome = trainer.run()
        self._plot(always=True)
        self.reporter.message(_ending(outcome, self.settings.best))
        return outcome

    @property
    def _section(self) -> Train:
        assert self.spec.train is not None
        return self.spec.train

    def _lesson(self) -> Lesson:
        from blockgraph.builder.analyse import analyse

        diagnostics = Diagnostics()
        model = analyse(self.spec, diagnostics)
        diagnostics.raise_errors()
        if model is None:
            raise TrainError(f"{self.spec.name} has no nodes: it is a library for other files to extend")
        return lesson_for(model, self._section)

    def _sources(self, data: str | Path | Texts | None, lesson: Lesson, resume: bool) -> Sources:
        """What is learned from. A resumed run knows where its text lay, also when its own `spec.yaml` is the spec."""
        given = Path(data) if isinstance(data, str | Path) else None
        if resume and data is None and self.run.data.written and (before := self.run.data.facts()["given"]):
            given = Path(before)
        folder = self._folder("train", "data", "train")
        found = data if isinstance(data, Texts) else source_of(self._section.data, folder, given, lesson.wanted)
        return Sources(found, folder, given)

    def _folder(self, *path: str) -> Path:
        """What a path that is written there is relative to; for a run's own `spec.yaml`, what it was relative to."""
        folder = self.spec.folder_of(*path)
        if folder.resolve() == self.run.path.resolve() and self.run.data.written:
            return Path(self.run.data.facts()["folder"])
        return folder

    def _draw(self, draw: Draw | None) -> None:
        path = self.run.path / DIAGRAM
        if draw is not None and not path.exists():
            try:
                draw(self.spec, path)
            except BlockgraphError as error:  # a training does not fail for want of a picture
                self.reporter.message(f"no diagram: {error}")

    def _prepare(self, sources: Sources, lesson: Lesson, start: Path | None, resume: bool) -> None:
        """Leaves spec, tokenizer and encoded data in the run's folder, and gives the lesson what it then needs; on
        resuming, checks that they are what they were."""
        spec_text, data = self._spec_text(), self.run.data
        if resume:
            self.run.check_spec(spec_text)
        else:
            self.run.begin(spec_text, self.spec.name)
        if resume and data.written:
            data.check(sources.data)
            self._equip(lesson, data.tokenizer())
            lesson.tools.labels.update(data.labels())
            return
        self._equip(lesson, self._tokenizer(sources.data, lesson, start))
        if isinstance(sources.data, Records):
            lesson.collect_labels(sources.data)
        bad = data.write(sources.data, lesson, lesson.tools.tokenizer, folder=sources.folder, given=sources.given)
        self._tell(bad)

    def _tell(self, bad: list[BadRow]) -> None:
        for row in bad[:SHOWN]:
            self.reporter.message(f"left out: {row}")
        if len(bad) > SHOWN:
            self.reporter.message(f"left out: {len(bad) - SHOWN:,} rows more")
        rows = len(bad) + sum(self.run.data.facts()["counts"].values())
        if len(bad) > MANY * rows:
            self.reporter.message(f"careful: {len(bad):,} of {rows:,} rows were left out: are the columns right?")

    def _equip(self, lesson: Lesson, tokenizer: Tokenizer | None) -> None:
        """Gives the lesson its tokenizer and the ids that stand for no text; the input's own win."""
        if tokenizer is None:
            return
        lesson.tools.tokenizer = tokenizer
        lesson.tools.specials = found = lesson.fixed.over(specials_of(tokenizer))
        for role in lesson.needs:
            if getattr(found, role) is None:
                kind, names = lesson.tasks[0].kind, ", ".join(NAMES[role])
                raise TrainError(f"{kind} needs an id for {role}, and the tokenizer has none of {names}")

    def _spec_text(self) -> str:
        from blockgraph.specs.show import show

        return show(self.spec)

    def _tokenizer(self, source: Source, lesson: Lesson, start: Path | None) -> Tokenizer | None:
        vocabulary = lesson.vocabulary
        if vocabulary is None:
            return None
        section, beside = self._section.tokenizer, start_tokenizer(start)
        if beside is not None and section.type != "file":
            tokenizer = read_tokenizer(beside)
            check_fits(tokenizer, vocabulary)
        else:
            wanted = Wanted(vocabulary, lesson.reserves, lesson.fixed)
            tokenizer = tokenizer_for(section, corpus_of(source, lesson), wanted, self._folder("train", "tokenizer"))
        if tokenizer.size < vocabulary:
            kind, size = tokenizer.kind, tokenizer.size
            self.reporter.message(f"the tokenizer ({kind}) has {size:,} of the input's {vocabulary:,} ids")
        return tokenizer

    def _trainer(self, lesson: Lesson, start: Path | None) -> Trainer:
        from blockgraph.builder.build import build

        settings, run = self.settings, self.run
        train, valid = run.data.feed(lesson, settings), run.data.split("valid", lesson, settings)
        if not len(valid):
            self.reporter.message(
                "nothing to validate on: the losses are the training data's, and no checkpoint is the best"
            )
        lesson.check(train)
        model = build(self.spec, device=self.device, seed=settings.seed, weights_follow=True)
        self._check_model(model, lesson)
        if lesson.tools.tokenizer is not None and not step_folders(run.checkpoints):
            for note in load_vectors(model, self.spec, lesson.tools.tokenizer, self._folder):
                self.reporter.message(note)
        if start is not None:
            for note in load_start(model, start):
                self.reporter.message(note)
        checkpoints = Checkpoints(run.checkpoints, settings.keep)
        checkpoints.recover()
        identity = self._identity()
        return Trainer(
            model, lesson, train, valid, settings, checkpoints, run.metrics, self.reporter, identity, self._plot
        )

    def _check_model(self, model: nn.Module, lesson: Lesson) -> None:
        limit, length = longest(model), self.settings.batch.length
        alone = lesson.vocabulary is not None and not lesson.picture_fields  # pictures have positions of their own
        if alone and limit is not None and limit < length:
            raise TrainError(f"train: batch: length: {length} is longer than the model's {limit} learned positions")
        if lesson.tasks[0].looks_ahead and (refusal := getattr(model, "refusal", None)):
            self.reporter.message(f"careful: this model may see the ids that it is to predict ({refusal})")

    def _identity(self) -> dict[str, str]:
        facts = self.run.data.facts()
        return {
            "spec": hashlib.sha256(self._spec_text().encode()).hexdigest(),
            "data": facts["sha256"],
            "tokenizer": facts["tokenizer"],
        }

    def _restore(self, trainer: Trainer) -> None:
        loaded = trainer.checkpoints.latest()
        if loaded is None:
            self.reporter.message("no checkpoint was written yet: begins again")
            return
        changed = [what for what, value in self._identity().items() if loaded.state["identity"].get(what) != value]
        if changed:
            raise TrainError(f"--resume: {loaded.folder} was written with another {' and '.join(changed)}")
        for reason in loaded.skipped:
            self.reporter.message(f"damaged: {reason}")
        trainer.restore(loaded)
        self.reporter.message(f"goes on from {loaded.folder.name}")

    def _compile(self, model: nn.Module) -> None:
        if self.settings.compile is True:
            model.compile()
        elif self.settings.compile == "region":
            stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
            for region in [copy for stack in stacks for copy in stack] or [model]:
                region.compile()

    def _plot(self, always: bool = False) -> None:
        if always or time.monotonic() - self._plotted > PLOT_EVERY:
            draw_losses(read_metrics(self.run.metrics), self.run.path / PLOT, self.spec.name)
            self._plotted = time.monotonic()


def corpus_of(source: Source, lesson: Lesson) -> Corpus:
    """What a tokenizer is made from: the training texts, or the training rows' text fields."""
    if not isinstance(source, Records):
        every = [split for split in SPLITS if split in source.splits]
        alphabet = lambda: (piece for split in every for piece in source.pieces(split))  # noqa: E731
        return Corpus(lambda: source.pieces("train"), alphabet, source.origin)

    def texts(*splits: str) -> Iterator[str]:
        for split in splits:
            for row in source.rows(split) if source.has(split) else ():
                if isinstance(row, Record):
                    yield from (str(row.values[field]) for field in lesson.text_fields if field in row.values)

    return Corpus(lambda: texts("train"), lambda: texts(*SPLITS), source.origin)


def _ending(outcome: Outcome, name: str) -> str:
    text = f"trained {outcome.step:,} steps"
    if outcome.early:
        text = f"ended early at step {outcome.step:,}: no improvement any more"
    if outcome.best is None:
        return text
    return f"{text}; best validation {name} {outcome.best:.4f} at step {outcome.best_step:,}"
