"""kill -9 at random moments: how many of the resumed trainings are not, bit for bit, the uninterrupted one (0 is good).

A language model and a translator, with dropout, accumulated gradients, bf16 and a moving average of the weights, are
trained by the command's own function in processes of their own. Half of the kills come at a random moment, the other
half inside a save: at a random write, rename or removal below `checkpoints/`. A training is killed one to three times,
each time resumed, and in the end every line of its metrics (a loss for each step), every weight and all that its last
checkpoint holds are compared.

`--forget` shows that this finds out what a checkpoint lacks: each of its items is left out in turn, a training is
killed inside a save, resumed without the item, and must differ. It counts the items that nothing missed (0 is good).
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from timing import measured, one_thread

BLOCKS = """\
blockgraph: 1
name: killed
vars: {width: 16, p: 0.1}
blocks:
  Layer:
    nodes:
      attn: {type: attention, heads: 2, causal: true, dropout: =p}
      norm: {type: add_norm, in: [x, attn], dropout: =p}
  Decoder:
    inputs: [x, memory]
    nodes:
      self:  {type: attention, heads: 2, causal: true, dropout: =p}
      norm1: {type: add_norm, in: [x, self]}
      cross: {type: attention, heads: 2, in: {key: memory}}
      norm2: {type: add_norm, in: [norm1, cross], dropout: =p}
"""
MODELS = {
    "causal_lm": """\
inputs: {tokens: {tokens: 16, axis: T}}
nodes:
  embed:   {type: embedding, width: =width}
  decoder: {type: Layer, repeat: 2}
  logits:  {type: linear, width: 16}
train:
  data: {type: text, train: text.txt, valid: 0.1}
""",
    "seq2seq": """\
inputs: {source: {tokens: 16, axis: S}, target: {tokens: 16, axis: T}}
nodes:
  embed:   {type: embedding, in: source, width: =width}
  encoder: {type: Layer, repeat: 1}
  written: {share: embed, in: target}
  decoder: {type: Decoder, repeat: 1, in: {memory: encoder}}
  logits:  {type: linear, width: 16}
train:
  task: {type: seq2seq, label_smoothing: 0.1}
  data: {type: reverse, count: 200, longest: 6, symbols: abc}
""",
}
TRAIN = """\
  tokenizer: characters
  batch: {size: 4, length: 12, accumulate: 2}
  steps: 30
  optimizer: {type: muon, others: {type: adamw, lr: 0.01}}
  ema: 0.9
  precision: bf16
  evaluate: {every: 10}
  checkpoint: {every: 4}
