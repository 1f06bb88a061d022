"""Trainings as rows of evidence: what was trained how long, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.belief.grid import Codes, Floats
from nas.belief.relation import Relation

__all__ = ["CURVE", "EPOCH", "SMOOTH", "Evidence"]

CURVE = ("full", "start")
"""The sources that lie on the curve of full training: full trainings of any length, and
trainings that start as those do and stop early."""

EPOCH = {name: f"epoch of {name}" for name in CURVE}
"""Source on the curve -> that of the mean training loss of an epoch on its way, which costs nothing
(training speed estimation, arXiv:2006.04492). Its rows follow the curve at their budget by a slope
and a bias of their own: what fits the training images better need not be better."""

SMOOTH = 3.0
"""Units from the middle of a level; beyond, the order of magnitude counts, then nothing does."""

_FARTHEST = 1.5
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class Evidence:
    """Trainings of networks, one row for each time that one was judged.

    codes: (n, d) of the networks.
    source: (n,) how it was trained: one of `CURVE` or of `EPOCH`, `probe`, `supernet`, or any other
        name.
    images: (n,) images seen, NaN where that has no meaning.
    seed: (n,).
    training: (n,) equal for the rows of one training.
    loss: (n,) minimised; NaN where it is not known.
    metric: (n,) maximised, such as accuracy; NaN where it is not known.
    """

    codes: Codes
    source: Sequence[str]
    images: Floats
    seed: Codes
    training: Codes
    loss: Floats
    metric: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: NDArray[np.bool_] | Codes) -> Evidence:
        return Evidence(
            self.codes[rows],
            [str(name) for name in np.asarray(self.source, dtype=object)[rows]],
            self.images[rows],
            self.seed[rows],
            self.training[rows],
            self.loss[rows],
            self.metric[rows],
        )

    def __add__(self, other: Evidence | None) -> Evidence:
        if other is None:
            return self
        return Evidence(
            np.concatenate([self.codes, other.codes]),
            [*self.source, *other.source],
            np.append(self.images, other.images),
            np.append(self.seed, other.seed),
            np.append(self.training, other.training),
            np.append(self.loss, other.loss),
            np.append(self.metric, other.metric),
        )

    def usable(self) -> Evidence:
        """Leave out rows without a finite loss: of trainings that diverged."""
        return self[np.flatnonzero(np.isfinite(self.loss))]

    def with_expected(self, codes: Codes, gains: Floats) -> Evidence:
        """Add rows for networks (k, d) whose trainings are under way, with the expected outcome.

        gains: (k,) that are expected. They are taken for trainings of the commonest kind.
        """
        levels = self.levels()
        judged = [name not in EPOCH.values() for name in self.source]
        row = int(np.flatnonzero(levels == np.bincount(levels, judged).argmax())[0])
        centre = float(np.median(self.loss[levels == levels[row]]))
        count, first = len(codes), int(self.training.max(initial=0)) + 1
        fresh = np.arange(first, first + count)
        return Evidence(
            np.concatenate([self.codes, codes]),
            [*self.source, *[self.source[row]] * count],
            np.append(self.images, np.full(count, self.images[row])),
            np.append(self.seed, fresh),
            np.append(self.training, fresh),
            np.append(self.loss, centre + float(np.median(gains)) - gains),
            np.append(self.metric, np.full(count, np.nan)),
        )

    def levels(self) -> Codes:
        """Return the group (n,) of rows that were measured on one scale: source and budget."""
        keys = [
            (name, round(float(images), 3) if np.isfinite(images) else -1.0)
            for name, images in zip(self.source, self.images, strict=True)
        ]
        order = {key: number for number, key in enumerate(sorted(set(keys)))}
        return np.array([order[key] for key in keys], dtype=np.int64)

    def relation(self, target_images: float) -> Relation:
        """Relate the rows to a full training that sees so many images."""
        on_curve = {*CURVE, *EPOCH.values()}
        dated = np.array([name in on_curve for name in self.source], dtype=np.bool_)
        others = sorted({name for name in self.source if name not in CURVE})
        share = np.where(dated & np.isfinite(self.images), self.images / target_images, 1.0)
        level = self.levels()
        groups = int(level.max(initial=-1)) + 1
        return Relation(
            share=np.maximum(share, _LEAST_SHARE),
            source=np.array(
                [others.index(name) if name in others else -1 for name in self.source],
                dtype=np.int64,
            ),
            level=level,
            noise=level,
            training=self.training,
            seed=self.seed,
            repeats=np.ones(len(self)),
            known=np.full(groups, np.nan),
            degrees=np.zeros(groups),
            akin=np.array([name in EPOCH.values() for name in others], dtype=np.bool_),
        )

    def unit(self, target_images: float) -> float:
        """Return the spread of losses, of the rows that are nearest to full training.

        The median of how far networks lie from the middle of their level, so that a few that fail
        to train do not make all others equal.
        """
        level = self.levels()
        best, most = 1e-3, -np.inf
        for number in range(int(level.max(initial=-1)) + 1):
            rows = level == number
            if rows.sum() < 2:
                continue
            losses = self.loss[rows]
            apart = float(np.median(np.abs(losses - np.median(losses)))) * 1.4826
            spread = apart if apart > 0 else float(losses.std())
            on_curve = self.source[int(np.flatnonzero(rows)[0])] in CURVE
            worth = (on_curve, float(min(rows.sum(), 6)), _or_zero(self.images[rows][0]))
            rank = worth[0] * 1e6 + worth[1] * 1e4 + np.log1p(worth[2] / target_images)
            if rank > most:
                best, most = spread, rank
        return max(best, 1e-9)

    def apart(self, codes: Codes) -> float:
        """Return how far a network (d,) lies from the middle of the levels, at most, in loss."""
        level, own = self.levels(), (self.codes == codes).all(axis=1)
        distances = [
            abs(float(np.median(self.loss[rows & own]) - np.median(self.loss[rows])))
            for number in np.unique(level[own])
            for rows in [level == number]
        ]
        return max(distances, default=0.0)

    def values(self, unit: float) -> Floats:
        """Return what the model is fitted to, (n,): higher is better, each level about 0.

        Linear near the middle, logarithmic beyond, where a training has failed.
        """
        return centred(-self.loss / unit, self.levels())


def centred(values: Floats, level: Codes) -> Floats:
    """Return values (n,) about the median of each level, smoothed beyond three units."""
    centre = np.array([np.median(values[level == number]) for number in np.unique(level)])
    apart = values - centre[np.searchsorted(np.unique(level), level)]
    beyond = np.log1p(np.maximum(np.abs(apart) - SMOOTH, 0.0))
    far = np.sign(apart) * (SMOOTH + np.minimum(beyond, _FARTHEST))
    return np.asarray(np.where(np.abs(apart) > SMOOTH, far, apart))


def _or_zero(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0
