"""Which process is meant, on which machine: for leases, and for whoever reads of them."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["boot_seconds", "describe_process", "has_ended", "this_process"]


def boot_seconds() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps where it can."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def this_process() -> dict[str, Any]:
    """The process that asks: plain values. `since` is for people; nothing is reckoned from it."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "place": _place(),
        "began": _began(os.getpid()),
    }


def describe_process(process: dict[str, Any]) -> str:
    """`process 12 on host since 2026-11-20T10:00:00+00:00`."""
    return f"process {process['pid']} on {process['host']} since {process['since']}"


def has_ended(process: dict[str, Any]) -> bool:
    """Whether a process certainly runs no more: only told of those of this very machine."""
    if process.get("place") is None or process["place"] != _place():
        return False
    return process["began"] is not None and _began(process["pid"]) != process["began"]


def _place() -> str | None:
    """Machine, boot and container: where process numbers mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _began(pid: int) -> str | None:
    """When a process started, by the kernel's count: numbers are used again. None: it is not
    there any more, or is a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]
