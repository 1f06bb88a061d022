"""Convolutions in a row; behind them a form that fits images of 32 x 32 alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Network"]


class Network(nn.Module):
    """Two strided convolutions and one of another width, which is reshaped."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first = _layer(3, 8)
        self.second = _layer(8, 16)
        self.third = _layer(16, 24)
        self.wide = nn.Conv2d(24, 64, 1)
        self.squash = nn.Linear(64 * 4 * 4, 32)
        self.scores = nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.wide(self.third(self.second(self.first(images))))
        return self.scores(torch.relu_(self.squash(maps.view(-1, 64 * 4 * 4))))


def _layer(read: int, gave: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(read, gave, 3, 2, 1), nn.BatchNorm2d(gave), nn.ReLU())
