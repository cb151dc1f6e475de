"""The generated source as one file that stands alone: the blocks' own source in front, importing only torch."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from blockgraph.builder.generate import TORCH_IMPORTS, constructed, generate, root_name
from blockgraph.builder.graph import Model

PACKAGE = "blockgraph.blocks."


def export_source(model: Any, weights: str | None = None) -> str:
    """Python source of a built model (or of an analysed one): `MODEL_CLASS()` in it has the same weights' names and the
    same forward. `weights` is a safetensors file beside it, which its first lines then say how to load; without one,
    `load_state_dict` takes what `blockgraph build --save` wrote."""
    analysed: Model = getattr(model, "definition", model)
    reference = getattr(model, "reference", None)
    if reference is not None:
        analysed = with_outputs(analysed, reference.own)
    modules = ["blockgraph.blocks.model"]
    parts: list[str] = []
    for module in dict.fromkeys(constructed(analysed).values()):
        if isinstance(module, str) and module.startswith(PACKAGE):
            modules.append(module)
        else:
            parts.append(_plugin_source(module))
    inlined = [_body(module) for module in _in_order(modules)]
    imports = sorted(
        {line for text in [*inlined, *parts] for line in _imports(text)} | set(TORCH_IMPORTS), key=_import_order
    )
    code = [_without_imports(text) for text in [*inlined, *parts]]
    return "\n\n\n".join(
        [
            _head(model, analysed, weights) + "\n\nfrom __future__ import annotations\n\n" + "\n".join(imports),
            *code,
            generate(analysed, imports=False),
        ]
    )


def with_outputs(analysed: Model, names: Collection[str]) -> Model:
    """The same graph, giving only these of its outputs."""
    outputs = {name: output for name, output in analysed.root.outputs.items() if name in names}
    root = replace(analysed.root, outputs=outputs)
    definitions = [root if each is analysed.root else each for each in analysed.definitions]
    return replace(analysed, root=root, definitions=definitions)


def _head(model: Any, analysed: Model, weights: str | None) -> str:
    made = f"{root_name(analysed)}()"
    first = f"{analysed.name}, exported by blockgraph: needs only torch. `{made}` is the model."
    if weights is None:
        return f'"""{first}"""'
    lines = ["from safetensors.torch import load_file", f"model = {made}"]
    kind = next((str(weight.dtype) for weight in model.parameters() if weight.is_floating_point()), "torch.float32")
    if kind != "torch.float32":
        lines.append(f"model.to({kind})")
    lines += [f"model.load_state_dict(load_file({weights!r}))", "model.eval()"]
    text = "\n".join(f"    {line}" for line in lines)
    return f'"""{first}\n\nIts weights lie beside it:\n\n{text}\n"""'


def _in_order(modules: list[str]) -> list[str]:
    """The modules and what they import of the blocks, imported ones first."""
    order: dict[str, None] = {}

    def visit(module: str) -> None:
        if module not in order:
            for needed in _needs(_body(module)):
                visit(needed)
            order[module] = None

    for module in modules:
        visit(module)
    return list(order)


def _needs(source: str) -> Iterator[str]:
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(PACKAGE):
            yield statement.module or ""


def _body(module: str) -> str:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(module)
    return Path(found.origin).read_text(encoding="utf-8")


def _plugin_source(module: Any) -> str:
    """A plugin's file, whole: its classes may use each other."""
    return _body(module) if isinstance(module, str) else inspect.getsource(module)


def _imports(source: str) -> Iterator[str]:
    """The import lines that the file needs: all but those of blockgraph and of the future."""
    for statement in ast.parse(source).body:
        outside = isinstance(statement, ast.Import) or (isinstance(statement, ast.ImportFrom) and not _ours(statement))
        if outside:
            yield ast.unparse(statement)


def _ours(statement: ast.ImportFrom) -> bool:
    return (statement.module or "").startswith("blockgraph") or statement.module == "__future__"


def _without_imports(source: str) -> str:
    """The source below its docstring and imports."""
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if docstring or isinstance(statement, (ast.Import, ast.ImportFrom)):
            for number in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines[number] = "\0"
    return "\n".join(line for line in lines if line != "\0").strip("\n")


def _import_order(line: str) -> tuple[bool, bool, str]:
    return ("torch" in line, line.startswith("from"), line)
