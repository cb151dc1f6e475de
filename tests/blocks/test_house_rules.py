"""What every block promises: exportable source, documented, initialised after `to_empty`, printable, copyable."""

from __future__ import annotations

import ast
import copy
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import blockgraph.blocks
from blockgraph.blocks.activations import Activation
from blockgraph.blocks.attention import Attention
from blockgraph.blocks.conv1d import Conv1d
from blockgraph.blocks.disentangled_attention import DisentangledAttention
from blockgraph.blocks.elementwise import Add, Blank, Dropout, Equal, Multiply, Scale, Softcap, Squeeze
from blockgraph.blocks.embedding import Embedding
from blockgraph.blocks.experts import Mixture
from blockgraph.blocks.feed_forward import FeedForward
from blockgraph.blocks.grid_bias import GridBias
from blockgraph.blocks.joining import Concat, Split
from blockgraph.blocks.latent_attention import LatentAttention
from blockgraph.blocks.linear import Linear, TiedLinear
from blockgraph.blocks.linear_attention import LinearAttention
from blockgraph.blocks.linformer import LinformerAttention
from blockgraph.blocks.local_global_attention import LocalGlobalAttention
from blockgraph.blocks.norms import AddNorm, LayerNorm, RMSNorm
from blockgraph.blocks.parameter import Parameter
from blockgraph.blocks.patches import Patches
from blockgraph.blocks.pool import Pool
from blockgraph.blocks.positions import LearnedPositions, SinusoidalPositions
from blockgraph.blocks.recurrent import GRU, LSTM, RNN
from blockgraph.blocks.relative_bias import RelativeBias
from blockgraph.blocks.similarity import Similarity

FOLDER = Path(blockgraph.blocks.__file__).parent
FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
ALLOWED = {"__future__", "collections.abc", "math", "torch", "torch.nn.functional", "typing", "inspect", "warnings"}
ALLOWED |= {"torch.nn.attention.flex_attention", "torch._higher_order_ops.scan"}
STATEMENTS = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Expr, ast.If)

