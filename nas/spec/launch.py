"""The ways to launch the kernels of a step of training."""

from __future__ import annotations

from typing import Literal

__all__ = ["Launch"]

Launch = Literal["eager", "graphs", "compile"]
"""`eager`: one by one, from Python; `graphs`: all at once, as a CUDA graph of the loss and its
gradients; `compile`: by `torch.compile`."""
