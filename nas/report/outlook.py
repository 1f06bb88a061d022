"""What can be said of a search space before anything is trained.

From published results, costs, and the latencies of a device profile alone, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.size import Resolution
from nas.belief.published_prior import PublishedPrior, PublishedTerms
from nas.belief.space_codes import Codes
from nas.latency.profile import Prediction, Profile, load_profile
from nas.latency.runtime import device_named
from nas.models.candidates import Candidates, given_space
from nas.models.choice_costs import COUNTED
from nas.models.coded_space import CodedCandidates
from nas.models.cost import cost
from nas.runs.training_speed import seconds_per_image
from nas.spec.architecture import Architecture
from nas.spec.proxy import Proxy
from nas.spec.space import Constraints, SearchSpace
from nas.spec.task import Task, TaskName

__all__ = [
    "Narrowing",
    "NetworkOutlook",
    "Outlook",
    "Placement",
    "Published",
    "ask",
    "narrowed_deviation",
]

Floats = NDArray[np.float64]
Place = Literal["everywhere", "early half", "late half"]

LEVEL = 0.9
_QUANTILE = NormalDist().inv_cdf((1 + LEVEL) / 2)
_SHORT_TRAINING = 250_000
"""Images seen in a short training: five epochs of 50,000."""
_SEED_NOISE, _FROM_SHORT_TO_FULL = 0.5, 0.5
"""Accuracy points: what two seeds of a training differ by, and what a short training leaves open
about the full one. Assumed; a search measures both (`nas calibrate`)."""
_USUAL_CLASSES = {"segmentation": 21}


@dataclass(frozen=True, slots=True)
class Placement:
    """A kind of block at some sites, hand-placed.

    block: the label that stands at most of them, with the paper's options where there are such.
    gain, gain_low, gain_high: accuracy points by full training over the plain network, and
        their 90 % interval.
    p_helps: probability that the gain is above zero.
    params, macs: what is added to the plain network.
    latency_ms, latency_half_width_ms: what is added, and half the 90 % interval of the whole
        network's latency; None without a device profile.
    allowed: whether it keeps the limits of the space.
    """

    kind: str
    block: str
    place: Place
    blocks: int
    gain: float
    gain_low: float
    gain_high: float
    p_helps: float
    params: int
    macs: int
    latency_ms: float | None
    latency_half_width_ms: float | None
    allowed: bool

    @property
    def deviation(self) -> float:
        """Standard deviation of the gain, points."""
        return (self.gain_high - self.gain_low) / (2 * _QUANTILE)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What an hour of training on this machine would leave of the width of a gain.

    images_per_second: of a training of the plain network at its own resolution, timed here.
    trainings: short ones of 250,000 images in that hour, half of them of the plain network.
    width, narrowed: of the 90 % interval, accuracy points, before and after; the same where there
        is no time for two trainings.
    """

    hours: float
    images_per_second: float
    trainings: float
    width: float
    narrowed: float


@dataclass(frozen=True, slots=True)
class NetworkOutlook:
    """What can be said of one backbone at one resolution.

    sites: that take part.
    latency_ms: of the plain network; None without a device profile.
    placements: by place, best first; the cheapest first in each.
    suggested: the first to train among those that are allowed; None where nothing is.
    p_late: probability that the late half gains more than the early half; None without halves.
    narrowing: for `suggested`, of classification: what seeds and short trainings leave open is
        assumed of its accuracy alone.
    uncounted: operators of the plain network that its multiply-adds leave out.
    """

    backbone: str
    resolution: Resolution
    sites: int
    params: int
    macs: int
    latency_ms: float | None
    placements: tuple[Placement, ...]
    suggested: Placement | None
    p_late: float | None
    narrowing: Narrowing | None
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What the prior was read from.

    late_studies: how many of the studies compared places.
    kinds: kind of the space -> rows and studies that it stands in.
    """

    rows: int
    studies: int
    late_studies: int
    kinds: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What can be said of a space before anything is trained.

    device: name of the device whose latencies are predicted, or that a profile is wanted of;
        None when none was named.
    profiled: whether its latencies are known.
    task, head: what networks are for, and what stands around their backbone; costs and latencies
        are of the whole. Gains are of classification whatever it is, as published results are.
    outputs: classes that networks tell apart; of retrieval, the length of a vector.
    doubt: what is to be said of its profile; None where that is certified, or there is none.
    """

    space: str
    regime: str
    plain_accuracy: float | None
    device: str | None
    profiled: bool
    published: Published
    networks: tuple[NetworkOutlook, ...]
    doubt: str | None = None
    task: TaskName = "classification"
    head: str = "classifier"
    outputs: int = 1000


