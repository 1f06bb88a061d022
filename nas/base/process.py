"""The identity of a process on its machine: for leases, and for whoever reads of them."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from nas.base.clock import utc_now

__all__ = ["boot_seconds", "describe_process", "has_ended", "this_process"]


def boot_seconds() -> float:
    """Read a clock, in seconds, that nobody sets.

    It goes on while the machine sleeps where the system has such a clock.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def this_process() -> dict[str, Any]:
    """Describe the process that calls, in plain values.

    `since` is for people; nothing is computed from it.
    """
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": utc_now(),
        "place": _machine_and_boot(),
        "began": _start_of(os.getpid()),
    }


def describe_process(process: dict[str, Any]) -> str:
    """Name a process: `process 12 on host since 2026-11-20T10:00:00+00:00`."""
    return f"process {process['pid']} on {process['host']} since {process['since']}"


def has_ended(process: dict[str, Any]) -> bool:
    """Say whether a process has certainly ended, which is known of this very machine's alone."""
    if process.get("place") is None or process["place"] != _machine_and_boot():
        return False
    return process["began"] is not None and _start_of(process["pid"]) != process["began"]


def _machine_and_boot() -> str | None:
    """Name the machine, boot and container, within which process ids mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _start_of(pid: int) -> str | None:
    """Return when a process started, by the kernel's count, since process ids are used again.

    None means that it is not there any more, or is a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]
