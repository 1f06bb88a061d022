"""What a front may claim, in plain words: a difference inside its noise is not a win."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from nas.front import PLAIN, Front, Point

__all__ = ["Verdict", "judge"]

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Verdict:
    """lines: sentences, the most important last. clear: something stands out of the noise."""

    lines: tuple[str, ...]
    clear: bool


def judge(front: Front) -> Verdict:
    """Compare the front with the plain network and the hand-placed ones.

    A difference counts when it exceeds 1.96 standard errors of the difference, from the
    spread between seeds alone: it says whether another seed would show it too, on these
    validation images, not whether other images would.
    """
    if not front.members:
        return Verdict(("No trial is complete: there is no front.",), clear=False)
    if math.isnan(front.paired_noise):
        return Verdict(
            (
                "Every network was trained with one seed, so the noise is unknown: "
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
            "beyond that noise."
        )
    beaten = [point for point in placed if any(_beats(other, point, front) for other in searched)]
    if placed:
        lines.append(_against_placed(placed, beaten))
    clear = bool(better or beaten)
    if not clear:
        lines.append(
            "The differences of this run are INSIDE ITS NOISE: do not choose between these "
            "networks by it. A larger proxy.rungs, more validation images or a higher "
            "search.confirm_seeds would tell more."
        )
    return Verdict(tuple(lines), clear)


def _against_placed(placed: list[Point], beaten: list[Point]) -> str:
    names = ", ".join(str(point.reference) for point in beaten)
    open_ = ", ".join(str(point.reference) for point in placed if point not in beaten)
    if not beaten:
        return f"No searched network beats a hand-placed one ({open_}) beyond the noise."
    rest = f"; not told apart from {open_}" if open_ else ""
    return f"Searched networks beat hand-placed {names} beyond the noise{rest}."


def _saves(point: Point, other: Point, front: Front) -> bool:
    """Lower in loss beyond the noise. Against a network that training does not change there
    is nothing to pair with; two trained ones share their seeds.
    """
    if 0.0 in {point.loss_noise, other.loss_noise}:
        error = max(point.loss_noise, other.loss_noise)
    else:
        error = front.paired_noise * math.sqrt(1 / point.seeds + 1 / other.seeds)
    return other.loss - point.loss > _Z * error


def _beats(point: Point, other: Point, front: Front) -> bool:
    """Better in one of loss and latency beyond the noise, and in the other not worse."""
    spread = max(point.latency_spread, other.latency_spread, 0.01)
    faster = point.latency_ms < other.latency_ms * (1 - 2 * spread)
    as_fast = point.latency_ms <= other.latency_ms
    return (faster and point.loss <= other.loss) or (as_fast and _saves(point, other, front))