"""
SAVING = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")  # audit events of a save, beside its writes
RECORDS = 8  # lines of metrics with `--forget`: sums of losses are open when it is saved
TRIES = 6  # kills after which an item counts as not missed
NOT_MISSED = {  # by one process on a CPU that goes on as it began; tests/training has tests for these
    "pending",  # a kill never saves between two parts of a step
    "progress.closed",  # nor inside an evaluation
    "scaler",
    "random.numpy",  # no block draws from these
    "random.python",
    "random.cuda",
    "random.mps",
    "others",
    "parts",
    "identity",
    "threads",
}
SLOWEST = 300  # seconds after which a session is given up: it hangs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forget", action="store_true", help="leave out each item of a checkpoint in turn")
    given = parser.parse_args()
    one_thread()
    chance, start = random.Random(given.seed), time.process_time()
    counts = dict.fromkeys(("kills", "aimed", "wrong"), 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.forget:
            return forgetting(folder, chance)
        wholes = {kind: Whole(folder, kind) for kind in MODELS}
        while counts["kills"] < given.kills:
            kind = sorted(MODELS)[counts["kills"] % len(MODELS)]
            broken(wholes[kind], chance, counts, given.kills)
    seconds = time.process_time() - start + sum(os.times()[2:4])
    print(f"{counts['kills']} kills, {counts['aimed']} of them inside a save; {seconds:.0f} CPU seconds")
    measured(counts["wrong"])
    return 0


class Whole:
    """A training that nothing cuts short: what it leaves, how long it takes, and how much it does in its saves."""

    def __init__(self, folder: Path, kind: str, records: int | None = None) -> None:
        self.kind, self.folder, self.records = kind, folder, records
        (folder / "text.txt").write_text(text_of(records is not None), "utf-8")
        self.file = folder / f"{kind}.yaml"
        train = TRAIN if records is None else TRAIN.replace("evaluate: {every: 10}", "evaluate: {every: 3}")
        self.file.write_text(BLOCKS + MODELS[kind] + train, "utf-8")
        run = folder / f"{kind}-whole"
        start = time.monotonic()
        ended = session(self.file, run, count_into=folder / f"{kind}.count", records=records)
        self.seconds = time.monotonic() - start
        assert ended == 0, f"the training of {kind} fails by itself"
        self.events = int((folder / f"{kind}.count").read_text("utf-8"))
        self.leaves = remains(run)


def text_of(worse: bool) -> str:
    """What is learned from, its last tenth the validation split. `worse`: of other letters there, so that the best step
    comes early, and who forgets it takes a later one for it."""
    chance = random.Random(1)
    seen, judged = ("abcde ", "fghij ") if worse else ("abcdefghij ",) * 2
    return "".join([*chance.choices(seen, k=1800), *chance.choices(judged, k=200)])


def broken(whole: Whole, chance: random.Random, counts: dict[str, int], limit: int) -> None:
    """One training, killed and resumed until it ends; `counts` learns how often it was killed and whether it erred."""
    run, killed = whole.folder / "run", 0
    wanted = min(chance.randint(1, 3), limit - counts["kills"])
    while killed < wanted:
        aimed = counts["aimed"] * 2 <= counts["kills"]
        if aimed:
            ended = session(whole.file, run, die_at=chance.randrange(whole.events))
        else:
            ended = session(whole.file, run, die_after=chance.uniform(0, whole.seconds))
        if ended == 0:  # it was at its end before the kill came
            break
        assert ended == -signal.SIGKILL, f"a session of {whole.kind} ended by itself with {ended}"
        killed += 1
        counts["kills"] += 1
        counts["aimed"] += aimed
    else:
        assert session(whole.file, run) == 0, f"the training of {whole.kind} cannot be resumed"
    if killed and (found := difference(remains(run), whole.leaves)):
        counts["wrong"] += killed
        print(f"{whole.kind}, killed {killed} times: {found}", flush=True)
    shutil.rmtree(run)


def forgetting(folder: Path, chance: random.Random) -> int:
    """Each item of a checkpoint left out in turn: how many of them no resumed training misses."""
    whole = Whole(folder, "causal_lm", RECORDS)
    items = items_of(last_state(folder / "causal_lm-whole")) - NOT_MISSED
    unnoticed = [item for item in sorted(items) if not missed(whole, item, chance)]
    print(f"{len(items)} items of a checkpoint left out; not missed: {', '.join(unnoticed) or 'none'}")
    measured(len(unnoticed))
    return 0


def items_of(state: dict[str, Any]) -> set[str]:
    """All that can be left out of a checkpoint, those of its sections apart."""
    found = {"weights"}
    for name, value in state.items():
        found |= {f"{name}.{key}" for key in value} if name in ("progress", "random") else {name}
    return found - {"format"}


def missed(whole: Whole, item: str, chance: random.Random) -> bool:
    """Whether one of some trainings that are killed in a save and resumed without the item differs, or is refused."""
    for _ in range(TRIES):
        run = whole.folder / "run"
        die_at = chance.randrange(whole.events // 3, whole.events)
        assert session(whole.file, run, die_at=die_at, records=whole.records) == -signal.SIGKILL
        ended = session(whole.file, run, records=whole.records, forget=item)
        differs = ended != 0 or difference(remains(run), whole.leaves)
        shutil.rmtree(run)
        if differs:
            print(f"{item}: {'refused' if ended else differs}", flush=True)
            return True
    return False


def session(
    file: Path,
    run: Path,
    *,
    records: int | None = None,
    forget: str | None = None,
    die_at: int | None = None,
    die_after: float | None = None,
    count_into: Path | None = None,
) -> int:
    """One sitting in a process of its own, begun or resumed. 0, or minus the signal that ended it."""
    warm()
    process = multiprocessing.get_context("fork").Process(
        target=sitting, args=(file, run, die_at, count_into, records, forget)
    )
    process.start()
    if die_after is not None:
        time.sleep(die_after)
        process.kill()
    process.join(SLOWEST)
    assert process.exitcode is not None, f"a session of {file.stem} hangs"
    return process.exitcode


def warm() -> None:
    """Imports once, in the parent, what every session needs."""
    for name in ("blockgraph.training.train", "matplotlib.backends.backend_agg", "matplotlib.figure"):
        importlib.import_module(name)


def sitting(
    file: Path, run: Path, die_at: int | None, count_into: Path | None, records: int | None, forget: str | None
) -> None:
    """What the child does: trains to the end, unless it kills itself in the `die_at`-th event of its saves."""
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec
    from blockgraph.training import loop
    from blockgraph.training.train import train

    seen = [0]
    watch_saves(seen, die_at)
    if records is not None:
        loop.RECORDS = records
    if forget is not None:
        forget_on_resuming(forget)
    spec = load_spec(file, Diagnostics())
    assert spec is not None
    train(spec, out=run, resume=(run / "spec.yaml").exists(), device="cpu")
    if count_into is not None:
        count_into.write_text(str(seen[0]), "utf-8")


def forget_on_resuming(item: str) -> None:
    """What is restored has, in this item's place, what a training has that begins."""
    from blockgraph.running.weights import weights_of
    from blockgraph.training.loop import Trainer

    plain = Trainer.restore

    def restore(self: Any, loaded: Any) -> None:
        fresh, (name, _, key) = self.state(), item.partition(".")
        if item == "weights":
            loaded.weights.update(weights_of(self.model))
        elif key:
            loaded.state[name][key] = fresh[name][key]
        else:
            loaded.state[name] = fresh[name]
        plain(self, loaded)

    Trainer.restore = restore  # type: ignore[method-assign]


