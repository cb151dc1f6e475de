"""The generated source as one file that stands alone: the blocks' own source in front, importing only torch."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blockgraph.builder.generate import TORCH_IMPORTS, constructed, generate, root_name
from blockgraph.builder.graph import Model

PACKAGE = "blockgraph.blocks."


def export_source(model: Any) -> str:
    """Python source of a built model (or of an analysed one): `MODEL_CLASS()` in it has the same weights' names and the
    same forward. Load weights that `blockgraph build --save` wrote with `load_state_dict`."""
    analysed: Model = getattr(model, "definition", model)
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
    head = f'"""{analysed.name}, exported by blockgraph: needs only torch. `{root_name(analysed)}()` is the model."""'
    code = [_without_imports(text) for text in [*inlined, *parts]]
    return "\n\n\n".join(
        [
            head + "\n\nfrom __future__ import annotations\n\n" + "\n".join(imports),
            *code,
            generate(analysed, imports=False),
        ]
    )


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
