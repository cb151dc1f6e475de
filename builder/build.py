"""Spec to `nn.Module`: the generated source is run, weights are drawn, the model moves to its device."""

from __future__ import annotations

import linecache
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn

from blockgraph.blocks.canonical import canonical_parameters
from blockgraph.blocks.model import Model
from blockgraph.blocks.reference import Reference
from blockgraph.builder import graph
from blockgraph.builder.analyse import analyse
from blockgraph.builder.describe import describe
from blockgraph.builder.generate import constructed, generate, root_name
from blockgraph.builder.initial import draw
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.specs.load import load_text
from blockgraph.specs.show import show
from blockgraph.specs.spec import InitRule, Spec

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class BuildError(BlockgraphError):
    """The spec is fine, but this model cannot be made here."""


@dataclass(frozen=True)
class Blueprint:
    """All that is needed to build a model again in another process: it pickles, the generated class does not."""

    text: str
    name: str
    plugins: tuple[str, ...]
    device: str
    dtype: torch.dtype | None

    def __call__(self) -> Model:
        diagnostics = Diagnostics()
        spec = load_text(self.text, diagnostics, name=self.name, plugins=self.plugins)
        diagnostics.raise_errors()
        assert spec is not None
        return build(spec, device=self.device, dtype=self.dtype, weights_follow=True)


def build(
    spec: Spec,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    seed: int = 0,
    weights_follow: bool = False,
) -> Model:
    """The model that `spec` describes, with fresh weights drawn from `seed` (the same on every device).

    `weights_follow`: the caller loads weights afterwards, so that `pretrained` vectors need not be known here.
    `device` is cpu, cuda, mps, meta or auto; `dtype` float32 (default) or bfloat16. The global random state is left as
    it was. Raises `SpecError` with every error of the spec, `BuildError` where memory or the device is missing.
    """
    diagnostics = Diagnostics()
    analysed = analyse(spec, diagnostics)
    if analysed is not None and not weights_follow:
        check_buildable(analysed, spec, diagnostics)
    diagnostics.raise_errors()
    if analysed is None:
        raise BuildError(f"{spec.name or 'this file'} has no nodes: it is a library for other files to extend")
    return build_analysed(analysed, spec, device=device, dtype=dtype, seed=seed)


def build_analysed(
    analysed: graph.Model,
    spec: Spec,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    seed: int = 0,
) -> Model:
    """`build` for a spec whose graph is at hand."""
    target = resolve_device(device)
    kind = DTYPES[dtype] if isinstance(dtype, str) else dtype
    check_memory(analysed, target, kind)
    made = load_source(generate(analysed), analysed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with torch.device("meta" if target.type == "meta" else "cpu"):
            model: Model = made()
        if target.type != "meta":
            initialise(model, spec.init)
    model.to(device=target, dtype=kind)
    model.spec = spec
    model.definition = analysed
    model.describe = partial(describe, analysed)
    model.reference = reference_names(spec, analysed)
    model.rebuild = Blueprint(show(spec), spec.name or "model", spec.plugins, str(target), kind)
    return model


def reference_names(spec: Spec, analysed: graph.Model) -> Reference | None:
    """The reference library's names for the inputs and outputs, where `huggingface: inputs:` gives them."""
    section = spec.huggingface
    if section is None or not section.inputs:
        return None
    inputs = {name: (rule.to, bool(rule.transpose)) for name, rule in section.inputs.items()}
    return Reference(inputs, section.outputs, tuple(analysed.root.outputs))


def resolve_device(device: str | torch.device) -> torch.device:
    """`auto` is cuda, else mps, else cpu. Raises `BuildError` for a device that is not here."""
    name = str(device)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        target = torch.device(name)
    except RuntimeError:
        raise BuildError(f"there is no device {name!r}: use auto, cpu, cuda, mps or meta") from None
    missing = (target.type == "cuda" and not torch.cuda.is_available()) or (
        target.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise BuildError(f"PyTorch finds no {target.type} device here: use --device cpu, or auto")
    return target


def check_buildable(analysed: graph.Model, spec: Spec, diagnostics: Diagnostics) -> None:
    """Adds an error for each node that cannot be made from the spec alone."""
    for path, leaf in _leaves(analysed.root, ()):
        reason = leaf.rules.missing(leaf.options)
        if reason is not None:
            diagnostics.error(
                "not-built", reason, spec.place(*path), help="give one: build --tokenizer tokenizer.json; or train it"
            )


def _leaves(definition: graph.Definition, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], graph.Leaf]]:
    found: list[tuple[tuple[str, ...], graph.Leaf]] = []
    for name, call in definition.calls.items():
        here = (*path, "nodes", name)
        for body in {id(step.body): step.body for step in call.steps}.values():
            if isinstance(body, graph.Leaf):
                found.append((here, body))
            else:
                found += _leaves(body, ("blocks", body.name))
    return found


def load_source(source: str, analysed: graph.Model) -> Any:
    """Runs generated source and returns the model's class. Tracebacks show its lines."""
    filename = f"<blockgraph {analysed.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    names: dict[str, Any] = {"__name__": f"blockgraph.generated.{root_name(analysed)}"}
    for name, module in constructed(analysed).items():
        if not isinstance(module, str):
            names[name] = getattr(module, name)
    exec(compile(source, filename, "exec"), names)  # noqa: S102 (our own text: checked names, literals)
    return names[root_name(analysed)]


def initialise(model: nn.Module, rules: Sequence[InitRule]) -> None:
    """Applies `init:`; the first pattern that matches a weight's path wins; the rest stay as their block drew them."""
    if not rules:
        return
    identity = _identity_paths(model)
    for path, weight in canonical_parameters(model).items():
        for rule in rules:
            if fnmatchcase(path, rule.pattern):
                if rule.pattern != "*" or path not in identity:
                    draw(weight.tensor, rule.kind, rule.options, stacked=".experts." in f".{path}")
                break


def _identity_paths(model: nn.Module) -> set[str]:
    """Weights that a lone `*` leaves alone: norms are the identity, a `parameter` has its own init, a router's
    correction is zero."""
    from blockgraph.blocks.experts import Mixture
    from blockgraph.blocks.norms import AddNorm, HeadNorm, LayerNorm, RMSNorm
    from blockgraph.blocks.parameter import Parameter

    kept: set[str] = set()
    for name, module in model.named_modules():
        if isinstance(module, (AddNorm, HeadNorm, LayerNorm, RMSNorm, Parameter)):
            kept |= {f"{name}.{own}" for own, _ in module.named_parameters(recurse=False)}
        if isinstance(module, Mixture):
            kept.add(f"{name}.router.correction")
    return kept


def check_memory(analysed: graph.Model, target: torch.device, dtype: torch.dtype | None) -> None:
    """Refuses a model that this machine's memory cannot hold, before anything is allocated."""
    if target.type == "meta" or not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    need = analysed.parameters * (dtype or torch.float32).itemsize
    if need > have:
        sizes = f"{need / 2**30:,.0f} GiB, and this machine has {have / 2**30:,.0f}"
        message = f"{analysed.name} has {analysed.parameters:,} parameters: {sizes}"
        raise BuildError(f"{message}. Use --device meta to look at it without memory")