def watch_saves(seen: list[int], die_at: int | None) -> None:
    """Counts what is done below `checkpoints/`, and dies in the middle of the `die_at`-th."""
    from blockgraph.training import files

    def event(path: str) -> bool:
        inside = "/checkpoints/" in path
        seen[0] += inside
        return inside and die_at is not None and seen[0] > die_at

    def audit(name: str, given: tuple[Any, ...]) -> None:
        if name in SAVING and event(str(given[0])):
            os.kill(os.getpid(), signal.SIGKILL)

    plain = files.HashingFile.write

    def write(self: Any, data: bytes) -> int:
        if event(str(self._file.name)):
            plain(self, data[: len(data) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, data)

    files.HashingFile.write = write  # type: ignore[method-assign]
    sys.addaudithook(audit)


def remains(run: Path) -> dict[str, bytes]:
    """All that a training leaves and that must be the same: its metrics without the clock's, its weights, the items of
    its last checkpoint."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        del line["tokens_per_s"], line["seconds"]
    found = {"metrics.jsonl": json.dumps(lines).encode()}
    for path in sorted((run / "checkpoints").rglob("*.safetensors")):
        found[str(path.relative_to(run))] = path.read_bytes()
    return found | {f"training.pt: {name}": spelled(value) for name, value in last_state(run).items()}


def last_state(run: Path) -> dict[str, Any]:
    import torch

    from blockgraph.running.manifests import step_folders

    return dict(torch.load(step_folders(run / "checkpoints")[0] / "training.pt", weights_only=True))


def spelled(value: Any) -> bytes:
    """Every bit of a value of a checkpoint, whatever order its parts were written in."""
    import torch

    if isinstance(value, dict):
        return b"{" + b",".join(f"{key}:".encode() + spelled(value[key]) for key in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(spelled, value)) + b"]"
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)} ".encode() + value.reshape(-1).view(torch.uint8).numpy().tobytes()
    return repr(value).encode()


def difference(found: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    """What differs, by name; empty where nothing does."""
    return ", ".join(sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)))


if __name__ == "__main__":
    sys.exit(main())
