"""Matrices in 8 bits: what a linear map multiplies by, a quarter of float32's memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 127  # of an int8, on either side of zero


class Int8Weight(Tensor):
    """A weight [rows, columns], or [matrices, rows, columns], as int8 with one scale per row: w ≈ scale · q.

    Each row's largest magnitude is 127 (Dettmers et al. 2022, §2.1: absmax by row). `F.linear` multiplies by it with
    torch's own int8 kernel of the CPU; every position's activations are scaled and rounded to 8 bits for that product
    alone, each by its own range, so what else is in the batch hardly changes them. `F.embedding` reads `looked_up`,
    the weight as it was, where a lookup shares the matrix. Any other function gets the weight rounded, as floats.
    It stands in a module where a parameter stood; it cannot be trained, written or moved.
    """

    packed: Any
    matrices: list[Int8Weight]
    looked_up: Tensor | None

    @staticmethod
    def __new__(cls, weight: Tensor, *, looked_up: Tensor | None = None) -> Self:
        return Tensor._make_wrapper_subclass(
            cls, weight.shape, dtype=weight.dtype, device=weight.device, requires_grad=False
        )

    def __init__(self, weight: Tensor, *, looked_up: Tensor | None = None) -> None:
        self._is_param = True  # modules then list it among their parameters
        self.looked_up = looked_up
        self.matrices = [Int8Weight(matrix) for matrix in weight] if weight.dim() == 3 else []
        self.packed = None if self.matrices else _packed(weight.detach())

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return _linear(*args, **kwargs)
        if func in _FACTS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        weight = next((value for value in args if isinstance(value, Int8Weight)), None)
        if func is F.embedding and weight is not None and weight.looked_up is not None:
            return F.embedding(args[0], weight.looked_up, *args[2:], **kwargs)
        if func is Tensor.unbind and weight is not None and weight.matrices:
            return tuple(weight.matrices)
        if func in _WRITES:
            raise TypeError("an int8 weight cannot be written or moved: load, move or convert the model, then quantize")
        return func(*_floats(args), **{name: _floats([value])[0] for name, value in kwargs.items()})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What reaches torch below its functions: the weight as floats, too."""
        return func(*_floats(args), **{name: _floats([value])[0] for name, value in (kwargs or {}).items()})

    def floats(self) -> Tensor:
        """The weight that is multiplied by: scale · q, in the dtype that the weight had."""
        if self.matrices:
            return torch.stack([matrix.floats() for matrix in self.matrices])
        with _quiet():
            weight, _ = torch.ops.quantized.linear_unpack(self.packed)
            found: Tensor = weight.dequantize().to(self.dtype)
        return found

    def is_contiguous(self, memory_format: torch.memory_format = torch.contiguous_format) -> bool:
        return False  # the bytes lie as the kernel wants them, so nothing should lay them out anew

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """What it holds in memory: a byte per weight, a scale and a zero (4 bytes each) per row, and `looked_up`."""
        full = 0 if self.looked_up is None else self.looked_up.numel() * self.looked_up.element_size()
        return self.numel() + 8 * (self.numel() // self.shape[-1]) + full

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Int8Weight({list(self.shape)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Int8Weight:
        return self  # it never changes


_FACTS = {
    getattr(Tensor, name).__get__
    for name in ("shape", "dtype", "device", "requires_grad", "ndim", "is_meta", "layout", "is_cpu", "grad", "is_leaf")
} | {
    Tensor.size,
    Tensor.dim,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
    Tensor.element_size,
    Tensor.stride,
}
_WRITES = {Tensor.copy_, Tensor.to, Tensor.cuda, Tensor.cpu, Tensor.float, Tensor.half, Tensor.bfloat16, Tensor.double}
_WRITES |= {Tensor.requires_grad_, Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.__setitem__}
_WRITES |= {Tensor.mul_, Tensor.add_, Tensor.data.__set__}  # type: ignore[attr-defined]


def _floats(values: Sequence[Any]) -> list[Any]:
    return [value.floats() if isinstance(value, Int8Weight) else value for value in values]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b. The kernel takes one range for all of x, so rows are stretched to the same range first, and back."""
    if not isinstance(weight, Int8Weight) or weight.packed is None or not x.numel():
        return F.linear(*_floats([x, weight, bias]))
    given = x.float()
    many = given.numel() != given.shape[-1]
    if many:
        range_ = given.abs().amax(-1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
        given = given / range_
    try:
        out: Tensor = torch.ops.quantized.linear_dynamic(given, weight.packed, NARROW)
    except RuntimeError:
        if given.isfinite().all():
            raise
        return F.linear(*_floats([x, weight, bias]))  # 8 bits know no NaN: whoever looks at the answer shall find it
    out = out.mul_(range_) if many else out
    out = out if bias is None else out.add_(bias)
    return out.to(x.dtype)


def _packed(weight: Tensor) -> Any:
    """The matrix as the kernel wants it. Raises RuntimeError where this build of torch has no such kernel."""
    weight = weight.float()
    scale = (weight.abs().amax(1) / LEVELS).clamp_(min=torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with _quiet():
        rounded = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rounded, None)


def _quiet() -> warnings.catch_warnings[None]:
    """torch 2.13 warns that tensors of a quantized dtype will go; the kernel still takes its matrix as one."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _narrow() -> bool:
    """Whether activations get 7 bits: without VNNI the CPU adds two products in 16 bits, which 8 bits overflow."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return supported is None or not supported()


NARROW = _narrow()
