"""Adaptive average pooling as two products of matrices, which every runtime has."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["adaptive_average"]


def adaptive_average(x: Tensor, height: int, width: int) -> Tensor:
    """Average a map into one of another size: (N, C, H, W) -> (N, C, height, width).

    The size may be larger, too. It equals torch's `adaptive_avg_pool2d`, which graphs have only
    for sizes that divide the map.
    """
    rows = torch.tensor(_averages(int(x.shape[2]), height), dtype=x.dtype, device=x.device)
    columns = torch.tensor(_averages(int(x.shape[3]), width), dtype=x.dtype, device=x.device)
    return torch.matmul(torch.matmul(rows, x), columns.T)


def _averages(length: int, parts: int) -> list[list[float]]:
    """Return the share of each of `length` positions in each of `parts` averages."""
    shares = [[0.0] * length for _ in range(parts)]
    for part, row in enumerate(shares):
        first, end = part * length // parts, math.ceil((part + 1) * length / parts)
        row[first:end] = [1 / (end - first)] * (end - first)
    return shares
