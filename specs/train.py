"""`train:` as Pydantic models: every shape of the page, with its defaults. Values are evaluated before."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, model_validator
from pydantic_core import PydanticCustomError

from blockgraph.specs.kinds import (
    Count,
    Flag,
    NotNegative,
    Number,
    Positive,
    Rate,
    Size,
    Text,
    as_tuple,
    bounded,
    choice,
    is_number,
)
from blockgraph.specs.models import AnyTexts, Model, Texts, one_or_many, typed
from blockgraph.specs.train_data import Data, TextData

# --- tasks: what is learned -------------------------------------------------------------------------------------------


class TaskModel(Model):
    """What every task may say: which output learns, from which column, and how much its loss counts."""

    output: Text | None = Field(None, description="the model's output that learns (default: the first)")
    label: Text | None = Field(None, description="the column with the target (tables)")
    weight: NotNegative = Field(1.0, description="factor of this task's loss")
    label_smoothing: Rate = Field(0.0, description="share of the target spread over all classes")


class CausalLM(TaskModel):
    """The next token."""

    type: Literal["causal_lm"] = "causal_lm"


class MaskedLM(TaskModel):
    """Tokens that were hidden (Devlin et al. 2018: of `rate`, 80% become the mask, 10% another token, 10% stay)."""

    type: Literal["masked_lm"] = "masked_lm"
    rate: Annotated[Number, Field(gt=0, lt=1)] = Field(0.15, description="share of the tokens that is predicted")


class Seq2Seq(TaskModel):
    """The target text, given the source text and what is already written."""

    type: Literal["seq2seq"] = "seq2seq"


class Classification(TaskModel):
    """A class for each sequence, or for each token, as the logits' shape says."""

    type: Literal["classification"] = "classification"
    mixup: NotNegative = Field(0.0, description="above 0: rows are mixed, by shares from Beta(mixup, mixup)")


class Regression(TaskModel):
    """A number; the loss is the mean squared error."""

    type: Literal["regression"] = "regression"


class Spans(TaskModel):
    """Where in the last of the texts the answer stands: extractive question answering (Rajpurkar et al. 2016)."""

    type: Literal["spans"] = "spans"
    start: Text | None = Field(None, description="the column with the answer's first character (default: it is found)")
    stride: Size = Field(128, description="of a long text, tokens from a window's beginning to the next one's")


class Contrastive(TaskModel):
    """Which of the batch belong together (Radford et al. 2021)."""

    type: Literal["contrastive"] = "contrastive"


Task: TypeAlias = Annotated[
    Annotated[CausalLM | MaskedLM | Seq2Seq | Classification | Regression | Spans | Contrastive, Discriminator("type")],
    typed("causal_lm"),
]

# --- tokenizers -------------------------------------------------------------------------------------------------------


class BytesTokenizer(Model):
    """Every byte of UTF-8 is an id."""

    type: Literal["bytes"] = "bytes"


class FileTokenizer(Model):
    """A `tokenizer.json` of the `tokenizers` library."""

    type: Literal["file"] = "file"
    path: Text


class TrainedTokenizer(Model):
    """A vocabulary that is made from the training data."""

    size: Size | None = Field(None, description="most entries (default: the input's tokens)")
    lowercase: Flag = Field(False, description="texts are lowered first")


class CharactersTokenizer(TrainedTokenizer):
    """Every character is an id; with a size the commonest, and one id for all others."""

    size: Size | None = Field(None, description="most entries (default: every character has one)")
    type: Literal["characters"] = "characters"


class WordsTokenizer(TrainedTokenizer):
    type: Literal["words"] = "words"


class BPETokenizer(TrainedTokenizer):
    type: Literal["bpe"] = "bpe"


class ByteBPETokenizer(TrainedTokenizer):
    type: Literal["byte_bpe"] = "byte_bpe"


class WordPieceTokenizer(TrainedTokenizer):
    type: Literal["wordpiece"] = "wordpiece"


class UnigramTokenizer(TrainedTokenizer):
    type: Literal["unigram"] = "unigram"


