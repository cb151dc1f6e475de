"""`blockgraph attention RUN|FOLDER TEXT`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import read_stdin, with_device, with_plugins, write_new
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.blocks.model import Model
    from blockgraph.running.attention_inputs import Frame, Seen
    from blockgraph.running.attention_maps import AttentionMap
    from blockgraph.running.runs import Run
    from blockgraph.running.tokenizers import Tokenizer
    from blockgraph.viz.attention_page import Heads

KINDS = (".html", ".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Opened:
    """A model that reads texts."""

    name: str
    model: Model
    tokenizer: Tokenizer
    frame: Frame


@click.command("attention")
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN|FOLDER")
@click.argument("text", metavar="TEXT")
@click.option("--target", help="The second text, of an encoder-decoder.  [default: what the model writes, greedily]")
@click.option(
    "--layer", "layers", type=int, multiple=True, metavar="N", help="Only this layer; -1 is the last. Repeatable."
)
@click.option("--head", "heads", type=int, multiple=True, metavar="N", help="Only this head. Repeatable.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("attention.html"),
    show_default=True,
    metavar="FILE",
    help=f"What to write: {', '.join(KINDS)}.",
)
@with_device
@with_plugins
def command(
    folder: Path,
    text: str,
    target: str | None,
    layers: tuple[int, ...],
    heads: tuple[int, ...],
    out: Path,
    device: str,
    plugins: tuple[str, ...],
) -> None:
    """Show where every head looks: a page on which one goes from word to word, or a picture.

    RUN is a folder that `blockgraph train` left, FOLDER a published checkpoint: config.json, *.safetensors and the
    tokenizer's files. Nothing is fetched.
    """
    if out.suffix.lower() not in KINDS:
        raise BlockgraphError(f"-o {out}: write one of {', '.join(KINDS)}")
    opened = opened_folder(folder, device, plugins)
    seen, maps = looked(opened, read_stdin() if text == "-" else text, target, layers, heads)
    notes = [*seen.notes, *written(out, f"Attention of {opened.name}", maps, seen)]
    for note in notes:
        click.echo(f"note: {note}", err=True)
    heads_shown = sum(len(one.heads) for one in maps)
    click.echo(f"wrote {out}: {heads_shown} heads of {len(maps)} attention{'s' * (len(maps) > 1)}")


def looked(
    opened: Opened, text: str, target: str | None, layers: tuple[int, ...], heads: tuple[int, ...]
) -> tuple[Seen, list[AttentionMap]]:
    """The texts as the model gets them, and the maps; what the model says of them is the user's to mend."""
    from blockgraph.running.attention_inputs import read_texts
    from blockgraph.running.attention_maps import attention_maps, chosen

    try:
        seen = read_texts(opened.model, opened.tokenizer, opened.frame, text, target)
        maps, _ = attention_maps(opened.model, seen.tensors)
    except (ValueError, IndexError) as error:
        raise BlockgraphError(f"the model cannot take this: {error}") from error
    return seen, chosen(maps, layers, heads)


def written(out: Path, title: str, maps: list[AttentionMap], seen: Seen) -> list[str]:
    """Writes the page or the picture; what it had to leave out, in words."""
    from blockgraph.viz.attention_page import write_page
    from blockgraph.viz.attention_picture import write_picture

    drawn = [heads_of(one, seen) for one in maps]
    if out.suffix.lower() == ".html":
        write_new(out, write_page(drawn, title, seen.notes).encode())
        return []
    data, notes = write_picture(drawn, title, out.suffix.lower()[1:])
    write_new(out, data)
    return notes


def heads_of(one: AttentionMap, seen: Seen) -> Heads:
    """A map with the words that stand at its positions; positions that are no text's have their numbers."""
    import torch

    from blockgraph.viz.attention_page import SINK, Heads

    sides = []
    for axis, count in zip(one.axes, one.weights.shape[1:], strict=True):
        pieces = seen.pieces.get(axis, [])
        fits = len(pieces) == count
        sides.append(tuple((p.text, p.glued) for p in pieces) if fits else tuple((str(n), False) for n in range(count)))
    weights = one.weights
    if one.sink is not None:
        weights = torch.cat((weights, one.sink.unsqueeze(-1)), dim=-1)
        sides[1] = (*sides[1], (SINK, False))
    return Heads(one.node, one.stack, one.layer, one.cross, one.heads, sides[0], sides[1], weights.numpy())


# -- opening ---------------------------------------------------------------------------------------------------------


def opened_folder(folder: Path, device: str, plugins: tuple[str, ...]) -> Opened:
    """A run, or a published checkpoint. Raises `BlockgraphError` where the folder is neither."""
    from blockgraph.running.runs import is_run, open_run

    if is_run(folder):
        run = open_run(folder, device=device, plugins=plugins)
        return Opened(run.spec.name, run.model, run.tokenizer, frame_of(run))
    if not (folder / "config.json").is_file():
        raise BlockgraphError(
            f"{folder} is neither a run (spec.yaml, checkpoints/) nor a published checkpoint "
            "(config.json, *.safetensors)"
        )
    from blockgraph.running.attention_inputs import Frame
    from blockgraph.running.checkpoint_tokenizer import read_checkpoint_tokenizer
    from blockgraph.running.published import read_published

    tokenizer = read_checkpoint_tokenizer(folder)
    model = read_published(folder, device=device, plugins=plugins).model
    says = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    start, end = says.get("decoder_start_token_id"), says.get("eos_token_id", ends_of(tokenizer)["end"])
    return Opened(folder.resolve().name, model, tokenizer, Frame(start=start, end=end))


def ends_of(tokenizer: Tokenizer) -> dict[str, int | None]:
    from blockgraph.running.specials import specials_of

    found = specials_of(tokenizer)
    return {"start": found.start, "end": found.end}


def frame_of(run: Run) -> Frame:
    """What stood around a text when the run was trained (see `tasks/inputs.py`, `tasks/seq2seq.py`)."""
    from blockgraph.running.attention_inputs import Frame

    train = run.spec.train
    if train is None or train.data.type == "text":
        return Frame()
    own = run.model.definition.root.inputs.values()
    ends = ends_of(run.tokenizer)
    start = next((item.start for item in own if item.start is not None), ends["start"])
    end = next((item.end for item in own if item.end is not None), ends["end"])
    after = () if end is None else (end,)
    if any(task.type == "seq2seq" for task in train.task):
        return Frame(after=after, start=start, end=end)
    return Frame(before=() if start is None else (start,), after=after)
