"""What the search's own losses and latencies allow one to say of its front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.belief.claims import Claims, beats, interval, nowhere
from nas.spec.architecture import PLAIN
from nas.spec.width import is_widened
from nas.study.front.findings import FRONT, LEVEL, Finding, Kind
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.point import Point

__all__ = ["search_findings"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FEW, _SPOILT = 8, 0.7  # networks, and the share of them that training left worse
_LEAST_SPREAD = 0.01  # what thread CPU time repeats to at best


def search_findings(front: ParetoFront) -> tuple[Finding, ...]:
    """Compare the front with the plain network and the hand-placed ones.

    All comparisons are made by joint draws of what the networks may gain (`draw_gains`), in which a
    network that looked good by luck is held against all that were trained. What is claimed of one
    family (against the plain network; against the hand-placed ones) holds together with 95 %.
    """
    obstacle = _obstacle(front)
    if obstacle is not None:
        return (obstacle,)
    draws = front.draw_gains(front.point_rows)
    if draws is None or not front.measured.knows_noise:
        return (Finding(Kind.NOISE_UNKNOWN, FRONT),)
    believed = _Believed(front, draws)
    plain = next((row for row, point in enumerate(front) if point.is_plain), None)
    placed = [row for row, point in enumerate(front) if _is_placed(point)]
    tried = any(reference is None for reference in front.cloud["reference"])
    findings = [*_seed_noise(front), *_expected(front)]
    if plain is not None:
        findings += _against_plain(believed, plain)
    if placed and tried:
        findings += _against_placed(believed, placed)
    findings += _outside(front)
    # A filter may leave a network alone; a whole run always has the plain one and others.
    if len(front.cloud["loss"]) < 2 or (plain is None and not (placed and tried)):
        findings.append(Finding(Kind.NOTHING_TO_COMPARE, FRONT))
        return tuple(findings)
    saving = any(
        finding.kind is Kind.NETWORKS_SAVING_LOSS and finding.estimate > 0 for finding in findings
    )
    if not saving:
        rest = _nothing_better(believed, plain)
        beaten = any(finding.kind is Kind.PLACED_BEATEN for finding in findings)
        if rest.kind is not Kind.INSIDE_NOISE or not beaten:
            findings.append(rest)
    return tuple(findings)


@dataclass(frozen=True, eq=False)
class _Believed:
    """A front and joint draws of what its points gain, (count, k), in their order."""

    front: ParetoFront
    draws: Floats
    points: tuple[Point, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", self.front.points)

    def difference(self, row: int, rival: int) -> Finding:
        """Return the loss that a network saves against another."""
        saved = self.draws[:, row] - self.draws[:, rival]
        low, high = interval(saved[:, None], LEVEL)
        images = (self.points[row].image_noise, self.points[rival].image_noise)
        return Finding(
            Kind.LOSS_DIFFERENCE,
            self.points[row].name,
            rival=self.points[rival].name,
            estimate=float(saved.mean()),
            low=float(low[0]),
            high=float(high[0]),
            probability=float((saved > 0).mean()),
            unit="loss",
            images_counted=not all(math.isnan(noise) for noise in images),
        )

    def claims(
        self, rows: Sequence[int], rivals: Sequence[int], asked: Flags, margin: float = 0.0
    ) -> Claims:
        """Claim which networks lose less than which rivals, together at the level of findings."""
        return beats(
            self.draws[:, rows], self.draws[:, rivals], LEVEL, asked=asked, margin=margin
        )  # fmt: skip


def _obstacle(front: ParetoFront) -> Finding | None:
    """Return why nothing can be compared, or None where something can."""
    if not front.members:
        complete = len(front.measured)
        fastest = float(front.measured.column("latency_ms").min()) if complete else math.nan
        return Finding(
            Kind.NO_FRONT, FRONT, estimate=fastest, unit="ms", counts=(("networks", complete),)
        )
    if front.cloud["exact"].all() and front.cloud["blocks"].any():
        return Finding(Kind.SHARED_WEIGHTS, FRONT)
    return None


def _seed_noise(front: ParetoFront) -> list[Finding]:
    """Say how much seeds do to short trainings, unless only full ones had several."""
    if math.isnan(front.seed_noise):
        return []
    return [
        Finding(
            Kind.SEED_NOISE,
            FRONT,
            estimate=front.seed_noise,
            unit="loss",
            counts=(("freedom", front.noise_freedom),),
            figures=(("differences", front.paired_noise * math.sqrt(2)),),
        )
    ]


def _expected(front: ParetoFront) -> list[Finding]:
    """Say how many members are on the front by more than their luck."""
    members = [
        (point, gain.p_front)
        for point, gain in zip(front.points, front.gains, strict=True)
        if point.on_front
    ]
    if len(members) < 2 or any(math.isnan(chance) for _, chance in members):
        return []
    return [
        Finding(
            Kind.FRONT_EXPECTED,
            FRONT,
            estimate=sum(chance for _, chance in members),
            unit="networks",
            counts=(("members", len(members)),),
            networks=tuple(point.name for point, chance in members if chance >= LEVEL),
        )
    ]


def _against_plain(believed: _Believed, plain: int) -> list[Finding]:
    points = believed.points
    others = [row for row, point in enumerate(points) if point.on_front and row != plain]
    differences = [believed.difference(row, plain) for row in others]
    claims = believed.claims(others, [plain], np.ones((len(others), 1), dtype=bool))
    saving = [
        item.subject
        for item, claimed in zip(differences, claims.claimed[:, 0], strict=True)
        if claimed
    ]
    count = Finding(
        Kind.NETWORKS_SAVING_LOSS,
        FRONT,
        rival=points[plain].name,
        estimate=float(len(saving)),
        probability=claims.together if saving else math.nan,
        unit="networks",
        counts=(("saving", len(saving)), ("compared", len(others))),
        networks=tuple(saving),
        images_counted=any(not math.isnan(point.image_noise) for point in points),
    )
    return [*differences, count, *_spoilt(believed.front, points[plain])]


def _spoilt(front: ParetoFront, plain: Point) -> list[Finding]:
    """Say where training left most networks worse than the plain one.

    Probes of 94 steps at a rate that suits longer ones ranked thirty networks against full
    training (-0.59), since they left most of them worse than they had started
    (benchmarks/training/proxy_study.py).
    """
    narrow = [not is_widened(name) for name in front.cloud["reference"].tolist()]
    losses = front.cloud["loss"][np.array(narrow, dtype=np.bool_)]
    worse, compared = int((losses > plain.loss).sum()), len(losses) - 1
    if len(losses) < _FEW or worse < _SPOILT * compared:
        return []
    return [
        Finding(
            Kind.NETWORKS_SPOILT,
            FRONT,
            rival=plain.name,
            estimate=float(worse),
            unit="networks",
            counts=(("worse", worse), ("compared", compared)),
        )
    ]


def _against_placed(believed: _Believed, placed: Sequence[int]) -> list[Finding]:
    """Sort the hand-placed networks into those beaten in loss, only slower ones, and the rest."""
    points = believed.points
    searched = [
        row for row, point in enumerate(points) if point.on_front and point.reference is None
    ]
    latency_ms = np.array([point.latency_ms for point in points])
    no_slower = latency_ms[searched][:, None] <= latency_ms[list(placed)][None, :]
    better = believed.claims(searched, placed, no_slower)
    beaten = better.claimed.any(axis=0)
    faster = np.array(
        [[_is_faster(points[row], points[rival]) for rival in placed] for row in searched],
        dtype=bool,
    ).reshape(no_slower.shape)
    margin = believed.front.margin
    asked = faster & ~beaten
    as_good = believed.claims(searched, placed, asked, margin)
    slower = as_good.claimed.any(axis=0)
    evidence: list[Finding] = []
    for column, rival in enumerate(placed):
        chances = better.chance[:, column]
        if not np.isnan(chances).all():
            evidence.append(believed.difference(searched[int(np.nanargmax(chances))], rival))
    groups = (
        (Kind.PLACED_BEATEN, beaten, better, 0.0),
        (Kind.PLACED_SLOWER, slower, as_good, margin),
        (Kind.PLACED_UNBEATEN, np.asarray(~beaten & ~slower), None, margin),
    )
    findings = [
        _group(believed, kind, np.asarray(flags), claims, searched, placed, allowed)
        for kind, flags, claims, allowed in groups
        if flags.any()
    ]
    unsure = _only_faster(believed, searched, placed, asked & ~slower)
    return [*evidence, *findings, *unsure]


def _group(
    believed: _Believed,
    kind: Kind,
    flags: Flags,
    claims: Claims | None,
    searched: Sequence[int],
    placed: Sequence[int],
    margin: float,
) -> Finding:
    """Name the hand-placed networks of one sort, and beside each the network that is better."""
    columns = np.flatnonzero(flags).tolist()
    winners: list[str] = []
    if claims is not None:
        for column in columns:
            chances = np.where(claims.claimed[:, column], claims.chance[:, column], -1.0)
            winners.append(believed.points[searched[int(chances.argmax())]].name)
    return Finding(
        kind,
        FRONT,
        estimate=float(len(columns)),
        probability=math.nan if claims is None else claims.together,
        unit="networks",
        figures=(("margin", margin),) if kind is not Kind.PLACED_BEATEN else (),
        networks=tuple(believed.points[placed[column]].name for column in columns),
        winners=tuple(winners),
    )


def _only_faster(
    believed: _Believed, searched: Sequence[int], placed: Sequence[int], asked: Flags
) -> list[Finding]:
    """Say of hand-placed networks what a faster one costs, where it is not shown to cost little."""
    margin, findings = believed.front.margin, []
    for column in np.flatnonzero(asked.any(axis=0)).tolist():
        rows = [searched[row] for row in np.flatnonzero(asked[:, column]).tolist()]
        rival = placed[column]
        saved = believed.draws[:, rows] - believed.draws[:, [rival]]
        best = int((saved > -margin).mean(axis=0).argmax())
        point, other = believed.points[rows[best]], believed.points[rival]
        difference = believed.difference(rows[best], rival)
        findings.append(
            Finding(
                Kind.FASTER_UNSURE,
                difference.subject,
                rival=difference.rival,
                estimate=difference.estimate,
                low=difference.low,
                high=difference.high,
                probability=float((saved[:, best] > -margin).mean()),
                unit="loss",
                figures=(
                    ("margin", margin),
                    ("latency_share", point.latency_ms / other.latency_ms - 1),
                ),
                images_counted=difference.images_counted,
            )
        )
    return findings


def _outside(front: ParetoFront) -> list[Finding]:
    """Name hand-placed networks that the space does not hold, and that would be on the front."""
    outside = front.outside
    if not outside:
        return []
    worse = [
        point.name
        for point in front.members
        if any(
            other.latency_ms <= point.latency_ms and other.loss <= point.loss for other in outside
        )
    ]
    names = tuple(point.name for point in outside)
    return [
        Finding(
            Kind.PLACED_OUTSIDE,
            FRONT,
            estimate=float(len(names)),
            unit="networks",
            networks=names,
            worse_than=tuple(worse),
        )
    ]


def _nothing_better(believed: _Believed, plain: int | None) -> Finding:
    """Say what is shown beside the plain network: no difference is a claim, too."""
    members = [row for row, point in enumerate(believed.points) if point.on_front]
    if plain is None:
        return Finding(Kind.INSIDE_NOISE, FRONT)
    others = [row for row in members if row != plain]
    margin = believed.front.margin
    if not others:
        others = [
            row
            for row, point in enumerate(believed.points)
            if row != plain and not is_widened(point.reference)
        ]
    gains = believed.draws[:, others] - believed.draws[:, [plain]]
    every = np.ones((len(others), 1), dtype=bool)
    worse = beats(-gains, np.zeros((len(gains), 1)), LEVEL, asked=every)
    ruled_out = nowhere(gains, margin, LEVEL)
    low, high = (float(end) for end in np.quantile(gains, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    alike = float((np.abs(gains) <= margin).all(axis=1).mean())
    kind = Kind.INSIDE_NOISE
    if alike >= LEVEL:
        kind = Kind.NO_DIFFERENCE
    elif worse.claimed.any():
        kind = Kind.NONE_BETTER
    return Finding(
        kind,
        FRONT,
        rival=believed.points[plain].name,
        estimate=ruled_out.gain,
        low=low,
        high=high,
        probability=alike if kind is Kind.NO_DIFFERENCE else ruled_out.probability,
        unit="loss",
        counts=(("compared", len(others)), ("worse", int(worse.claimed.sum()))),
        figures=(("margin", margin),),
        worse_than=tuple(
            believed.points[row].name
            for row, claimed in zip(others, worse.claimed[:, 0], strict=True)
            if claimed
        ),
    )


def _is_placed(point: Point) -> bool:
    """Say whether blocks were put into a network by hand: not so the plain one, however wide."""
    return point.reference not in (None, PLAIN) and not is_widened(point.reference)


def _is_faster(point: Point, other: Point) -> bool:
    spread = max(point.latency_spread, other.latency_spread, _LEAST_SPREAD)
    return point.latency_ms < other.latency_ms * (1 - 2 * spread)
