"""Images of one size, and how their rows are cut and thinned out class by class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.base.errors import SpecError
from nas.base.size import Resolution, Size

__all__ = ["Channels", "Dataset", "Split", "split_rows", "statistics", "thinning"]

Channels = tuple[float, float, float]

_JUDGED = 10_000  # images are enough for a mean
_AT_ONCE = 64  # images, so that large ones are not all in memory


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    images: (N, H, W, 3) uint8, so that a batch seen as NCHW is channels_last as it lies.
    labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Training and validation images of one size.

    mean, std: per channel over the training images, on the scale 0 to 255.
    mirror: whether a mirrored image is still of its class (false for digits).
    source: the name of the data, such as `digits` or `folder:PATH`.
    """

    train: Split
    validation: Split
    classes: tuple[str, ...]
    mean: Channels
    std: Channels
    mirror: bool
    source: str

    @property
    def size(self) -> Size:
        """The size of the images."""
        _, height, width, _ = self.train.images.shape
        return Size(height, width)

    @property
    def resolution(self) -> Resolution:
        """Their size as it is written."""
        return self.size.written

    @property
    def _class_sizes(self) -> Tensor:
        """The numbers of training images of each class that has any."""
        counts = torch.bincount(self.train.labels)
        return counts[counts > 0]

    @property
    def imbalance(self) -> float:
        """The size of the largest class over that of the smallest that has any image."""
        sizes = self._class_sizes
        return float(sizes.max() / sizes.min())

    def check_subset(self, images: int) -> None:
        """Check that a subset of so many training images can be taken.

        Raises SpecError when there are fewer, or more classes than that.
        """
        least, most = len(self._class_sizes), len(self.train)
        if not least <= images <= most:
            raise SpecError(
                f"a subset of {images} training images of {self.source}; allowed: {least} (one of "
                f"each class) to {most}"
            )

    def subset(self, images: int, seed: int) -> Dataset:
        """Return the same data with fewer training images; validation, mean and std stay.

        Every class keeps its share, and one image at least. Equal seeds give equal images, and
        a smaller subset is part of a larger one. The images are copied into memory.
        Raises SpecError when there are not so many, or more classes than that.
        """
        self.check_subset(images)
        if images == len(self.train):
            return self
        order = thinning(self.train.labels.numpy(), seed)
        rows = torch.from_numpy(np.sort(order[:images]))
        return replace(self, train=Split(self.train.images[rows], self.train.labels[rows]))


def split_rows(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row numbers in two, class by class, so that both parts hold every class.

    A class of a single image is in the first part alone.
    """
    rng = np.random.default_rng(seed)
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        size = min(max(1, round(share * len(rows))), len(rows) - 1) if len(rows) > 1 else 1
        first.append(rows[:size])
        second.append(rows[size:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def thinning(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Order all rows so that every beginning holds the classes in their proportions.

    One image of each class comes first.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        place[rows[0]] = 0
    return np.argsort(place, kind="stable")


def statistics(images: NDArray[np.uint8]) -> tuple[Channels, Channels]:
    """Return mean and deviation per channel, 0 to 255, of at most about 10,000 images.

    images: (N, H, W, 3).
    """
    # From counts of the 256 levels: nothing is held as floats.
    rows = np.arange(0, len(images), max(1, len(images) // _JUDGED))
    counts = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        pixels = images[rows[start : start + _AT_ONCE]].reshape(-1, 3)
        for channel in range(3):
            counts[channel] += np.bincount(pixels[:, channel], minlength=256)
    levels, total = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ levels / total
    spread = ((levels - mean[:, None]) ** 2 * counts).sum(axis=1) / total
    std = np.maximum(np.sqrt(spread), 1.0)
    return _channels(mean), _channels(std)


def _channels(values: NDArray[np.float64]) -> Channels:
    return float(values[0]), float(values[1]), float(values[2])
