"""The page in a run's folder: what was trained, how far it is, which checkpoints there are, and what to do with them.

It is written when the run begins, after every checkpoint, and where a better one takes the place of the best, so that
it is true whenever the training is cut short.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blockgraph.data.records import SPLITS
from blockgraph.running.manifests import step_folders, step_of
from blockgraph.running.runs import BEST, START
from blockgraph.tasks.lesson import Lesson
from blockgraph.training.settings import Settings

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec
    from blockgraph.training.metrics import Record
    from blockgraph.training.run_folder import RunFolder

PAGE = "README.md"
FILES = {
    "spec.yaml": "the model and its training, resolved: nothing left to look up",
    "diagram.svg": "the model as a picture",
    "tokenizer.json": "text to ids and back",
    "data/": "what it learned from, encoded; `data.json` says where it came from, and which rows were left out",
    "metrics.jsonl": "a line per record: losses, measures, `grad_norm` before clipping",
    "loss.png": "the same as a picture: losses, learning rate, norm of the gradients, measures",
    "samples.txt": "what the model wrote at each evaluation",
    "tensorboard/": "the same for TensorBoard",
    "environment.json": "which versions and machine trained it, an entry per session",
}


@dataclass(frozen=True)
class Place:
    """Where a training stands: after `step` of `steps` (0: not known yet); `early`: it ended for want of improvement.
    `best` is the record in which the measure that decides was best."""

    step: int = 0
    steps: int = 0
    early: bool = False
    best: Record | None = None

    @property
    def over(self) -> bool:
        return self.early or 0 < self.steps <= self.step


@dataclass(frozen=True)
class Page:
    """What is known of a run from its beginning. `start` is what its weights began from."""

    run: RunFolder
    spec: Spec
    settings: Settings
    lesson: Lesson
    parameters: int
    start: Path | None = None

    def text(self, place: Place) -> str:
        """Markdown, as it is true now."""
        parts = [f"# {self.spec.name}: a training run of blockgraph", *self._what(), "## How far it is"]
        parts += [*self._standing(place), "## Using it", *self._using(), "## What lies here", self._files()]
        return "\n\n".join(parts) + "\n"

    def _what(self) -> Iterator[str]:
        if self.spec.about:
            yield self.spec.about.strip()
        began = f"weights drawn afresh, seed {self.settings.seed}" if self.start is None else f"`{self.start}`"
        lines = [
            f"- **Model**: {self.parameters:,} parameters",
            f"- **Learns**: {', '.join(f'{task.kind} at `{task.output}`' for task in self.lesson.tasks)}",
            *self._data(),
            f"- **Began from**: {began}",
        ]
        yield "\n".join(lines)

    def _data(self) -> Iterator[str]:
        if not self.run.data.written:
            return
        facts = self.run.data.facts()
        unit = "ids" if self.lesson.stream else "rows"
        counts = ", ".join(f"{name} {facts['counts'][name]:,}" for name in SPLITS if facts["counts"].get(name))
        bad = facts["bad"]["count"]
        left = f"; {bad:,} rows were left out" if bad else ""
        yield f"- **Data**: {facts['origin']} ({unit}: {counts}{left})"

    def _standing(self, place: Place) -> Iterator[str]:
        done = f"Step {place.step:,} of {place.steps:,}"
        folders, again = step_folders(self.run.checkpoints), f"    {self._called('train', 'spec.yaml', resume=True)}"
        if place.early:
            yield f"{done}: it ended there, as there was no improvement any more."
        elif place.over:
            yield f"{done}: finished."
        elif not folders:
            yield "Begun; no checkpoint was written yet. Where nothing trains here any more, this begins again:"
            yield again
        else:
            yield f"{done} when this page was written. Where nothing trains here any more, this resumes it, exactly:"
            yield again
        if place.best is not None:
            yield self._best(place.best)
        yield from self._checkpoints(place.best)

    def _best(self, best: Record) -> str:
        measures = {"loss": best.val_loss, **best.measures}
        name, value = self.settings.best, measures.pop(self.settings.best)
        others = ", ".join(f"{other} {number:.4f}" for other, number in measures.items() if number is not None)
        return f"Best validation {name}: **{value:.4f}** at step {best.step:,}" + (f" ({others})." if others else ".")

    def _checkpoints(self, best: Record | None) -> Iterator[str]:
        rows = []
        if best is not None and (self.run.checkpoints / BEST).is_dir():
            way = "lowest" if self.settings.value_of(1.0) > 0 else "highest"
            about = f"the weights with the {way} validation {self.settings.best}; what the commands below take"
            rows.append(f"| `checkpoints/{BEST}/` | {best.step:,} | {about} |")
        small = self.settings.lora is not None
        for folder in step_folders(self.run.checkpoints):
            about = f"{'low-rank updates' if small else 'weights'}, and all that resuming needs"
            rows.append(f"| `checkpoints/{folder.name}/` | {step_of(folder):,} | {about} |")
        if small and rows:
            rows.append(f"| `checkpoints/{START}/` | 0 | what the updates are added to |")
        if rows:
            yield "\n".join(["| checkpoint | step | holds |", "|---|---|---|", *rows])

    def _using(self) -> Iterator[str]:
        commands = [(self._called("evaluate"), self._judged()), *self._asking()]
        commands.append((self._called("compare", "ANOTHER-RUN"), "both side by side"))
        width = max(len(command) for command, _ in commands)
        yield "\n".join(f"    {command.ljust(width)}   # {about}" for command, about in commands)
        yield f"`train: {{start: {shlex.quote(self.run.path.as_posix())}}}` in another spec begins from its weights."

    def _judged(self) -> str:
        counts = self.run.data.facts()["counts"] if self.run.data.written else {}
        name = next((split for split in ("test", "valid", "train") if counts.get(split)), None)
        return "measures" if name is None else f"measures over the {name} split"

    def _asking(self) -> Iterator[tuple[str, str]]:
        kinds, called = {task.kind for task in self.lesson.tasks}, self._called("predict")
        fields = [name for part in self.lesson.inputs for name in part.fields]
        if kinds & {"causal_lm", "seq2seq"}:
            yield f'{self._called("generate")} --prompt "…"', "goes on" if "causal_lm" in kinds else "writes"
        if kinds & {"causal_lm", "contrastive"}:
            return
        if "masked_lm" in kinds:
            yield f'{called} "… <mask> …"', "what is likeliest there"
        elif self.lesson.picture_fields == tuple(fields):
            yield f"{called} picture.png", "its answer"
        elif len(fields) == 2:
            yield f'{called} "{fields[0]} …" --second "{fields[1]} …"', "its answer"
        elif len(fields) == 1:
            yield f'{called} "…"', "its answer"
        if fields:
            yield f"{called} --data new.csv", f"its answers to rows with {', '.join(fields)}"

    def _called(self, command: str, *more: str, resume: bool = False) -> str:
        """A command about this folder."""
        where = self.run.path.as_posix()
        given = [f"{where}/{more[0]}", "--out", where, "--resume"] if resume else [where, *more]
        plugins = [part for plugin in self.spec.plugins for part in ("--plugin", plugin)]
        return shlex.join(["blockgraph", command, *given, *plugins])

    def _files(self) -> str:
        rows = [f"| `{name}` | {about} |" for name, about in FILES.items() if (self.run.path / name).exists()]
        return "\n".join(["| file | what it is |", "|---|---|", *rows])