MAKERS: list[Any] = [
    lambda: Activation("gelu"),
    lambda: Add(0.1),
    lambda: AddNorm(8),
    lambda: Attention(8, 2, rope={}, alibi={}, window=3, qk_norm={"over": "head"}, softcap=3.0, sinks=True, clip=2.0),
    lambda: Concat(),
    lambda: Conv1d(8, 4, stride=2),
    lambda: Blank(),
    lambda: DisentangledAttention(8, 2, 4, dropout=0.1),
    lambda: Dropout(0.1),
    lambda: Embedding(5, 8, scale=2.0),
    lambda: Equal(),
    lambda: FeedForward(8, 16, gated=True),
    lambda: GridBias(2, 3, 4),
    lambda: GRU(8, 4, bidirectional=True),
    lambda: LSTM(8, 4),
    lambda: LayerNorm(8),
    lambda: LinearAttention(8, 2, feature_map="favor", causal=True),
    lambda: LinformerAttention(8, 2, 9, 4, share="none"),
    lambda: LatentAttention(8, 2, 5, 3, 2, 4, query_rank=6, rope={}, causal=True, bias=True),
    lambda: LearnedPositions(5, 8),
    lambda: Linear(8, 4),
    lambda: LocalGlobalAttention(8, 2, 4),
    lambda: Mixture(8, 3, 2, 5, bias=True, score="sigmoid", correction=True),
    lambda: Multiply(),
    lambda: Parameter((3,)),
    lambda: Patches(3, 8, 2),
    lambda: Pool("mean"),
    lambda: RMSNorm(8, offset=1.0),
    lambda: RNN(8, 4),
    lambda: RelativeBias(2),
    lambda: Scale(0.5),
    lambda: Similarity(cosine=True),
    lambda: SinusoidalPositions(8),
    lambda: Softcap(30.0),
    lambda: Split((3, 5)),
    lambda: Squeeze(),
    lambda: TiedLinear(5),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_source_can_be_copied_into_one_file(path: Path) -> None:
    """`--export` joins these files: only plain imports at the top, only definitions below, nothing runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        assert isinstance(node, STATEMENTS), (path.name, node.lineno)
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), (path.name, node.lineno)
    imported = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    inside = [ast.unparse(node) for node in imported if node not in tree.body and path.name != "model.py"]
    assert all(text.startswith("from torch.") for text in inside), inside  # what few need is loaded by those
    for node in imported:
        names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in names:
            assert name in ALLOWED or str(name).startswith("blockgraph.blocks.") or path.name == "model.py", name


def test_top_level_names_are_unique_across_files() -> None:
    counts: Counter[str] = Counter()
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                counts[node.name] += 1
            elif isinstance(node, ast.Assign):
                counts.update(target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                counts[node.target.id] += 1
    assert [name for name, count in counts.items() if count > 1] == []


def test_public_classes_and_their_forward_are_documented() -> None:
    for make in MAKERS:
        assert type(make()).__doc__, make
    assert len({type(make()) for make in MAKERS}) == len(MAKERS) == 37


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: type(make()).__name__)
def test_reset_parameters_works_on_garbage_and_is_what_the_constructor_does(make: Any) -> None:
    torch.manual_seed(3)
    module = make()
    with torch.device("meta"):
        hollow = make()
    emptied = hollow.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in emptied.parameters():
            parameter.fill_(math.nan)
    torch.manual_seed(3)
    emptied.reset_parameters()
    for (name, one), other in zip(module.named_parameters(), emptied.parameters(), strict=True):
        assert torch.equal(one, other), name
    for (name, one), other in zip(module.named_buffers(), emptied.buffers(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: type(make()).__name__)
def test_modules_copy_print_and_keep_derived_numbers_out_of_checkpoints(make: Any) -> None:
    module = make()
    twin = copy.deepcopy(module)
    assert repr(twin) == repr(module) and type(module).__name__ in repr(module)
    assert all(isinstance(tensor, torch.Tensor) for tensor in module.state_dict().values())
    assert len(module.state_dict()) == 0 or list(module.parameters())


@pytest.mark.parametrize("make", [lambda: Attention(64, 4), lambda: FeedForward(64, 256), lambda: Linear(64, 64)])
def test_products_start_xavier_uniform_each_by_its_own_size(make: Any) -> None:
    torch.manual_seed(0)
    for name, weight in make().state_dict().items():
        if name.endswith("bias"):
            assert not weight.any()
        else:
            bound = math.sqrt(6 / sum(weight.shape))
            assert 0.97 * bound < weight.abs().max() <= bound, name


NUMBERS: dict[str, Any] = {
    "add.dropout": lambda n: Add(0.01 * n),
    "add_norm.eps": lambda n: AddNorm(16, eps=1e-5 * n),
    "dropout.p": lambda n: Dropout(0.01 * n, per="sample"),
    "embedding.scale": lambda n: Embedding(16, 16, scale=0.5 + n),
    "ffn.dropout": lambda n: FeedForward(16, 32, dropout=0.01 * n),
    "latent_attention.scale": lambda n: LatentAttention(16, 2, 4, 3, 2, 3, rope={}, causal=True, scale=0.1 * n),
    "layer_norm.eps": lambda n: LayerNorm(16, eps=1e-5 * n),
    "linear_attention.eps": lambda n: LinearAttention(16, 2, causal=True, eps=1e-3 * n),
    "linformer_attention.dropout": lambda n: LinformerAttention(16, 2, 9, 4, dropout=0.01 * n),
    "local_global_attention.dropout": lambda n: LocalGlobalAttention(16, 2, 4, dropout=0.01 * n),
    "positions.theta": lambda n: SinusoidalPositions(16, theta=100.0 * n),
    "rms_norm.offset": lambda n: RMSNorm(16, offset=0.1 * n),
    "scale.by": lambda n: Scale(0.3 * n),
    "softcap.cap": lambda n: Softcap(0.3 * n),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_layers_that_differ_in_a_number_share_their_compiled_code(kind: str) -> None:
    """Twelve of them stay below torch.compile's limit of eight recompilations, without a graph break."""
    torch._dynamo.reset()
    x = torch.randint(16, (2, 7)) if kind.startswith("embedding") else torch.randn(2, 7, 16)
    given = (x, x) if kind.startswith("add") else (x,)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        compiled = torch.compile(lambda module, *x: module(*x), fullgraph=True, backend="aot_eager")
        for n in range(1, 13):
            module = NUMBERS[kind](n).train()
            out = compiled(module, *given)
            assert "dropout" in kind or torch.allclose(out, module(*given), atol=1e-5)
    torch._dynamo.reset()
