"""How tasks and data meet a model: which input takes which field, which output learns what. Seen in the spec alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from blockgraph.data.errors import TrainError
from blockgraph.data.images import MODES
from blockgraph.running.specials import Specials
from blockgraph.tasks.contrastive import Contrastive
from blockgraph.tasks.inputs import Input, TextInput
from blockgraph.tasks.labels import Classification, Regression, TokenClassification
from blockgraph.tasks.language import CausalLM, MaskedLM
from blockgraph.tasks.lesson import Lesson
from blockgraph.tasks.pictures import Levels, NumbersInput
from blockgraph.tasks.seq2seq import Seq2Seq
from blockgraph.tasks.spans import Spans
from blockgraph.tasks.task import Task, Tools
from blockgraph.tasks.varying import Moved, Transformed, Varied

if TYPE_CHECKING:
    from blockgraph.builder.graph import Input as ModelInput
    from blockgraph.builder.graph import Model, Output

STREAMED = {"causal_lm", "masked_lm"}
CROP = 8  # flip_crop moves by up to this part of a side, as 4 of 32 pixels in He et al. 2015
Fields = Mapping[str, tuple[str, ...]]  # the model's input: the fields of a row that it is made of


def lesson_for(model: Model, section: Any) -> Lesson:
    """What a spec's `train` section teaches a model. Raises `TrainError` where they do not fit."""
    return _Planning(model, section).lesson()


