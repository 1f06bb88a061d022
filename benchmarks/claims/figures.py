"""What is said of a figure that the loss tells loosely, such as mIoU, mean AP or rank-1.

A figure gains by a slope of what the loss gains, and something of its own: of each block at each
place, alike at both lengths of training in part only. A training adds noise of its own to the
figure, beside what its loss has, and so do the images that judge, which are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.claims.as_program import architecture_of, number_of, trials_of
from benchmarks.claims.tally import Tallies
from benchmarks.claims.worlds import UNIT, Study, World, search
from nas.study.evidence import START, Budgets
from nas.study.front.believed import Believed
from nas.study.front.network_table import NetworkTable
from nas.study.full_training import FullTraining
from nas.study.network_belief import NetworkBelief

__all__ = ["figure_claims"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_EPOCHS = 10
_TRAIN_IMAGES = 100_000
_BUDGETS = Budgets(START, (200_000.0,), float(_TRAIN_IMAGES), float(_TRAIN_IMAGES * _EPOCHS))
_SHORT, _LONG = 0.4, 0.6  # of the figure, about which it varies
_SURE = 0.99
_WINNERS = 3


@dataclass(frozen=True, eq=False)
class _Figure:
    """A figure of the networks of a study.

    slope: of the figure by the loss that is saved.
    own: (2, n) what networks gain beyond it, by a short and by a full training.
    noise: standard deviation of a training's figure beyond what its loss tells, of both.
    by_images: (n,) what these images add to the figure of each network.
    image_error: (n,) the standard error of its difference from the plain one's, by images.
    """

    slope: float
    own: Floats
    noise: tuple[float, float]
    by_images: Floats
    image_error: Floats

    @classmethod
    def drawn(cls, study: Study, rng: np.random.Generator) -> _Figure:
        slope = float(np.exp(rng.uniform(np.log(0.3), np.log(3.0))))
        share = float(rng.choice([0.0, rng.uniform(0.2, 2.0)]))
        alike = float(rng.uniform(0.3, 1.0))
        places = rng.standard_normal((2, *study.world.effects.shape))
        places[:, :, 0] = 0.0
        rows = np.arange(study.world.sites)
        two = places[:, rows, study.codes].sum(axis=2) / np.sqrt(study.world.sites)
        size = 0.0 if study.world.family == "null" else share * slope * UNIT
        short = two[0]
        full = alike * two[0] + np.sqrt(1 - alike**2) * two[1]
        noise = slope * study.world.noise * np.exp(rng.uniform(np.log(0.3), np.log(3.0)))
        images = noise * rng.uniform(0, 1.5)
        shift = images * rng.standard_normal(len(study.codes)) / np.sqrt(2)
        return cls(
            slope,
            size * np.stack([short, full]),
            (float(noise), float(noise / 2)),
            shift,
            np.where(np.arange(len(shift)) > 0, images, 0.0),
        )

    def full(self, study: Study) -> Floats:
        """Return what networks gain by full training, (n,)."""
        return np.asarray(self.slope * study.world.gain(study.codes) + self.own[1])


def _with_figures(study: Study, figure: _Figure, rng: np.random.Generator) -> Floats:
    """Return the figure that each short training came to, (t,)."""
    saved = study.truth[0] - study.loss
    noise = figure.noise[0] * rng.standard_normal(len(saved))
    beside = figure.own[0] + figure.by_images
    return np.asarray(_SHORT + figure.slope * saved + beside[study.network] + noise)


def _full_trainings(
    study: Study, figure: _Figure, chosen: dict[int, int], rng: np.random.Generator
) -> dict[int, list[FullTraining]]:
    """Train some networks fully. chosen: network -> how many seeds."""
    gain, own = study.world.gain(study.codes), figure.own[1] + figure.by_images
    tails = study.world.tails

    def one(network: int, seed: int) -> FullTraining:
        error = rng.standard_t(tails) * np.sqrt((tails - 2) / tails) * study.world.noise / 2
        value = _LONG + figure.slope * (gain[network] - error) + own[network]
        value += figure.noise[1] * rng.standard_normal()
        return FullTraining(
            trial=network,
            digest=architecture_of(study, network).digest,
            reference=study.names[network],
            seed=seed,
            key="full",
            recipe={"epochs": _EPOCHS},
            description="full",
            resolution=32,
            images=1000,
            loss=float(0.5 - gain[network] + error),
            accuracy=float(value),
        )

    return {network: [one(network, seed) for seed in range(n)] for network, n in chosen.items()}


def figure_claims(
    world: World, rng: np.random.Generator, tallies: Tallies, *, by_image: bool = True
) -> None:
    """What is said of the figure, by the search alone and with full trainings.

    by_image: whether what images do to the figure is known, or only what they do to the loss.
    """
    study = search(world, rng, networks=int(rng.choice([12, 28])), best=5)
    figure = _Figure.drawn(study, rng)
    shown = _with_figures(study, figure, rng)
    truth = figure.full(study) - figure.full(study)[0]
    trainings = _full_trainings(study, figure, _trained_fully(study, rng), rng)
    errors = figure.image_error if by_image else None
    number = number_of(study)
    for name, full in (("searched", {}), ("trained fully", trainings)):
        trials = trials_of(study, full, figures=shown, figure_errors=errors)
        belief = NetworkBelief.of(trials, _BUDGETS)
        assert belief is not None
        measured = NetworkTable.of(trials)
        gains = Believed({None: belief}).of_each(measured, np.arange(len(measured)))
        for row, gain in enumerate(gains):
            network = number[measured.architecture(row).digest]
            if not network:
                continue
            which = name if not full or network in full else "beside those"
            tallies[f"figure interval, {which}"].interval(
                gain.gain_low, gain.gain_high, float(truth[network])
            )
            if world.family == "null":
                continue
            better = bool(truth[network] > 0)
            tallies[f"figure p_better, {which}"].chance(gain.p_better, better)
            if gain.p_better > _SURE:
                tallies[f"figure surely better, {which}"].chance(gain.p_better, better)


def _trained_fully(study: Study, rng: np.random.Generator) -> dict[int, int]:
    """Return the networks that are trained fully, those placed and the best: their seeds."""
    first = len(study.names) - study.names.count(None)
    best = first + np.argsort(study.mean_loss()[first:])[:_WINNERS]
    chosen = [*range(1, first), *best.tolist()]
    return {0: 2} | {network: int(rng.integers(1, 3)) for network in chosen}
