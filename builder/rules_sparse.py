"""Which patterns attention takes, and how many pairs of positions it computes for them. No torch.

The counts are those of `blocks/sparse_path.py` on a CPU: blocks of queries where a text is long enough, all pairs
else. They include what is computed and then masked; a GPU's kernel skips more.
"""

from __future__ import annotations

from blockgraph.builder.rules import Inputs, RuleError
from blockgraph.specs.options import AttentionOptions, Sparse

LEAST = 256  # positions; in shorter texts all pairs are computed


def check_sparse(o: AttentionOptions) -> None:
    """Raises `RuleError` where options about what is seen contradict each other."""
    if o.sparse is not None and o.window is not None:
        help = "write one of them; sparse: {type: dilated, window: …} has a window of its own"
        raise RuleError("bad-option", "window and sparse both say which keys are seen", option="sparse", help=help)
    bigbird = o.sparse is not None and o.sparse.type == "bigbird"
    if bigbird and o.causal:
        help = "causal patterns are window, and the sparse types dilated, strided, fixed and blocks"
        raise RuleError("bad-option", "bigbird's blocks look to both sides", option="sparse", help=help)
    if bigbird and o.global_tokens:
        message = "bigbird's first and last block are global already"
        raise RuleError("bad-option", message, option="global_tokens", help="leave global_tokens out")
    if o.global_tokens and o.sparse is None and o.window is None:
        message = "global_tokens see what a window or sparse hides, and there is neither"
        raise RuleError("bad-option", message, option="global_tokens", help="add window or sparse")


def attention_pairs(o: AttentionOptions, i: Inputs) -> int:
    """Query-key pairs of one sequence and head whose scores are computed; all sizes are known."""
    queries = int(i["query"].shape[1])
    every = queries * int((i["key"] if "key" in i else i["query"]).shape[1])
    if "mask" in i or "bias" in i or o.alibi is not None or queries * queries != every:
        return every
    if o.window is not None:
        return window_pairs(queries, o.window, causal=o.causal, columns=o.global_tokens)
    return every if o.sparse is None else _sparse_pairs(o, o.sparse, queries)


def window_pairs(length: int, window: int, *, causal: bool = False, columns: int = 0, fold: int = 1) -> int:
    """Pairs of a window over every `fold`-th key, with `columns` global tokens."""
    reach = window - 1 if causal else window // 2
    return _pairs(length, reach, causal=causal, columns=columns, rows=0 if causal else columns, fold=fold)


def _sparse_pairs(o: AttentionOptions, sparse: Sparse, length: int) -> int:
    block, first = sparse.block, o.global_tokens
    rows = 0 if o.causal else first
    if sparse.type == "bigbird":
        ends = block + length - (length - 1) // block * block
        short = length <= (5 + 2 * sparse.random) * block
        return length * length if short else _pairs(length, block, size=block, columns=ends, rows=ends)
    if sparse.type == "dilated":
        window, fold = sparse.window or 1, sparse.dilation or 1
        return window_pairs(length, window, causal=o.causal, columns=first, fold=fold)
    if sparse.type == "strided":
        dense = first or o.softcap is not None or o.sinks
        return length * length if dense else _strided_pairs(length, sparse.stride or 1, o.causal)
    if sparse.type == "fixed":
        columns = first + _summaries(sparse, length) - _summaries(sparse, first)
        return _pairs(length, 0, causal=o.causal, unit=block, columns=columns, rows=rows)
    return _pairs(length, sparse.reach * block, causal=o.causal, unit=block, columns=first, rows=rows)


def _pairs(
    length: int,
    reach: int,
    *,
    causal: bool = False,
    size: int | None = None,
    unit: int = 1,
    fold: int = 1,
    columns: int = 0,
    rows: int = 0,
) -> int:
    """Blocks of queries that read the blocks within `reach` and the extra `columns`; `rows` queries read all."""
    size = size or unit * max(1, min(128, max(32, (reach + 1) // 2)) // unit)
    read = (1 + -(-reach // size) * (1 if causal else 2)) * size + columns
    if length < LEAST or 2 * length < 3 * read:
        return length * length
    return -(-length // (fold * size)) * fold * size * read + rows * length


def _strided_pairs(length: int, stride: int, causal: bool) -> int:
    blocks = -(-length // stride)
    sides = 0 if stride == 1 else 1 if causal else 2
    read = (1 + sides) * stride + blocks
    return length * length if length < LEAST or length < 3 * read else blocks * stride * read


def _summaries(sparse: Sparse, length: int) -> int:
    whole, rest = divmod(length, sparse.block)
    return whole * sparse.summary + max(0, rest - (sparse.block - sparse.summary))
