"""One sitting of a run: from an open folder, through data, tokenizer, model and checkpoint, to the loop and back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from blockgraph.running.generate import logits_of, longest
from blockgraph.running.manifests import step_folders
from blockgraph.running.tokenizers import Tokenizer, read_tokenizer
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.tasks.binding import Binding, bind_causal_lm, check_ids
from blockgraph.training.checkpoints import Checkpoints
from blockgraph.data.windows import Windows
from blockgraph.training.errors import TrainError
from blockgraph.training.loop import Outcome, Trainer
from blockgraph.tasks.losses import Logits
from blockgraph.training.metrics import draw_losses, read_metrics
from blockgraph.training.progress import Reporter
from blockgraph.training.run_folder import DIAGRAM, PLOT, RunFolder
from blockgraph.training.settings import Settings
from blockgraph.training.start import load_start, start_folder, start_tokenizer
from blockgraph.data.texts import Texts, texts_of
from blockgraph.data.vocabulary import check_fits, tokenizer_for

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec
    from blockgraph.specs.train import Train

PLOT_EVERY = 60.0  # seconds

Draw = Callable[["Spec", Path], None]  # writes the model's picture


@dataclass(frozen=True, slots=True)
class Sources:
    """The texts; the folder that the spec's paths are relative to; where `--data` pointed."""

    texts: Texts
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
        binding = self._binding()
        sources = self._sources(data, resume)
        begun = resume and bool(step_folders(self.run.checkpoints))
        start = None if begun else start_folder(self._section.start, self._folder("train", "start"))
        tokenizer = self._prepare(sources, binding, start, resume)
        self._draw(draw)
        trainer = self._trainer(tokenizer, binding, start)
        if resume:
            self._restore(trainer)
        self.run.note_session(
            {"device": str(self.device), "precision": trainer.precision.name, "from_step": trainer.progress.step}
        )
        self._compile(trainer.model)
        outcome = trainer.run()
        self._plot(always=True)
        self.reporter.message(_ending(outcome))
        return outcome

    @property
    def _section(self) -> Train:
        assert self.spec.train is not None
        return self.spec.train

    def _binding(self) -> Binding:
        from blockgraph.builder.analyse import analyse

        diagnostics = Diagnostics()
        model = analyse(self.spec, diagnostics)
        diagnostics.raise_errors()
        if model is None:
            raise TrainError(f"{self.spec.name} has no nodes: it is a library for other files to extend")
        return bind_causal_lm(model, self.settings.output)

    def _sources(self, data: str | Path | Texts | None, resume: bool) -> Sources:
        """What is learned from. A resumed run knows where its text lay, also when its own `spec.yaml` is the spec."""
        given = Path(data) if isinstance(data, str | Path) else None
        if resume and data is None and self.run.has_data and (before := self.run.data_facts()["given"]):
            given = Path(before)
        folder = self._folder("train", "data", "train")
        texts = data if isinstance(data, Texts) else texts_of(self._section.data, folder, given)
        return Sources(texts, folder, given)

    def _folder(self, *path: str) -> Path:
        """What a path that is written there is relative to; for a run's own `spec.yaml`, what it was relative to."""
        folder = self.spec.folder_of(*path)
        if folder.resolve() == self.run.path.resolve() and self.run.has_data:
            return Path(self.run.data_facts()["folder"])
        return folder

    def _draw(self, draw: Draw | None) -> None:
        path = self.run.path / DIAGRAM
        if draw is not None and not path.exists():
            try:
                draw(self.spec, path)
            except BlockgraphError as error:  # a training does not fail for want of a picture
                self.reporter.message(f"no diagram: {error}")

    def _prepare(self, sources: Sources, binding: Binding, start: Path | None, resume: bool) -> Tokenizer:
        """Leaves spec, tokenizer and ids in the run's folder; on resuming, checks that they are what they were."""
        spec_text = self._spec_text()
        if resume:
            self.run.check_spec(spec_text)
        else:
            self.run.begin(spec_text, self.spec.name)
        if resume and self.run.has_data:
            self.run.check_data(sources.texts)
            return self.run.tokenizer()
        tokenizer = self._tokenizer(sources, binding, start)
        self.run.write_data(sources.texts, tokenizer, folder=sources.folder, given=sources.given)
        return tokenizer

    def _spec_text(self) -> str:
        from blockgraph.specs.show import show

        return show(self.spec)

    def _tokenizer(self, sources: Sources, binding: Binding, start: Path | None) -> Tokenizer:
        section, beside = self._section.tokenizer, start_tokenizer(start)
        if beside is not None and section.type != "file":
            tokenizer = read_tokenizer(beside)
            check_fits(tokenizer, binding.vocabulary)
        else:
            tokenizer = tokenizer_for(section, sources.texts, binding.vocabulary, self._folder("train", "tokenizer"))
        if tokenizer.size < binding.vocabulary:
            kind, size, room = tokenizer.kind, tokenizer.size, binding.vocabulary
            self.reporter.message(f"the tokenizer ({kind}) has {size:,} of the input's {room:,} ids")
        return tokenizer

    def _trainer(self, tokenizer: Tokenizer, binding: Binding, start: Path | None) -> Trainer:
        from blockgraph.builder.build import build

        settings, run = self.settings, self.run
        batch, by_epochs = settings.batch, settings.steps is None
        train_ids, valid_ids = run.ids("train", tokenizer), run.ids("valid", tokenizer)
        windows = Windows(train_ids, batch.size, batch.length, batch.accumulate, settings.seed, epochs=by_epochs)
        if len(valid_ids) < 2:
            self.reporter.message(
                "nothing to validate on: the losses are the training text's, and no checkpoint is the best"
            )
        check_ids(binding, tokenizer.size, train_ids)
        model = build(self.spec, device=self.device, seed=settings.seed)
        self._check_model(model)
        if start is not None:
            for note in load_start(model, start):
                self.reporter.message(note)
        forward = _forward(model, binding)
        checkpoints = Checkpoints(run.checkpoints, settings.keep)
        checkpoints.recover()
        return Trainer(
            model,
            windows,
            valid_ids,
            settings,
            checkpoints,
            run.metrics,
            forward,
            self.reporter,
            self._identity(),
            self._plot,
        )

    def _check_model(self, model: nn.Module) -> None:
        limit, length = longest(model), self.settings.batch.length
        if limit is not None and limit < length:
            raise TrainError(f"train: batch: length: {length} is longer than the model's {limit} learned positions")
        if refusal := getattr(model, "refusal", None):
            self.reporter.message(f"careful: this model may see the ids that it is to predict ({refusal})")

    def _identity(self) -> dict[str, str]:
        facts = self.run.data_facts()
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


def _forward(model: nn.Module, binding: Binding) -> Logits:
    def forward(tokens: torch.Tensor) -> torch.Tensor:
        return logits_of(model(**{binding.input: tokens}), binding.output)

    return forward


def _ending(outcome: Outcome) -> str:
    text = f"trained {outcome.step:,} steps"
    if outcome.early:
        text = f"ended early at step {outcome.step:,}: no improvement any more"
    if outcome.best_loss is None:
        return text
    return f"{text}; best validation loss {outcome.best_loss:.4f} at step {outcome.best_step:,}"
