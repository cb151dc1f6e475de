"""Several processes that train one model, as `torchrun` starts them: DDP (each has the whole model) or FSDP2 (each has
a share of every tensor).

They share a step as if it had more parts: process r takes parts r, r + size, …, and losses are weighted by the targets
of all processes, so the gradients are those that one process would have had. The first process speaks and writes.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.fsdp import FSDPModule
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from blockgraph.builder.build import build
from blockgraph.running.manifests import FileEntry
from blockgraph.running.runs import BEST
from blockgraph.running.weights import load_weights
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.training import random_state
from blockgraph.training.checkpoints import Checkpoints, Loaded, read_checkpoint
from blockgraph.training.errors import Followed, TrainError
from blockgraph.training.files import aside_of
from blockgraph.training.launched import start_number
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import Trained
from blockgraph.training.settings import Settings
from blockgraph.training.sharded_state import SHARDED, Rows, rows_of, write_shards
from blockgraph.training.sharding import (
    by_name,
    joined,
    load_sharded,
    load_sharded_state,
    shard,
    sharded_weights,
    whole,
    whole_weights,
)
from blockgraph.training.shared_low_rank import SharedLowRank
from blockgraph.training.world import World

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec
    from blockgraph.training.average import Average
    from blockgraph.training.low_rank import LowRank

T = TypeVar("T")

SETTLING = 0.1  # seconds
LOST = r"(?i)gloo|nccl|connection (closed|reset|refused)|socket"  # what a broken connection says
PATIENCE = timedelta(hours=2)  # a process may encode data or write a large checkpoint while the others wait


def join(settings: Settings, device: torch.device, precision: str) -> World:
    """The processes that torchrun started, this one among them. Raises `TrainError` where they cannot train so."""
    kind = settings.parallel or "ddp"
    if device.type not in ("cpu", "cuda"):
        raise TrainError(f"more than one process trains on cpu or cuda, not on {device.type}: write --device cpu")
    if kind == "fsdp" and precision == "fp16":
        raise TrainError("train: parallel: fsdp trains in fp32 or bf16, not in fp16: write precision: bf16")
    if kind == "fsdp" and settings.optimizer.type == "adafactor":
        raise TrainError(
            "train: parallel: fsdp gives each process some rows of a matrix, and adafactor keeps means over all of its "
            "rows: write parallel: ddp, or optimizer: adamw"
        )
    if device.type == "cuda":
        _take_gpu(device)
    try:
        _meet("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise TrainError(f"the processes that torchrun started do not find each other: {first_line}") from None
    return (Sharded if kind == "fsdp" else Replicated)(device, precision)


def _meet(backend: str) -> None:
    """The process group. torchrun may keep its store when it starts the processes again: each start has keys of its own
    there, or one would look for the addresses of processes that are dead."""
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    own = PrefixStore(f"blockgraph/{start_number()}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=PATIENCE)


def _take_gpu(device: torch.device) -> None:
    count, number = torch.cuda.device_count(), device.index or 0
    if number >= count:
        raise TrainError(
            f"torchrun started a process for GPU {number}, and there are {count}: --nproc-per-node {count}"
        )
    torch.cuda.set_device(device)


class Processes(World):
    """What both ways have in common. Counts and flags go between CPUs, so that no GPU is waited for."""

    def __init__(self, device: torch.device, precision: str) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.device, self.precision = device, precision
        self.rows: Rows = {}  # with shards: which canonical weights each parameter holds

    def __exit__(self, *error: object) -> None:
        if dist.is_initialized() and (error[1] is None or isinstance(error[1], BlockgraphError)):
            # A gloo thread lets go of its last tensors under the interpreter's lock, and whatever collects the group
            # joins that thread with the lock held: it would wait for ever. The thread has its time here.
            time.sleep(SETTLING)
            dist.destroy_process_group()

    def lost(self, error: BaseException) -> bool:
        return isinstance(error, dist.DistError) or re.search(LOST, str(error)) is not None

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * self.size

    def totals(self, counts: dict[str, int]) -> dict[str, int]:
        names = sorted(counts)
        values = torch.tensor([counts[name] for name in names], dtype=torch.int64)
        dist.all_reduce(values)
        return dict(zip(names, values.tolist(), strict=True))

    def summed(self, value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        found = torch.tensor(int(flag))
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found)

    def shared(self, make: Callable[[], T]) -> T:
        """Where `make` fails in the first process, the others end with it: they raise `Followed`."""
        box: list[Any] = [None, None]
        error: BlockgraphError | None = None
        if self.first:
            try:
                box[0] = make()
            except BlockgraphError as found:
                error, box[1] = found, found.exit_code
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        if error is not None:
            raise error
        if box[1] is not None:
            raise Followed(box[1])
        found_value: T = box[0]
        return found_value

    def wait(self) -> None:
        self.any(False)

    def gathered(self, value: Any) -> list[Any]:
        """Each process's value, in the first one; elsewhere nothing."""
        box: list[Any] | None = [None] * self.size if self.first else None
        dist.gather_object(value, box)
        return box or []

    def checkpoints(self, folder: Path, keep: int) -> Checkpoints:
        return SharedCheckpoints(folder, keep, self)

    def random_states(self) -> list[Any]:
        own = random_state.capture()
        return self.gathered(own) or [own]


