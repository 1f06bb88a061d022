"""A study of a world as the program keeps it, so that its own code makes the claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from benchmarks.claims.worlds import Study
from nas.spec.architecture import Architecture, Insertion
from nas.spec.objective import objectives_named
from nas.study.evidence import START, Budgets
from nas.study.front.front import Front
from nas.study.full_training import FullTraining, pack_flags, pack_losses
from nas.study.network_belief import NetworkBelief
from nas.study.record import COMPLETE, Record
from nas.study.trials import Trials

__all__ = [
    "FullTruth",
    "architecture_of",
    "belief_draws",
    "front_of",
    "number_of",
    "retrain",
    "trials_of",
]

Floats = NDArray[np.float64]

OBJECTIVES = objectives_named(["loss", "latency_ms"])
_KINDS = ("se", "cbam", "coord", "eca", "simam")
_SLOPE = 6.0  # of an image's margin for a unit of gain in loss: accuracy moves with it
_CENTRE, _DIFFICULTY = 0.9, 1.6  # of margins over images
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


def front_of(
    study: Study, trainings: Mapping[int, Sequence[FullTraining]] | None = None, *, least: int = 3
) -> Front:
    """Return the front of a study, as `nas front` would show it.

    trainings: full trainings by network.
    least: seeds that its members have.
    """
    return Front.of(trials_of(study, trainings), OBJECTIVES, least_seeds=least)


def trials_of(
    study: Study,
    trainings: Mapping[int, Sequence[FullTraining]] | None = None,
    *,
    figures: Floats | None = None,
    figure_errors: Floats | None = None,
) -> Trials:
    """Return the trials of a study.

    trainings: as of `front_of`.
    figures: (t,) of each training, in place of an accuracy that the loss tells.
    figure_errors: (n,) of each network, what images do to its figure beside the plain one's.
    """
    if figures is None:
        figures = np.clip(1.2 - 0.6 * study.loss, 0.01, 0.99)
    records = []
    for trial, (network, seed, repeat, loss) in enumerate(
        zip(study.network, study.seed, study.repeat, study.loss, strict=True)
    ):
        architecture = architecture_of(study, int(network))
        record = Record(
            trial=trial,
            state=COMPLETE,
            digest=architecture.digest,
            architecture=architecture.to_json(),
            reference=study.names[network],
            repeat=int(repeat),
            trained=not (study.world.exact_plain and network == 0),
            seed=int(seed),
            loss=float(loss),
            accuracy=float(figures[trial]),
            loss_sem=float(study.image_noise[network]) or None,
            accuracy_sem=None if figure_errors is None else float(figure_errors[network]),
            latency_ms=float(study.latency_ms[network]),
            latency_spread=0.005,
            params=1000 + int((study.codes[network] > 0).sum()),
            macs=1000,
            images=10_000,
            seconds=1.0,
            train_seconds=1.0,
        )
        if trainings and repeat == 0 and int(network) in trainings:
            mine = tuple(replace(item, digest=record.digest) for item in trainings[int(network)])
            record = replace(record, full_trainings=mine)
        records.append(record)
    return Trials.of(records)


def belief_draws(study: Study, rows: NDArray[np.int64], count: int = 4000) -> Floats:
    """Return joint draws of what networks gain, (count, k), by the belief of the study's trainings.

    They are taken for trainings of full length: what they would show without noise is the truth.
    """
    budgets = Budgets(START, (1e6,), 1e5, 1e6)
    belief = NetworkBelief.of(trials_of(study), budgets)
    assert belief is not None
    return belief.draws([architecture_of(study, int(row)) for row in rows], count)


def architecture_of(study: Study, network: int) -> Architecture:
    return Architecture(
        "net",
        32,
        tuple(
            Insertion(f"blocks.{site // 3}.{site % 3}/after_depthwise", _KINDS[kind - 1])
            for site, kind in enumerate(study.codes[network])
            if kind
        ),
    )


def number_of(study: Study) -> dict[str, int]:
    """Return the number of each network of a study by its digest."""
    return {architecture_of(study, row).digest: row for row in range(len(study.codes))}


class FullTruth:
    """What full training gives, image by image.

    An image has a margin: how far its right class is ahead. It is the network's own (which gain
    moves), the image's (which is the same for all networks), and that of image and network
    together. `sharpness` scales all margins of a network: it moves its loss and not its accuracy.
    """

    def __init__(
        self,
        study: Study,
        rng: np.random.Generator,
        *,
        images: int = 2000,
        noise: float = 1.0,
        by_image: bool = True,
        tested: bool = True,
    ) -> None:
        self._rng, self.images, self.by_image, self.tested = rng, images, by_image, tested
        world = study.world
        gain = world.gain(study.codes)
        self.margin = _CENTRE + _SLOPE * gain
        self.sharpness = np.ones(len(gain))
        if rng.uniform() < 0.3 and world.family not in ("null", "harm", "worse"):
            # Trained to overconfidence, some more than others: loss and accuracy disagree.
            self.sharpness = np.exp(rng.normal(0, 0.15, len(gain)))
        self.noise = noise * _SLOPE * world.noise
        self.seed_effect = noise * _SLOPE * world.seed_effect
        self.together = 0.5
        spread = np.sqrt(
            _DIFFICULTY**2 + self.together**2 + self.noise**2 + self.seed_effect**2 + 0.4**2
        )
        self.accuracy = norm.cdf(self.margin / spread)
        margins = self.margin[:, None] + spread * _NODES
        weights = _WEIGHTS / _WEIGHTS.sum()
        self.loss = _loss(self.sharpness[:, None] * margins) @ weights
        self._difficulty = {
            part: rng.normal(0, _DIFFICULTY, images) for part in ("validation", "test")
        }

    def train(
        self, network: int, name: str | None, seeds: Mapping[int, float]
    ) -> list[FullTraining]:
        """Train a network with seeds, each with its effect on all networks."""
        own = {part: self._rng.normal(0, self.together, self.images) for part in self._difficulty}
        return [
            self._trained(network, name, seed, self.margin[network] + effect, own)
            for seed, effect in seeds.items()
        ]

    def draw_seeds(self, count: int) -> dict[int, float]:
        """Return seeds and what each does to all networks alike."""
        return {seed: float(self._rng.normal(0, self.seed_effect)) for seed in range(count)}

    def _trained(
        self, network: int, name: str | None, seed: int, centre: float, own: Mapping[str, Floats]
    ) -> FullTraining:
        centre = centre + self._rng.normal(0, self.noise)
        margins = {
            part: centre + difficulty + own[part] + self._rng.normal(0, 0.4, self.images)
            for part, difficulty in self._difficulty.items()
        }
        losses = {part: _loss(self.sharpness[network] * margin) for part, margin in margins.items()}
        figures: dict[str, object] = {
            "trial": network,
            "digest": str(network),
            "reference": name,
            "seed": seed,
            "key": "full",
            "recipe": {},
            "description": "full",
            "resolution": 32,
            "images": self.images,
            "loss": float(losses["validation"].mean()),
            "accuracy": float((margins["validation"] > 0).mean()),
            "losses": pack_losses(losses["validation"]) if self.by_image else None,
        }
        if self.tested:
            figures |= {
                "test_images": self.images,
                "test_loss": float(losses["test"].mean()),
                "test_accuracy": float((margins["test"] > 0).mean()),
                "test_correct": pack_flags(margins["test"] > 0),
                "test_losses": pack_losses(losses["test"]) if self.by_image else None,
            }
        return FullTraining(**figures)  # type: ignore[arg-type]


def _loss(margins: Floats) -> Floats:
    """Cross-entropy of two classes."""
    return np.asarray(-np.log(expit(margins)))


def retrain(
    study: Study,
    rng: np.random.Generator,
    *,
    seeds: int = 3,
    winners: int = 5,
    noise: float = 0.5,
    by_image: bool = True,
    tested: bool = True,
) -> tuple[Front, FullTruth]:
    """Train fully the hand-placed networks and some members of the front, as `nas retrain` does.

    noise: of a full training, relative to that of a short one.
    by_image: whether the loss of each image is kept; without, accuracy judges.
    tested: whether there are test images; without, those that choose a network judge it, too.
    """
    front = front_of(study)
    numbers = number_of(study)
    members = [
        numbers[point.architecture.digest] for point in front.members if point.reference is None
    ]
    step = max(1, len(members) // winners)
    placed = [row for row, name in enumerate(study.names) if name]
    truth = FullTruth(study, rng, noise=noise, by_image=by_image, tested=tested)
    effects = truth.draw_seeds(seeds)
    chosen = [*placed, *members[::step][:winners]]
    trainings = {row: truth.train(row, study.names[row], effects) for row in chosen}
    return front_of(study, trainings), truth
