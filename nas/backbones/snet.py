"""SNet: the backbones of ThunderNet: Towards Real-time Generic Object Detection.

https://arxiv.org/abs/1903.11752. ShuffleNetV2 with depthwise convolutions of 5x5 and more
channels early on; checked against qinzheng93/ThunderNet, the first author's code of SNet146.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

__all__ = ["NETWORKS", "SNet", "ShuffleUnit"]

_BLOCKS = (4, 8, 4)

_convolution = partial(Conv2dNormActivation, activation_layer=nn.ReLU)
_linear = partial(Conv2dNormActivation, activation_layer=None)


class ShuffleUnit(nn.Module):
    """A unit that passes every other channel as it is, and the rest through a bottleneck.

    With a stride, both branches read all channels, and convolve.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        read = in_channels // 2 if stride == 1 else in_channels
        middle = out_channels // 2
        self.pointwise = _convolution(read, middle, 1)
        self.depthwise = _linear(middle, middle, 5, stride=stride, groups=middle)
        self.project = _convolution(middle, out_channels - read, 1)
        self.shortcut: nn.Module | None = None
        if stride > 1:
            self.shortcut = nn.Sequential(
                _linear(read, read, 5, stride=stride, groups=read), _convolution(read, read, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        # Taking channels in turn is the shuffle: the two halves were put side by side.
        read = x[:, 1::2] if self.shortcut is None else x
        computed = self.project(self.depthwise(self.pointwise(read)))
        passed = x[:, ::2] if self.shortcut is None else self.shortcut(x)
        return torch.cat((passed, computed), dim=1)


class SNet(nn.Module):
    """SNet: (N, 3, H, W) -> (N, num_classes); the last map is H/32 by W/32, rounded up.

    stem: channels of the first convolution.
    stages: channels of each stage.
    head: channels of a last pointwise convolution, or 0 for none.
    """

    def __init__(
        self, stem: int, stages: tuple[int, ...], head: int = 0, num_classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = _convolution(3, stem, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        groups, channels = [], stem
        for out, blocks in zip(stages, _BLOCKS, strict=True):
            rest = (ShuffleUnit(out, out) for _ in range(blocks - 1))
            groups.append(nn.Sequential(ShuffleUnit(channels, out, stride=2), *rest))
            channels = out
        self.stages = nn.Sequential(*groups)
        self.head: nn.Module = _convolution(channels, head, 1) if head else nn.Identity()
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(head or channels, num_classes, bias=False)
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.head(self.stages(self.pool(self.stem(images))))
        logits: Tensor = self.classifier(self.global_pool(maps).flatten(1))
        return logits

    def _initialise(self) -> None:
        """Set the weights as the authors of ShuffleNetV2 do."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                outermost = layer is self.stem[0] or layer is self.classifier
                nn.init.normal_(layer.weight, std=0.01 if outermost else 1 / layer.weight.shape[1])
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.constant_(layer.bias, 0.0001)


def _maker(stem: int, stages: tuple[int, ...], head: int = 0) -> Callable[[int, float], nn.Module]:
    # In twos: a unit passes one half of its channels on. The paper's own numbers are no multiples
    # of more than that.
    def make(num_classes: int, factor: float) -> nn.Module:
        channels = [2 * round(number * factor / 2) for number in (stem, *stages, head)]
        return SNet(channels[0], tuple(channels[1:-1]), channels[-1], num_classes=num_classes)

    return make


# Named by the millions of multiply-adds that the paper gives. Counted, they are 51, 163 (the
# author's own code of SNet146 holds the same) and 540.
NETWORKS: dict[str, Callable[[int, float], nn.Module]] = {
    "snet_49": _maker(24, (60, 120, 240), 512),
    "snet_146": _maker(24, (132, 264, 528)),
    "snet_535": _maker(48, (248, 496, 992)),
}