Tokenizer: TypeAlias = Annotated[
    Annotated[
        BytesTokenizer
        | CharactersTokenizer
        | WordsTokenizer
        | BPETokenizer
        | ByteBPETokenizer
        | WordPieceTokenizer
        | UnigramTokenizer
        | FileTokenizer,
        Discriminator("type"),
    ],
    typed(),
]

# --- batches, optimizers, schedules -----------------------------------------------------------------------------------


class Batch(Model):
    """`size` sequences, or as many as have `tokens` tokens; `length` is where a sequence is cut (text: the window)."""

    size: Size | None = Field(None, description="sequences in a batch (default 32)")
    tokens: Size | None = Field(None, description="tokens in a batch, instead of a size")
    length: Size = Field(256, description="longest sequence")
    accumulate: Size = Field(1, description="batches whose gradients make one step")

    @model_validator(mode="before")
    @classmethod
    def _one_measure(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = [key for key in ("size", "tokens") if data.get(key) is not None]
        if len(given) == 2:
            raise PydanticCustomError(
                "train", "a batch has a size or a number of tokens, not both", {"help": "write null for one of them"}
            )
        return data if given else {**data, "size": 32}


Betas: TypeAlias = Annotated[tuple[Rate, Rate], BeforeValidator(as_tuple)]


Rates: TypeAlias = Annotated[dict[str, Positive], Field(description="learning rates of their own, by globs over paths")]


class AdamWBeside(Model):
    """Loshchilov and Hutter 2017. Biases, norms and embeddings never decay."""

    type: Literal["adamw"] = "adamw"
    lr: Positive = 3e-4
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.01


class AdamW(AdamWBeside):
    lrs: Rates = Field(default_factory=dict)


class Adam(Model):
    """Kingma and Ba 2014."""

    type: Literal["adam"] = "adam"
    lr: Positive = 3e-4
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    lrs: Rates = Field(default_factory=dict)


class SGD(Model):
    type: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: Rate = 0.0
    weight_decay: NotNegative = 0.0
    lrs: Rates = Field(default_factory=dict)


class Adafactor(Model):
    """Shazeer and Stern 2018: of a matrix's second moments the means of rows and columns only; a step is measured by
    the size of the weight."""

    type: Literal["adafactor"] = "adafactor"
    lr: Positive = 0.01
    weight_decay: NotNegative = 0.0
    lrs: Rates = Field(default_factory=dict)


class Muon(Model):
    """Jordan et al. 2024: orthogonalised momentum for matrices; `others` has embeddings, head and all that is none."""

    type: Literal["muon"] = "muon"
    lr: Positive = 0.02
    momentum: Rate = 0.95
    weight_decay: NotNegative = 0.01
    others: Annotated[AdamWBeside, typed("adamw")] = AdamWBeside()
    lrs: Rates = Field(default_factory=dict)


Optimizer: TypeAlias = Annotated[
    Annotated[AdamW | Adam | SGD | Adafactor | Muon, Discriminator("type")], typed("adamw")
]


def _warmup(value: Any) -> Any:
    """Steps, or a share of all steps below 1."""
    if not is_number(value):
        return value
    return float(value) if 0 <= value < 1 else bounded(value, 0)


Warmup: TypeAlias = Annotated[int | float, BeforeValidator(_warmup)]


class Cosine(Model):
    """Half a cosine from the learning rate down to `floor` of it."""

    type: Literal["cosine"] = "cosine"
    warmup: Warmup = Field(0.02, description="steps, or a share below 1, in which the rate rises from 0")
    floor: Annotated[Number, Field(ge=0, le=1)] = Field(0.0, description="share of lr at the end")


class Linear(Model):
    """A straight line from the learning rate down to `floor` of it."""

    type: Literal["linear"] = "linear"
    warmup: Warmup = Field(0.02, description="steps, or a share below 1, in which the rate rises from 0")
    floor: Annotated[Number, Field(ge=0, le=1)] = Field(0.0, description="share of lr at the end")


class Constant(Model):
    type: Literal["constant"] = "constant"
    warmup: Warmup = Field(0, description="steps, or a share below 1, in which the rate rises from 0")


class Noam(Model):
    """Vaswani et al. 2017, equation 3; lr is its factor."""

    type: Literal["noam"] = "noam"
    warmup: Warmup = Field(4000, description="steps, or a share below 1, in which the rate rises")


class WSD(Model):
    """Warm-up, stable, decay (Hu et al. 2024): the rate stays until the last `decay` steps, which go to `floor`."""

    type: Literal["wsd"] = "wsd"
    warmup: Warmup = Field(0.02, description="steps, or a share below 1, in which the rate rises from 0")
    decay: Warmup = Field(0.2, description="steps, or a share below 1, in which the rate falls at the end")
    floor: Annotated[Number, Field(ge=0, le=1)] = Field(0.0, description="share of lr at the end")


Schedule: TypeAlias = Annotated[
    Annotated[Cosine | Linear | Constant | Noam | WSD, Discriminator("type")], typed("cosine")
]


class Evaluate(Model):
    every: Size = Field(500, description="steps between two evaluations")
    patience: Size | None = Field(None, description="stop after so many evaluations without improvement")
    best: Text = Field("loss", description="the measure that says which weights are the best, such as accuracy")
    samples: Count = Field(0, description="texts that the model writes at each evaluation, of the validation data")


class Checkpoint(Model):
    every: Size = Field(500, description="steps between two checkpoints")
    keep: Size = Field(3, description="how many of the last ones stay; the best stays as well")


class Lora(Model):
    """Hu et al. 2021: beside each weight that is named, which stays, an update of this rank is trained."""

    rank: Size = Field(8, description="columns of one factor, rows of the other")
    alpha: Positive = Field(16, description="the update counts alpha / rank")
    on: Texts = Field(description="globs over module paths: the weights that get an update")


# --- the whole --------------------------------------------------------------------------------------------------------


def _compile(value: Any) -> Any:
    return value if isinstance(value, bool) else choice(value, ("region",), "true or false")


class Train(Model):
    """The `train:` section. Exactly one of `steps` and `epochs` is set; `task` is always a tuple."""

    keeps: ClassVar[frozenset[str]] = frozenset({"clip"})

    task: Annotated[
        tuple[Task, ...],
        BeforeValidator(one_or_many, json_schema_input_type=Task | tuple[Task, ...]),
        Field(min_length=1),
    ] = (CausalLM(),)
    data: Data = TextData()
    tokenizer: Tokenizer = BytesTokenizer()
    batch: Batch = Batch(size=32)
    steps: Size | None = Field(None, description="how many steps; or epochs")
    epochs: Size | None = Field(None, description="how many times through the data; or steps")
    optimizer: Optimizer = AdamW()
    schedule: Schedule = Cosine()
    ema: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="share of the moving average of the weights that a step leaves; it is what is evaluated"
    )
    start: Text | None = Field(None, description="a run or checkpoint folder to begin from")
    freeze: AnyTexts = Field((), description="globs over module paths")
    train_only: Texts | None = Field(None, description="globs over module paths: all else is frozen")
    lora: Lora | None = Field(None, description="train small updates of weights instead of these")
    clip: Positive | None = Field(1.0, description="largest norm of the gradient; null: not clipped")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Annotated[Literal["region"] | bool, BeforeValidator(_compile)] = False
    parallel: Literal["ddp", "fsdp"] | None = Field(
        None, description="under torchrun: each process has the whole model, or a share (default: ddp)"
    )
    seed: Count = 0
    evaluate: Evaluate = Evaluate()
    checkpoint: Checkpoint = Checkpoint()
    tensorboard: Flag = Field(False, description="write for TensorBoard too, into the run's tensorboard/")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            reason = (
                "needs 'steps' or 'epochs'" if self.steps is None else "has both steps and epochs: one of them decides"
            )
            help = "write steps: 10000" if self.steps is None else "write null for the other"
            raise PydanticCustomError("train", "train {reason}", {"reason": reason, "help": help})
        if self.freeze and self.train_only:
            raise PydanticCustomError("train", "freeze and train_only say the same in two ways: write one", {})
        if self.freeze and self.lora:
            help = "write train_only for what is trained beside the updates"
            raise PydanticCustomError("train", "lora freezes all weights: freeze has nothing to say", {"help": help})
        return self
