"""How far a graph agrees with the trained network, on real images, and what that costs."""

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
from nas.export.target import Images, Winner
from nas.export.verify import Session, judge, normalised

__all__ = ["GraphScores", "Parity", "ValidationScores", "predict_validation", "real_images"]


@dataclass(frozen=True, slots=True)
class Parity:
    """difference: largest absolute difference of any score, on `images` real images.
    largest: the largest absolute score. tolerance: allowed share of max(1, largest).
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
        return self.share <= self.tolerance


@dataclass(frozen=True, slots=True)
class GraphScores:
    """Scores of a graph beside the network's. loss_change: the graph's loss less the network's,
    paired by image; half_width: of its 95 % interval.
    """

    parity: Parity
    loss: float
    accuracy: float
    loss_change: float
    half_width: float


@dataclass(frozen=True)
class ValidationScores:
    """Validation images as they are deployed, and what the trained network says of them.

    pixels: (N, H, W, 3) uint8. images: (N, 3, H, W). scores: (N, classes). labels: (N,).
    """

    pixels: NDArray[np.uint8]
    images: Images
    scores: Images
    labels: NDArray[np.int64]

    @property
    def losses(self) -> NDArray[np.float64]:
        return judge(self.scores, self.labels)[0]

    @property
    def accuracy(self) -> float:
        return judge(self.scores, self.labels)[1]

    def judge(self, session: Session, tolerance: float) -> GraphScores:
        """Run them through a graph, in batches and, the first, by itself."""
        found = np.concatenate(
            [session(self.images[row : row + 64]) for row in range(0, len(self.images), 64)]
        )
        alone = session(self.images[:1])
        difference = max(
            float(np.abs(found - self.scores).max()), float(np.abs(alone - self.scores[:1]).max())
        )
        same = float((found.argmax(axis=1) == self.scores.argmax(axis=1)).mean())
        largest = float(np.abs(self.scores).max())
        losses, accuracy = judge(found, self.labels)
        change = losses - self.losses
        half_width = 0.0
        if len(change) > 1:
            half_width = NORMAL_QUANTILE * float(change.std(ddof=1)) / math.sqrt(len(change))
        parity = Parity(
            # NaN would pass for small.
            difference if math.isfinite(difference) else math.inf,
            largest,
            len(found),
            tolerance,
            same,
        )
        return GraphScores(parity, float(losses.mean()), accuracy, float(change.mean()), half_width)


def predict_validation(winner: Winner, data: Dataset, most: int) -> ValidationScores:
    """At most so many validation images, every class in its share, and the network's scores."""
    pixels, labels = real_images(data.validation, winner.side, most)
    images = normalised(pixels, {"mean": winner.mean, "std": winner.std})
    with torch.inference_mode():
        parts = [
            winner.network(torch.from_numpy(images[row : row + 64]))
            for row in range(0, len(images), 64)
        ]
    return ValidationScores(pixels, images, torch.cat(parts).numpy(), labels)


def real_images(split: Split, side: int, most: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(N, side, side, 3) uint8 and their labels, every class in its share.

    A network may be deployed larger than it was trained and its images were decoded.
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
