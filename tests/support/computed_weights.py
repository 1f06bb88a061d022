"""Networks whose projections compute or share their weights, or read a map that was changed.

Each is a backbone by name: `support.computed_weights:standardised`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch.nn.functional as F
from timm.layers import ScaledStdConv2d, StdConv2d
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

__all__ = ["FOLDED", "NETWORKS", "Network"]


class Inverted(nn.Module):
    """An inverted residual."""

    def __init__(self, project: nn.Module) -> None:
        super().__init__()
        self.expand, self.act = nn.Conv2d(16, 32, 1), nn.ReLU6(inplace=True)
        self.filter = nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False)
        self.norm, self.se, self.project = nn.BatchNorm2d(32), nn.Identity(), project
        self.last = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.own(x)

    def own(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        y = self.se(self.act(self.norm(self.filter(self.expand(x)))))
        return self.last(self.project(y))


class Activated(Inverted):
    """Its input is activated in place, between the block before and its own convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        F.hardtanh(x, -0.1, 0.1, inplace=True)
        return self.own(x) + 0.1


class Network(nn.Module):
    """A stem, blocks, a head."""

    def __init__(self, num_classes: int, *blocks: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


class ReadElsewhere(Network):
    """The first projection's weights are read by a function, too."""

    def forward(self, images: Tensor) -> Tensor:
        maps, weights = self.blocks(self.stem(images)), self.blocks[0].project.weight
        maps = maps + F.conv2d(F.conv2d(maps, weights.transpose(0, 1)), weights)
        return self.head(maps.mean((2, 3)))


def _plain() -> nn.Conv2d:
    return nn.Conv2d(32, 16, 1)


def _older_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have the newer one
        return weight_norm(_plain())


def _projected(project: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    return lambda num_classes: Network(num_classes, Inverted(project()), Inverted(project()))


plain = _projected(_plain)
standardised = _projected(lambda: StdConv2d(32, 16, 1))
scaled = _projected(lambda: ScaledStdConv2d(32, 16, 1))
parametrised = _projected(lambda: parametrizations.weight_norm(_plain()))
older_weight_norm = _projected(_older_norm)
spectral = _projected(lambda: spectral_norm(_plain()))


def used_twice(num_classes: int) -> nn.Module:
    """One projection in both blocks."""
    shared = _plain()
    return Network(num_classes, Inverted(shared), Inverted(shared))


def tied(num_classes: int) -> nn.Module:
    """Two projections with one parameter."""
    one, two = _plain(), _plain()
    two.weight = one.weight
    return Network(num_classes, Inverted(one), Inverted(two))


def one_storage(num_classes: int) -> nn.Module:
    """Two projections with parameters of their own in one piece of memory."""
    one, two = _plain(), _plain()
    two.weight = nn.Parameter(one.weight.data)
    return Network(num_classes, Inverted(one), Inverted(two))


def hooked(num_classes: int) -> nn.Module:
    """A projection that adds to what it reads, in place, before it reads it."""
    project = _plain()
    project.register_forward_pre_hook(_raise)
    return Network(num_classes, Inverted(project), Inverted(_plain()))


def read_elsewhere(num_classes: int) -> nn.Module:
    """A projection whose weights a function reads as well."""
    return ReadElsewhere(num_classes, Inverted(_plain()), Inverted(_plain()))


def activated(num_classes: int) -> nn.Module:
    """What a block gives is changed in place before a convolution reads it."""
    return Network(num_classes, *(Activated(_plain()) for _ in range(3)))


def _raise(_module: nn.Module, inputs: tuple[Tensor]) -> None:
    inputs[0].add_(1.0)


NETWORKS = (
    "plain", "standardised", "scaled", "parametrised", "older_weight_norm", "spectral",
    "used_twice", "tied", "one_storage", "hooked", "read_elsewhere", "activated",
)  # fmt: skip
FOLDED = ("plain",)
"""Those in which all gates are folded: in each of the others one at least is not."""
