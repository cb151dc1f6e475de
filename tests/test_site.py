"""The documentation's site, built, and the hooks for pre-commit, run as it runs them."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from click.testing import CliRunner, Result

from blockgraph.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
SPEC = "blockgraph: 1\nname: ours\ninputs: {x: {shape: [T, 8]}}\nnodes: {out: {type: linear, width: 3}}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="pip install mkdocs (in the extra 'dev') to build the site")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_has_its_pictures(site: Path) -> None:
    guide, gallery = ((site / name).read_text("utf-8") for name in ("guide.html", "gallery.html"))
    wholes = re.findall(r"^```yaml\nblockgraph: 1\n", (ROOT / "docs/guide.md").read_text("utf-8"), re.MULTILINE)
    assert guide.count('<figure class="blockgraph"><svg') == len(wholes) >= 11
    shown = re.findall(r'<img alt="(\S+) as a diagram" src="(images/presets/[^"]+)"', gallery)
    from blockgraph.specs.presets import names

    assert [name for name, _ in shown] == names() and all((site / file).is_file() for _, file in shown)
    assert '<figure class="blockgraph"><svg' in (site / "documents.html").read_text("utf-8")
    assert not any("blockgraph-error" in page.read_text("utf-8") for page in site.rglob("*.html"))


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    broken = []
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"]*)"', page.read_text("utf-8")):
            path, _ = urldefrag(unquote(target))
            if path and not re.match(r"[a-z]+:|//", path) and page.name != "404.html":
                broken += [] if (page.parent / path).exists() else [f"{page.name}: {target}"]
    assert broken == []


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"<(?:script|img|iframe)[^>]*src=\"(?:https?:)?//|<link[^>]*href=\"(?:https?:)?//")
    assert not any(loaded.search(page.read_text("utf-8")) for page in site.rglob("*.html"))
    assert not any(
        re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", css.read_text("utf-8")) for css in site.rglob("*.css")
    )


@pytest.fixture
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "scripts/site_hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_out_of_the_docs_lead_to_copies(hooks: ModuleType) -> None:
    page = "[a](../examples/x.yaml#L1) [b](guide.md#nodes) [c](#here) [d](https://x.y)\n```\n[e](../z)\n```\n"
    link = hooks.LINK.sub
    moved = hooks.between_fences(page, lambda text: link(lambda found: f"]({hooks.moved('python.md', found)})", text))
    expected = "[a](files/examples/x.yaml#L1) [b](guide.md#nodes) [c](#here) [d](https://x.y)\n```\n[e](../z)\n```\n"
    assert moved == expected
    (found,) = hooks.LINK.finditer("[a](../guide.md)")
    assert hooks.moved("decisions/0001.md", found) == "../guide.md"
    (found,) = hooks.LINK.finditer("[a](docs/guide.md)")
    assert hooks.moved("files/CHANGELOG.md", found) == "../guide.md"


# -- pre-commit ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a hook's entry with what pre-commit appends to it, in a folder with `ours.yaml`."""
    found = {entry["id"]: entry for entry in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
    (tmp_path / "ours.yaml").write_text(SPEC, "utf-8")
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> Result:
        program, *rest = shlex.split(found[name]["entry"])
        assert program == "blockgraph" and found[name]["language"] == "python"
        return CliRunner().invoke(app, [*rest, *arguments])

    return run


def test_the_drawing_hook_keeps_a_picture_in_step(hook: Callable[..., Result]) -> None:
    arguments = ("ours.yaml", "-o", "ours.svg", "--no-shapes")
    assert hook("blockgraph-draw", *arguments).exit_code == 1  # there is none yet
    assert CliRunner().invoke(app, ["draw", *arguments]).exit_code == 0
    assert hook("blockgraph-draw", *arguments).exit_code == 0
    Path("ours.yaml").write_text(SPEC.replace("width: 3", "width: 4"), "utf-8")
    done = hook("blockgraph-draw", *arguments)
    assert done.exit_code == 1 and "ours.svg differs from ours.yaml" in done.output


def test_the_validating_hook_refuses_what_is_wrong(hook: Callable[..., Result]) -> None:
    Path("bad.yaml").write_text(SPEC.replace("width: 3", "width: -3"), "utf-8")
    assert hook("blockgraph-validate", "ours.yaml").exit_code == 0
    done = hook("blockgraph-validate", "ours.yaml", "bad.yaml")
    assert done.exit_code == 2 and "bad.yaml:4:" in done.output


def test_the_documented_configuration_names_the_hooks() -> None:
    text = (ROOT / "docs/documents.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n# \.pre-commit-config\.yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (repo,) = yaml.safe_load(block)["repos"]
    known = [entry["id"] for entry in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))]
    assert [entry["id"] for entry in repo["hooks"]] == known
