from blockgraph.data.demo import LONG, demo_text


def test_the_text_that_python_carries() -> None:
    train, valid = demo_text()
    assert demo_text() == (train, valid)
    assert len(train) > 200_000 and 5_000 < len(valid) < len(train) / 10
    characters = set(train + valid)
    assert len(characters) <= 128 and characters <= set(map(chr, range(32, 127))) | {"\n"}


def test_repeats_and_table_rules_are_gone() -> None:
    train, valid = demo_text()
    paragraphs = [" ".join(p.split()) for p in (train + "\n\n" + valid).split("\n\n")]
    long = [p for p in paragraphs if len(p) >= LONG]
    assert len(long) == len(set(long))
    rules = [line for line in (train + valid).split("\n") if len(line) > 10 and not line.strip("+-=|*~ ")]
    assert rules == []
    assert '| "(" [target_list] ")"' in train  # a line of grammar is no rule


def test_what_is_judged_was_not_learned() -> None:
    train, valid = demo_text()
    learned = {" ".join(p.split()) for p in train.split("\n\n")}
    assert not [p for p in valid.split("\n\n") if len(p) >= LONG and " ".join(p.split()) in learned]
