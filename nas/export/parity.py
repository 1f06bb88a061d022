"""The agreement of a graph with the trained network on real images, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nas.belief.noise import NORMAL_QUANTILE
from nas.data import Dataset, Split
from nas.data.dataset import thinning
from nas.export.target.target import Images
from nas.export.verify import Session, judge, normalised
from nas.export.winner import Winner

__all__ = ["GraphScores", "Parity", "ValidationScores", "predict_validation", "sample_images"]


@dataclass(frozen=True, slots=True)
class Parity:
    """The agreement of a graph's scores with the network's.

    difference: the largest absolute difference of any score.
    largest: the largest absolute score.
    images: number of real images that it was seen on.
    tolerance: allowed share of max(1, largest).
    agreement: share of the images with the same best class.
    """

    difference: float
    largest: float
    images: int
    tolerance: float = 1e-5
    agreement: float = 1.0

    @property
    def share(self) -> float:
        """The difference as a share of max(1, largest)."""
        return self.difference / max(1.0, self.largest)

    @property
    def holds(self) -> bool:
        """True where the difference is within the tolerance."""
        return self.share <= self.tolerance


@dataclass(frozen=True, slots=True)
class GraphScores:
    """The worth of a graph's scores beside the network's.

    loss: mean cross-entropy of the graph.
    accuracy: share of the images that the graph gets right.
    loss_change: the graph's loss less the network's, paired by image.
    half_width: of the 95 % interval of loss_change.
    """

    parity: Parity
    loss: float
    accuracy: float
    loss_change: float
    half_width: float


@dataclass(frozen=True)
class ValidationScores:
    """The validation images as they are deployed, and what the trained network says of them.

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

    def compare(self, session: Session, tolerance: float) -> GraphScores:
        """Run the images through a graph, in batches and, the first, by itself.

        tolerance: allowed share of max(1, largest score).
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
        return GraphScores(parity, float(losses.mean()), accuracy, float(change.mean()), half_width)


def predict_validation(winner: Winner, data: Dataset, most: int) -> ValidationScores:
    """Return validation images with the network's scores.

    most: number of images, every class in its share.
    """
    pixels, labels = sample_images(data.validation, winner.side, most)
    images = normalised(pixels, {"mean": winner.mean, "std": winner.std})
    with torch.inference_mode():
        parts = [
            winner.network(torch.from_numpy(images[row : row + 64]))
            for row in range(0, len(images), 64)
        ]
    return ValidationScores(pixels, images, torch.cat(parts).numpy(), labels)


def sample_images(
    split: Split, side: int, most: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images as they are deployed and their labels, every class in its share.

    side: of the images, pixels: a network may be deployed larger than it was trained and its
        images were decoded.
    most: number of images.
    Returns (N, side, side, 3) and (N,).
    """
    labels = split.labels.numpy()
    rows = np.arange(len(labels))
    if len(rows) > most:
        rows = np.sort(thinning(labels, 0)[:most])
    pixels = split.images[torch.from_numpy(rows)]
    if pixels.shape[1] != side:
        scaled = functional.interpolate(
            pixels.permute(0, 3, 1, 2).float(), size=(side, side), mode="bilinear"
        )
        pixels = scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy()), labels[rows]
