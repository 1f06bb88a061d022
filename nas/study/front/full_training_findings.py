"""What full training allows one to say: of searched networks beside hand-placed ones, and of the
proxy that had chosen them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.belief.claims import simultaneous_interval
from nas.belief.ranks import correlation_interval, rank_correlation
from nas.spec.architecture import PLAIN
from nas.spec.task import TaskName
from nas.spec.width import is_widened
from nas.study.front.findings import FULL_TRAINING, LEVEL, PROXY, Finding, Kind
from nas.study.front.joint_draws import ComparedNetwork, draw_jointly
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.width_rival import ABOVE
from nas.study.full_training import (
    FullTraining,
    losses_by_image,
    marks_by_training,
    read_full_trainings,
    select_main_recipe,
)

__all__ = ["full_training_findings"]

_LEAST = 4  # networks, of which an order can be told

Floats = NDArray[np.float64]
_Pair = tuple[int, int]
"""A searched network and a rival, by their numbers."""

_SURE = 0.95  # of which of two figures is the better, where they are said to disagree


def full_training_findings(front: ParetoFront) -> tuple[Finding, ...]:
    """Return what full training has found; nothing where nothing was retrained.

    Searched networks are chosen by validation and compared by test images: by loss where the loss
    of each image was kept, since accuracy throws most of what they say away, and by accuracy
    otherwise. Differences are paired by seed and by image, and intervals hold all at once with
    95 %; without test images those of all networks that could have been chosen.
    """
    cloud = front.cloud
    rows = [row for row, text in enumerate(cloud["retrained"]) if text is not None]
    trainings = [read_full_trainings(cloud["retrained"][row]) for row in rows]
    main = select_main_recipe([training for mine in trainings for training in mine])
    if not main:
        return ()
    # Test images are opened for the networks that a front shows, and for no other.
    seen = [item for item in main if item.test_accuracy is not None]
    seeds, short = _common(seen)
    together = len({item.digest for item in seen}) - len(short)
    tested = len(seen) == len(main) or (bool(seeds) and together > 1)
    if not tested:
        seeds, short = _common(main)
    if not seeds:
        return (Finding(Kind.NO_COMMON_SEED, FULL_TRAINING),)
    used = seen if tested else main
    short += sorted({item.digest for item in main} - {item.digest for item in used})
    digests = {row: first.digest for row, (first, *_) in zip(rows, trainings, strict=True)}
    compared = {row: digest for row, digest in digests.items() if digest not in short}
    networks = _networks(front, compared, used, seeds, tested=tested)
    recipes = {item.key for mine in trainings for item in mine if item.complete}
    findings = _protocol(used, len(networks), seeds, tested=tested, recipes=len(recipes))
    if short:
        findings.append(_lacking_seeds(main, seeds, short))
    findings += _not_retrained(front, len(cloud["trial"]) - len(networks) - len(short))
    images = used[0].test_images if tested else used[0].images
    findings += _proxy_order([item for item in networks if not is_widened(item.reference)])
    task = used[0].task_name
    return (*findings, *_comparisons(front, networks, task, images or 0, tested=tested))


def _networks(
    front: ParetoFront,
    digests: Mapping[int, str],
    main: Sequence[FullTraining],
    seeds: Sequence[int],
    *,
    tested: bool,
) -> list[ComparedNetwork]:
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


def _not_retrained(front: ParetoFront, missing: int) -> list[Finding]:
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

    As many seeds of as many networks as can be had, searched and hand-placed ones among them. No
    seeds where no two networks share one.
    """
    by_network: dict[str, frozenset[int]] = {}
    for item in main:
        by_network[item.digest] = by_network.get(item.digest, frozenset()) | {item.seed}
    searched = {item.digest for item in main if item.reference is None}
    sets = set(by_network.values())

    def worth(seeds: frozenset[int]) -> tuple[int, int, int, list[int]]:
        having = [digest for digest, theirs in by_network.items() if seeds <= theirs]
        kinds = len({digest in searched for digest in having})
        pairs = (len(having) - 1) * (len(seeds) - 1)
        return kinds, pairs, len(having) * len(seeds), [-seed for seed in sorted(seeds)]

    shared = {one & two for one in sets for two in sets} - {frozenset()}
    best = max(shared, key=worth, default=frozenset())
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
) -> ComparedNetwork:
    used = sorted((item for item in items if item.seed in seeds), key=lambda item: item.seed)
    validation = np.array([item.accuracy for item in used], dtype=np.float64)
    tests = [item.test_accuracy for item in used]
    full_losses = [item.test_loss if tested else item.loss for item in used]
    losses = None if None in full_losses else losses_by_image(used, tested=tested)
    return ComparedNetwork(
        name=reference or f"trial {items[0].trial}",
        reference=reference,
        latency_ms=latency_ms,
        loss=loss,
        validation=validation,
        accuracy=np.array(tests, dtype=np.float64) if tested else validation,
        marks=marks_by_training(used, tested=tested),
        full_loss=None if losses is None else np.array(full_losses, dtype=np.float64),
        losses=losses,
    )


