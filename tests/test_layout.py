"""The house: folders, links, what each folder may import, what each command may load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

_ALL = ("specs", "blocks", "builder", "viz", "running", "data", "tasks", "training", "cli")
# Which of our folders a folder may import: the arrows of docs/architecture.md.
ARROWS = {
    "specs": {"specs"},
    "blocks": {"blocks"},
    "builder": {"builder", "specs", "blocks"},
    "viz": {"viz", "builder", "specs"},
    "running": {"running", "builder", "specs", "blocks"},
    "data": {"data", "running", "specs"},
    "tasks": {"tasks", "data", "running", "builder", "specs"},
    "training": {"training", "tasks", "data", "running", "builder", "specs", "blocks"},
    "cli": set(_ALL),
}
# Which other packages a folder may import at all, also inside functions.
LIBRARIES = {
    "specs": {"pydantic", "pydantic_core", "yaml"},
    "blocks": {"torch"},
    "builder": {"torch", "networkx", "pydantic"},
    "viz": {"networkx", "pygraphviz", "matplotlib", "numpy", "sphinx", "docutils", "markdown"},
    "running": {"torch", "numpy", "safetensors", "tokenizers"},
    "data": {"numpy", "torch", "tokenizers", "PIL", "datasets"},
    "tasks": {"numpy", "torch", "sacrebleu"},
    "training": {"torch", "numpy", "safetensors", "tokenizers", "matplotlib", "rich"},
    "cli": {"click", "rich", "torch", "safetensors"},
}
HEAVY = {
    "torch",
    "numpy",
    "pydantic",
    "networkx",
    "yaml",
    "rich",
    "matplotlib",
    "pygraphviz",
    "tokenizers",
    "safetensors",
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path, *, inside_functions: bool = True) -> Iterator[str]:
    """Dotted names of what a file imports; `if TYPE_CHECKING:` counts only with `inside_functions`."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            elif inside_functions or not (
                isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            ):
                yield from visit(child)

    return visit(ast.parse(path.read_text("utf-8")))


def ours(name: str) -> str | None:
    """The folder that a dotted name of this project lies in."""
    parts = name.split(".")
    return parts[1] if parts[0] == "blockgraph" and len(parts) > 1 and parts[1] in ARROWS else None


def foreign(name: str) -> str | None:
    """The third-party package of a dotted name."""
    top = name.split(".")[0]
    return None if top == "blockgraph" or top == "__future__" or top in sys.stdlib_module_names else top


def test_folders_links_and_package_map_agree() -> None:
    tools = PROJECT["tool"]["setuptools"]
    folders = {p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name not in ("blockgraph", "tests")}
    assert folders == set(ARROWS)
    assert set(tools["packages"]) == {"blockgraph", *(f"blockgraph.{name}" for name in folders)}
    assert tools["package-dir"] == {f"blockgraph.{name}": name for name in folders}
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == folders


@pytest.mark.skipif(sys.platform == "win32", reason="git makes no links there by default")
@pytest.mark.parametrize("folder", ARROWS)
def test_folder_links_are_relative(folder: str) -> None:
    link = ROOT / "blockgraph" / folder
    if not link.is_symlink() and not link.exists():
        pytest.skip("a copy without links (ZIP): the installed map serves")
    assert os.readlink(link) == f"../{folder}"


def test_files_that_are_no_python_are_packaged() -> None:
    """Anything in a folder that is neither listed nor Python would be missing from the wheel."""
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for folder in ARROWS:
        listed = {path for glob in data.get(f"blockgraph.{folder}", ()) for path in (ROOT / folder).glob(glob)}
        found = {path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert {path for path in found if path.suffix != ".py"} == listed


def test_folders_are_one_level_deep() -> None:
    deeper = [p for folder in ARROWS for p in modules(folder) if p.parent != ROOT / folder]
    assert deeper == []  # a sub-package that pyproject does not list would vanish from the wheel


@pytest.mark.parametrize("folder", ARROWS)
def test_imports_follow_the_arrows(folder: str) -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in modules(folder)
        for name in imports(path)
        if ours(name) not in ARROWS[folder] | {None} or foreign(name) not in LIBRARIES[folder] | {None}
    ]
    assert wrong == []


def test_commands_import_heavy_packages_inside_functions() -> None:
    allowed = {f"blockgraph.{name}" for name in ("specs.diagnostics", "specs.places", "specs.registry")}
    wrong = [
        f"{path.name} imports {name}"
        for path in modules("cli")
        for name in imports(path, inside_functions=False)
        if foreign(name) not in (None, "click")
        or (ours(name) not in (None, "cli") and name.rpartition(".")[0] not in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["places", "diagnostics", "registry"])
def test_foundations_of_specs_need_no_library(module: str) -> None:
    path = ROOT / "specs" / f"{module}.py"
    assert [name for name in imports(path, inside_functions=False) if foreign(name)] == []


def loaded(*arguments: str, cwd: Path = ROOT) -> set[str]:
    """The third-party packages that `python -c …` or `blockgraph …` has loaded when it ends."""
    code = (
        "import sys, atexit\n"
        f"names = {sorted(HEAVY)!r}\n"
        "atexit.register(lambda: print('LOADED', *[n for n in names if n in sys.modules], file=sys.stderr))\n"
        + (
            arguments[1]
            if arguments[0] == "-c"
            else f"sys.argv[1:] = {list(arguments)!r}\nfrom blockgraph.cli.main import main\nmain()"
        )
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded("-c", "import blockgraph; blockgraph.__version__") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["build", "--help"], ["train", "-h"], ["trace", "-h"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert loaded(*arguments) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "gpt2"],
        ["show", "gpt2"],
        ["draw", "gpt2", "-o", "gpt2.svg"],
        ["diff", "gpt2", "gpt2", "-o", "both.svg"],
        ["schema", "gpt2"],
        ["presets"],
        ["blocks", "attention"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_light_commands_never_load_torch(arguments: list[str], tmp_path: Path) -> None:
    assert not loaded(*arguments, cwd=tmp_path) & {"torch", "tokenizers", "safetensors"}


@pytest.mark.parametrize(
    "arguments",
    [["validate", "gpt2"], ["show", "gpt2"], ["draw", "gpt2", "-o", "gpt2.svg"], ["diff", "gpt2", "gpt2"], ["schema"]],
    ids=lambda arguments: arguments[0],
)
def test_light_commands_run_without_torch_installed(arguments: list[str], tmp_path: Path) -> None:
    absent = "import sys; sys.modules.update(dict.fromkeys(['torch', 'tokenizers', 'safetensors']))"
    loaded("-c", f"{absent}\nsys.argv[1:] = {arguments!r}\nfrom blockgraph.cli.main import main\nmain()", cwd=tmp_path)


def test_public_names() -> None:
    import blockgraph

    names = [
        "BlockType",
        "Diagnostic",
        "Model",
        "Port",
        "Spec",
        "SpecError",
        "__version__",
        "build",
        "check",
        "draw",
        "export",
        "from_huggingface",
        "load",
        "quantize",
    ]
    assert sorted(blockgraph.__all__) == names
    assert all(hasattr(blockgraph, name) for name in names)
    assert blockgraph.__version__ == PROJECT["project"]["version"]