class Replicated(Processes):
    """DDP: every process has the whole model, and gradients are averaged while they are computed."""

    kind = "ddp"

    def model_for_steps(
        self, model: nn.Module, weights: list[Trained], outputs: frozenset[str], low_rank: LowRank | None
    ) -> tuple[nn.Module, list[Trained], LowRank | None]:
        known = inspect.signature(DistributedDataParallel).parameters
        buffers: dict[str, Any] = {
            "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
        }
        learned = Learned(model, outputs)
        wrapped = DistributedDataParallel(
            learned, find_unused_parameters=learned.leaves_out, gradient_as_bucket_view=True, **buffers
        )
        return wrapped, weights, low_rank

    def part(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        assert isinstance(module, DistributedDataParallel)
        return nullcontext() if last else module.no_sync()


class Sharded(Processes):
    """FSDP2: every process has a share of each tensor, and gathers a layer's when it is computed."""

    kind = "fsdp"

    def model_for_steps(
        self, model: nn.Module, weights: list[Trained], outputs: frozenset[str], low_rank: LowRank | None
    ) -> tuple[nn.Module, list[Trained], LowRank | None]:
        planned, self.rows = sharded_weights(model, weights), rows_of(model)
        shard(model, self.device, self.size, bf16=self.precision == "bf16")
        parameters = dict(model.named_parameters())
        placed = [each.placed(parameters) for each in planned]
        if low_rank is None:
            return model, placed, None
        shared = SharedLowRank(low_rank, model, placed)
        self.rows |= {each.name: [(each.name, 0, len(each.leaf))] for each in shared.small()}
        return model, shared.trained, shared

    def settle(self, model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def whole_model(self, model: nn.Module) -> nn.Module | None:
        """Made for the moment, in main memory: to call the shared one, all processes would have to go on in step."""
        weights = whole_weights(model, keep=self.first)
        if not self.first:
            return None
        made = build(cast("Spec", model.spec), weights_follow=True)
        load_weights(made, weights, Path("the weights that were gathered"))
        return made

    def whole(self, value: torch.Tensor) -> torch.Tensor:
        return whole(value)

    def load_weights(self, model: nn.Module, loaded: Loaded) -> None:
        load_sharded(model, loaded.weights, loaded.folder)

    def load_optimizers(self, optimizers: Optimizers, loaded: Loaded) -> None:
        optimizers.load(load_sharded_state(optimizers, self.rows, loaded))

    def average_state(self, average: Average) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for weight in average.weights:
            parts = by_name(weight, average.means[weight.name])
            if self.first:
                found |= {name: part.cpu() for name, part in parts.items()}
        return found

    def load_average(self, average: Average, state: dict[str, torch.Tensor]) -> None:
        known = [weight for weight in average.weights if state.keys() >= set(weight.names)]
        average.load({weight.name: joined(weight, state) for weight in known})


class Learned(nn.Module):
    """A model without the outputs that nothing is learned from: DDP finds the weights that get no gradient by walking
    back from the outputs."""

    def __init__(self, model: nn.Module, outputs: frozenset[str]) -> None:
        super().__init__()
        self.model, self.outputs = model, outputs
        root = getattr(getattr(model, "definition", None), "root", None)
        self.leaves_out = root is not None and not outputs.issuperset(root.outputs)

    def forward(self, **inputs: torch.Tensor) -> Any:
        result = self.model(**inputs)
        if not isinstance(result, dict):
            return result
        return {name: tensor for name, tensor in result.items() if name in self.outputs}


class SharedCheckpoints(Checkpoints):
    """A run's checkpoints where several processes train: the first writes what it has whole, each its own shards."""

    def __init__(self, folder: Path, keep: int, world: Processes) -> None:
        super().__init__(folder, keep)
        self.world = world

    def recover(self) -> None:
        if self.world.first:
            super().recover()
        self.world.wait()

    def latest(self) -> Loaded | None:
        """The first process verifies; the others read what it found whole."""
        found: list[Loaded | None] = []

        def verified() -> tuple[Path, tuple[str, ...]] | None:
            found.append(super(SharedCheckpoints, self).latest())
            return None if found[0] is None else (found[0].folder, found[0].skipped)

        place = self.world.shared(verified)
        if self.world.first or place is None:
            return found[0] if found else None
        return read_checkpoint(*place)

    def weights(self, model: nn.Module) -> dict[str, torch.Tensor]:
        return whole_weights(model, keep=self.world.first) if self.world.kind == "fsdp" else super().weights(model)

    def save(self, step: int, model: nn.Module, state: dict[str, Any]) -> Path:
        if self.world.kind != "fsdp":
            return super().save(step, model, state) if self.world.first else self.folder / f"step-{step}"
        shards = state.pop("optimizer")
        self._shards, state[SHARDED] = shards, self.world.rows
        if self.world.first:
            return super().save(step, model, state)
        self.kept(model)
        target = self.folder / f"step-{step}"
        self.more_files(aside_of(target))
        return target

    def more_files(self, folder: Path) -> dict[str, FileEntry]:
        """Every process's shards of the optimizer's state."""
        if self.world.kind != "fsdp":
            return {}
        self.world.wait()  # the first process has made the folder
        written = self.world.gathered(write_shards(folder, self._shards, self.world.rank))
        return {name: entry for files in written for name, entry in files.items()}

    def save_start(self, model: nn.Module) -> None:
        """Before the model is shared out: every process has it whole."""
        self.world.shared(lambda: super(SharedCheckpoints, self).save_start(model))

    def save_best(self, step: int, model: nn.Module) -> Path:
        if self.world.first:
            return super().save_best(step, model)
        if self.world.kind == "fsdp":
            self.weights(model)
        return self.folder / BEST
