"""Freed memory stays with the process that will want it again."""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["keep_freed_memory", "return_freed_memory"]

# From malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30
"""Bytes of one piece from where it goes back to the system all the same."""


@cache
def keep_freed_memory() -> None:
    """Let this process keep what it frees, until `return_freed_memory`.

    A training step frees some hundred MB, and the next one asks for them again. The C library
    gives much of that back to the system in between, which clears each page before it comes
    again. Steps of five trainings took 1.1 to 2.1 times as long so, inferences by PyTorch .9 to
    1.4 times (`benchmarks/training/freed_memory.py`), and how long depended on what the process
    had done before. Where the user has set how the library allocates, or it is not glibc, all stays
    as it is.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if "glibc.malloc" in tunables or any(name.startswith("MALLOC_") for name in os.environ):
        return
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, _LARGE)


def return_freed_memory() -> None:
    """Give back to the system what this process has freed and kept, as when trainings are over."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:  # Windows, macOS, musl
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
