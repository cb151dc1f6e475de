"""A spec as a config.json of the reference library: `huggingface: vars:` the other way round.

A path is written; what an expression computes is searched for among the keys and texts that it names. What comes of it
is completed by the reference library (values that are not said are its own), read back, and must give the same graph.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import isclose
from pathlib import Path
from typing import Any

from blockgraph.builder import graph
from blockgraph.builder.analyse import analyse
from blockgraph.builder.export import with_outputs
from blockgraph.builder.generate import generate
from blockgraph.running.export_files import ExportError, library
from blockgraph.specs.architectures import heads
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.expressions import ExpressionError, is_expression
from blockgraph.specs.huggingface import HuggingFace
from blockgraph.specs.kinds import canonical_activation
from blockgraph.specs.published import spec_of_config, vars_of_config
from blockgraph.specs.spec import Spec

CONFIG = "config.json"
Config = dict[str, Any]
ABSENT = object()
TRIES = 1000  # configs that are looked at before the search ends
THEIRS = {"gelu_tanh": "gelu_new", "identity": "linear"}  # activations that have another name over there


@dataclass(frozen=True)
class Described:
    """What the reference library makes of a config.json: the class, the tensors of its checkpoint (their shapes, in
    its order) and the spec that it is read back as."""

    head: str
    shapes: dict[str, tuple[int, ...]]
    spec: Spec
    analysed: graph.Model


def describe(spec: Spec, analysed: graph.Model, dtype: str, folder: Path) -> Described:
    """Writes `folder`/config.json for a spec. Raises `ExportError` where no class of the reference library is it."""
    section = spec.huggingface
    if section is None or not section.model_type:
        what = "`huggingface:` section with a `model_type`"
        raise ExportError(f"{analysed.name} has no {what}: nothing says which class of the reference library it is")
    candidates = [
        _Candidate(spec, analysed, section, model_type, head, dtype)
        for model_type in section.model_type
        for head in heads(model_type)
        if _is_of(head, model_type)
    ]
    reasons: dict[str, str] = {}
    for candidate in sorted(candidates, key=lambda each: len(each.wrong(each.plain()))):
        found = candidate.describe(folder)
        if isinstance(found, Described):
            return found
        reasons.setdefault(found, candidate.head)
    said = "; ".join(f"{head}: {reason}" for reason, head in list(reasons.items())[:3])
    raise ExportError(f"{analysed.name} is no class of the reference library. {said}")


def _is_of(head: str, model_type: str) -> bool:
    """Whether a class is one of that model type: a preset may draw several types, each with classes of its own."""
    config = getattr(getattr(library("transformers", "huggingface"), head, None), "config_class", None)
    return getattr(config, "model_type", None) == model_type


def reads_as(folder: Path, analysed: graph.Model, names: Mapping[str, Any]) -> tuple[Spec, graph.Model] | str:
    """What `folder`/config.json is read as, where that is the same graph; else what is in the way."""
    diagnostics = Diagnostics()
    spec = spec_of_config(folder / CONFIG, diagnostics, tensors=names)
    back = analyse(spec, diagnostics) if spec is not None else None
    if spec is None or back is None or diagnostics.has_errors:
        return next((each.message for each in diagnostics if each.severity == "error"), "it cannot be read back")
    gone = [name for name in analysed.root.outputs if name not in back.root.outputs]
    if gone:
        return f"it does not give {', '.join(gone)}"
    if computation(back, analysed) != computation(analysed, analysed):
        return _differing(analysed.spec, spec) or "its nodes or their options are others"
    return spec, back


def computation(model: graph.Model, like: graph.Model) -> str:
    """The generated source with the outputs of `like`: two models that have the same compute the same."""
    return generate(replace(with_outputs(model, like.root.outputs), name="model"), imports=False)


def _differing(ours: Spec | None, back: Spec) -> str | None:
    """The vars that config.json does not say as the spec has them."""
    mine = ours.vars if ours is not None else {}
    wrong = [f"{name} = {mine[name]!r} ({back.vars[name]!r})" for name in _wrong(mine, back.vars) if name in back.vars]
    return f"its config.json cannot say {', '.join(wrong)}" if wrong else None


def _wrong(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [name for name, value in wanted.items() if not _alike(found.get(name), value)]


def _alike(found: Any, wanted: Any) -> bool:
    """Whether a value read back is the spec's; parts of a mapping that the spec does not have may be there."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_alike(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, float) and isinstance(found, int | float):
        return isclose(found, wanted, rel_tol=1e-12)
    return bool(canonical_activation(found) == canonical_activation(wanted))


