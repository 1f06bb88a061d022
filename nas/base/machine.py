"""The machine and the software that a run is made with: versions, hardware, commit."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from nas.base.clock import utc_now
from nas.base.control_groups import allowed_cores, memory_within_limits
from nas.base.errors import SpecError
from nas.base.program import PACKAGE

__all__ = [
    "REPORTED",
    "available_memory",
    "cache_root",
    "describe_environment",
    "processor",
    "results_depend_on",
    "source_digest",
    "usable_cores",
    "version",
]

_PROGRAM = "attention-nas"
REPORTED = (_PROGRAM, "torch", "torchvision", "timm", "optuna", "onnxruntime", "numpy")


def describe_environment(data: dict[str, Any]) -> dict[str, Any]:
    """Return what a run keeps as environment.json.

    data: what is known of its images.
    """
    return {
        "started": utc_now(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "commit": _commit(),
        "versions": {name: version(name) for name in REPORTED},
        "data": data,
    }


def version(name: str) -> str | None:
    """Return the version of an installed package; None when it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def results_depend_on() -> dict[str, str | None]:
    """Return what must be the same wherever networks of one search are trained: name -> version.

    That of this program holds a digest of its files, since checkouts of two commits have one
    version.
    """
    program = f"{version(_PROGRAM)} ({source_digest()})"
    return {_PROGRAM: program, "torch": version("torch"), "timm": version("timm")}


@cache
def source_digest() -> str:
    """Return a digest of this program's own files, those of every floor."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:8]


def cache_root() -> Path:
    """Return the folder of what is kept between runs, such as decoded images.

    Raises SpecError where no folder is named and the user has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "attention-nas"
    except RuntimeError:  # as in containers, whose users may be numbers alone
        raise SpecError(
            f"the cache cannot be in {base}: that home folder is not known; name a folder for it: "
            "export XDG_CACHE_HOME=FOLDER"
        ) from None


def usable_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use.

    A container or a scheduler may allow fewer than all: certain ones, or the time of so many.
    root: of the file system.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    allowed = allowed_cores(root)
    return cores if allowed is None else max(1, min(cores, math.ceil(allowed)))


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can be taken without swapping; None where the system does not say.

    Those of the machine, or fewer where a container or a scheduler has a limit.
    root: of the file system.
    """
    known = [_memory_of_machine(root), memory_within_limits(root)]
    return min((free for free in known if free is not None), default=None)


def _memory_of_machine(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvail")) * 1024
    except (OSError, StopIteration, ValueError):
        return None


def processor() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor()
    return platform.processor()


def _commit() -> str | None:
    """Return the git commit of this project when it runs from a checkout."""
    root = PACKAGE.resolve().parent
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
