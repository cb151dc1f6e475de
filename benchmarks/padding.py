"""An epoch's positions with batches of like lengths, padding included, over those of plain batches.

Plain batches have as many rows on the average, drawn at random, padded to their longest. A batch of pairs pads each
side for itself.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from recipes import spec_of, train_in
from timing import measured, one_thread, skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="multi30k-de-en")
    parser.add_argument("--data", type=Path, help="the folder that holds the files that the preset names")
    given = parser.parse_args()
    if given.data is None:
        skip(f"{given.preset} learns from files that are not here; give --data FOLDER")
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        lengths, ours = epoch_of(given, Path(folder))
    rows = round(len(lengths) / len(ours))
    order = np.random.default_rng(0).permutation(len(lengths))
    plain = [order[first : first + rows] for first in range(0, len(order), rows)]
    print(f"{len(lengths):,} rows of {lengths.sum():,} positions; {len(ours):,} batches of {rows} rows on the average")
    for name, batches in (("like lengths", ours), ("plain", plain)):
        print(
            f"{name}: {positions(lengths, batches):,}, {positions(lengths, batches) / lengths.sum():.3f} of the texts'"
        )
    measured(positions(lengths, ours) / positions(lengths, plain))


def epoch_of(given: argparse.Namespace, folder: Path) -> tuple[Any, list[Any]]:
    """Lengths [rows, texts], and the rows of each batch of the first epoch as a training has them."""
    from blockgraph.data.feeds import Rows
    from blockgraph.training.run_data import RunData
    from blockgraph.training.trained import open_trained

    sets = ["train.steps=1", "train.evaluate.every=1", "train.checkpoint.every=1"]
    trained = open_trained(train_in(spec_of(given.preset, sets), given.data, folder)[0])
    feed = RunData(trained.run.folder).feed(trained.lesson, trained.settings)
    assert isinstance(feed, Rows)
    return feed.lengths, [feed.numbers(step, 0) for step in range(feed.steps(1))]


def positions(lengths: Any, batches: list[Any]) -> int:
    return sum(int(lengths[rows].max(axis=0).sum()) * len(rows) for rows in batches)


if __name__ == "__main__":
    main()
