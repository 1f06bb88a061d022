"""Whether width would do better: winners of a search beside the plain network widened.

A network with attention is slower than the plain one, and a sceptic would spend that time on more
channels. So each winner has a rival: the plain network, as wide as is no slower than the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas.belief.claims import beats, simultaneous_interval
from nas.spec.width import is_widened
from nas.study.front.findings import FRONT, LEVEL, Finding, Kind
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.point import Point

__all__ = ["ABOVE", "PER_RIVAL", "find_rival", "find_winners", "width_findings"]

ABOVE = 0.02
"""How much slower than its winner a rival may be, as a share: latencies repeat to about that."""

PER_RIVAL = 5
"""Full trainings to each rival: it takes half of what its winner gets, and each is wider, so slower
to train, than most that a search finds."""

_PLAIN = 2  # full trainings of the plain network
_MOST = 12  # that are asked for at once: the winners that matter are checked first


def find_winners(points: Sequence[Point], references: Sequence[Point]) -> list[Point]:
    """Return the networks with blocks on the front that are slower than the plain one of their run.

    Those that were placed by hand are asked the same. A network that is no slower needs no rival:
    the plain network is that.
    references: the plain networks among others.
    """
    plain = {point.run: point for point in references if point.is_plain}
    return [
        point
        for point in points
        if point.on_front
        and point.architecture.blocks
        and point.run in plain
        and point.latency_ms > plain[point.run].latency_ms * (1 + ABOVE)
    ]


def find_rival(winner: Point, points: Sequence[Point]) -> Point | None:
    """Return the widest plain network of the same run that is no slower; None where there is none.

    points: widened plain networks among others.
    """
    limit = winner.latency_ms * (1 + ABOVE)
    fast = [
        point
        for point in points
        if is_widened(point.reference) and point.run == winner.run and point.latency_ms <= limit
    ]
    return max(fast, key=lambda point: point.latency_ms, default=None)


def width_findings(front: ParetoFront) -> tuple[Finding, ...]:
    """Say of each winner whether the plain network widened would do better by full training.

    Differences are of joint draws of what both gain by full training, which both hold the noise
    of the plain network: they are told a little too widely. Their intervals hold all at once.
    Only what was trained fully, winner and rival, is a check; where nothing was, that is said.
    """
    # A filter that leaves a winner alone does not make its rival unknown.
    whole = front if front.keep.all() else replace(front, keep=np.ones_like(front.keep))
    winners, beside = find_winners(front.points, whole.references), whole.references
    if not winners:
        return ()
    regimes = {point.regime for point in winners}
    if regimes == {"finetune"}:
        return (Finding(Kind.WIDTH_NOT_ASKED, FRONT),)
    winners = [point for point in winners if point.regime == "scratch"]
    # A narrower one that was trained fully is a rival, too: it is faster still.
    trained = [point for point in beside if point.evidence.full]
    pairs = [
        (winner, rival)
        for winner in winners
        for rival in [find_rival(winner, trained)]
        if rival is not None and winner.evidence.full
    ]
    checked = _differences(whole, pairs)
    left = [winner for winner in winners if all(winner is not one for one, _ in pairs)]
    if not checked:
        left = winners
    return (*checked, *([_unchecked(left, _count_trainings(whole))] if left else []))


def _differences(front: ParetoFront, pairs: Sequence[tuple[Point, Point]]) -> list[Finding]:
    """Compare winners with their rivals, by accuracy where that is believed in, else by loss."""
    if not pairs:
        return []
    columns = front.measured.columns
    rows = {key: row for row, key in enumerate(zip(columns["run"], columns["trial"], strict=True))}
    ones, others = (
        np.array([rows[pair[side].run, pair[side].trial] for pair in pairs]) for side in (0, 1)
    )
    both = np.unique(np.concatenate([ones, others]))
    unit, scale = "points", 100.0
    drawn = front.believed.gains(front.measured, both, "accuracy")
    if drawn is None:
        unit, scale, drawn = "loss", 1.0, front.believed.gains(front.measured, both, "loss")
    if drawn is None:
        return []
    places = np.searchsorted(both, ones), np.searchsorted(both, others)
    gained = scale * (drawn[:, places[0]] - drawn[:, places[1]])
    low, high = simultaneous_interval(gained, LEVEL)
    differences = [
        Finding(
            Kind.WIDTH_DIFFERENCE,
            winner.name,
            rival=rival.name,
            estimate=float(gained[:, number].mean()),
            low=float(low[number]),
            high=float(high[number]),
            probability=float((gained[:, number] > 0).mean()),
            unit=unit,
            counts=(("winner", winner.evidence.full), ("rival", rival.evidence.full)),
            figures=(("latency_share", rival.latency_ms / winner.latency_ms - 1),),
            images_counted=True,
        )
        for number, (winner, rival) in enumerate(pairs)
    ]
    return [*differences, _summary(differences, gained, _count_trainings(front))]


def _summary(differences: Sequence[Finding], gained: NDArray[np.float64], had: int) -> Finding:
    """Return the answer: how many winners are better than width, and how many worse."""
    none, asked = np.zeros((len(gained), 1)), np.ones((len(differences), 1), dtype=bool)
    better, worse = (
        beats(gained, none, LEVEL, asked=asked),
        beats(-gained, none, LEVEL, asked=asked),
    )
    names = [
        tuple(
            item.subject
            for item, claimed in zip(differences, claims.claimed[:, 0], strict=True)
            if claimed
        )
        for claims in (better, worse)
    ]
    together = [
        claims.together for claims, named in zip((better, worse), names, strict=True) if named
    ]
    return Finding(
        Kind.WIDTH_CHECKED,
        FRONT,
        estimate=float(len(names[0])),
        probability=min(together) if together else float("nan"),
        unit="networks",
        counts=(
            ("better", len(names[0])),
            ("worse", len(names[1])),
            ("compared", len(differences)),
            ("wanted", had + min(PER_RIVAL * len(differences), _MOST)),
        ),
        networks=names[0],
        worse_than=names[1],
        images_counted=True,
    )


def _unchecked(left: Sequence[Point], had: int) -> Finding:
    wanted = had + min(PER_RIVAL * len(left) + _PLAIN, _MOST)
    return Finding(
        Kind.WIDTH_UNCHECKED,
        FRONT,
        estimate=float(len(left)),
        unit="networks",
        counts=(("winners", len(left)), ("wanted", wanted)),
        networks=tuple(point.name for point in left),
    )


def _count_trainings(front: ParetoFront) -> int:
    """Return how many full trainings there are, of the recipe that is shown."""
    return int(front.measured.columns["retrained_seeds"].sum())
