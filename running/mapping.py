"""Names of a published checkpoint's tensors to names of our weights, by the rules of `huggingface: tensors:`. No torch.

A rule is written for a module; what its name leaves of a tensor's (`weight`, `bias`, deeper ones) carries over. The
rule that matches the most parts of a name wins; of those the one with the fewest capitals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from blockgraph.specs.expressions import evaluate, is_expression
from blockgraph.specs.huggingface import HuggingFace, TensorRule

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with the names above it joined on: `source` to `targets` (none: such tensors are not needed). `path` is
    where it stands in the YAML."""

    source: Parts
    targets: tuple[Parts, ...]
    transpose: bool
    groups: int | None
    path: tuple[str, ...]

    @property
    def stacked(self) -> list[str]:
        """Capitals that only the source has: each is an axis of the weight."""
        there = {part for target in self.targets for part in target}
        return [part for part in self.source if is_capital(part) and part not in there]

    @property
    def rank(self) -> tuple[int, int]:
        return len(self.source), sum(not is_capital(part) for part in self.source)

    def match(self, name: Parts) -> dict[str, str] | None:
        """What the capitals stand for, where this rule is for that tensor."""
        numbers: dict[str, str] = {}
        if len(name) < len(self.source):
            return None
        for part, given in zip(self.source, name, strict=False):
            number = is_capital(part) and given.isdigit() and numbers.setdefault(part, given) == given
            if part != given and not number:
                return None
        return numbers


@dataclass(frozen=True, slots=True)
class Move:
    """One tensor of the file and the weights that it becomes (none: it is not needed). `index`: its place in weights
    that stack tensors."""

    tensor: str
    rule: Rule
    weights: tuple[str, ...]
    index: tuple[int, ...]


def is_capital(part: str) -> bool:
    """Whether a part of a name stands for a number."""
    return len(part) == 1 and part.isalpha() and part.isupper()


def rules_of(huggingface: HuggingFace, variables: Mapping[str, Any]) -> list[Rule]:
    """All rules, nested ones spelled out, the strongest first. `variables` are what `groups:` reads."""
    found = _below(huggingface.tensors, (), (), ("huggingface", "tensors"), variables)
    return sorted(found, key=lambda rule: rule.rank, reverse=True)


def _below(
    rules: Mapping[str, TensorRule], source: Parts, target: Parts, path: tuple[str, ...], variables: Mapping[str, Any]
) -> Iterator[Rule]:
    for name, rule in rules.items():
        theirs = (*source, *name.split("."))
        ours = tuple((*target, *text.split(".")) for text in _targets(rule, variables))
        groups = evaluate(rule.groups, variables) if rule.groups is not None else None
        yield Rule(theirs, ours, bool(rule.transpose), groups, (*path, name))
        if ours:
            yield from _below(rule.tensors, theirs, ours[0], (*path, name, "tensors"), variables)


def _targets(rule: TensorRule, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths that a rule leads to: as written, or as its expression says; none where that is null."""
    if not is_expression(rule.to[0]):
        return rule.to
    found = evaluate(rule.to[0], variables)
    return () if found is None else (found,) if isinstance(found, str) else tuple(found)


class Mapper:
    """The rules of one section for a model whose `weights` are given; `aliases` are other names of shared ones."""

    def __init__(
        self,
        huggingface: HuggingFace,
        variables: Mapping[str, Any],
        weights: Collection[str],
        aliases: Mapping[str, str],
    ) -> None:
        self.rules = rules_of(huggingface, variables)
        self.prefixes = huggingface.prefix
        self.ignored = huggingface.ignore
        self.weights, self.aliases = weights, aliases

    def ignores(self, name: str) -> bool:
        """Whether a pattern of `ignore:` fits the tensor's name, with or without the prefix."""
        return any(fnmatchcase(each, pattern) for pattern in self.ignored for each in (name, self._short(name)))

    def _short(self, name: str) -> str:
        """The name without the first of the prefixes that it has."""
        return next((name.removeprefix(each) for each in self.prefixes if name.startswith(each)), name)

    def move(self, name: str) -> Move | None:
        """Where a tensor goes; None where no rule is for it. Targets need not exist (see `weight`)."""
        parts = tuple(self._short(name).split("."))
        for rule in self.rules:
            numbers = rule.match(parts)
            if numbers is not None:
                rest = parts[len(rule.source) :]
                targets = tuple(self.weight((*_filled(target, numbers), *rest)) for target in rule.targets)
                return Move(name, rule, targets, tuple(int(numbers[part]) for part in rule.stacked))
        return None

    def weight(self, target: Parts) -> str:
        """The weight that a target means: itself, or with `weight` more or less at its end, or what it is tied to."""
        path = ".".join(target)
        choices = [path, path.removesuffix(".weight"), f"{path}.weight"]
        names = [self.aliases.get(choice, choice) for choice in choices]
        return next((name for name in names if name in self.weights), path)

    def sources(self, weight: str) -> tuple[str, Rule] | None:
        """The tensor that a weight would be read from, and the rule that says so."""
        parts = tuple(weight.split("."))
        best: tuple[str, Rule] | None = None
        longest = 0
        for rule in self.rules:
            for target in rule.targets:
                numbers = _matches(target, parts)
                if numbers is not None and len(target) > longest:
                    rest = parts[len(target) :]
                    best, longest = (".".join((*_filled(rule.source, numbers), *rest)), rule), len(target)
        return best


def _filled(parts: Parts, numbers: Mapping[str, str]) -> Parts:
    return tuple(numbers.get(part, part) if is_capital(part) else part for part in parts)


def _matches(target: Parts, name: Parts) -> dict[str, str] | None:
    return Rule(target, (), False, None, ()).match(name)