class _Planning:
    def __init__(self, model: Model, section: Any) -> None:
        self.model, self.section = model, section
        self.inputs, self.outputs = model.root.inputs, model.root.outputs
        self.tokens = [name for name, item in self.inputs.items() if item.value.vocabulary is not None]

    def lesson(self) -> Lesson:
        kinds = [task.type for task in self.section.task]
        streamed = [kind for kind in kinds if kind in STREAMED]
        if streamed and len(kinds) > 1:
            raise TrainError(f"train: task: {streamed[0]} learns from one long text, and stands alone")
        return self._streamed(self.section.task[0]) if streamed else self._from_rows()

    # -- one long text -------------------------------------------------------------------------------------------------

    def _streamed(self, task: Any) -> Lesson:
        name = self._token_input(task.type, 0)
        texts = self._streamed_fields(task.type, name)
        self._all_filled(task.type, {name})
        output, value = self._output(task)
        self._logits(task.type, output, value, 3)
        common = {"name": task.type, "output": output, "weight": task.weight, "input": name, "texts": texts}
        made: Task
        if task.type == "causal_lm":
            made = CausalLM(**common, smoothing=task.label_smoothing)
        else:
            made = MaskedLM(**common, rate=task.rate)
        needs = (("end",) if texts else ()) + (("mask",) if task.type == "masked_lm" else ())
        return Lesson(
            (made,),
            (),
            Tools(self.section.batch.length),
            stream=True,
            fixed=self._fixed([name]),
            needs=needs,
            reserves=needs,
            classes={task.type: value.value.width},
            vocabulary=self._vocabulary([name]),
            strict=self._strict,
        )

    def _streamed_fields(self, kind: str, name: str) -> tuple[str, ...]:
        """The fields of a row that are learned one behind the other; none: the data is running text."""
        data = self.section.data
        if data.type == "text":
            return ()
        if data.type == "pairs":
            return ("source", "target")
        if data.type not in ("table", "hub") or set(data.columns) != {name}:
            wanted = f"columns: {{{name}: text}}"
            raise TrainError(f"train: data: {kind} learns from text, pairs, or the texts of a table ({wanted})")
        return tuple(data.columns[name])

    @property
    def _strict(self) -> bool:
        return getattr(self.section.data, "bad_rows", "skip") == "stop"

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _from_rows(self) -> Lesson:
        fields = dict(self._fields())
        tasks = tuple(self._task(number, task, fields) for number, task in enumerate(self.section.task))
        made = {task.input for task in tasks if isinstance(task, Seq2Seq)}
        seq2seq = bool(made)
        inputs = tuple(self._input(name, parts, seq2seq) for name, parts in fields.items() if name not in made)
        filled = {*fields, *(part.segments for part in inputs if isinstance(part, TextInput) and part.segments)}
        self._all_filled(tasks[0].kind, filled)
        texts = [name for name in fields if name in self.tokens]
        return Lesson(
            tasks,
            inputs,
            Tools(self.section.batch.length),
            fixed=self._fixed(texts),
            needs=("start", "end") if seq2seq else (),
            reserves=("pad", "start", "end") if texts else (),
            classes={task.name: width for task in tasks if (width := self._width(task)) is not None},
            vocabulary=self._vocabulary(texts),
            strict=self._strict,
        )

    def _width(self, task: Task) -> int | None:
        return None if isinstance(task, Regression | Spans | Contrastive) else self.outputs[task.output].value.width

    def _vocabulary(self, names: list[str]) -> int | None:
        """How many ids every text input has room for."""
        return min((self.inputs[name].value.vocabulary or 0 for name in names), default=None)

    def _fields(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Which fields of a row each input is made of."""
        data = self.section.data
        if data.type in ("table", "npz", "hub"):
            for name, columns in data.columns.items():
                if name not in self.inputs:
                    raise TrainError(
                        f"train: data: columns: there is no input '{name}'; there is {', '.join(self.inputs)}"
                    )
                yield name, tuple(columns)
        elif data.type == "images":
            yield self._picture_input(), ("image",)
        elif data.type == "text":
            raise TrainError(f"train: data: {self.section.task[0].type} learns from rows: pairs, a table or images")
        else:
            names = [self._token_input(self.section.task[0].type, number) for number in (0, 1)]
            yield from ((name, (field,)) for name, field in zip(names, ("source", "target"), strict=True))

    def _task(self, number: int, task: Any, fields: Mapping[str, tuple[str, ...]]) -> Task:
        output, value = self._output(task)
        name = task.type if len(self.section.task) == 1 else output
        common: dict[str, Any] = {
            "name": name,
            "output": output,
            "weight": task.weight,
            "smoothing": task.label_smoothing,
        }
        label = task.label or getattr(self.section.data, "label", None) or "label"
        if task.type == "seq2seq":
            self._logits(task.type, output, value, 3)
            target = self._token_input(task.type, 1)
            return Seq2Seq(**common, input=target, field=fields.get(target, ("target",))[0])
        if task.type == "classification" and value.value.rank == 3:
            first = next(name for name in fields if name in self.tokens)
            return TokenClassification(**common, field=label, words=fields[first][0])
        if task.type == "classification":
            self._logits(task.type, output, value, 2)
            if task.mixup and any(name in self.tokens for name in fields):
                raise TrainError("train: task: mixup mixes numbers, and this model reads ids: leave it out")
            return Classification(**common, field=label, classes=value.value.width, mixup=task.mixup)
        if task.type == "regression":
            return Regression(**common, field=label)
        if task.type == "spans":
            return self._spans(task, common, fields)
        if value.value.rank != 2:
            raise TrainError(
                f"train: task: contrastive needs similarities [B, B]; the output '{output}' is {value.value}"
            )
        return Contrastive(**common)

    def _spans(self, task: Any, common: dict[str, Any], fields: Mapping[str, tuple[str, ...]]) -> Spans:
        """Both ends at one output [B, T, 2], or at two [B, T]: the chosen one and the one after it."""
        names = list(self.outputs)
        place, value = names.index(common["output"]), self.outputs[common["output"]].value
        last = names[place + 1] if value.rank == 2 and place + 1 < len(names) else None
        if not (value.rank == 3 and value.width == 2) and (last is None or self.outputs[last].value.rank != 2):
            raise TrainError(
                f"train: task: spans needs logits [B, T, 2], or two outputs [B, T]; '{common['output']}' is {value}"
            )
        if task.label_smoothing:
            raise TrainError("train: task: spans has no label_smoothing: leave it out")
        name = next((name for name in fields if name in self.tokens), None)
        if name is None:
            raise TrainError("train: data: columns: spans reads one token input, such as {tokens: [question, context]}")
        part = self._input(name, fields[name], False)
        assert isinstance(part, TextInput)
        label = task.label or getattr(self.section.data, "label", None) or "answer"
        return Spans(**common, part=part, field=label, start=task.start, stride=task.stride, last=last)

    def _input(self, name: str, parts: tuple[str, ...], seq2seq: bool) -> Input:
        item = self.inputs[name]
        if item.value.vocabulary is None:
            return self._numbers(name, parts)
        prefix = getattr(self.section.data, "prefix", None) if name == self._token_input("prefix", 0) else None
        segments = self._segments(name) if len(parts) > 1 else None
        return TextInput(name, parts, segments, not seq2seq, prefix or "")

    def _numbers(self, name: str, parts: tuple[str, ...]) -> NumbersInput:
        data, value = self.section.data, self.inputs[name].value
        if any(size.known is None for size in value.shape[1:]):
            raise TrainError(f"train: data: the input '{name}' is {value}: its sizes must be known to learn from rows")
        shape = tuple(int(size) for size in value.shape[1:])
        if data.type not in ("table", "npz", "images", "hub"):
            return NumbersInput(name, parts, shape)
        levels = Levels(data.scale, data.mean, data.std)
        if any(len(given) not in (1, shape[0] if shape else 1) for given in (data.mean, data.std)):
            raise TrainError(f"train: data: mean and std: one number, or {shape[0]}, one for each channel of '{name}'")
        dtype = "|u1" if data.type == "images" else "<f4"
        return NumbersInput(name, parts, shape, levels, self._varied(data.augment, shape), dtype)

    def _varied(self, augment: Any, shape: tuple[int, ...]) -> Varied | None:
        if augment.type == "none" or len(shape) != 3:
            return None
        if augment.type == "shift":
            return Moved((augment.pixels, augment.pixels))
        if augment.type == "affine":
            return Transformed(augment.degrees, augment.zoom, augment.pixels)
        return Moved((max(1, shape[1] // CROP), max(1, shape[2] // CROP)), flip=True)

    def _picture_input(self) -> str:
        """The first input that a picture fits."""
        for name, item in self.inputs.items():
            if item.value.vocabulary is None and item.value.rank == 4 and item.value.shape[1].known in MODES:
                return name
        raise TrainError(
            f"{self.model.name} has no input for pictures: write one such as `image: {{shape: [3, 224, 224]}}`"
        )

    def _segments(self, name: str) -> str | None:
        """The input beside `name` that tells a position's segment: optional ids over the same positions."""
        shape = self.inputs[name].value.shape
        others = [other for other in self.tokens if other != name and self.inputs[other].default is not None]
        return next((other for other in others if self.inputs[other].value.shape == shape), None)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _fixed(self, names: list[str]) -> Specials:
        found = Specials()
        for name in names:
            item: ModelInput = self.inputs[name]
            found = found.over(Specials(item.value.pad, item.start, item.end))
        return found

    def _token_input(self, kind: str, number: int) -> str:
        if number >= len(self.tokens):
            example = "`inputs: {tokens: {tokens: 256, axis: T}}`"
            which = "no token input" if not self.tokens else "only one token input"
            raise TrainError(f"{self.model.name} has {which}: {kind} needs {('one', 'two')[number]}, such as {example}")
        return self.tokens[number]

    def _all_filled(self, kind: str, filled: set[str]) -> None:
        left = [name for name, item in self.inputs.items() if name not in filled and item.default is None]
        if left:
            raise TrainError(
                f"{kind} gives {self.model.name} its {', '.join(filled)}; nothing gives it {', '.join(left)}"
            )

    def _output(self, task: Any) -> tuple[str, Output]:
        if task.output is not None and task.output not in self.outputs:
            raise TrainError(
                f"train: task: output: there is no output '{task.output}'; there is {', '.join(self.outputs)}"
            )
        chosen = task.output if task.output is not None else next(iter(self.outputs))
        return chosen, self.outputs[chosen]

    @staticmethod
    def _logits(kind: str, name: str, output: Output, rank: int) -> None:
        value = output.value
        if value.rank != rank or value.shape[-1].known is None:
            wanted = "[B, T, ids]" if rank == 3 else "[B, classes]"
            raise TrainError(
                f"train: task: {kind} needs logits {wanted}; the output '{name}' is {value}: write the task that fits "
                f"this model, or another output (task: {{type: {kind}, output: …}})"
            )
