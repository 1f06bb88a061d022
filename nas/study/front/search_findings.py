"""What the search's own losses and latencies allow one to say of its front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nas.belief.noise import NORMAL_QUANTILE, student_quantile
from nas.spec.architecture import PLAIN
from nas.study.front.findings import FRONT, Finding, Kind
from nas.study.front.front import Front
from nas.study.front.point import Point

__all__ = ["search_findings"]

_FEW, _SPOILT = 8, 0.7  # networks, and the share of them that training left worse
_LEAST_SPREAD = 0.01  # what thread CPU time repeats to at best


def search_findings(front: Front) -> tuple[Finding, ...]:
    """Compare the front with the plain network and the hand-placed ones.

    A difference counts when it exceeds what noise makes in 95 % of cases: of seeds, by Student's
    t for as many degrees of freedom as it is known to, and of the choice of validation images
    where that is known. The first seed is left out of comparisons: a network is on the front
    because it did well with that one. Each comparison stands by itself; of forty without any
    difference, one or two will count.
    """
    obstacle = _obstacle(front)
    if obstacle is not None:
        return (obstacle,)
    plain = next((point for point in front.references if point.reference == PLAIN), None)
    placed = [point for point in front.references if point.reference != PLAIN]
    tried = any(reference is None for reference in front.cloud["reference"])
    findings = [_seed_noise(front)]
    if plain is not None:
        findings += _against_plain(front, plain)
    if placed and tried:
        findings += _against_placed(front, placed)
    # A filter may leave a network alone; a whole run always has the plain one and others.
    if len(front.cloud["loss"]) < 2 or (plain is None and not (placed and tried)):
        findings.append(Finding(Kind.NOTHING_TO_COMPARE, FRONT))
    elif not any(_stands_out(finding) for finding in findings):
        findings.append(Finding(Kind.INSIDE_NOISE, FRONT))
    return tuple(findings)


def _stands_out(finding: Finding) -> bool:
    return finding.kind in (Kind.NETWORKS_SAVING_LOSS, Kind.PLACED_BEATEN) and finding.estimate > 0


def _obstacle(front: Front) -> Finding | None:
    """Return why nothing can be compared, or None where something can."""
    if not front.members:
        complete = len(front.measured)
        fastest = float(front.measured.column("latency_ms").min()) if complete else math.nan
        return Finding(
            Kind.NO_FRONT, FRONT, estimate=fastest, unit="ms", counts=(("networks", complete),)
        )
    if front.cloud["exact"].all() and front.cloud["blocks"].any():
        return Finding(Kind.SHARED_WEIGHTS, FRONT)
    if math.isnan(front.paired_noise):
        return Finding(Kind.NOISE_UNKNOWN, FRONT)
    return None


def _seed_noise(front: Front) -> Finding:
    return Finding(
        Kind.SEED_NOISE,
        FRONT,
        estimate=front.seed_noise,
        unit="loss",
        counts=(("freedom", front.noise_freedom),),
        figures=(("differences", front.paired_noise * math.sqrt(2)),),
    )


def _against_plain(front: Front, plain: Point) -> list[Finding]:
    others = [point for point in front.members if point is not plain]
    differences = [_loss_difference(point, plain, front) for point in others]
    saving = [item.subject for item in differences if item is not None and item.is_above]
    count = Finding(
        Kind.NETWORKS_SAVING_LOSS,
        FRONT,
        rival=_name(plain),
        estimate=float(len(saving)),
        unit="networks",
        counts=(("saving", len(saving)), ("compared", len(others))),
        networks=tuple(saving),
        images_counted=any(not math.isnan(point.image_noise) for point in front),
    )
    known = [item for item in differences if item is not None]
    return [*known, count, *_spoilt(front, plain)]


def _spoilt(front: Front, plain: Point) -> list[Finding]:
    """Say where training left most networks worse than the plain one.

    Probes of 94 steps at a rate that suits longer ones ranked thirty networks against full
    training (-0.59), since they left most of them worse than they had started
    (benchmarks/training/proxy_study.py).
    """
    losses = front.cloud["loss"]
    worse, compared = int((losses > plain.loss).sum()), len(losses) - 1
    if len(losses) < _FEW or worse < _SPOILT * compared:
        return []
    return [
        Finding(
            Kind.NETWORKS_SPOILT,
            FRONT,
            rival=_name(plain),
            estimate=float(worse),
            unit="networks",
            counts=(("worse", worse), ("compared", compared)),
        )
    ]


def _against_placed(front: Front, placed: Sequence[Point]) -> list[Finding]:
    """Sort the hand-placed networks into those beaten in loss, only slower ones, and the rest."""
    searched = [point for point in front.members if point.reference is None]
    evidence: list[Finding] = []
    beaten, slower, rest = [], [], []
    for point in placed:
        best = _clearest(searched, point, front)
        evidence += [] if best is None else [best]
        if best is not None and best.is_above:
            beaten.append(_name(point))
        elif any(_is_only_faster(other, point) for other in searched):
            slower.append(_name(point))
        else:
            rest.append(_name(point))
    groups = (
        (Kind.PLACED_BEATEN, beaten),
        (Kind.PLACED_SLOWER, slower),
        (Kind.PLACED_UNBEATEN, rest),
    )
    return evidence + [
        Finding(kind, FRONT, estimate=float(len(names)), unit="networks", networks=tuple(names))
        for kind, names in groups
        if names
    ]


def _clearest(searched: Sequence[Point], placed: Point, front: Front) -> Finding | None:
    """Return the difference of the no slower network that is most clearly better."""
    no_slower = [point for point in searched if point.latency_ms <= placed.latency_ms]
    differences = [_loss_difference(point, placed, front) for point in no_slower]
    known = [item for item in differences if item is not None]
    return max(known, key=lambda item: item.low, default=None)


def _is_only_faster(point: Point, other: Point) -> bool:
    spread = max(point.latency_spread, other.latency_spread, _LEAST_SPREAD)
    faster = point.latency_ms < other.latency_ms * (1 - 2 * spread)
    no_higher = point.loss <= other.loss and point.confirmed_loss <= other.confirmed_loss
    return faster and no_higher


def _loss_difference(point: Point, other: Point, front: Front) -> Finding | None:
    """Return the loss that a network saves against another; None where no later seed tells."""
    if not point.confirmed_seeds or not other.confirmed_seeds:
        return None
    saved = other.confirmed_loss - point.confirmed_loss
    margin = _margin(point, other, front)
    return Finding(
        Kind.LOSS_DIFFERENCE,
        _name(point),
        rival=_name(other),
        estimate=saved,
        low=saved - margin,
        high=saved + margin,
        unit="loss",
        images_counted=not all(math.isnan(item.image_noise) for item in (point, other)),
    )


def _margin(point: Point, other: Point, front: Front) -> float:
    """Return how large a loss difference seeds and validation images make by themselves, at 95 %.

    Against a network that training does not change there is nothing to pair seeds with; two
    trained ones share theirs. Over images each is paired with the plain network, so for two
    trained ones the sum is an upper bound.
    """
    trained = [1 / item.confirmed_seeds for item in (point, other) if item.loss_noise > 0.0]
    alone = front.seed_noise if len(trained) == 1 else front.paired_noise
    seeds = student_quantile(front.noise_freedom) * (alone * math.sqrt(sum(trained)))
    images = [item.image_noise for item in (point, other) if not math.isnan(item.image_noise)]
    return math.hypot(seeds, NORMAL_QUANTILE * math.hypot(*images))


def _name(point: Point) -> str:
    """Name a network, with its run where several are looked at together."""
    name = point.reference or f"trial {point.trial}"
    return f"{name} of {point.run}" if point.run else name