def _comparisons(
    front: ParetoFront,
    networks: Sequence[ComparedNetwork],
    task: TaskName,
    images: int,
    *,
    tested: bool,
) -> list[Finding]:
    """Compare each hand-placed network, and the plain one, with the best of the search.

    tested: whether by other images than those that choose the best.
    """
    searched = [row for row, item in enumerate(networks) if item.reference is None]
    placed = [row for row, item in enumerate(networks) if item.reference is not None]
    if not searched or not placed:
        return [Finding(Kind.NO_PLACED if searched else Kind.NO_SEARCHED, FULL_TRAINING)]
    judged = draw_jointly(networks, task, images)
    if judged is None:
        return [Finding(Kind.FULL_NOISE_UNKNOWN, FULL_TRAINING)]
    pairs: list[_Pair] = []
    asked: list[_Pair] = []
    findings = []
    for rival in placed:
        # Nothing with attention is as fast as the plain network; that comparison is of its worth.
        plain, limit = networks[rival].reference == PLAIN, networks[rival].latency_ms
        fast = [row for row in searched if plain or networks[row].latency_ms <= limit]
        if is_widened(networks[rival].reference):
            fast = _winners_of(networks, searched, rival)
        if fast:
            best = max(fast, key=lambda row: float(networks[row].validation.mean()))
            pairs.append((best, rival))
            # The best by the images that judge it was partly lucky: all are asked there.
            asked += [(row, rival) for row in ([best] if tested else fast)]
        elif not is_widened(networks[rival].reference):
            findings.append(Finding(Kind.NONE_AS_FAST, FULL_TRAINING, rival=networks[rival].name))
    by_accuracy = _differences(
        networks,
        judged.points,
        pairs,
        asked,
        Kind.ACCURACY_DIFFERENCE,
        "points",
        front.margin_points,
    )
    deciding = by_accuracy
    if judged.loss is not None:
        deciding = _differences(
            networks, judged.loss, pairs, asked, Kind.FULL_LOSS_DIFFERENCE, "loss", front.margin
        )
        findings += _disagreements(by_accuracy, deciding)
    by_hand = [
        item
        for item in deciding
        if math.isnan(item.figure("latency_share")) and not is_widened(item.rival)
    ]
    shown = by_accuracy if judged.loss is None else [*deciding, *by_accuracy]
    return [*findings, *shown, *([_summary(by_hand)] if by_hand else [])]


def _winners_of(
    networks: Sequence[ComparedNetwork], searched: Sequence[int], rival: int
) -> list[int]:
    """Return the searched networks of which a widened plain network is the rival.

    It is the widest of those trained that are no slower.
    """
    wide = [item.latency_ms for item in networks if is_widened(item.reference)]
    limits = {row: networks[row].latency_ms * (1 + ABOVE) for row in searched}
    return [
        row
        for row in searched
        if max((one for one in wide if one <= limits[row]), default=None)
        == networks[rival].latency_ms
    ]


def _differences(
    networks: Sequence[ComparedNetwork],
    draws: Floats,
    pairs: Sequence[_Pair],
    asked: Sequence[_Pair],
    kind: Kind,
    unit: str,
    margin: float,
) -> list[Finding]:
    """Compare pairs of networks, with intervals that hold all at once.

    asked: those that the pairs were chosen from, of which the intervals hold.
    """
    ones, others = ([pair[side] for pair in asked] for side in (0, 1))
    gained = draws[:, ones] - draws[:, others]
    low, high = simultaneous_interval(gained, LEVEL)
    findings = []
    for one, other in pairs:
        best, rival, number = networks[one], networks[other], asked.index((one, other))
        figures = [
            ("margin", margin),
            ("no_worse", float((gained[:, number] > -margin).mean())),
        ]
        if rival.reference == PLAIN or is_widened(rival.reference):
            figures.append(("latency_share", best.latency_ms / rival.latency_ms - 1))
        findings.append(
            Finding(
                kind,
                best.name,
                rival=rival.name,
                estimate=float(gained[:, number].mean()),
                low=float(low[number]),
                high=float(high[number]),
                probability=float((gained[:, number] > 0).mean()),
                unit=unit,
                figures=tuple(figures),
                images_counted=True,
            )
        )
    return findings


def _disagreements(by_accuracy: Sequence[Finding], by_loss: Sequence[Finding]) -> list[Finding]:
    """Name the pairs of which loss and accuracy say the opposite, each with some certainty."""
    return [
        Finding(
            Kind.FIGURES_DISAGREE,
            loss.subject,
            rival=loss.rival,
            estimate=accuracy.estimate,
            probability=loss.probability,
            unit="points",
            figures=(("loss", loss.estimate), ("by_accuracy", accuracy.probability)),
        )
        for accuracy, loss in zip(by_accuracy, by_loss, strict=True)
        if min(loss.probability, accuracy.probability) < 1 - _SURE
        and max(loss.probability, accuracy.probability) > _SURE
    ]


def _summary(differences: Sequence[Finding]) -> Finding:
    better = [item for item in differences if item.is_above]
    return Finding(
        Kind.PLACED_BEATEN_IN_FULL,
        FULL_TRAINING,
        estimate=float(len(better)),
        probability=min((item.probability for item in better), default=math.nan),
        unit="networks",
        counts=(("beaten", len(better)), ("placed", len(differences))),
        networks=tuple(str(item.rival) for item in better),
        winners=tuple(item.subject for item in better),
        worse_than=tuple(str(item.rival) for item in differences if item.is_below),
        images_counted=True,
    )


def _proxy_order(networks: Sequence[ComparedNetwork]) -> list[Finding]:
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