# --- one class --------------------------------------------------------------------------------------------------------


class _Candidate:
    """One class of the reference library, and a spec that may be it."""

    def __init__(
        self, spec: Spec, analysed: graph.Model, section: HuggingFace, model_type: str, head: str, dtype: str
    ) -> None:
        self.spec, self.analysed, self.section, self.head = spec, analysed, section, head
        self.model_type, self.dtype = model_type, dtype
        self.library = library("transformers", "huggingface")
        self.known = self.library.AutoConfig.for_model(model_type)
        self.tries = TRIES

    def describe(self, folder: Path) -> Described | str:
        """Writes the config.json and reads it back; what is in the way, as text."""
        reason = ""
        for config in self.variants():
            self.tries = TRIES
            made = self.made(self.completed(config, self.wrong(config))[0])
            shapes = made if isinstance(made, str) else self.shapes(made)
            if isinstance(shapes, str):
                reason = reason or shapes
                continue
            (folder / CONFIG).write_text(json.dumps(made.to_dict(), indent=2, sort_keys=True) + "\n", "utf-8")
            back = reads_as(folder, self.analysed, shapes)
            return back if isinstance(back, str) else Described(self.head, shapes, *back)
        return reason

    def plain(self) -> Config:
        """The keys that the vars say."""
        config: Config = {}
        for name, raw in self.section.vars.items():
            _say(config, raw, self.spec.vars.get(name, ABSENT), self.known)
        listed: Config = _with_lists(config)
        return listed

    def variants(self) -> Iterator[Config]:
        """The same in the forms that a class may take it: not every key may be null (then the family's own value has to
        do), and a square's sides may have to be one number."""
        config = self.plain()
        filled = {key: value for key, value in config.items() if value is not None}
        yield config
        yield filled
        yield {key: value[0] if _is_square(value) else value for key, value in config.items()}
        yield {key: value[0] if _is_square(value) else value for key, value in filled.items()}

    def completed(self, config: Config, wrong: list[str]) -> tuple[Config, list[str]]:
        """The config with keys that make the wrong vars right, one after the other, and what stays wrong at the best:
        a key that helps one var may be what another needs otherwise, so each choice is taken back where it ends."""
        best = config, wrong
        for name in wrong:
            for more in _guesses(self.section.vars[name], self.spec.vars[name], self.known):
                self.tries -= 1
                less = self.wrong(_and(config, more)) if self.tries > 0 else wrong
                if set(less) < set(wrong):
                    found = self.completed(_and(config, more), less)
                    best = min(best, found, key=lambda each: len(each[1]))
                if not best[1] or self.tries <= 0:
                    return best
        return best

    def wrong(self, config: Config) -> list[str]:
        """The vars that do not come out of a config, completed by the reference library, as the spec has them."""
        made = self.made(config)
        if isinstance(made, str):
            return list(self.section.vars)
        try:
            found = vars_of_config(self.section, made.to_dict())
        except ExpressionError:
            return list(self.section.vars)
        return [name for name in _wrong(self.spec.vars, found) if name in self.section.vars]

    def made(self, config: Config) -> Any:
        """The reference library's config object; why it refuses, as text."""
        rest = {"architectures": [self.head], "dtype": self.dtype, **self._ids(config)}
        try:
            made = self.library.AutoConfig.for_model(self.model_type, **rest | config)
        except Exception as error:  # noqa: BLE001 (each family checks in its own way)
            return _sentence(error)
        return made

    def _ids(self, config: Config) -> Config:
        """Special tokens: those of the spec's first input; the family's own only where the vocabulary has them."""
        first = next(iter(self.analysed.root.inputs.values()))
        size = first.value.vocabulary
        own = {"pad_token_id": first.value.pad, "bos_token_id": first.start, "eos_token_id": first.end}
        there = {
            key: value
            for key, value in self.known.to_dict().items()
            if key.endswith("_token_id") and isinstance(value, int)
        }
        gone: Config = {key: None for key, value in there.items() if size is None or value >= size}
        if "decoder_start_token_id" in gone:
            gone["decoder_start_token_id"] = 0  # it may not be null, and only `generate` reads it
        return gone | {key: value for key, value in own.items() if value is not None}

    def shapes(self, config: Any) -> dict[str, tuple[int, ...]] | str:
        """The tensors of a checkpoint of this class, without those that are tied to another."""
        import torch

        try:
            with torch.device("meta"):
                model = getattr(self.library, self.head)(config)
            state = self._as_saved(model, dict(model.state_dict()))
        except Exception as error:  # noqa: BLE001 (whatever a class finds wrong with its config)
            return _sentence(error)
        tied = set(getattr(model, "all_tied_weights_keys", {}))
        left = tied | set(getattr(model, "_keys_to_ignore_on_save", None) or ())
        return {name: tuple(each.shape) for name, each in state.items() if name not in left}

    def _as_saved(self, model: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The names in a file: the library holds some weights in another form than it saves them."""
        loading = library("transformers.core_model_loading", "huggingface")
        found: dict[str, Any] = loading.revert_weight_conversion(model, state)
        return found


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- vars to keys -----------------------------------------------------------------------------------------------------


def _say(config: Config, raw: Any, value: Any, known: Any) -> None:
    """Writes a var's value at the path that it is read from: of a list, at the first that the class knows."""
    if value is ABSENT:
        return
    if isinstance(raw, dict):
        for key, part in raw.items():
            _say(config, part, value.get(key, ABSENT) if isinstance(value, dict) else ABSENT, known)
        return
    paths = [each for each in (raw if isinstance(raw, list) else [raw]) if _is_path(each)]
    if paths:
        path = next((each for each in paths if hasattr(known, each.partition(".")[0])), paths[0])
        if value is not None or "." not in path:
            _put(config, path, THEIRS.get(value, value) if isinstance(value, str) else value)


def _put(config: Config, path: str, value: Any) -> None:
    *above, last = path.split(".")
    for step in above:
        if not isinstance(config.get(step), dict):
            config[step] = {}
        config = config[step]
    config[last] = value


def _with_lists(config: Any) -> Any:
    """Parts that are called 0, 1, … as a list."""
    if not isinstance(config, dict):
        return config
    parts = {key: _with_lists(value) for key, value in config.items()}
    return list(parts.values()) if list(parts) == [str(number) for number in range(len(parts))] != [] else parts


def _guesses(raw: Any, value: Any, known: Any) -> Iterator[Config]:
    """Values for one or two of the keys that a var's expressions read, as far as the class knows them, by path."""
    texts = [text for text in _leaves(raw) if is_expression(text)]
    found = [path for text in texts for path in re.findall(r"\bconfig\.([A-Za-z_][\w.]*)", text)]
    paths = [path for path in dict.fromkeys(found) if path != "model_type" and hasattr(known, path.partition(".")[0])]
    words = [word for text in texts for word in re.findall(r"'([^']*)'", text)]
    values: list[Any] = [True, False, None, *dict.fromkeys(words)]
    if not isinstance(value, dict) and value not in values:
        values.insert(0, value)
    if type(value) is int:  # frames that are twice the positions
        numbers = {int(number) for text in texts for number in re.findall(r"\b[2-9]\b", text)}
        values += [value // number for number in sorted(numbers) if value % number == 0]
    for count in (1, 2):
        for chosen in combinations(paths, count):
            for given in product(values, repeat=count):
                yield dict(zip(chosen, given, strict=True))


def _is_square(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] == value[1]


def _and(config: Config, more: Config) -> Config:
    """A config with other values at some paths."""
    made = deepcopy(config)
    for path, value in more.items():
        _put(made, path, value)
    return made


def _leaves(raw: Any) -> Iterator[Any]:
    if isinstance(raw, dict | list):
        for part in raw.values() if isinstance(raw, dict) else raw:
            yield from _leaves(part)
    else:
        yield raw


def _is_path(raw: Any) -> bool:
    return isinstance(raw, str) and not is_expression(raw)
