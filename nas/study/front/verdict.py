"""What a front may claim, in plain words: a difference inside its noise is not a win."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nas.belief.noise import NORMAL, student_quantile
from nas.spec.architecture import PLAIN
from nas.study.front.front import Front, Point
from nas.study.front.retrained_verdict import judge_retrained

__all__ = ["Verdict", "judge"]

_FEW, _SPOILT = 8, 0.7  # networks, and the share of them that training left worse
_LEAST_SPREAD = 0.01  # what thread CPU time repeats to at best


@dataclass(frozen=True, slots=True)
class Verdict:
    """lines: sentences, the most important last. clear: something stands out of the noise."""

    lines: tuple[str, ...]
    clear: bool


def judge(front: Front) -> Verdict:
    """Compare the front with the plain network and the hand-placed ones.

    A difference counts when it exceeds what noise makes in 95 % of cases: of seeds, by Student's
    t for as many degrees of freedom as it is known to, and of the choice of validation images
    where that is known. The first seed is left out of comparisons: a network is on the front
    because it did well with that one. Each comparison stands by itself; of forty without any
    difference, one or two will count. First comes how far the proxy behind the figures can be
    trusted; last what full training has found.
    """
    front = front.whole  # what is left out for the eye is still evidence
    found = _compared(front)
    return Verdict((*front.trust, *found.lines, *judge_retrained(front)), found.clear)


def _compared(front: Front) -> Verdict:
    if not front.members:
        return Verdict((_why_none(front),), clear=False)
    if front.cloud["exact"].all() and front.cloud["blocks"].any():
        return Verdict(
            (
                "All networks inherit the weights of one training: another seed of theirs changes "
                "nothing, and what one of that training would change is unknown. Do not read small "
                "differences; nas retrain --front trains the winners by themselves.",
            ),
            clear=False,
        )
    if math.isnan(front.paired_noise):
        return Verdict(
            (
                "Too few networks were trained with several seeds, so the noise is unknown: "
                "do not read small differences (search.confirm_seeds=3 repeats the front).",
            ),
            clear=False,
        )
    lines = [
        f"Between seeds the loss of one network varies by ±{front.seed_noise:.4f}, "
        f"differences between networks by ±{front.paired_noise * math.sqrt(2):.4f}."
    ]
    placed = [point for point in front.references if point.reference != PLAIN]
    plain = next((point for point in front.references if point.reference == PLAIN), None)
    searched = [point for point in front.members if point.reference is None]
    better: list[Point] = []
    if plain is not None:
        others = [point for point in front.members if point is not plain]
        better = [point for point in others if _saves(point, plain, front)]
        lines.append(
            f"{len(better)} of {len(others)} networks on the front lose less than the plain one "
            f"beyond the noise of {_sources(front)} (95 %, each by itself)."
        )
        lines += _spoilt(front, plain)
    lower = [item for item in placed if _any(_lower_loss, searched, item, front)]
    faster = [
        item for item in placed if item not in lower and _any(_only_faster, searched, item, front)
    ]
    tried = any(reference is None for reference in front.cloud["reference"])
    if placed and tried:
        lines += _against_placed(placed, lower, faster)
    clear = bool(better or lower)
    # A filter may leave a network alone; a whole run always has the plain one and others.
    alone = len(front.cloud["loss"]) < 2 or (plain is None and not (placed and tried))
    if alone:
        lines.append("There is nothing here to compare their losses with.")
    elif not clear:
        lines.append(
            "The differences in loss are INSIDE THE NOISE: choose by latency, not by "
            "loss. A larger proxy.rungs, more validation images or a higher search.confirm_seeds "
            "would tell more."
        )
    return Verdict(tuple(lines), clear)


def _why_none(front: Front) -> str:
    complete = len(front.measured)
    if not complete:
        return "No trial is complete: there is no front."
    fastest = front.measured.column("latency_ms").min()
    return (
        f"None of the {complete} networks with complete trials is within the limits and filters: "
        f"there is no front. The fastest takes {fastest:.4g} ms."
    )


def _spoilt(front: Front, plain: Point) -> list[str]:
    """Probes of 94 steps at a rate that suits longer ones ranked thirty networks against full
    training (-0.59), since they left most of them worse than they had started
    (benchmarks/training/proxy_study.py).
    """
    losses = front.cloud["loss"]
    worse = int((losses > plain.loss).sum())
    if len(losses) < _FEW or worse < _SPOILT * (len(losses) - 1):
        return []
    return [
        f"{worse} of {len(losses) - 1} networks with attention lose more than the plain one: this "
        "training may rank them by what it spoils, not by what they could gain. Raise "
        "proxy.rungs or lower proxy.learning_rate before reading anything into the order."
    ]


def _against_placed(placed: list[Point], lower: list[Point], faster: list[Point]) -> list[str]:
    lines = []
    if lower:
        lines.append(
            f"Searched networks beat hand-placed {_names(lower)}: lower in loss beyond the noise, "
            "and no slower."
        )
    if faster:
        lines.append(
            f"Searched networks are faster than hand-placed {_names(faster)}, at a loss that is "
            "no higher as far as can be told."
        )
    rest = [point for point in placed if point not in lower and point not in faster]
    if rest:
        lines.append(f"No searched network is shown to be better than hand-placed {_names(rest)}.")
    return lines


def _sources(front: Front) -> str:
    known = any(not math.isnan(point.image_noise) for point in front)
    return "seeds and validation images" if known else "seeds alone"


def _names(points: list[Point]) -> str:
    """With the run of each, where several are looked at together."""
    return ", ".join(
        f"{point.reference} of {point.run}" if point.run else str(point.reference)
        for point in points
    )


def _any(
    better: Callable[[Point, Point, Front], bool],
    searched: list[Point],
    placed: Point,
    front: Front,
) -> bool:
    return any(better(point, placed, front) for point in searched)


def _lower_loss(point: Point, other: Point, front: Front) -> bool:
    return point.latency_ms <= other.latency_ms and _saves(point, other, front)


def _only_faster(point: Point, other: Point, front: Front) -> bool:
    spread = max(point.latency_spread, other.latency_spread, _LEAST_SPREAD)
    faster = point.latency_ms < other.latency_ms * (1 - 2 * spread)
    no_higher = point.loss <= other.loss and point.confirmed_loss <= other.confirmed_loss
    return faster and no_higher


def _saves(point: Point, other: Point, front: Front) -> bool:
    if not point.confirmed_seeds or not other.confirmed_seeds:
        return False
    return other.confirmed_loss - point.confirmed_loss > _margin(point, other, front)


def _margin(point: Point, other: Point, front: Front) -> float:
    """How large a loss difference seeds and validation images make by themselves, at 95 %.

    Against a network that training does not change there is nothing to pair seeds with; two
    trained ones share theirs. Over images each is paired with the plain network, so for two
    trained ones the sum is an upper bound.
    """
    trained = [1 / item.confirmed_seeds for item in (point, other) if item.loss_noise > 0.0]
    alone = front.seed_noise if len(trained) == 1 else front.paired_noise
    seeds = alone * math.sqrt(sum(trained))
    images = [item.image_noise for item in (point, other) if not math.isnan(item.image_noise)]
    return math.hypot(student_quantile(front.noise_freedom) * seeds, NORMAL * math.hypot(*images))
