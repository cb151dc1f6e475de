"""What is said of the training data before it is learned from."""

from __future__ import annotations

from pathlib import Path

from blockgraph.data.examples import Examples, write_examples
from blockgraph.data.feeds import Measure, Rows, Windows
from blockgraph.data.records import Record
from blockgraph.data.vocabulary import Corpus, Wanted, tokenizer_for
from blockgraph.running.specials import specials_of
from blockgraph.specs.train import WordsTokenizer
from blockgraph.tasks.inputs import TextInput
from blockgraph.tasks.labels import Classification
from blockgraph.tasks.language import CausalLM
from blockgraph.tasks.lesson import Lesson
from blockgraph.tasks.task import Tools
from blockgraph.training.notes import notes_on

CORPUS = Corpus(lambda: ["a b c " * 9], lambda: ["a b c"], "texts")
WORDS = tokenizer_for(WordsTokenizer(), CORPUS, Wanted(9, ("pad", "start", "end")), None)
UNKNOWN = (
    "% of the training ids stand for what the tokenizer does not know: a larger size knows more, "
    "and byte_bpe and bytes know everything"
)


def rows(folder: Path, *texts: str) -> list[str]:
    labels = {"classification": ("x",)}
    tools = Tools(4, WORDS, specials_of(WORDS), labels)
    lesson = Lesson((Classification("classification", "logits"),), (TextInput("tokens", ("text",)),), tools)
    records = [Record(f"t:{n}", {"text": text, "label": "x"}) for n, text in enumerate(texts)]
    (folder / "d").mkdir()
    count, bad = write_examples(folder / "d", "train", records, lesson.columns())
    assert (count, bad) == (len(texts), [])
    examples = Examples(folder / "d", "train", lesson.columns(), count)
    return list(notes_on(Rows(examples, examples.lengths("tokens"), Measure(2, None), 1, 0, lesson.collate), lesson))


def test_rows_that_were_cut_unknown_words_and_a_single_class(tmp_path: Path) -> None:
    assert rows(tmp_path, "a", "a b c", "a z c a b") == [
        "2 of 3 training rows fill batch: length: 4; longer texts are cut there",
        f"9.1{UNKNOWN}",
        "careful: every training row has the same class (x): there is nothing to learn for classification",
    ]


def test_running_text() -> None:
    lesson = Lesson((CausalLM("causal_lm", "logits"),), (), Tools(4, WORDS), stream=True)
    for text, said in (("a b c a b c", 0), ("a b zzz a b c", 1)):
        feed = Windows(WORDS.encode(text), 2, 4, 1, 0, lesson.collate)
        notes = list(notes_on(feed, lesson))
        assert len(notes) == said and all(note.startswith("17% of the training ids") for note in notes)
