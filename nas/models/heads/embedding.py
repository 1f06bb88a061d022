"""The embedding of an image, for retrieval: the batch norm neck of arXiv:1903.07071."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Embedding"]


class Embedding(nn.Module):
    """A batch norm without bias, and then vectors of length 1, which are near by their cosine.

    Losses of training have theirs of it, too: the paper's triplet loss reads what is before.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.neck = nn.BatchNorm1d(length)
        self.neck.bias.requires_grad_(False)  # the paper's, so that vectors stay around the origin

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, length) to as many of length 1."""
        return functional.normalize(self.neck(features))