def ask(
    space: SearchSpace | str | Path,
    *,
    device: str | Path | None = None,
    regime: Literal["scratch", "finetune"] = "scratch",
    plain_accuracy: float | None = None,
    task: str = "classification",
    head: str | None = None,
    num_classes: int | None = None,
    speed: Callable[[Architecture], float] | None = None,
) -> Outlook:
    """Say what is known of a space before anything is trained in it.

    device: a device profile, which latencies are predicted from, or a runtime of this machine,
        which has none yet.
    regime: whether networks are trained from random weights, or from a finished plain network.
    plain_accuracy: of the fully trained plain network, 0 to 1, where it is known.
    task: what networks are for.
    head: the network around the backbone; None: the task's usual one.
    num_classes: that they tell apart; None: as many as ImageNet, or for segmentation VOC 2012, has.
    speed: tells the images per second that a training of a network sees; None times it here.
    Raises SpecError for a space, device, accuracy, task or head that there is not, and a profile
    of another task.
    """
    purpose = Task.of(task, num_classes or _USUAL_CLASSES.get(task, 1000), head)
    candidates = Candidates(given_space(space), purpose)
    profile, name = _device(device)
    if profile is not None:
        profile.check_task(purpose, str(device))
    prior = PublishedPrior.load(regime=regime)
    networks = tuple(
        _network(
            CodedCandidates.of(candidates, plain, task=purpose),
            purpose,
            prior,
            plain_accuracy,
            profile,
            speed or partial(_timed_speed, task=purpose),
        )
        for plain, _ in candidates.plains()
    )
    return Outlook(
        space=candidates.space.name,
        regime=regime,
        plain_accuracy=plain_accuracy,
        device=name,
        profiled=profile is not None,
        published=_published(prior, tuple(candidates.space.blocks)),
        networks=networks,
        doubt=None if profile is None else profile.doubt,
        task=purpose.name,
        head=purpose.head,
        outputs=purpose.outputs,
    )


def _device(device: str | Path | None) -> tuple[Profile | None, str | None]:
    """Return the profile, where there is one, and the device's name. Raises SpecError."""
    if device is None:
        return None, None
    if str(device).endswith(".json"):
        profile = load_profile(device)
        return profile, f"{profile.device} on {profile.processor}"
    try:
        return None, device_named(str(device)).name
    except SpecError as error:
        raise SpecError(f"device {str(device)!r}: {error}; or name a profile, FILE.json") from None


def _published(prior: PublishedPrior, kinds: Sequence[str]) -> Published:
    content = prior.content
    known = {kind: content.kinds.get(kind) for kind in kinds}
    return Published(
        rows=content.rows,
        studies=content.studies,
        late_studies=content.late.studies,
        kinds={kind: (item.rows, item.studies) if item else (0, 0) for kind, item in known.items()},
    )


# One plain network.


