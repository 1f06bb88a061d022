"""What fully trained networks come to on all images there are, drawn jointly for all of them.

Seeds and images are the two sources of noise. A seed gives all networks the same batches, and an
image is judged by all of them, so what moves all alike cancels out of their differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.spec.task import TaskName
from nas.study.marks import Marks, figure_covariance, is_share

__all__ = ["ComparedNetwork", "JointDraws", "draw_jointly"]

Floats = NDArray[np.float64]

_DRAWS = 4000


@dataclass(frozen=True, slots=True)
class ComparedNetwork:
    """One network with the seeds that it is compared by.

    loss: the proxy's.
    validation, accuracy: (s,) by seed; accuracy is what counts, on test images where there are any.
    marks: of each seed that kept them, on the same images as accuracy; empty where none did.
    full_loss: (s,) by seed, on the same images as accuracy; losses: (N,) mean over seeds of each
        image's. Both None where they were not kept.
    """

    name: str
    reference: str | None
    latency_ms: float
    loss: float
    validation: Floats
    accuracy: Floats
    marks: tuple[Marks, ...]
    full_loss: Floats | None = None
    losses: Floats | None = None


@dataclass(frozen=True, eq=False)
class JointDraws:
    """Joint draws of what k networks come to on all images there are, (count, k), higher is better.

    points: of accuracy. loss: minus the loss; None where the loss of each image was not kept.
    """

    points: Floats
    loss: Floats | None


def draw_jointly(
    networks: Sequence[ComparedNetwork], task: TaskName, images: int
) -> JointDraws | None:
    """Draw what networks come to; None where the noise of seeds or of images is not known."""
    covariance = _covariance(networks, task, images)
    if covariance is None:
        return None
    points = _drawn([100 * item.accuracy for item in networks], covariance)
    if points is None:
        return None
    losses = [item.full_loss for item in networks if item.full_loss is not None]
    drawn = None
    if len(losses) == len(networks):
        by_image = [item.losses for item in networks if item.losses is not None]
        drawn = _drawn(losses, np.atleast_2d(np.cov(np.stack(by_image))) / max(images, 1))
    return JointDraws(points, None if drawn is None else -drawn)


def _covariance(networks: Sequence[ComparedNetwork], task: TaskName, images: int) -> Floats | None:
    """Return how figures in points vary over images, (k, k); None where that is not known.

    Where marks of one network are not known, images are taken as independent of each other: that is
    too wide, and can be told of shares of images alone.
    """
    known = [item.marks for item in networks if item.marks]
    alike = len({len(marks[0]) for marks in known}) == 1
    if alike and len(known) == len(networks):
        return figure_covariance(task, known, images, unit=100)
    if not is_share(task):
        return None
    means = [item.accuracy.mean() for item in networks]
    return np.diag([1e4 * float(mean * (1 - mean)) / max(images, 1) for mean in means])


def _drawn(values: Sequence[Floats], covariance: Floats) -> Floats | None:
    """Draw means over all seeds and all images, (count, k).

    Not shrunk: what is compared was chosen by other images, or beside all that it was chosen from,
    and all comparisons count together.
    values: (s,) of each network, with the same seeds.
    covariance: (k, k), of their means over other images.
    """
    table = np.array(values)
    if min(table.shape) < 2:
        return None
    rng = np.random.default_rng(0)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    # A variance that few seeds tell may be larger: Student's t.
    variance = float((rest**2).sum()) / rng.chisquare(freedom, _DRAWS)
    usual = rng.standard_normal((_DRAWS, len(table)))
    drawn = table.mean(axis=1) + usual * np.sqrt(variance / table.shape[1])[:, None]
    scales, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(scales, 0.0))
    drawn += rng.standard_normal(drawn.shape) @ root.T
    return np.asarray(drawn - drawn.mean(axis=0) + table.mean(axis=1))
