"""What full training allows one to say: of searched networks beside hand-placed ones, and of the
proxy that had chosen them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.belief.noise import NORMAL_QUANTILE, student_quantile
from nas.belief.ranks import correlation_interval, rank_correlation
from nas.spec.architecture import PLAIN
from nas.study.front.findings import FULL_TRAINING, PROXY, Finding, Kind
from nas.study.front.front import Front
from nas.study.full_training import (
    FullTraining,
    read_full_trainings,
    select_main_recipe,
    unpack_flags,
)

__all__ = ["full_training_findings"]

_LEAST = 4  # networks, of which an order can be told

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Network:
    """One network with the seeds that it is compared by.

    loss: the proxy's.
    validation, accuracy: (s,) by seed; accuracy is what counts, on test images where there are any.
    correct: (N,) share of the seeds that got an image right, or None.
    """

    name: str
    reference: str | None
    latency_ms: float
    loss: float
    validation: Floats
    accuracy: Floats
    correct: Floats | None


@dataclass(frozen=True, slots=True)
class _Noise:
    """The noise between seeds.

    seeds: standard deviation of a network between seeds, beside others with the same seeds, known
    to `freedom`; NaN with fewer than two networks or seeds.
    """

    seeds: float
    freedom: int


def full_training_findings(front: Front) -> tuple[Finding, ...]:
    """Return what full training has found; nothing where nothing was retrained.

    Searched networks are chosen by validation and compared by test images. Differences are
    paired by seed, and count when they exceed what seeds and the choice of images make in 95 %
    of cases, each comparison by itself.
    """
    cloud = front.cloud
    rows = [row for row, text in enumerate(cloud["retrained"]) if text is not None]
    trainings = [read_full_trainings(cloud["retrained"][row]) for row in rows]
    main = select_main_recipe([training for mine in trainings for training in mine])
    if not main:
        return ()
    seeds, short = _common(main)
    if not seeds:
        return (Finding(Kind.NO_COMMON_SEED, FULL_TRAINING),)
    tested = all(item.test_accuracy is not None for item in main)
    digests = {row: first.digest for row, (first, *_) in zip(rows, trainings, strict=True)}
    compared = {row: digest for row, digest in digests.items() if digest not in short}
    networks = _networks(front, compared, main, seeds, tested=tested)
    recipes = {item.key for mine in trainings for item in mine if item.complete}
    findings = _protocol(main, len(networks), seeds, tested=tested, recipes=len(recipes))
    if short:
        findings.append(_lacking_seeds(main, seeds, short))
    findings += _not_retrained(front, len(cloud["trial"]) - len(networks) - len(short))
    images = main[0].test_images if tested else main[0].images
    findings += _proxy_order(networks)
    return (*findings, *_comparisons(networks, _noise(networks), images or 0))


def _networks(
    front: Front,
    digests: Mapping[int, str],
    main: Sequence[FullTraining],
    seeds: Sequence[int],
    *,
    tested: bool,
) -> list[_Network]:
    """Return the networks that are compared. digests: by row of the front's cloud."""
    cloud, networks = front.cloud, []
    for row, digest in digests.items():
        mine = [item for item in main if item.digest == digest]
        if mine:
            reference, latency_ms = cloud["reference"][row], float(cloud["latency_ms"][row])
            loss = float(cloud["loss"][row])
            networks.append(_network(reference, latency_ms, loss, mine, seeds, tested))
    return networks


def _protocol(
    main: Sequence[FullTraining], networks: int, seeds: Sequence[int], *, tested: bool, recipes: int
) -> list[Finding]:
    """Say what was trained by which recipe, and whether test or validation images judge it."""
    images = main[0].test_images if tested else main[0].images
    test_images = (images or 0) if tested else 0
    basis = Finding(
        Kind.FULL_TRAINING,
        FULL_TRAINING,
        counts=(
            ("networks", networks),
            ("seeds", len(seeds)),
            ("images", images or 0),
            ("test_images", test_images),
        ),
        text=main[0].description,
    )
    if recipes < 2:
        return [basis]
    several = Finding(
        Kind.SEVERAL_RECIPES,
        FULL_TRAINING,
        estimate=float(recipes),
        unit="recipes",
        counts=(("recipes", recipes), ("test_images", test_images)),
    )
    return [basis, several]


def _lacking_seeds(
    main: Sequence[FullTraining], seeds: Sequence[int], short: Sequence[str]
) -> Finding:
    names = {item.digest: item.reference or f"trial {item.trial}" for item in main}
    return Finding(
        Kind.LACKING_SEEDS,
        FULL_TRAINING,
        estimate=float(len(short)),
        unit="networks",
        counts=(("seeds", max(seeds) + 1),),
        networks=tuple(names[digest] for digest in short),
    )


def _not_retrained(front: Front, missing: int) -> list[Finding]:
    """Say how many networks a front by figures of full training is without."""
    if not missing or all(objective.searched for objective in front.objectives):
        return []
    counts = (("missing", missing),)
    return [
        Finding(
            Kind.NOT_RETRAINED,
            FULL_TRAINING,
            estimate=float(missing),
            unit="networks",
            counts=counts,
        )
    ]


def _common(main: Sequence[FullTraining]) -> tuple[list[int], list[str]]:
    """Return the seeds to compare by, and the digests of networks that lack one of them.

    As many seeds of as many networks as can be had. No seeds where no two networks share one.
    """
    by_network: dict[str, frozenset[int]] = {}
    for item in main:
        by_network[item.digest] = by_network.get(item.digest, frozenset()) | {item.seed}
    sets = set(by_network.values())

    def worth(seeds: frozenset[int]) -> tuple[int, int, list[int]]:
        having = sum(seeds <= theirs for theirs in by_network.values())
        return (having - 1) * (len(seeds) - 1), having * len(seeds), [-seed for seed in seeds]

    best = max({one & two for one in sets for two in sets} - {frozenset()}, key=worth)
    short = [digest for digest, theirs in by_network.items() if not best <= theirs]
    if len(by_network) > 1 and len(short) == len(by_network) - 1:
        return [], []
    return sorted(best), short


