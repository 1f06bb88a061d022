"""Attention of torch's own layers, by operators that whoever traces a network knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.backends import mha

__all__ = ["separate_operators"]


@contextmanager
def separate_operators() -> Iterator[None]:
    """Let torch's transformer layers compute in the operators that they have in training.

    In evaluation mode `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` are one fused
    operator each, which ONNX has not.
    """
    fused = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(fused)
