"""The trainings of a study as rows of evidence: what each is beside full training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.belief.evidence import CURVE, EPOCH, Evidence
from nas.belief.published_prior import Regime
from nas.spec.runner import Runner
from nas.study.full_training import FullTraining
from nas.study.record import PRUNED, RungResult, read_epoch_losses, read_rungs
from nas.study.trials import Trials

__all__ = ["FULL", "START", "Budgets", "collect_evidence", "rows_to_read"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST = 600  # rows that a belief is fitted to; 1,200 take five seconds
FULL, START = CURVE


@dataclass(frozen=True, slots=True)
class Budgets:
    """The short trainings of a run, as evidence of its full ones.

    source: `start` where they begin as full trainings do; else the kind of proxy.
    images: that a training has seen at each rung, from the lowest.
    train_images: in one epoch.
    full_images: that a full training sees.
    annealed: the rungs below the top are read after a cooldown of their own, as the top is.
    published: the regime whose published comparisons guide the search beside trainings; None: none
        do.
    """

    source: str
    images: tuple[float, ...]
    train_images: float
    full_images: float
    annealed: bool = False
    published: Regime | None = None

    @classmethod
    def of(cls, runner: Runner, train_images: int) -> Budgets:
        """Return what a runner's proxy is evidence of, with so many training images.

        A budget in seconds is of no known number of images, and then a source of its own.
        """
        proxy = runner.proxy.settled(train_images)
        full = runner.retrain.resolved(train_images)
        whole = proxy.subset is None and proxy.resolution is None and proxy.unit != "seconds"
        source = START if proxy.kind == "scratch" and whole else proxy.kind
        images = tuple(
            budget
            if proxy.unit == "seconds"
            else proxy.steps(budget, train_images) * proxy.batch_size
            for budget in proxy.budgets
        )
        return cls(
            source,
            images,
            train_images=float(train_images),
            full_images=float(full.epochs * train_images),
            annealed=proxy.schedule != "whole",
            published=proxy.regime if runner.search.published_prior else None,
        )


def collect_evidence(trials: Trials, codes: Mapping[str, Codes], budgets: Budgets) -> Evidence:
    """Return every training of a study as rows of evidence, at each rung that it came to.

    codes: digest -> (d,) of the networks to take; others are left out.
    """
    collected = _Collected()
    rows = rows_to_read(trials)
    digests = trials.text("digest").take(rows).objects()
    for row, digest in zip(rows.tolist(), digests, strict=True):
        known = codes.get(str(digest))
        if known is not None:
            collected.add_trial(trials, row, known, budgets)
    for training in trials.full_trainings():
        if training.complete and training.digest in codes:
            collected.add_full_training(training, codes[training.digest], budgets)
    return collected.evidence()


class _Collected:
    """Rows of evidence as they are read."""

    def __init__(self) -> None:
        self._codes: list[Codes] = []
        self._rows: list[tuple[str, float, int, int, float, float]] = []

    def add_trial(self, trials: Trials, row: int, codes: Codes, budgets: Budgets) -> None:
        """Add what a trial came to at each rung."""
        scores = [
            *read_rungs(trials["rungs"][row]),
            RungResult(
                0.0,
                float(trials["loss"][row]),
                float(trials["accuracy"][row]),
                0.0,
                epoch_losses=read_epoch_losses(trials["epoch_losses"][row]),
            ),
        ]
        seed, number = int(trials["seed"][row]), int(trials["trial"][row])
        for rung, score in enumerate(scores):
            images = budgets.images[min(rung, len(budgets.images) - 1)]
            # Read at the full rate, a rung below the top has a scale of its own.
            alike = budgets.annealed or rung >= len(budgets.images) - 1
            source = budgets.source if alike else f"{budgets.source} on its way"
            self._add(codes, (source, images, seed, number, score.loss, score.accuracy))
            self._add_last_epoch(codes, budgets.source, (seed, number), score.epoch_losses, budgets)

    def add_full_training(self, training: FullTraining, codes: Codes, budgets: Budgets) -> None:
        """Add a full training; one of another length is another point of the curve."""
        assert training.loss is not None and training.accuracy is not None
        epochs = training.recipe.get("epochs")
        images = budgets.train_images * epochs if epochs else budgets.full_images
        # Numbered apart from those of the search.
        number = -1 - len(self._rows)
        self._add(
            codes,
            (FULL, images, -1 - training.seed, number, training.loss, training.accuracy),
        )
        own = -1 - training.seed, number
        self._add_last_epoch(codes, FULL, own, training.epoch_losses or (), budgets)

    def _add_last_epoch(
        self,
        codes: Codes,
        source: str,
        seed_and_training: tuple[int, int],
        losses: Sequence[float],
        budgets: Budgets,
    ) -> None:
        """Add the mean training loss of a training's last whole epoch.

        That of a probe would be as biased as the probe, which one more source is not told.
        """
        if source in CURVE and losses:
            images = budgets.train_images * len(losses)
            own = *seed_and_training, losses[-1], math.nan
            self._add(codes, (EPOCH[source], images, *own))

    def _add(self, codes: Codes, row: tuple[str, float, int, int, float, float]) -> None:
        self._codes.append(codes)
        self._rows.append(row)

    def evidence(self) -> Evidence:
        """Return the rows."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        source, images, seed, training, loss, metric = columns
        return Evidence(
            np.array(self._codes, dtype=np.int64).reshape(len(self._rows), -1),
            [str(name) for name in source],
            np.array(images, dtype=np.float64),
            np.array(seed, dtype=np.int64),
            np.array(training, dtype=np.int64),
            np.array(loss, dtype=np.float64),
            np.array(metric, dtype=np.float64),
        )


def rows_to_read(trials: Trials) -> Codes:
    """Return the rows with a value: references, those nearest to the best, and the latest."""
    ended = trials.complete | trials.text("state").equal(PRUNED)
    rows = np.flatnonzero(ended & np.isfinite(trials["loss"]))
    if len(rows) <= _MOST:
        return rows
    losses = trials["loss"][rows]
    named = trials["reference"][rows] != None  # noqa: E711
    order = np.lexsort((losses, ~named))
    best = rows[order[: _MOST // 2]]
    others = np.setdiff1d(rows, best)
    return np.sort(np.concatenate([best, others[-(_MOST - len(best)) :]]))
