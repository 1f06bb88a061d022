"""The agreement of a graph with the trained network on real images, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from nas.base.size import Size
from nas.belief.noise import NORMAL_QUANTILE
from nas.data import Dataset, Split
from nas.data.dataset import thinning
from nas.export.target.target import EXACT, Images
from nas.export.verify import LEAST_LARGEST, Session, judge, normalised
from nas.export.winner import Winner

__all__ = [
    "AccuracyDrop",
    "GraphScores",
    "Parity",
    "ValidationScores",
    "departs",
    "predict_validation",
    "sample_images",
    "without_wrong_folds",
]

_BEYOND = 3.0
"""Standard errors that tell another accuracy from the noise of the images."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The agreement of a graph's scores with the network's.

    difference: the largest absolute difference of any score.
    largest: the largest absolute score.
    images: number of real images that it was seen on.
    tolerance: allowed share of the largest score.
    agreement: share of the images with the same best class.
    """

    difference: float
    largest: float
    images: int
    tolerance: float = 1e-5
    agreement: float = 1.0

    @property
    def share(self) -> float:
        """The difference as a share of the largest score."""
        return self.difference / max(LEAST_LARGEST, self.largest)

    @property
    def holds(self) -> bool:
        """True where the difference is within the tolerance."""
        return self.share <= self.tolerance


@dataclass(frozen=True, slots=True)
class AccuracyDrop:
    """The accuracy of the network less that of a graph, as a share of the images.

    low, high: of the 95 % interval, paired by image.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, network: NDArray[np.bool_], graph: NDArray[np.bool_]) -> AccuracyDrop:
        """Compare two on the same images.

        The interval is Bonett and Price's (2012) for paired proportions, which has a width even
        where the two are right about the same images.

        network: (N,), whether it is right about an image.
        graph: likewise.
        """
        lost, gained = int((network & ~graph).sum()), int((graph & ~network).sum())
        count = len(network) + 2
        shares = (lost + 1) / count, (gained + 1) / count
        middle = shares[0] - shares[1]
        half_width = NORMAL_QUANTILE * math.sqrt((sum(shares) - middle**2) / count)
        return cls((lost - gained) / len(network), middle - half_width, middle + half_width)

    def __str__(self) -> str:
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.mean:.1f} points (95 %: {low:.1f} to {high:.1f})"


@dataclass(frozen=True, slots=True)
class GraphScores:
    """The worth of a graph's scores beside the network's.

    loss: mean cross-entropy of the graph.
    accuracy: share of the images that the graph gets right.
    drop: what it loses of the network's accuracy.
    loss_change: the graph's loss less the network's, paired by image.
    half_width: of the 95 % interval of loss_change.
    """

    parity: Parity
    loss: float
    accuracy: float
    drop: AccuracyDrop
    loss_change: float
    half_width: float


@dataclass(frozen=True)
class ValidationScores:
    """The validation images as they are deployed, and what the network says of them as trained.

    pixels: (N, H, W, 3).
    images: (N, 3, H, W), normalised.
    scores: (N, classes), before softmax.
    labels: (N,).
    """

    pixels: NDArray[np.uint8]
    images: Images
    scores: Images
    labels: NDArray[np.int64]

    @property
    def losses(self) -> NDArray[np.float64]:
        """The cross-entropy of every image."""
        return judge(self.scores, self.labels)[0]

    @property
    def accuracy(self) -> float:
        """The share of the images that is right."""
        return judge(self.scores, self.labels)[1]

    @property
    def right(self) -> NDArray[np.bool_]:
        """True for each image whose best class is the right one."""
        right: NDArray[np.bool_] = self.scores.argmax(axis=1) == self.labels
        return right

    def compare(self, session: Session, tolerance: float) -> GraphScores:
        """Run the images through a graph, in batches and, the first, by itself.

        tolerance: allowed share of the largest score.
        """
        scores = np.concatenate(
            [session(self.images[row : row + 64]) for row in range(0, len(self.images), 64)]
        )
        alone = session(self.images[:1])
        difference = max(
            float(np.abs(scores - self.scores).max()), float(np.abs(alone - self.scores[:1]).max())
        )
        same = float((scores.argmax(axis=1) == self.scores.argmax(axis=1)).mean())
        largest = float(np.abs(self.scores).max())
        losses, accuracy = judge(scores, self.labels)
        change = losses - self.losses
        half_width = 0.0
        if len(change) > 1:
            half_width = NORMAL_QUANTILE * float(change.std(ddof=1)) / math.sqrt(len(change))
        parity = Parity(
            # NaN would pass for small.
            difference if math.isfinite(difference) else math.inf,
            largest,
            len(scores),
            tolerance,
            same,
        )
        drop = AccuracyDrop.of(self.right, scores.argmax(axis=1) == self.labels)
        return GraphScores(
            parity, float(losses.mean()), accuracy, drop, float(change.mean()), half_width
        )


def departs(accuracy: float, recorded: float | None, images: int) -> bool:
    """Say whether an accuracy is beyond the noise of the images from a recorded one.

    images: number of images that it was seen on, which may be a sample of those of the record.
    """
    if recorded is None:
        return False
    # Never less than of an image: all right is no accuracy without noise.
    share = min(max((accuracy + recorded) / 2, 1 / images), 1 - 1 / images)
    return abs(accuracy - recorded) > _BEYOND * math.sqrt(share * (1 - share) / images)


def predict_validation(winner: Winner, data: Dataset, most: int) -> ValidationScores:
    """Return validation images with the scores of the network as it was trained.

    most: number of images, every class in its share.
    """
    pixels, labels = sample_images(data.validation, winner.size, most)
    images = normalised(pixels, {"mean": winner.mean, "std": winner.std})
    session = _session(winner.trained)
    parts = [session(images[row : row + 64]) for row in range(0, len(images), 64)]
    return ValidationScores(pixels, images, np.concatenate(parts), labels)


def without_wrong_folds(winner: Winner, images: ValidationScores) -> Winner:
    """Return what is to be shipped: unfolded where folding changes what it says of real images.

    Gates are folded where that is the same by what a trace shows; a network that goes another way
    with other images is not seen through by it.
    """
    if winner.unfolded is None:
        return winner
    if images.compare(_session(winner.network), EXACT).parity.holds:
        return winner
    return replace(winner, network=winner.unfolded, unfolded=None)


def _session(network: nn.Module) -> Session:
    def infer(images: Images) -> Images:
        with torch.no_grad():
            scores: Images = network(torch.from_numpy(images)).numpy()
            return scores

    return infer


def sample_images(
    split: Split, size: Size, most: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images as they are deployed and their labels, every class in its share.

    size: of the images: a network may be deployed larger than it was trained and its images were
        decoded.
    most: number of images.
    Returns (N, height, width, 3) and (N,).
    """
    labels = split.labels.numpy()
    rows = np.arange(len(labels))
    if len(rows) > most:
        rows = np.sort(thinning(labels, 0)[:most])
    pixels = split.images[torch.from_numpy(rows)]
    deployed = (size.height, size.width)
    if pixels.shape[1:3] != deployed:
        scaled = functional.interpolate(
            pixels.permute(0, 3, 1, 2).float(), size=deployed, mode="bilinear"
        )
        pixels = scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy()), labels[rows]
