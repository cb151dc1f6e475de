"""What a training knows of the processes that it is made of: here there is one. `distributed.py` has the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from torch import nn

from blockgraph.running.weights import load_weights
from blockgraph.training import random_state
from blockgraph.training.checkpoints import Checkpoints, Loaded
from blockgraph.training.errors import TrainError
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import Trained
from blockgraph.training.sharded_state import whole_state

if TYPE_CHECKING:
    from blockgraph.training.average import Average
    from blockgraph.training.low_rank import LowRank

T = TypeVar("T")


class World:
    """One process that does everything. Every method is what several processes have to agree on or share."""

    rank: int = 0
    size: int = 1
    kind: str | None = None  # how the model is shared: ddp, fsdp; None: one process has it

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.rank == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the others."""

    def lost(self, error: BaseException) -> bool:
        """Whether that is what the end of another process looks like here."""
        return False

    # -- the steps -----------------------------------------------------------------------------------------------------

    def parts(self, accumulate: int) -> range:
        """Which of a step's parts are this process's."""
        return range(self.rank, accumulate, self.size)

    def check_parts(self, accumulate: int) -> None:
        """Raises `TrainError` where a step's parts cannot be shared evenly."""
        if accumulate % self.size:
            *some, most = (str(size) for size in range(1, accumulate + 1) if accumulate % size == 0)
            fit = f"{', '.join(some)} or {most}" if some else most
            raise TrainError(
                f"this run's steps have {accumulate} part{'s' if accumulate > 1 else ''}, which {self.size} processes "
                f"cannot share evenly: go on with {fit}"
            )

    def model_for_steps(
        self, model: nn.Module, weights: list[Trained], outputs: frozenset[str], low_rank: LowRank | None
    ) -> tuple[nn.Module, list[Trained], LowRank | None]:
        """The module whose calls are learned from (from these outputs), what the optimizers update, and the low-rank
        updates among that."""
        return model, weights, low_rank

    def part(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a part; after the `last` one the gradients are those of all processes."""
        return nullcontext()

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go back from: gradients are averaged over the processes, and are to be summed."""
        return loss

    def settle(self, model: nn.Module) -> None:
        """After weights were changed outside of a step: nothing goes on with what it has gathered of them."""

    def whole_model(self, model: nn.Module) -> nn.Module | None:
        """A model that the first process can call alone, with the weights as they are now; every process must ask."""
        return model

    # -- agreeing ------------------------------------------------------------------------------------------------------

    def totals(self, counts: dict[str, int]) -> dict[str, int]:
        """Each count, summed over the processes."""
        return counts

    def summed(self, value: torch.Tensor) -> torch.Tensor:
        """A number on the device, summed over the processes."""
        return value

    def whole(self, value: torch.Tensor) -> torch.Tensor:
        """A number that is computed from shares of tensors."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether it is so in one of the processes."""
        return flag

    def shared(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them."""
        return make()

    def wait(self) -> None:
        """Until every process is here."""

    # -- what a checkpoint holds ---------------------------------------------------------------------------------------

    def checkpoints(self, folder: Path, keep: int) -> Checkpoints:
        return Checkpoints(folder, keep)

    def random_states(self) -> list[Any]:
        """Each process's random states, this one's first; those of the others where this is the first."""
        return [random_state.capture()]

    def seed(self, seed: int, step: int = 0) -> None:
        """Draws in every process are its own; those of one process that begins are the seed's."""
        if self.size > 1 or step:
            seed = int(np.random.SeedSequence((seed, step, self.size, self.rank)).generate_state(1)[0])
        random_state.seed_all(seed)

    def restore_random(self, states: Sequence[Any], seed: int, step: int) -> bool:
        """Puts back what this process had; false where there were more or fewer, and draws begin anew instead."""
        if len(states) == self.size:
            random_state.restore(states[self.rank])
            return True
        self.seed(seed, step)
        return False

    def load_weights(self, model: nn.Module, loaded: Loaded) -> None:
        load_weights(model, loaded.weights, loaded.folder)

    def average_state(self, average: Average) -> dict[str, torch.Tensor]:
        """The average, by canonical name; only the first process need have it."""
        return average.state()

    def load_average(self, average: Average, state: dict[str, torch.Tensor]) -> None:
        average.load(state)

    def load_optimizers(self, optimizers: Optimizers, loaded: Loaded) -> None:
        optimizers.load(whole_state(loaded.folder, loaded.state))
