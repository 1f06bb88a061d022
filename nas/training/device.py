"""The device that networks are trained on."""

from __future__ import annotations

import torch

__all__ = ["best_device"]


def best_device() -> torch.device:
    """Return the first GPU that torch sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
