"""Memory that a process keeps: seen by the pages that the system clears for it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from nas.base import freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"
_PROGRAM = """
import resource
import numpy as np
from nas.base.freed_memory import keep_freed_memory, return_freed_memory

def pages_of_a_step():
    # As the maps of a training step do, pieces come and go together.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [np.ones(1_000_000) for _ in range(12)]
    del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for _ in range(3):
    usual = pages_of_a_step()
keep_freed_memory()
pages_of_a_step()
kept = pages_of_a_step()
return_freed_memory()
print(usual, kept, pages_of_a_step(), pages_of_a_step())
"""


def _pages(**environment: str) -> list[int]:
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name not in ("GLIBC_TUNABLES", "LD_PRELOAD")
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=plain | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")
def test_freed_memory_comes_again_without_the_system_and_goes_back_when_asked() -> None:
    usual, kept, returned, again = _pages()
    assert usual > 5_000 and returned > 5_000
    assert kept < usual / 20 and again < usual / 20


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")
@pytest.mark.parametrize(
    "own",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"},
    ],
)
def test_what_the_user_has_set_stays(own: dict[str, str]) -> None:
    usual, kept, *_ = _pages(**own)
    assert kept > usual / 2 > 2_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_name: str) -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(freed_memory.ctypes, "CDLL", none)
    freed_memory._glibc.cache_clear()
    try:
        freed_memory.keep_freed_memory.__wrapped__()
        freed_memory.return_freed_memory()
    finally:
        freed_memory._glibc.cache_clear()
