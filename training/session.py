"""One sitting of a run: from an open folder, through data, tokenizer, model and checkpoint, to the loop and back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from blockgraph.data.records import SPLITS, BadRow, Record, Records, RowError, text_of
from blockgraph.data.sources import Source, source_of
from blockgraph.data.texts import Texts
from blockgraph.data.vocabulary import Corpus, Wanted, check_fits, tokenizer_for
from blockgraph.running.generate import longest
from blockgraph.running.low_rank import DOWN
from blockgraph.running.manifests import step_folders
from blockgraph.running.specials import NAMES, specials_of
from blockgraph.running.tokenizers import Tokenizer
from blockgraph.running.vectors import load_vectors
from blockgraph.running.weights import load_weights
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.tasks.lesson import Lesson
from blockgraph.tasks.plan import lesson_for
from blockgraph.training.checkpoints import Checkpoints, Loaded
from blockgraph.training.errors import TrainError
from blockgraph.training.files import write_whole
from blockgraph.training.loop import Outcome, Trainer
from blockgraph.training.metrics import read_metrics
from blockgraph.training.notes import notes_on
from blockgraph.training.plots import draw_run
from blockgraph.training.progress import Reporter
from blockgraph.training.run_folder import DIAGRAM, PLOT, RunFolder, without_parallel
from blockgraph.training.run_page import PAGE, Page, Place
from blockgraph.training.samples import SAMPLES, Samples
from blockgraph.training.settings import Settings
from blockgraph.training.start import Started, load_start, start_folder, start_tokenizer
from blockgraph.training.world import World

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
    world: World = field(default_factory=World)
    _plotted: float = 0.0
    _read: Sources | None = None
    _page: Page | None = None

    def train(self, data: str | Path | Texts | None, resume: bool, draw: Draw | None) -> Outcome:
        lesson = self._lesson()
        start = self.world.shared(lambda: self._first(data, lesson, resume, draw))
        if not self.world.first:
            self._follow(lesson)
        checkpoints = self.world.checkpoints(self.run.checkpoints, self.settings.keep)
        checkpoints.recover()
        loaded = checkpoints.latest() if resume else None
        self._share_steps(loaded)
        trainer = self._trainer(lesson, start, checkpoints)
        with trainer.stop:  # from here on an interrupt saves: before it is said that the run goes on
            return self._run(trainer, resume, loaded)

    def _run(self, trainer: Trainer, resume: bool, loaded: Loaded | None) -> Outcome:
        if resume:
            self._restore(trainer, loaded)
        if self.settings.samples:
            self._sample(trainer)
        if self.world.first:
            self._note(trainer)
            self._tell_page(trainer)
        self._compile(trainer.model)
        outcome = trainer.run()
        self._show(trainer, always=True)
        self.reporter.message(_ending(outcome, self.settings.best))
        return outcome

    def _sample(self, trainer: Trainer) -> None:
        """The first process writes; the others give what it needs of the model."""

        def begin() -> None:
            trainer.sample = Samples.of(trainer, self._data, self.run.path / SAMPLES).show

        def give(_: int) -> None:
            self.world.whole_model(trainer.model)

        if not self.world.first:
            trainer.sample = give
        self.world.shared(begin)

    def _first(self, data: str | Path | Texts | None, lesson: Lesson, resume: bool, draw: Draw | None) -> Path | None:
        """What is written once, by the first process, before the others read it; what the weights start from."""
        sources = self._read = self._sources(data, lesson, resume)
        begun = resume and bool(step_folders(self.run.checkpoints))
        start = None if begun else start_folder(self._section.start, self._folder("train", "start"))
        self._prepare(sources, lesson, start, resume)
        self._draw(draw)
        return start

    @property
    def _data(self) -> Source:
        assert self._read is not None
        return self._read.data

    def _follow(self, lesson: Lesson) -> None:
        """What the other processes need of it."""
        if not self.run.data.written:
            raise TrainError(f"{self.run.path} is not seen by every process: its folder must lie on a shared disk")
        self._equip(lesson, self.run.data.tokenizer())
        lesson.tools.labels.update(self.run.data.labels())

    def _share_steps(self, loaded: Loaded | None) -> None:
        """A step has as many parts as all processes together had when the run began, however many go on with it."""
        batch = self.settings.batch
        parts = batch.accumulate * self.world.size if loaded is None else loaded.state.get("parts", batch.accumulate)
        self.settings = replace(self.settings, batch=replace(batch, accumulate=parts))

    def _note(self, trainer: Trainer) -> None:
        step, precision = trainer.progress.step, trainer.precision.name
        facts = {"device": str(self.device), "precision": precision, "from_step": step, "processes": self.world.size}
        self.run.note_session(facts | ({"parallel": self.world.kind} if self.world.kind else {}))

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
        lesson, start = lesson_for(model, self._section), self._section.start
        began = None if start is None else self._folder("train", "start") / start
        self._page = Page(self.run, self.spec, self.settings, lesson, model.parameters, began)
        return lesson

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
        data = self.run.data
        if resume:
            self.run.check_spec(self.spec)
        else:
            self.run.begin(self._spec_text())
            self._write_page(Place())
        if resume and data.written:
            data.check(sources.data)
            self._equip(lesson, data.tokenizer())
            lesson.tools.labels.update(data.labels())
            return
        if isinstance(sources.data, Records):
            check_rows(sources.data)
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
            tokenizer = beside
            check_fits(tokenizer, vocabulary)
        else:
            wanted = Wanted(vocabulary, lesson.reserves, lesson.fixed)
            tokenizer = tokenizer_for(section, corpus_of(source, lesson), wanted, self._folder("train", "tokenizer"))
        if tokenizer.size < vocabulary:
            kind, size = tokenizer.kind, tokenizer.size
            self.reporter.message(f"the tokenizer ({kind}) has {size:,} of the input's {vocabulary:,} ids")
        return tokenizer

    def _trainer(self, lesson: Lesson, start: Path | None, checkpoints: Checkpoints) -> Trainer:
        from blockgraph.builder.build import build

        settings, run = self.settings, self.run
        train, valid = run.data.feed(lesson, settings), run.data.split("valid", lesson, settings)
        if not len(valid):
            self.reporter.message(
                "nothing to validate on: the losses are the training data's, and no checkpoint is the best"
            )
        else:
            settings.check_best(lesson.measured)
        lesson.check(train)
        for note in notes_on(train, lesson) if not step_folders(run.checkpoints) else ():
            self.reporter.message(note)
        model = build(self.spec, device=self.device, seed=settings.seed, weights_follow=True)
        self._check_model(model, lesson)
        if lesson.tools.tokenizer is not None and not step_folders(run.checkpoints):
            for note in load_vectors(model, self.spec, lesson.tools.tokenizer, self._folder):
                self.reporter.message(note)
        started = load_start(model, start) if start is not None else Started([], [])
        if settings.lora is not None:
            self._keep_start(checkpoints, model)
        identity, more = self._identity(), (self._show, self.world)
        made = Trainer(model, lesson, train, valid, settings, checkpoints, run.metrics, self.reporter, identity, *more)
        self._tell_start(started, made)
        return made

    def _keep_start(self, checkpoints: Checkpoints, model: nn.Module) -> None:
        """What low-rank updates are added to: kept before the first step, read again on resuming."""
        if step_folders(checkpoints.folder):
            load_weights(model, checkpoints.start(), checkpoints.folder)
        else:
            checkpoints.save_start(model)

    def _tell_start(self, started: Started, trainer: Trainer) -> None:
        trained = {name.removesuffix(DOWN) for weight in trainer.optimizers.weights for name in weight.names}
        for note in started.notes:
            self.reporter.message(note)
        if still := [name for name in started.fresh if name not in trained]:
            self.reporter.message(f"careful: drawn afresh and not trained: {', '.join(still)} (see train_only)")
        if trainer.low_rank is not None:
            self.reporter.message(trainer.low_rank.said(trainer.model))

    def _check_model(self, model: nn.Module, lesson: Lesson) -> None:
        limit, length = longest(model), self.settings.batch.length
        alone = lesson.vocabulary is not None and not lesson.picture_fields  # pictures have positions of their own
        if alone and limit is not None and limit < length:
            raise TrainError(f"train: batch: length: {length} is longer than the model's {limit} learned positions")
        if lesson.tasks[0].looks_ahead and (refusal := getattr(model, "refusal", None)):
            self.reporter.message(f"careful: this model may see the ids that it is to predict ({refusal})")

    def _identity(self) -> dict[str, str]:
        """Of the spec as it was begun: the one at hand may say the same in other words."""
        facts = self.run.data.facts()
        return {
            "spec": hashlib.sha256(without_parallel(self.run.spec_text).encode()).hexdigest(),
            "data": facts["sha256"],
            "tokenizer": facts["tokenizer"],
        }

    def _restore(self, trainer: Trainer, loaded: Loaded | None) -> None:
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

    def _show(self, trainer: Trainer, always: bool = False) -> None:
        """What the folder tells of itself: its page, and from time to time the picture."""
        if not self.world.first:
            return
        self._tell_page(trainer)
        if always or time.monotonic() - self._plotted > PLOT_EVERY:
            unit = trainer.lesson.loss_unit
            draw_run(read_metrics(self.run.metrics), self.run.path / PLOT, self.spec.name, unit)
            self._plotted = time.monotonic()

    def _tell_page(self, trainer: Trainer) -> None:
        progress, path = trainer.progress, self.run.metrics
        records = read_metrics(path) if progress.best_step and path.is_file() else []
        best = next((one for one in records if one.step == progress.best_step and one.val_loss is not None), None)
        self._write_page(Place(progress.step, trainer.steps, trainer.patience_is_over, best))

    def _write_page(self, place: Place) -> None:
        assert self._page is not None
        write_whole(self.run.path / PAGE, self._page.text(place))


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
                    yield from _texts_of(row, lesson.text_fields)

    return Corpus(lambda: texts("train"), lambda: texts(*SPLITS), source.origin)


def _texts_of(row: Record, fields: tuple[str, ...]) -> Iterator[str]:
    for name in fields:
        with suppress(RowError):  # told when the row is encoded
            yield text_of(row.values, name)


def check_rows(source: Records) -> None:
    """Raises `TrainError` where there is no training row at all."""
    reason = ""
    for row in source.rows("train"):
        if isinstance(row, Record):
            return
        reason = reason or f": {row}"
    raise TrainError(f"{source.origin}: no row can be learned from{reason}")


def _ending(outcome: Outcome, name: str) -> str:
    text = f"trained {outcome.step:,} steps"
    if outcome.early:
        text = f"ended early at step {outcome.step:,}: no improvement any more"
    if outcome.best is None:
        return text
    return f"{text}; best validation {name} {outcome.best:.4f} at step {outcome.best_step:,}"
