"""Segmenters as somebody wrote them, whole: encoder, decoder and head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation import lraspp_mobilenet_v3_large


class Small(nn.Module):
    """Three steps down, one block of decoder, scores of all pixels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        steps = [(3, 16), (16, 24), (24, 32)]
        self.encoder = nn.ModuleList(_layer(wide, channels, 2) for wide, channels in steps)
        self.decoder = _layer(32 + 16, 24, 1)
        self.head = nn.Conv2d(24, num_classes, 3, padding=1)

    def scores(self, images: Tensor) -> Tensor:
        fine = self.encoder[0](images)
        coarse = self.encoder[2](self.encoder[1](fine))
        larger = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        given: Tensor = self.head(self.decoder(torch.cat([fine, larger], dim=1)))
        return given

    def forward(self, images: Tensor) -> object:
        return functional.interpolate(self.scores(images), size=images.shape[2:], mode="bilinear")


class Coarse(Small):
    """Scores of a half of the size."""

    def forward(self, images: Tensor) -> object:
        return self.scores(images)


class Unnamed(Small):
    """Scores among other things, and not by a name."""

    def forward(self, images: Tensor) -> object:
        return [super().forward(images)]


class Classifier(Small):
    """No scores of pixels at all."""

    def forward(self, images: Tensor) -> object:
        return self.scores(images).mean(dim=(2, 3))


def named(num_classes: int) -> nn.Module:
    """torchvision's, which gives a dictionary."""
    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)


def unet(num_classes: int) -> nn.Module:
    """That of segmentation-models-pytorch."""
    import segmentation_models_pytorch as smp

    network: nn.Module = smp.Unet("resnet18", encoder_weights=None, classes=num_classes)
    return network


def _layer(wide: int, channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(wide, channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())
