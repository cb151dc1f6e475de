"""What the C library does with memory that a step frees: it is kept for the next one, and lies in large pages.

A step frees its activations and gradients and the next one asks for as much again. glibc gives such memory back to the
system and each page of it is made, and filled with zeros, anew: thousands of page faults a step (docs/decisions/0013).
"""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST = 32 << 20  # bytes: glibc's upper limit for what may come from its heap
NEVER = (1 << 31) - 1  # bytes at the heap's end that are kept

# Read by torch at its first tensor: tensors of 2 MB and more ask Linux for pages of 2 MB.
LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def keep_freed_memory() -> bool:
    """Keeps what is freed, for the whole process; whether it does. Only glibc can; what the user has set in the
    environment (`MALLOC_…`, `GLIBC_TUNABLES`, `THP_MEM_ALLOC_ENABLE`) stands."""
    os.environ.setdefault(LARGE_PAGES, "1")
    if _set_by_user():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, NEVER))


def _set_by_user() -> bool:
    tunables = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    return tunables or any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"))
