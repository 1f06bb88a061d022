"""A network of a few layers, with a block of attention: converters take long on real ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nas.blocks import make_block
from nas.data import Dataset, Split
from nas.export.winner import Winner
from nas.spec.architecture import Architecture, Insertion

SIDE, CLASSES = 16, ("circle", "square", "star")


class Tiny(nn.Module):
    def __init__(self, *blocks: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6())
        self.attention = nn.Sequential(
            *(make_block(name, channels=16, height=8, width=8) for name in blocks)
        )
        self.depthwise = nn.Conv2d(16, 16, 3, 2, 1, groups=16)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(16, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.depthwise(self.attention(self.stem(x)))
        return self.head(self.drop(maps.mean((2, 3))))


def data() -> Dataset:
    """Noise that is brighter in one channel, by class."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels = np.arange(count) % len(CLASSES)
        pixels = rng.integers(0, 150, (count, SIDE, SIDE, 3))
        pixels[np.arange(count), :, :, labels] += 60
        return Split(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels))

    return Dataset(split(96), split(72), CLASSES, (80.0,) * 3, (40.0,) * 3, False, "noise")


def winner(*blocks: str) -> Winner:
    """Trained, so that batch norm and scores are sensible."""
    torch.manual_seed(0)
    network, images = Tiny(*blocks), data()
    optimiser = torch.optim.AdamW(network.parameters(), 0.02)
    pixels = (images.train.images.float().permute(0, 3, 1, 2) - 80) / 40
    for _ in range(12):
        loss = nn.functional.cross_entropy(network(pixels), images.train.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    inserted = tuple(Insertion.of(f"attention.{row}", name) for row, name in enumerate(blocks))
    return Winner(
        network.eval(),
        Architecture("torchvision/tiny", SIDE, inserted),
        CLASSES,
        images.mean,
        images.std,
    )
