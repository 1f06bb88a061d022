"""Images of one size, and how their rows are cut and thinned out class by class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.base.errors import SpecError
from nas.base.size import Resolution, Size
from nas.data.images import Categories
from nas.data.reading import Annotated, Channels

__all__ = [
    "Annotated",
    "Channels",
    "Dataset",
    "Split",
    "shared_images",
    "split_groups",
    "split_rows",
    "statistics",
    "thinning",
]

_JUDGED = 10_000  # images are enough for a mean
_AT_ONCE = 64  # images, so that large ones are not all in memory


@dataclass(frozen=True)
class Split:
    """Images with what is known of them.

    images: (N, H, W, 3) uint8, so that a batch seen as NCHW is channels_last as it lies.
    labels: (N,) int64, the class of each image, by which images are divided and thinned out. Of
        masks and boxes: the class among theirs that fewest images have; one more, behind all, of
        images without any. Of retrieval: the identity.
    annotations: what a task learns from and judges by, where that is more than the label. Masks:
        (N, H, W) uint8, the class of each pixel, 255 where none counts. Retrieval: (N, 2) int64,
        the camera (-1: not known), and 1 for a query, 0 for an image of the gallery. Boxes:
        (N, M, 6) float32, M the most objects of an image: x1, y1, x2, y2 in pixels from the outer
        edges, the class (-1: no object), and 1 for a region that does not count, as a crowd.
    """

    images: Tensor
    labels: Tensor
    annotations: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def targets(self) -> Tensor:
        """The truth that a task learns from: annotations where there are any, else labels."""
        return self.labels if self.annotations is None else self.annotations

    def only(self, rows: Tensor) -> Split:
        """Return the images of some rows, in their order, copied into memory."""
        held = None if self.annotations is None else self.annotations[rows]
        return Split(self.images[rows], self.labels[rows], held)


@dataclass(frozen=True)
class Dataset:
    """Training and validation images of one size.

    mean, std: per channel over the training images, on the scale 0 to 255.
    mirror: whether a mirrored image is still of its class (false for digits).
    source: the name of the data, such as `digits` or `folder:PATH`.
    annotated: what is known of its images.
    categories: of boxes, for each class the numbers and names that files have of it, several where
        classes are merged; empty where files have no numbers.
    """

    train: Split
    validation: Split
    classes: tuple[str, ...]
    mean: Channels
    std: Channels
    mirror: bool
    source: str
    annotated: Annotated = "labels"
    categories: Categories = ()

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
        """The numbers of training images of each class, or identity, that has any.

        Of masks and boxes: the images that show it, so that an image counts for several.
        """
        if self.annotated in {"masks", "boxes"}:
            assert self.train.annotations is not None
            showing = _showing if self.annotated == "masks" else _holding
            counts = showing(self.train.annotations)
        else:
            counts = torch.bincount(self.train.labels)
        return counts[counts > 0]

    @property
    def imbalance(self) -> float:
        """The size of the largest class over that of the smallest that has any image."""
        sizes = self._class_sizes
        return float(sizes.max() / sizes.min())

    @property
    def _labels(self) -> int:
        """How many labels the training images have."""
        return int(torch.count_nonzero(torch.bincount(self.train.labels)))

    @property
    def _least(self) -> int:
        """How many images of each label any subset has: of an identity two, to tell it by."""
        return 2 if self.annotated == "identities" else 1

    def check_subset(self, images: int) -> None:
        """Check that a subset of so many training images can be taken.

        Raises SpecError when there are fewer, or more classes than that.
        """
        least, most = self._least * self._labels, len(self.train)
        if not least <= images <= most:
            each = "two of each identity" if self._least > 1 else "one of each class"
            raise SpecError(
                f"a subset of {images} training images of {self.source}; allowed: {least} ({each}) "
                f"to {most}"
            )

    def subset(self, images: int, seed: int) -> Dataset:
        """Return the same data with fewer training images; validation, mean and std stay.

        Every class keeps its share, and one image at least; every identity two. Equal seeds give
        equal images, and a smaller subset is part of a larger one. The images are copied into
        memory.
        Raises SpecError when there are not so many, or more classes than that.
        """
        self.check_subset(images)
        if images == len(self.train):
            return self
        order = thinning(self.train.labels.numpy(), seed, self._least)
        rows = torch.from_numpy(np.sort(order[:images]))
        return replace(self, train=self.train.only(rows))


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


def split_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row numbers in two, about as `split_rows` does, so that no group is in both.

    Both parts hold a group at least. A class may be in one part alone.
    Raises SpecError for a single group.
    """
    numbers, group = np.unique(groups, return_inverse=True)
    if len(numbers) < 2:
        raise SpecError(
            "all images are of one group, which is not cut apart; give them two or more, or name a "
            "folder of others for validation (--validation PATH)"
        )
    counts = np.zeros((len(numbers), int(labels.max()) + 1))
    np.add.at(counts, (group, labels), 1)
    wanted = (1 - share) * counts.sum(axis=0)
    # Greedy: a group goes to the second part where that comes closer to its share by it.
    order = np.random.default_rng(seed).permutation(len(numbers))
    held = np.zeros(len(numbers), dtype=np.bool_)
    taken = np.zeros_like(wanted)
    for number in order:
        missing = wanted - taken
        held[number] = ((missing - counts[number]) ** 2).sum() < (missing**2).sum()
        taken += held[number] * counts[number]
    if held.all() or not held.any():
        held[order[-1]] = not held.any()
    return np.flatnonzero(~held[group]), np.flatnonzero(held[group])


def thinning(labels: NDArray[np.int64], seed: int, least: int = 1) -> NDArray[np.int64]:
    """Order all rows so that every beginning holds the classes in their proportions.

    least: how many images of each class come first.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        place[rows[:least]] = 0
    return np.argsort(place, kind="stable")


def _showing(masks: Tensor) -> Tensor:
    """Return in how many masks each of 255 classes is: (255,).

    masks: (N, H, W) uint8.
    """
    counts = torch.zeros(256, dtype=torch.int64)
    for mask in masks:
        counts += torch.bincount(mask.flatten(), minlength=256) > 0
    return counts[:255]


def _holding(boxes: Tensor) -> Tensor:
    """Return in how many images each class has an object, from boxes (N, M, 6)."""
    classes = boxes[..., 4].long()
    counts = torch.zeros(int(classes.max()) + 2, dtype=torch.int64)
    for held in classes:
        counts[held.unique()] += 1  # of no object at the last place
    return counts[:-1]


def shared_images(train: NDArray[np.uint8], held: NDArray[np.uint8]) -> int:
    """Count the images of one part that are in another as well, to the last pixel.

    train, held: (N, H, W, 3) and (M, H, W, 3); of those on disk little more is read than a row of
        each image, and all of those whose rows are alike.
    """

    def row(image: NDArray[np.uint8]) -> int:
        return hash(image[len(image) // 2].tobytes())

    def whole(image: NDArray[np.uint8]) -> bytes:
        return hashlib.sha256(image.tobytes()).digest()

    rows = set(map(row, train))
    doubtful = {row(image) for image in held} & rows
    learnt = {whole(image) for image in train if row(image) in doubtful}
    return sum(row(image) in doubtful and whole(image) in learnt for image in held)


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
