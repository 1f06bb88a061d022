"""The answer of a front: which network gains most by full training, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nas.base.natural_order import natural_key
from nas.spec.architecture import Architecture
from nas.spec.width import is_widened
from nas.study.front.believed_gain import GAIN_LEVEL
from nas.study.front.findings import SURE, Finding, Kind
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.point import Point
from nas.study.front.width_rival import ABOVE

__all__ = ["ANSWERS", "answer", "best_point", "describe_placement"]

ANSWERS = frozenset({Kind.BEST_GAIN, Kind.NONE_RECOMMENDED, Kind.WIDTH_GAINS_MORE})
"""The kinds of findings that an answer is made of."""

_LISTED = 4  # sites that are named one by one


def best_point(front: ParetoFront) -> Point | None:
    """Return the network that gains most of those that may be recommended, the plain one aside.

    None where there is none, or no belief about gains.
    """
    return _most_gaining([point for point in _believed(front) if point in front.recommended])


def answer(front: ParetoFront) -> tuple[Finding, ...]:
    """Return the network of the front that gains most, and what does more than it.

    Nothing where there is no belief about gains.
    """
    best, kind = best_point(front), Kind.BEST_GAIN
    if best is None:
        best, kind = _most_gaining(_believed(front)), Kind.NONE_RECOMMENDED
    if best is None:
        best = _most_gaining(_beside_plain(front))
    if best is None:
        return ()
    plain = next(point for point in front if point.is_plain and point.run == best.run)
    wider = _wider(best, plain, front) if kind is Kind.BEST_GAIN else []
    return (_gain(kind, best, plain, front), *wider)


def _beside_plain(front: ParetoFront) -> list[Point]:
    """Return what stands beside a front of plain networks alone; else nothing."""
    if not front.members or not all(point.is_plain for point in front.members):
        return []
    return [point for point in _believed(front, front) if not is_widened(point.reference)]


def _believed(front: ParetoFront, points: Iterable[Point] | None = None) -> list[Point]:
    """Return members, or other points, that the plain network of their run is beside."""
    runs = {point.run for point in front if point.is_plain}
    return [
        point
        for point in (front.members if points is None else points)
        if not point.is_plain and point.run in runs and not math.isnan(point.gain_loss)
    ]


def _most_gaining(points: Sequence[Point]) -> Point | None:
    def gain(point: Point) -> tuple[float, float]:
        return (-math.inf if math.isnan(point.gain) else point.gain), point.gain_loss

    return max(points, key=gain, default=None)


def _gain(kind: Kind, best: Point, plain: Point, front: ParetoFront) -> Finding:
    known = front.measured.knows_noise
    estimate, low, high, unit = _gained(best)
    return Finding(
        kind,
        best.name,
        rival=plain.name,
        estimate=estimate,
        low=low,
        high=high,
        level=GAIN_LEVEL,
        probability=best.p_better,
        unit=unit,
        counts=(
            ("trial", best.trial),
            ("placed", int(best.reference is not None)),
            ("shown", int(known and best.p_better >= SURE)),
            ("noise_known", int(known)),
            ("on_front", int(best.on_front)),
        ),
        figures=(
            ("latency_ms", best.latency_ms),
            ("latency_share", best.latency_ms / plain.latency_ms - 1),
            ("lower_loss", math.nan if math.isnan(best.gain) else best.p_better_loss),
        ),
        regime=best.regime,
        text=describe_placement(best.architecture),
    )


def _wider(best: Point, plain: Point, front: ParetoFront) -> list[Finding]:
    """Return the widened plain network that is expected to gain more at no more latency, if any."""
    rivals = [
        point
        for point in front.references
        if is_widened(point.reference)
        and point.run == best.run
        and point.evidence.full
        and point.latency_ms <= best.latency_ms * (1 + ABOVE)
        and point.gain_loss > best.gain_loss
    ]
    if not rivals:
        return []
    wide = max(rivals, key=lambda point: point.gain_loss)
    estimate, low, high, unit = _gained(wide)
    return [
        Finding(
            Kind.WIDTH_GAINS_MORE,
            wide.name,
            rival=plain.name,
            estimate=estimate,
            low=low,
            high=high,
            level=GAIN_LEVEL,
            unit=unit,
            figures=(("latency_share", wide.latency_ms / plain.latency_ms - 1),),
        )
    ]


def _gained(point: Point) -> tuple[float, float, float, str]:
    """Return a gain and the ends of its interval, in points of accuracy, else in loss."""
    if math.isnan(point.gain):
        return point.gain_loss, point.gain_loss_low, point.gain_loss_high, "loss"
    return 100 * point.gain, 100 * point.gain_low, 100 * point.gain_high, "points"


def describe_placement(architecture: Architecture) -> str:
    """Say which blocks are where; of many of a kind, the first and the last.

    `se/r8 after_depthwise of blocks.1.0 and blocks.3.0`; `coord/r32 after_depthwise of 7 modules
    between blocks.1.0 and blocks.6.0`; `no block`, also where slots were emptied.
    """
    places: dict[tuple[str, str], list[str]] = {}
    for insertion in architecture.blocks:
        path, _, position = insertion.site.partition("/")
        places.setdefault((insertion.label, position), []).append(path)
    placed = ", ".join(
        f"{label} {position or 'at'}{' of' * bool(position)} {_describe_modules(paths)}"
        for (label, position), paths in places.items()
    )
    return placed or "no block"


def _describe_modules(paths: Sequence[str]) -> str:
    *others, last = sorted(paths, key=natural_key)
    if len(paths) > _LISTED:
        return f"{len(paths)} modules between {others[0]} and {last}"
    return f"{', '.join(others)} and {last}" if others else last
