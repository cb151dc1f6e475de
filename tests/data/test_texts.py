import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blockgraph.data import texts
from blockgraph.data.ids import write_ids
from blockgraph.data.texts import LargeTexts, Texts, read_text, texts_of
from blockgraph.data.vocabulary import Wanted, tokenizer_for
from blockgraph.running import tokenizers
from blockgraph.training.errors import TrainError
from blockgraph.training.session import corpus_of
from tests.training.tiny import lesson


def section(train: Any = ("corpus/*.txt",), valid: Any = 0.25, kind: str = "text", test: Any = None) -> SimpleNamespace:
    return SimpleNamespace(type=kind, train=train, valid=valid, test=test)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec" / "corpus").mkdir(parents=True)
    (tmp_path / "spec" / "corpus" / "b.txt").write_text("bbbb")
    (tmp_path / "spec" / "corpus" / "a.txt").write_text("aaaa\n")
    (tmp_path / "spec" / "corpus" / "c.md").write_text("cccc")
    (tmp_path / "outside.txt").write_text("outside")
    return tmp_path / "spec"


def test_globs_are_read_in_order_of_name_and_split_at_the_tail(folder: Path) -> None:
    assert texts_of(section(valid=0.2), folder, None) == Texts("aaaa\nbb", "bb", "a.txt, b.txt")
    assert texts_of(section(["corpus/b.txt", "corpus/*.txt"], 0), folder, None).train == "bbbb\naaaa\n"
    assert texts_of(section(["corpus/a.txt"], ["corpus/c.md"]), folder, None) == Texts("aaaa\n", "cccc", "a.txt")
    assert texts_of(section("corpus/a.txt", None), folder, None).valid == ""
    cut = texts_of(section("corpus/*.txt", 0.2, test=0.1), folder, None)
    assert (cut.train, cut.valid, cut.test) == ("aaaa\nb", "bb", "b")
    assert texts_of(section("corpus/a.txt", 0, test=["corpus/b.txt"]), folder, None).test == "bbbb"


def test_data_replaces_the_paths(folder: Path, tmp_path: Path) -> None:
    assert texts_of(section(valid=0.5), None, folder / "corpus" / "b.txt") == Texts(
        "bb", "bb", str(folder / "corpus" / "b.txt")
    )
    assert texts_of(section(valid=0), None, folder / "corpus").train == "aaaa\nbbbb"
    both = tmp_path / "both"
    both.mkdir()
    (both / "train.txt").write_text("learn")
    (both / "valid.txt").write_text("judge")
    assert texts_of(section(), None, both) == Texts("learn", "judge", str(both))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (section("corpus/*.csv"), r"train: corpus/\*\.csv matches no file in .*--data"),
        (section("nowhere.txt"), "train: nowhere.txt does not exist"),
        (section("corpus"), "train: corpus is not a file"),
        (section("../outside.txt"), "outside the spec's folder .* give it by --data"),
        (section("corpus/../../outside.txt"), "outside the spec's folder"),
        (section("/etc/hostname"), "outside the spec's folder"),
        (section("../*.txt"), "outside the spec's folder"),
        (section("corpus/a.txt", ["corpus/none.txt"]), "valid: corpus/none.txt does not exist"),
        (section("corpus/*.txt", 0.5, test=0.5), "together below 1"),
    ],
)
def test_what_cannot_be_read(folder: Path, data: Any, message: str) -> None:
    with pytest.raises(TrainError, match=message):
        texts_of(data, folder, None)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "corpus" / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(TrainError, match=r"link\.txt leads outside"):
        texts_of(section("corpus/link.txt"), folder, None)


def test_a_spec_without_a_folder_needs_data(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="give --data FILE"):
        texts_of(section(), None, None)
    with pytest.raises(TrainError, match="does not exist"):
        texts_of(section(), None, tmp_path / "nowhere")
    with pytest.raises(TrainError, match=r"holds no \.txt file"):
        texts_of(section(), None, tmp_path)


