"""The part of a task in pictures: which images are shown, what is true, what is predicted."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import matplotlib
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nas.data import IGNORED, Dataset, Split
from nas.report.pictures.networks import ShownNetwork

__all__ = [
    "CamTarget",
    "LegendEntry",
    "Picture",
    "Pixels",
    "Prediction",
    "TaskPictures",
    "class_colour",
    "class_name",
    "pixels_of",
]

Pixels = NDArray[np.uint8]
Longs = NDArray[np.int64]

CamTarget = Callable[[Tensor], Tensor]
"""What a network gives for some images, (B, ...) -> what feature maps are towards, (B,)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it shows.

    pixels: (H, W, 3).
    right: whether it is a right answer.
    classes: the numbers of the classes that are drawn in it, by colour.
    """

    pixels: Pixels
    caption: str
    right: bool = False
    classes: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction of a network for an image.

    right: None where it is neither right nor wrong.
    """

    text: str
    right: bool | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A colour of a picture, `#rrggbb`, and what it stands for."""

    colour: str
    name: str


class TaskPictures(Protocol):
    """The part of a task in pictures."""

    @property
    def layer(self) -> str:
        """Behind which map of the backbone feature maps are made.

        `last`; or `finest`, of those that the head reads, which is the only one that all of what a
        network gives comes from where it is given by several.
        """
        ...

    @property
    def towards(self) -> str:
        """What feature maps are towards, in words."""
        ...

    def choices(self, split: Split) -> tuple[Longs, Longs]:
        """Return the rows that may be shown, (n,), and of which kind each is, (n,)."""
        ...

    def truths(self, data: Dataset, rows: Tensor) -> list[tuple[Picture, ...]]:
        """Return for each validation row the image, and what is true of it."""
        ...

    def cam_target(self, shown: ShownNetwork, rows: Tensor) -> CamTarget:
        """Return what feature maps of a network are towards, for validation rows."""
        ...

    def predictions(self, shown: ShownNetwork, rows: Tensor) -> list[Prediction]:
        """Return what a network predicts for each validation row."""
        ...

    def explain(self, split: Split) -> str:
        """Say in a sentence what is shown as the prediction."""
        ...

    def legend(self, data: Dataset, classes: frozenset[int]) -> tuple[LegendEntry, ...]:
        """Return what colours of classes stand for."""
        ...


def class_name(data: Dataset, number: int) -> str:
    """Return the name of a class; identities of validation images have none."""
    return data.classes[number] if number < len(data.classes) else f"identity {number}"


def class_colour(number: int) -> tuple[float, float, float]:
    """Return the colour of a class, red, green and blue from 0 to 1: far from those before."""
    if number == IGNORED:
        return (1.0, 1.0, 1.0)
    known = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    if number < len(known):
        red, green, blue = known[(2 * number) % 20 + (2 * number) // 20]  # the strong ones first
        return red, green, blue
    return colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.75, 0.95 - 0.3 * (number % 2))


def pixels_of(data: Dataset, row: int) -> Pixels:
    """Return a validation image: (H, W, 3)."""
    pixels: Pixels = data.validation.images[row].numpy()
    return pixels