def _network(
    reference: str | None,
    latency_ms: float,
    loss: float,
    items: Sequence[FullTraining],
    seeds: Sequence[int],
    tested: bool,
) -> _Network:
    used = sorted((item for item in items if item.seed in seeds), key=lambda item: item.seed)
    validation = np.array([item.accuracy for item in used], dtype=np.float64)
    tests = [item.test_accuracy for item in used]
    correct = None
    if tested and all(item.test_correct for item in used):
        flags = [unpack_flags(item.test_correct or "", item.test_images or 0) for item in used]
        correct = np.mean(flags, axis=0)
    return _Network(
        name=reference or f"trial {items[0].trial}",
        reference=reference,
        latency_ms=latency_ms,
        loss=loss,
        validation=validation,
        accuracy=np.array(tests, dtype=np.float64) if tested else validation,
        correct=correct,
    )


def _noise(networks: Sequence[_Network]) -> _Noise:
    """Return the deviation that networks and seeds leave unexplained, by analysis of variance."""
    counts = {len(item.accuracy) for item in networks}
    if len(networks) < 2 or len(counts) > 1 or counts == {1}:
        return _Noise(math.nan, 0)
    table = np.array([item.accuracy for item in networks])
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return _Noise(math.sqrt(float((rest**2).sum()) / freedom), freedom)


def _comparisons(networks: Sequence[_Network], noise: _Noise, images: int) -> list[Finding]:
    """Compare each hand-placed network, and the plain one, with the best of the search."""
    searched = [item for item in networks if item.reference is None]
    placed = [item for item in networks if item.reference is not None]
    if not searched or not placed:
        return [Finding(Kind.NO_PLACED if searched else Kind.NO_SEARCHED, FULL_TRAINING)]
    if math.isnan(noise.seeds):
        return [Finding(Kind.FULL_NOISE_UNKNOWN, FULL_TRAINING)]
    findings = []
    for rival in placed:
        # Nothing with attention is as fast as the plain network; that comparison is of its worth.
        plain = rival.reference == PLAIN
        fast = [item for item in searched if plain or item.latency_ms <= rival.latency_ms]
        if fast:
            best = max(fast, key=lambda item: float(item.validation.mean()))
            findings.append(_accuracy_difference(best, rival, noise, images))
        else:
            findings.append(Finding(Kind.NONE_AS_FAST, FULL_TRAINING, rival=rival.name))
    by_hand = [
        item
        for item in findings
        if item.kind == Kind.ACCURACY_DIFFERENCE and math.isnan(item.figure("latency_share"))
    ]
    return [*findings, *([_summary(by_hand)] if by_hand else [])]


def _accuracy_difference(best: _Network, rival: _Network, noise: _Noise, images: int) -> Finding:
    difference = float(best.accuracy.mean() - rival.accuracy.mean()) * 100
    margin = _margin(best, rival, noise, images) * 100
    share = best.latency_ms / rival.latency_ms - 1
    return Finding(
        Kind.ACCURACY_DIFFERENCE,
        best.name,
        rival=rival.name,
        estimate=difference,
        low=difference - margin,
        high=difference + margin,
        unit="points",
        figures=(("latency_share", share),) if rival.reference == PLAIN else (),
        images_counted=True,
    )


def _summary(differences: Sequence[Finding]) -> Finding:
    better = tuple(str(item.rival) for item in differences if item.is_above)
    return Finding(
        Kind.PLACED_BEATEN_IN_FULL,
        FULL_TRAINING,
        estimate=float(len(better)),
        unit="networks",
        counts=(("beaten", len(better)), ("placed", len(differences))),
        networks=better,
        worse_than=tuple(str(item.rival) for item in differences if item.is_below),
        images_counted=True,
    )


def _margin(one: _Network, other: _Network, noise: _Noise, images: int) -> float:
    """Return half of the 95 % interval of a difference, as a share.

    Where it is not known which images a network got right, images are taken as independent of
    each other, which they are not: that is too wide.
    """
    between = noise.seeds * math.sqrt(1 / len(one.accuracy) + 1 / len(other.accuracy))
    if one.correct is not None and other.correct is not None:
        chosen = float(np.std(one.correct - other.correct)) / math.sqrt(max(images, 1))
    else:
        shares = [float(item.accuracy.mean()) for item in (one, other)]
        chosen = math.sqrt(sum(share * (1 - share) for share in shares) / max(images, 1))
    return math.hypot(student_quantile(noise.freedom) * between, NORMAL_QUANTILE * chosen)


def _proxy_order(networks: Sequence[_Network]) -> list[Finding]:
    """Say whether the proxy had put the networks in the order of full training."""
    if len(networks) < _LEAST:
        return []
    proxy = np.array([-item.loss for item in networks])
    full = np.array([item.accuracy.mean() for item in networks])
    correlation = rank_correlation(proxy, full)
    if math.isnan(correlation):
        return []
    low, high = correlation_interval(correlation, len(networks))
    return [
        Finding(
            Kind.PROXY_ORDER, PROXY, rival=FULL_TRAINING, estimate=correlation, low=low, high=high,
            unit="rank correlation", counts=(("networks", len(networks)),),
        )
    ]  # fmt: skip