def test_utf8_only_and_the_byte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"one\ntwo \xe4\n")
    with pytest.raises(TrainError, match=r"latin\.txt:2: not UTF-8 \(byte 0xe4 at offset 8\)"):
        read_text(path)
    path.write_bytes("\ufeffÄ\r\n".encode())
    assert read_text(path) == "Ä\r\n"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("one\n".encode("utf-16"), r"a\.txt is UTF-16, not UTF-8; convert it first: iconv"),
        (b"\x1f\x8b\x08\0", r"a\.txt is packed \(gzip\); unpack it first"),
        (b"one\ntwo\nth\0ree\n", r"a\.txt:3: a NUL character \(offset 10\): is it text\?"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_what_is_no_text_is_named(
    raw: bytes, message: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_bytes(raw)
    if large:
        monkeypatch.setattr(texts, "LARGE", 0)
    with pytest.raises(TrainError, match=message):
        texts_of(section(), None, tmp_path / "a.txt")


def test_the_hash_knows_where_one_text_ends() -> None:
    assert Texts("ab", "c").sha256 != Texts("a", "bc").sha256
    assert Texts("a", "b", "here").sha256 == Texts("a", "b", "there").sha256


@pytest.mark.parametrize("kind", ["bytes", "characters", "words", "bpe", "byte_bpe", "wordpiece", "unigram"])
def test_texts_that_are_not_held_have_the_same_ids(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    lines = [" ".join(draw.choice(["the", "cat", "sät", "猫", "on", "", "\t"]) for _ in range(9)) for _ in range(300)]
    (tmp_path / "a.txt").write_text("\n".join(lines[:150]), "utf-8-sig")
    (tmp_path / "b.txt").write_text("\r\n".join(lines[150:]) + "\n\n", "utf-8", newline="")
    monkeypatch.setattr(tokenizers, "PIECE", 400)
    held = texts_of(section(("*.txt",), 0.2, test=0.1), tmp_path, None)
    monkeypatch.setattr(texts, "LARGE", 0)
    monkeypatch.setattr(texts, "BLOCK", 100)
    monkeypatch.setattr(texts, "PIECE", 400)
    large = texts_of(section(("*.txt",), 0.2, test=0.1), tmp_path, None)
    assert isinstance(held, Texts) and isinstance(large, LargeTexts)
    assert large.sha256 == held.sha256 and large.origin == held.origin and large.splits == held.splits
    assert all("".join(large.pieces(split)) == getattr(held, split) for split in held.splits)
    made = [
        tokenizer_for(SimpleNamespace(type=kind, size=None), corpus_of(source, lesson()), Wanted(300), None)
        for source in (held, large)
    ]
    if kind != "unigram":  # whose training in the library is not the same every time
        assert made[0].to_json() == made[1].to_json()
    counts = {
        source: [write_ids(tmp_path / f"{source}.{split}", (held if source == "held" else large).pieces(split), made[0])
                 for split in held.splits]
        for source in ("held", "large")
    }  # fmt: skip
    assert counts["held"] == counts["large"] and len(list(large.pieces("train"))) > 5
    for split in held.splits:
        assert (tmp_path / f"held.{split}").read_bytes() == (tmp_path / f"large.{split}").read_bytes()


def test_large_texts_may_have_files_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "LARGE", 0)
    found = texts_of(section(["corpus/a.txt"], ["corpus/c.md"]), folder, None)
    assert "".join(found.pieces("train")) == "aaaa\n" and "".join(found.pieces("valid")) == "cccc"  # type: ignore[union-attr]
    (folder / "corpus" / "a.txt").write_bytes(b"a\nb\xff")
    with pytest.raises(TrainError, match=r"a\.txt:2: not UTF-8"):
        texts_of(section(["corpus/a.txt"]), folder, None)
