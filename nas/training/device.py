"""The device that networks are trained on, what it has free, and how many may share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from nas.base.errors import SpecError
from nas.base.freed_memory import return_freed_memory
from nas.spec.side_by_side import Placement

__all__ = [
    "TRAIN_ON",
    "best_device",
    "check_placement",
    "forget_memory",
    "out_of_memory",
    "own_stream",
    "random_streams",
    "times_as_fast",
    "visible_gpus",
]

TRAIN_ON = "NAS_TRAIN_ON"
"""The environment variable that names another device than `best_device` finds by itself."""

_KINDS = "cpu", "cuda", "mps", "xpu"


def best_device() -> torch.device:
    """Return the first GPU of CUDA that torch sees, else the CPU; or what `NAS_TRAIN_ON` names.

    Apple's `mps` and Intel's `xpu` are taken where they are named: nothing here was ever run there.
    Raises SpecError where that names none, or one that torch does not see.
    """
    asked = os.environ.get(TRAIN_ON)
    if not asked:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked not in _KINDS:
        raise SpecError(f"{TRAIN_ON}={asked}; allowed: {', '.join(_KINDS)}")
    if asked != "cpu" and not getattr(torch, asked).is_available():
        raise SpecError(f"{TRAIN_ON}={asked}, and torch sees none; unset it, or name another")
    return torch.device(asked)


def visible_gpus() -> list[str]:
    """Return what CUDA calls the GPUs that this process may use; none where it trains elsewhere."""
    if best_device().type != "cuda":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def times_as_fast(workers: int) -> int:
    """Return how many times as fast as one so many workers train: those of a GPU share it."""
    return workers if best_device().type == "cpu" else max(1, len(visible_gpus()))


def random_streams(device: torch.device) -> dict[str, Any]:
    """Return what `torch.random.fork_rng` is told, so that it keeps the streams of a device.

    That of MPS stays as it is, which knows no numbers of devices.
    """
    if device.type not in {"cuda", "xpu"}:
        return {"devices": []}
    current = getattr(torch, device.type).current_device()
    return {"devices": [current], "device_type": device.type}


def check_placement(placement: Placement, device: torch.device) -> None:
    """Raise SpecError where trainings of a device cannot be side by side so."""
    if placement == "streams" and device.type != "cuda":
        raise SpecError(
            f"side_by_side streams is of CUDA, and trainings run on {device.type} here; use "
            "processes"
        )


def own_stream(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Return what enters a new stream of a device, which works at several beside each other.

    Of others than CUDA's there is one for all.
    """
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return lambda: torch.cuda.stream(stream)


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device, or the machine, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def forget_memory(device: torch.device) -> None:
    """Give back what is kept of a device's memory for later, so that others have it."""
    if device.type == "cpu":
        return_freed_memory()
    else:
        getattr(torch, device.type).empty_cache()
