"""A residual network whose shortcut has eight channels before its stride."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["make"]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(8, 48, 3, 2, 1), nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 48, 3, 1, 1)
        )
        self.shortcut = nn.Conv2d(8, 48, 1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.main(x) + self.shortcut(x))


def make(num_classes: int) -> nn.Module:
    """Build it."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), Block()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, num_classes)),
    )
