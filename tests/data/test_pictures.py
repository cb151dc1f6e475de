"""Pictures and arrays: folders, NumPy files, pixels in a table; how they are varied."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blockgraph.data.arrays import Arrays
from blockgraph.data.batch import Batch
from blockgraph.data.errors import TrainError
from blockgraph.data.images import Images, picture
from blockgraph.data.records import Record, Records, RowError
from blockgraph.data.tables import Layout, Table
from blockgraph.tasks.labels import Classification
from blockgraph.tasks.losses import cross_entropy
from blockgraph.tasks.pictures import Levels, NumbersInput
from blockgraph.tasks.task import Tools
from blockgraph.tasks.varying import Moved, Transformed, transformed

PIL = pytest.importorskip("PIL.Image")


def values(data: Records, split: str = "train") -> list[Any]:
    return [dict(row.values) if isinstance(row, Record) else str(row) for row in data.rows(split)]


def save(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.fromarray(np.asarray(array, np.uint8)).save(path)


def test_folders_are_classes_and_shares_are_pictures(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / "train" / ("cat" if number % 2 else "dog") / f"{number}.png", np.full((4, 4), number))
    (tmp_path / "train" / "notes.txt").write_text("no picture")
    data = Images(tmp_path / "train", 0.2)
    rows = values(data) + values(data, "valid")
    assert len(values(data, "valid")) == 2 and not data.has("test")
    assert {(row["image"].name, row["label"]) for row in rows} == {
        (f"{number}.png", "cat" if number % 2 else "dog") for number in range(10)
    }
    before = data.sha256
    save(tmp_path / "train" / "cat" / "1.png", np.full((4, 4), 200))
    assert Images(tmp_path / "train", 0.2).sha256 != before
    with pytest.raises(TrainError, match="holds no folder with pictures"):
        Images(tmp_path / "train" / "cat")


def test_a_picture_is_scaled_to_cover_and_cut_in_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 255
    save(tmp_path / "w.png", wide)
    assert picture(tmp_path / "w.png", 1, 4, 4).min() > 200  # the middle third
    colours = picture(tmp_path / "w.png", 3, 4, 6)
    assert colours.shape == (3, 4, 6) and colours.dtype == np.uint8 and (colours[0] == colours[2]).all()
    (tmp_path / "bad.png").write_bytes(b"\x89PNG none")
    with pytest.raises(RowError, match=r"bad\.png cannot be read as a picture"):
        picture(tmp_path / "bad.png", 3, 4, 4)


def test_arrays_of_a_numpy_file(tmp_path: Path) -> None:
    x = np.arange(24.0).reshape(6, 2, 2)
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["no", "yes"] * 3), short=np.zeros(2))
    data = Arrays([tmp_path / "a.npz"], ["x", "y"], 0.4)
    rows = values(data) + values(data, "valid")
    assert len(values(data)) == 4 and sorted(float(row["x"].sum()) for row in rows) == sorted(x.sum((1, 2)).tolist())
    assert {row["y"] for row in rows} == {"no", "yes"}
    with pytest.raises(TrainError, match="has no array 'z'; there is x, y, short"):
        Arrays([tmp_path / "a.npz"], ["z"])
    with pytest.raises(TrainError, match="these are x 6, short 2"):
        Arrays([tmp_path / "a.npz"], ["x", "short"])


def test_python_objects_are_never_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}, {}], dtype=object))
    with pytest.raises(TrainError, match="cannot be read as a NumPy file"):
        Arrays([tmp_path / "a.npz"], ["x"])
    np.save(tmp_path / "a.npy", np.array([{}, {}], dtype=object))
    with pytest.raises(TrainError, match="cannot be read as a NumPy file"):
        Arrays([tmp_path / "a.npy"], ["x"])


def test_a_file_for_each_array(tmp_path: Path) -> None:
    for name, count in (("x_train", 6), ("y_train", 6), ("x_test", 2), ("y_test", 2), ("short", 1)):
        np.save(tmp_path / f"{name}.npy", np.arange(count))
    paths = {path.stem: path for path in tmp_path.glob("*.npy")}
    train, test = ([paths[f"{side}_{split}"] for side in "xy"] for split in ("train", "test"))
    data = Arrays(train, ["x_train", "y_train"], 0.2, test)
    assert len(values(data)) == 5 and values(data, "test") == [{"x_train": n, "y_train": n} for n in range(2)]
    assert (
        data.sha256 != Arrays(train, ["x_train", "y_train"], 0.2).sha256 and data.origin == "x_train.npy, y_train.npy"
    )
    assert values(Arrays([paths["short"]], ["image"])) == [{"image": 0}]  # a lone one is what is wanted
    with pytest.raises(TrainError, match=r"1 files \(short\.npy\), and train has 2"):
        values(Arrays(train, ["x_train", "y_train"], [paths["short"]]), "valid")
    with pytest.raises(TrainError, match="these are x_train 6, short 1"):
        Arrays([paths["x_train"], paths["short"]], ["x_train", "short"])
    with pytest.raises(TrainError, match="is one array, and x, y are wanted"):
        Arrays([paths["short"]], ["x", "y"])
    paths["short"].rename(tmp_path / "short.npz")
    with pytest.raises(TrainError, match="is one array: name it"):
        Arrays([tmp_path / "short.npz"], ["x"])


def test_a_column_a_pixel_in_natural_order(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("".join(",".join(map(str, [*range(n, n + 12), n])) + "\n" for n in range(3)))
    table = Table([tmp_path / "d.csv"], Layout(("p*", "label"), ("p*", "label")))
    part = NumbersInput("image", ("p*",), (1, 3, 4))
    found = [part.columns(Tools(8))[0].encode(row) for row in values(table)]
    assert [one.reshape(-1).tolist() for one in found] == [list(map(float, range(n, n + 12))) for n in range(3)]
    assert [row["label"] for row in values(table)] == ["0", "1", "2"]
    (tmp_path / "n.csv").write_text("p10,label,p2\n10,a,2\n")
    assert values(Table([tmp_path / "n.csv"], ["p*"])) == [{"p*": ["2", "10"]}]
    (tmp_path / "n.jsonl").write_text('{"p10": 10, "p2": 2}\n')
    assert values(Table([tmp_path / "n.jsonl"], ["p*"])) == [{"p*": [2, 10]}]


def test_a_table_may_name_pictures(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.full((2, 2), 7))
    (tmp_path / "t.csv").write_text("file,text\nin/a.png,a cat\n../b.png,none\n")
    rows = values(Table([tmp_path / "t.csv"], Layout(("file", "text"), pictures=("file",))))
    assert rows[1] == "t.csv:3: ../b.png is outside the folder of t.csv"
    part = NumbersInput("image", ("file",), (1, 2, 2))
    assert part.is_picture and part.columns(Tools(8))[0].encode(rows[0]).tolist() == [[[7, 7], [7, 7]]]


def test_levels() -> None:
    x = torch.tensor([[[[0.0, 255.0]], [[51.0, 102.0]]]])
    found = Levels(255.0, (0.5, 0.2), (0.5, 0.1)).applied(x)
    assert torch.allclose(found, torch.tensor([[[[-1.0, 1.0]], [[0.0, 2.0]]]]), atol=1e-6)
    assert torch.equal(Levels(5.0).applied(x[:, 0, 0]), torch.tensor([[0.0, 51.0]]))


def test_pictures_are_varied_by_the_random_numbers_alone() -> None:
    part = NumbersInput("image", ("x",), (1, 5, 5), Levels(1.0, (2.0,)), Moved((1, 1), flip=True))
    dot = np.zeros((1, 5, 5), np.float32)
    dot[0, 2, 1] = 9.0

    def drawn(seed: int) -> torch.Tensor:
        batch = Batch()
        part.add({"image": [dot] * 300}, batch, Tools(8))
        part.vary(batch, np.random.default_rng(seed))
        return batch.inputs["image"]

    found = drawn(0)
    assert torch.equal(found, drawn(0)) and not torch.equal(found, drawn(1))
    assert ((found == 7.0).sum((1, 2, 3)) == 1).all() and ((found == -2.0).sum((1, 2, 3)) == 24).all()
    places = {(int(y), int(x)) for _, _, y, x in (found == 7.0).nonzero()}
    assert places == {(y, x) for y in (1, 2, 3) for x in (0, 1, 2, 3, 4)}  # 1 ± 1, or mirrored 3 ± 1


def one(value: float) -> torch.Tensor:
    return torch.tensor([value])


def test_turned_zoomed_and_moved() -> None:
    x, still, same = torch.randn(1, 2, 6, 6), torch.zeros(2, 1), one(1.0)
    assert torch.allclose(transformed(x, one(0.0), same, still), x, atol=1e-6)
    assert torch.allclose(transformed(x, one(math.pi / 2), same, still), x.rot90(1, (2, 3)), atol=1e-5)
    wide = torch.randn(1, 1, 4, 7)
    assert torch.allclose(transformed(wide, one(math.pi), same, still), wide.flip(2, 3), atol=1e-5)
    moved = transformed(wide, one(0.0), same, torch.tensor([[1.0], [-2.0]]))
    assert torch.allclose(moved[..., 1:, :5], wide[..., :3, 2:], atol=1e-5)
    assert moved[..., :1, :].abs().max() < 1e-5 > moved[..., 5:].abs().max()
    half = transformed(wide, one(0.0), same, torch.tensor([[0.0], [0.5]]))
    assert torch.allclose(half[..., 1:], (wide[..., 1:] + wide[..., :-1]) / 2, atol=1e-5)
    square = torch.zeros(1, 1, 8, 8)
    square[..., 2:6, 2:6] = 1
    assert (transformed(square, one(0.0), one(2.0), still).mean() / square.mean()).item() == pytest.approx(4, rel=0.15)
    turned_then_moved = transformed(x, one(math.pi / 2), same, torch.tensor([[1.0], [0.0]]))
    assert torch.allclose(turned_then_moved[..., 1:, :], x.rot90(1, (2, 3))[..., :-1, :], atol=1e-5)


def test_a_turn_on_a_wide_picture_keeps_its_angles() -> None:
    """A vertical bar in the middle of a wide picture becomes a horizontal one of the same length."""
    x = torch.zeros(1, 1, 7, 21)
    x[..., 2:5, 10] = 1
    found = transformed(x, one(math.pi / 2), one(1.0), torch.zeros(2, 1))
    expected = torch.zeros_like(x)
    expected[..., 3, 9:12] = 1
    assert torch.allclose(found, expected, atol=1e-4)


def test_affine_draws_within_its_bounds() -> None:
    dots = torch.zeros(400, 1, 21, 21)
    dots[..., 10, 10] = 1
    found = Transformed(degrees=0, zoom=0.0, pixels=1.5).applied(dots, np.random.default_rng(0))
    places = torch.arange(21.0)
    rows, columns = (found.sum((1, axis)) @ places - 10 for axis in (3, 2))
    for move in (rows, columns):
        assert move.abs().max() <= 1.5 + 1e-4 and move.min() < -1.3 and move.max() > 1.3
    assert torch.equal(found, Transformed(0, 0.0, 1.5).applied(dots, np.random.default_rng(0)))
    dots = torch.zeros(400, 1, 21, 21)
    dots[:, :, 10, 18] = 1  # eight to the right of the middle
    turned = Transformed(degrees=30, zoom=0.0, pixels=0).applied(dots, np.random.default_rng(0))
    angles = torch.atan2(10 - turned.sum((1, 3)) @ places / turned.sum((1, 2, 3)), torch.tensor(8.0)).rad2deg()
    assert angles.abs().max() < 30 and angles.min() < -20 and angles.max() > 20  # of a chord: a little less
    zoomed = Transformed(degrees=0, zoom=0.25, pixels=0).applied(dots, np.random.default_rng(0))
    reach = zoomed.sum((1, 2)) @ places / zoomed.sum((1, 2, 3)) - 10
    assert 5.5 < reach.min() < 6.5 and 9.5 < reach.max() < 10.5  # 8 · 0.75 and 8 · 1.25


def test_mixup_mixes_rows_and_their_targets_alike() -> None:
    task = Classification("classification", "logits", classes=3, mixup=0.5)
    batch = Batch({"x": torch.eye(3)[torch.arange(60) % 3]}, {"classification": torch.arange(60) % 3}, {}, 60)
    task.vary(batch, np.random.default_rng(0))
    targets = batch.targets["classification"]
    assert torch.allclose(batch.inputs["x"], targets) and torch.allclose(targets.sum(1), torch.ones(60))
    assert float((targets.max(1).values < 0.9).float().mean()) > 0.1
    logits = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    by_hand = -(targets * logits.log_softmax(-1)).sum()
    assert float(cross_entropy(logits, targets)) == pytest.approx(float(by_hand), rel=1e-5)


def test_grey_levels_of_16_bits_keep_their_shades(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    PIL.fromarray(levels).save(tmp_path / "deep.png")
    assert picture(tmp_path / "deep.png", 1, 4, 4)[0].tolist() == (levels / 257).round().tolist()


def test_numbers_that_are_none_are_bad_rows() -> None:
    column = NumbersInput("x", ("x",), (2,)).columns(Tools(8))[0]
    assert column.encode({"x": ["1", 2]}).tolist() == [1, 2]
    for value in ([1, float("nan")], [1, 1e39], ["inf", "1"], [1, 1j], [1], [[1], [2, 3]], "a"):
        with pytest.raises(RowError, match=r"x holds nan|x is no array of numbers"):
            column.encode({"x": value})


def test_numpy_files_that_are_broken_say_so(tmp_path: Path) -> None:
    for raw in (b"", b"hello" * 20, pickle.dumps({"x": 1}), b"PK\x03\x04" + bytes(50)):
        (tmp_path / "d.npz").write_bytes(raw)
        with pytest.raises(TrainError, match=r"d\.npz cannot be read as a NumPy file: (?!.*allow_pickle)"):
            Arrays([tmp_path / "d.npz"], ["x"])
