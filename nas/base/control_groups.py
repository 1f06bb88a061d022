"""The limits of containers and schedulers: what the control groups of Linux leave to a process.

The files of version 2 and, where a controller is still there, of version 1, as the kernel's
admin-guide describes them (cgroup-v2, cgroup-v1/memory; scheduler/sched-bwc).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["allowed_cores", "memory_within_limits"]

_MEMORY = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)
"""The files of each version: of the limit, of what is used, and the names that cached files have in
memory.stat."""


def memory_within_limits(root: Path) -> int | None:
    """Return the bytes that the tightest limit leaves; None where there is none.

    Cached files count as free: the kernel drops them first.
    root: of the file system.
    """
    free = []
    for folder in _groups(root, "memory"):
        for limit, used, cached in _MEMORY:
            allowed, taken = _numbers(folder / limit), _numbers(folder / used)
            if allowed and taken:
                kept = taken[0] - min(taken[0], _sum_of(folder / "memory.stat", cached))
                free.append(max(0, allowed[0] - kept))
    return min(free, default=None)


def allowed_cores(root: Path) -> float | None:
    """Return how many cores may be busy at a time, 1.5 for example; None without a limit.

    root: of the file system.
    """
    shares = []
    for folder in _groups(root, "cpu"):
        quota = _numbers(folder / "cpu.max")  # and its period, in microseconds both
        if not quota:
            quota = _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and min(quota) > 0:
            shares.append(quota[0] / quota[1])
    return min(shares, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, from the outermost on.

    The limits of all of them hold. A container may be told its path on the machine, of which its
    own file system has the innermost folder alone, as the root: folders need not be there.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number != "0" and controller not in controllers.split(","):
            continue
        folder = mounted if number == "0" else mounted / controller
        yield folder
        for name in path.split("/"):
            if name not in ("", ".."):  # what lies beyond a namespace
                folder /= name
                yield folder


def _numbers(path: Path) -> list[int]:
    """Return the numbers in a file; none where it is not there, or says that there is no limit."""
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):  # "max"
        return []


def _sum_of(path: Path, names: tuple[str, ...]) -> int:
    """Return the sum of some figures of memory.stat; 0 where it is not there."""
    try:
        pairs = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(value) for name, value in pairs if name in names)
