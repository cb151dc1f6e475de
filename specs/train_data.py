"""`train: data:` as Pydantic models: what is learned from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field
from pydantic_core import PydanticCustomError

from blockgraph.specs.kinds import NotNegative, Number, Positive, Rate, Size, Text, as_tuple, is_number
from blockgraph.specs.models import Model, Texts, one_or_many, typed


def _split(value: Any) -> Any:
    """A share of the data (below 1), or files of its own."""
    if is_number(value):
        if not 0 <= value < 1:
            raise PydanticCustomError("bad-option", "a share is at least 0 and below 1; else name files")
        return float(value)
    files = one_or_many(value)
    if not files or not all(isinstance(file, str) and file for file in files):
        raise PydanticCustomError("wrong-type", "write a share below 1, or the names of files")
    return files


Split: TypeAlias = Annotated[
    float | tuple[str, ...], BeforeValidator(_split, json_schema_input_type=float | str | tuple[str, ...])
]
Fields: TypeAlias = Annotated[dict[str, Texts], Field(min_length=1)]

# --- texts ------------------------------------------------------------------------------------------------------------


class TextData(Model):
    """Running text; a share for validation is the tail."""

    type: Literal["text"] = "text"
    train: Texts = Field(("corpus/*.txt",), description="files, globs allowed")
    valid: Split = Field(0.05, description="a share, or files")
    test: Split | None = Field(None, description="a share, or files")


class RowData(Model):
    """What all rows may say."""

    bad_rows: Literal["skip", "stop"] = Field("skip", description="rows that cannot be used: left out, or an error")


class PairsData(RowData):
    """Two texts, line by line the same: source and target."""

    type: Literal["pairs"] = "pairs"
    train: Annotated[tuple[Text, Text], BeforeValidator(as_tuple)] = Field(description="source file, target file")
    valid: Split = Field(0.05, description="a share, or two files")
    test: Split | None = Field(None, description="a share, or two files")
    prefix: Text | None = Field(None, description="stands before every source text")


# --- pictures and numbers ---------------------------------------------------------------------------------------------


class NoAugment(Model):
    """Pictures are learned from as they are."""

    type: Literal["none"] = "none"


class FlipCrop(Model):
    """Half of the pictures are mirrored, and each is moved by up to an eighth of its side (He et al. 2015, §4.2)."""

    type: Literal["flip_crop"] = "flip_crop"


class Shift(Model):
    """Each picture is moved by up to `pixels` in both directions; what comes in is zero."""

    type: Literal["shift"] = "shift"
    pixels: Size = Field(1, description="farthest move")


class Affine(Model):
    """Each picture is turned, zoomed and moved, between pixels too; what comes in is zero."""

    type: Literal["affine"] = "affine"
    degrees: NotNegative = Field(10.0, description="farthest turn, either way")
    zoom: Rate = Field(0.1, description="most that is added to the size 1, or taken away")
    pixels: NotNegative = Field(1.0, description="farthest move; parts of a pixel count")


Augment: TypeAlias = Annotated[Annotated[NoAugment | FlipCrop | Shift | Affine, Discriminator("type")], typed("none")]
Levels: TypeAlias = Annotated[
    tuple[Number, ...],
    BeforeValidator(one_or_many, json_schema_input_type=float | tuple[float, ...]),
    Field(min_length=1),
]
Spreads: TypeAlias = Annotated[
    tuple[Positive, ...],
    BeforeValidator(one_or_many, json_schema_input_type=Positive | tuple[Positive, ...]),
    Field(min_length=1),
]


class NumberData(RowData):
    """What rows with pictures or other arrays may say: an input is (x / scale - mean) / std."""

    augment: Augment = Field(NoAugment(), description="how pictures are varied while learning")
    scale: Positive = Field(1.0, description="numbers are divided by it")
    mean: Levels = Field((0.0,), description="then this is subtracted: one number, or one a channel")
    std: Spreads = Field((1.0,), description="then they are divided by this: one number, or one a channel")


class TableData(NumberData):
    """A csv, tsv or jsonl file; `columns` says which of its columns each input reads."""

    type: Literal["table"] = "table"
    train: Texts = Field(description="files, globs allowed")
    columns: Fields = Field(description="{input: column or [columns]}; a glob stands for all that match")
    label: Text | None = Field(None, description="the column with the target")
    header: Texts | None = Field(None, description="the columns' names, where the files have no line with them")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="between cells (default: by the file's name); a blank: the last column has the line's rest"
    )
    prefix: Text | None = Field(None, description="stands before the first input's text")
    valid: Split = Field(0.05, description="a share, or files")
    test: Split | None = Field(None, description="a share, or files")


class ArraysData(NumberData):
    """Arrays with a row for each example, in a NumPy file (.npz) or a file each (.npy); nothing is unpickled."""

    type: Literal["npz"] = "npz"
    train: Texts = Field(description="an .npz, or .npy files: an array is named as its file")
    columns: Fields = Field(description="{input: array}")
    label: Text | None = Field(None, description="the array with the target")
    valid: Split = Field(0.05, description="a share, or files in the order of train's")
    test: Split | None = Field(None, description="a share, or files in the order of train's")


class ImagesData(NumberData):
    """Folders of pictures, one folder a class."""

    type: Literal["images"] = "images"
    train: Text = Field(description="the folder of folders")
    valid: Split = Field(0.05, description="a share, or a folder")
    test: Split | None = Field(None, description="a share, or a folder")
    scale: Positive = Field(255.0, description="numbers are divided by it")


class HubData(NumberData):
    """A data set of the Hugging Face Hub, read by the `datasets` library."""

    type: Literal["hub"] = "hub"
    path: Text = Field(description="the data set, such as rajpurkar/squad, or a local folder of it")
    name: Text | None = Field(None, description="its configuration")
    columns: Fields = Field(description="{input: column or [columns]}")
    label: Text | None = Field(None, description="the column with the target")
    prefix: Text | None = Field(None, description="stands before the first input's text")
    train: Text = Field("train", description="its split to learn from")
    valid: Split = Field(0.05, description="a share, or a split")
    test: Split | None = Field(None, description="a share, or a split")


# --- made as needed ---------------------------------------------------------------------------------------------------


class GeneratedData(Model):
    """Texts and what becomes of them, made as they are needed; validation and test have rows of their own."""

    count: Size = Field(100_000, description="training rows")
    longest: Size = Field(16, description="symbols in a text at most")
    symbols: Text = Field("abcdefghijklmnopqrstuvwxyz", description="what a text is made of")


class CopyData(GeneratedData):
    """The target is the source."""

    type: Literal["copy"] = "copy"


class ReverseData(GeneratedData):
    """The target is the source backwards."""

    type: Literal["reverse"] = "reverse"


Data: TypeAlias = Annotated[
    Annotated[
        TextData | PairsData | TableData | ArraysData | ImagesData | HubData | CopyData | ReverseData,
        Discriminator("type"),
    ],
    typed("text"),
]
