"""The device that networks are trained on."""

from __future__ import annotations

import torch

__all__ = ["best_device", "times_as_fast"]


def best_device() -> torch.device:
    """Return the first GPU that torch sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def times_as_fast(workers: int) -> int:
    """Return how many times as fast as one so many workers train: those of a GPU share it."""
    return max(1, torch.cuda.device_count()) if best_device().type == "cuda" else workers
