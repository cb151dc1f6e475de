"""How the cost of each kind of attention grows with the length: seconds and peak memory, forward and with backward.

One layer, one sequence, one thread; each measurement is a process of its own, which keeps freed memory as a training
does. `--slope KIND` is what `scripts/accept` reads: the time of 8192 positions over that of 4096.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timing import measured, one_thread
from torch import Tensor, nn

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.linear_attention import LinearAttention
from blockgraph.blocks.linformer import LinformerAttention
from blockgraph.blocks.local_global_attention import LocalGlobalAttention
from blockgraph.training.memory import keep_freed_memory

WIDTH, HEADS = 256, 4
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)


class Cost(NamedTuple):
    """Seconds, and megabytes beyond the weights and the input."""

    seconds: float
    megabytes: float


def attention(**options: Any) -> Callable[[int], nn.Module]:
    return lambda length: Attention(WIDTH, HEADS, **options)


def sparse(**options: Any) -> Callable[[int], nn.Module]:
    return attention(sparse=options)


KINDS: dict[str, Callable[[int], nn.Module]] = {
    "full": attention(),
    "full, causal": attention(causal=True),
    "window 256": attention(window=256),
    "window 256, causal": attention(window=256, causal=True),
    "window 256, 16 global": attention(window=256, global_tokens=16),
    "dilated 64 × 4": sparse(type="dilated", window=64, dilation=4),
    "strided 64": sparse(type="strided", stride=64),
    "fixed 128 + 4": sparse(type="fixed", block=128, summary=4),
    "blocks 128 ± 1": sparse(type="blocks", block=128, reach=1),
    "bigbird 64, 3": sparse(type="bigbird", block=64, random=3),
    "local_global 256, 16 global": lambda length: LocalGlobalAttention(WIDTH, HEADS, 256),
    "linear": lambda length: LinearAttention(WIDTH, HEADS),
    "linear, causal": lambda length: LinearAttention(WIDTH, HEADS, causal=True),
    "linear, favor": lambda length: LinearAttention(WIDTH, HEADS, feature_map="favor"),
    "linformer 128": lambda length: LinformerAttention(WIDTH, HEADS, length, 128),
}


def step(kind: str, length: int, train: bool) -> Callable[[], object]:
    """One call of the module, with its backward pass where it is trained."""
    torch.manual_seed(0)
    module = KINDS[kind](length).train(train)
    x = torch.randn(1, length, WIDTH, requires_grad=train)
    given: tuple[Tensor, ...] = (x,)
    if kind.startswith("local_global"):
        given = (x, torch.arange(length).unsqueeze(0) < 16)

    def run() -> None:
        with torch.set_grad_enabled(train):
            out = module(*given)
            if train:
                out.sum().backward()

    return run


def _measure(pipe: Any, kind: str, length: int, train: bool, rounds: int) -> None:
    run = step(kind, length, train)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    pipe.send(Cost(min(times), (after - before) / 1024))  # Linux counts kilobytes


def cost(kind: str, length: int, train: bool, rounds: int = 3) -> Cost:
    """Measured in a child, whose peak memory is its own."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_measure, args=(theirs, kind, length, train, rounds))
    child.start()
    theirs.close()
    found: Cost = ours.recv()
    child.join()
    return found


def table(found: dict[str, list[Cost]], lengths: list[int], what: str) -> str:
    """Markdown: milliseconds, and megabytes behind a stroke."""
    head = [f"| {what} | {' | '.join(map(str, lengths))} |", "|---|" + "---:|" * len(lengths)]
    rows = [f"| {kind} | {' | '.join(map(_cell, costs))} |" for kind, costs in found.items()]
    return "\n".join([*head, *rows])


def _cell(found: Cost) -> str:
    return f"{found.seconds * 1e3:,.{1 if found.seconds < 0.1 else 0}f} / {found.megabytes:,.0f}"


def plot(found: dict[str, list[Cost]], lengths: list[int], path: Path) -> None:
    """Seconds and megabytes over the length, both axes logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "attention", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    for number, (kind, costs) in enumerate(found.items()):
        style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--", "marker": ".", "label": kind}
        axes[0].loglog(lengths, [each.seconds for each in costs], **style)
        axes[1].loglog(lengths, [max(each.megabytes, 0.1) for each in costs], **style)
    for axis, title in zip(axes, ("seconds", "megabytes at the peak"), strict=True):
        axis.set(title=title, xlabel="positions", xticks=lengths, xticklabels=lengths)
        axis.minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--pass", dest="passes", choices=["forward", "train", "both"], default="both")
    parser.add_argument("--out", type=Path, help="a picture: .png or .svg")
    parser.add_argument("--slope", metavar="KIND", help="the time of 8192 over that of 4096")
    given = parser.parse_args()
    one_thread()
    keep_freed_memory()
    if given.slope:
        kind = next((kind for kind in KINDS if kind.startswith(given.slope)), None)
        if kind is None:
            parser.error(f"no kind begins with {given.slope!r}: {', '.join(KINDS)}")
        pairs = [[cost(kind, length, True).seconds for length in (4096, 8192)] for _ in range(3)]
        measured(sorted(long / short for short, long in pairs)[1])
        return
    found: dict[str, list[Cost]] = {}
    for train in (False, True):
        if given.passes in ("both", "train" if train else "forward"):
            found = {kind: [cost(kind, length, train) for length in given.lengths] for kind in given.kinds}
            print(table(found, given.lengths, "forward and backward" if train else "forward") + "\n", flush=True)
    if given.out:
        plot(found, given.lengths, given.out)


if __name__ == "__main__":
    main()
