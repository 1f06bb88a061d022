"""Networks of other tasks than detection that bring their loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Classifier(nn.Module):
    """Three steps down and scores; its loss is smoothed by the class that it likes most."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        steps = [(3, 16), (16, 24), (24, 32)]
        self.stages = nn.ModuleList(_layer(wide, channels) for wide, channels in steps)
        self.classifier = nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        for stage in self.stages:
            images = stage(images)
        scores: Tensor = self.classifier(images.mean(dim=(2, 3)))
        return scores

    def loss(self, batch: Any) -> Tensor:
        images, labels = batch
        scores = self(images)
        return functional.cross_entropy(scores, labels, label_smoothing=0.1, reduction="none")


class Embedder(Classifier):
    """The same layers as vectors; its loss is of pairs of one identity and of others."""

    def loss(self, batch: Any) -> Tensor:
        images, identities = batch
        vectors = functional.normalize(self(images), dim=1)
        similar = vectors @ vectors.T
        same = (identities[:, None] == identities).float()
        return (same * (1 - similar) + (1 - same) * similar.clamp(min=0)).mean()


class TwoArguments(Classifier):
    """Its loss is for other ends, and is passed over."""

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        return torch.zeros(())


def _layer(wide: int, channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(wide, channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())