def _network(
    coded: CodedCandidates,
    task: Task,
    prior: PublishedPrior,
    plain_accuracy: float | None,
    profile: Profile | None,
    speed: Callable[[Architecture], float],
) -> NetworkOutlook:
    terms = prior.terms(coded.space, plain_accuracy=plain_accuracy)
    choices = _hand_placed(coded)
    # The plain network is the first row, which all others are counted from.
    rows = np.array([coded.space.plain, *(choice.codes for choice in choices)])
    params, macs = coded.costs(rows)[:, [COUNTED.index("params"), COUNTED.index("macs")]].T
    latencies = _latencies(coded, profile, rows)
    known = {"params": params, "macs": macs}
    if latencies:
        known["latency_ms"] = np.array([item.latency_ms for item in latencies])
    allowed = _allowed(coded.candidates.space.constraints, known)
    gains, deviations = terms.gain(rows)
    placements = [
        _placement(
            choice,
            gain=100 * float(gains[row]),
            deviation=100 * float(deviations[row]),
            params=int(params[row] - params[0]),
            macs=int(macs[row] - macs[0]),
            latencies=(latencies[0], latencies[row]) if latencies else None,
            allowed=bool(allowed[row]),
        )
        for row, choice in enumerate(choices, start=1)
    ]
    placements.sort(key=_best_first)
    suggested = next((item for item in placements if item.allowed), None)
    return NetworkOutlook(
        backbone=coded.plain.backbone,
        resolution=coded.plain.resolution,
        sites=int(coded.space.sites.sum()),
        params=int(params[0]),
        macs=int(macs[0]),
        latency_ms=latencies[0].latency_ms if latencies else None,
        placements=tuple(placements),
        suggested=suggested,
        p_late=_p_late(terms, choices),
        narrowing=(
            _narrowing(suggested, speed(coded.plain))
            if suggested and task.is_classification
            else None
        ),
        uncounted=cost(coded.plain, task=task).unsupported,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """A kind of block at some of the sites, as codes (d,)."""

    kind: str
    block: str
    place: Place
    blocks: int
    codes: Codes


def _hand_placed(coded: CodedCandidates) -> list[_Choice]:
    """Return each kind everywhere, in the first half of the sites, and in the second.

    At each decision stands the kind's first choice: the paper's options where the space has them.
    Left out is what holds no block, or more than the space allows in one network.
    """
    space = coded.space
    # A decision about several sites belongs to the half that its middle lies in.
    early = np.cumsum(space.sites) - space.sites / 2 < space.sites.sum() / 2
    places: dict[Place, NDArray[np.bool_]] = {"everywhere": np.ones(len(space), dtype=np.bool_)}
    if len(space) > 1:
        places |= {"early half": early, "late half": ~early}
    most = coded.candidates.space.max_insertions or math.inf
    choices = []
    for kind in space.kinds:
        for place, decisions in places.items():
            codes, labels = space.plain, []
            for number in np.flatnonzero(decisions).tolist():
                if kind in space.kind_of[number]:
                    codes[number] = space.kind_of[number].index(kind)
                    labels.append(space.labels[number][codes[number]])
            blocks = int(space.summed(space.blocks, codes[None])[0])
            if 0 < blocks <= most:
                label = max(labels, key=labels.count)
                choices.append(_Choice(kind, label, place, blocks, codes))
    return choices


def _latencies(
    coded: CodedCandidates, profile: Profile | None, rows: Codes
) -> list[Prediction] | None:
    if profile is None:
        return None
    return [profile.predict(coded.architecture(row)) for row in rows]


def _allowed(constraints: Constraints, figures: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Return which networks (n,) keep the limits, as far as their figures (n,) are known."""
    limits = constraints.model_dump(exclude_none=True)
    kept = [figures[name] <= limit for name, limit in limits.items() if name in figures]
    allowed: NDArray[np.bool_] = np.ones(len(figures["params"]), dtype=np.bool_)
    for rows in kept:
        allowed &= rows
    return allowed


def _placement(
    choice: _Choice,
    *,
    gain: float,
    deviation: float,
    params: int,
    macs: int,
    latencies: tuple[Prediction, Prediction] | None,
    allowed: bool,
) -> Placement:
    """latencies: of the plain network and of this one."""
    return Placement(
        kind=choice.kind,
        block=choice.block,
        place=choice.place,
        blocks=choice.blocks,
        gain=gain,
        gain_low=gain - _QUANTILE * deviation,
        gain_high=gain + _QUANTILE * deviation,
        p_helps=NormalDist().cdf(gain / deviation),
        params=params,
        macs=macs,
        latency_ms=latencies[1].latency_ms - latencies[0].latency_ms if latencies else None,
        latency_half_width_ms=latencies[1].half_width_ms if latencies else None,
        allowed=allowed,
    )


def _best_first(placement: Placement) -> tuple[float, float, int]:
    """Return a key: the larger expected gain first, among equals what costs less."""
    price = placement.macs if placement.latency_ms is None else placement.latency_ms
    # Kinds that nothing tells apart differ in the last bit only.
    return -round(placement.gain, 6), price, placement.params


def _p_late(terms: PublishedTerms, choices: Sequence[_Choice]) -> float | None:
    """Return the probability that the first kind gains more in the late half than in the early."""
    halves = {choice.place: choice for choice in reversed(choices)}
    early, late = halves.get("early half"), halves.get("late half")
    if early is None or late is None:
        return None
    first, second = terms.features([early.codes, late.codes])
    difference = second - first
    deviation = float(np.linalg.norm(difference * terms.deviation))
    return NormalDist().cdf(float(difference @ terms.mean) / deviation) if deviation > 0 else 0.5


# What an hour would tell.


def narrowed_deviation(deviation: float, trainings: float) -> float:
    """Return what short trainings would leave of the deviation of a gain, accuracy points.

    Half of them are of the plain network. Assumed are a deviation of .5 points between seeds of a
    training, and one of .5 points between the gain in short trainings and that in full ones,
    which no number of short trainings takes away. Below two trainings nothing is learnt.

    deviation: before, points.
    """
    if trainings < 2 or deviation == 0:
        return deviation
    measured = 4 * _SEED_NOISE**2 / trainings + _FROM_SHORT_TO_FULL**2
    return math.sqrt(1 / (1 / deviation**2 + 1 / measured))


def _narrowing(placement: Placement, images_per_second: float, hours: float = 1.0) -> Narrowing:
    trainings = hours * 3600 * images_per_second / _SHORT_TRAINING
    return Narrowing(
        hours=hours,
        images_per_second=images_per_second,
        trainings=trainings,
        width=2 * _QUANTILE * placement.deviation,
        narrowed=2 * _QUANTILE * narrowed_deviation(placement.deviation, trainings),
    )


def _timed_speed(plain: Architecture, task: Task) -> float:
    """Return how many images a second a training of the plain network sees on this machine."""
    batch, threads = Proxy().batch_size, torch.get_num_threads()
    return 1 / seconds_per_image(plain, task, batch_size=batch, threads=threads)
