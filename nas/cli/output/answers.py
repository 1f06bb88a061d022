"""Questions to a front and their answers: its knee, its worth, the best within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.base.formats import format_milliseconds, format_probability
from nas.cli.output.console import print_json
from nas.cli.output.formats import format_gain, format_numbers, format_signed
from nas.spec.width import describe_reference
from nas.study.front.choice import Choice
from nas.study.front.front import Front
from nas.study.front.point import Point

__all__ = ["FrontQuery", "print_answers"]


@dataclass(frozen=True, slots=True)
class FrontQuery:
    """The questions that were asked of a front.

    at: the most of each figure that the best network may take, by name; None: not asked.
    knee: whether the knee is asked for.
    hypervolume: whether the hypervolume is asked for.
    reference: the point below which the hypervolume is, by objective; empty: the worst point.
    within: points of accuracy that count as no difference within a budget; None: half a point.
    """

    at: Mapping[str, float] | None
    knee: bool
    hypervolume: bool
    reference: Mapping[str, float]
    within: float | None = None

    @property
    def asks(self) -> bool:
        """True where the query holds a question."""
        return self.at is not None or self.knee or self.hypervolume


def print_answers(front: Front, query: FrontQuery, *, as_json: bool) -> None:
    """Print the answers, as sentences or as one JSON object.

    Raises SpecError when the front has no answer: it is empty, or no network keeps the budget.
    """
    values: dict[str, Any] = {}
    lines: list[str] = []
    if query.at is not None:
        choice = front.at(within=query.within, **query.at)
        values["at"] = _choice_to_dict(front, choice, query.at)
        lines += map(front.figure.worded, _describe_choice(choice, query.at))
    if query.knee:
        knee = front.knee
        values["knee"] = front.described(knee) if knee else None
        lines.append(front.figure.worded(_describe_knee(front, knee)))
    if query.hypervolume:
        volume = front.hypervolume(**query.reference)
        values["hypervolume"] = asdict(volume)
        bound = format_numbers(volume.reference)
        chosen = "as given" if query.reference else "the worst of front and hand-placed networks"
        lines.append(f"Hypervolume: {volume.value:.6g} below the reference {bound} ({chosen}).")
    if as_json:
        print_json(values)
    else:
        print("\n".join(lines))


def _describe_knee(front: Front, knee: Point | None) -> str:
    if knee:
        line = f"Knee: {_describe_point(knee)}"
        if knee not in front.recommended and not knee.is_plain:
            line += (
                ". It is not to be recommended: it is shown to be worse than the trained network "
                "that it came from, or is without what that was trained with."
            )
        return line
    if front.members:
        return "There is no knee: the front is straight or hollow."
    return "There is no knee: the front is empty."


def _choice_to_dict(front: Front, choice: Choice, budget: Mapping[str, float]) -> dict[str, Any]:
    known = not math.isnan(choice.probability)
    cheapest = None
    if choice.cheapest is not None:
        point, chance = choice.cheapest
        cheapest = {"point": front.described(point), "probability": chance}
    return {
        "budget": dict(budget),
        "networks": choice.networks,
        "best": front.described(choice.best),
        "probability": choice.probability if known else None,
        "rivals": [
            {"point": front.described(point), "probability": chance if known else None}
            for point, chance in choice.rivals
        ],
        "cheapest": cheapest,
        "within": None if math.isnan(choice.delta) else choice.delta,
        "within_of": front.figure.column(choice.unit),
        "nowhere": choice.nowhere,
        "ruled_out": asdict(choice.ruled_out) if choice.ruled_out else None,
    }


def _describe_choice(choice: Choice, budget: Mapping[str, float]) -> list[str]:
    limits = " and ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
    lines = [*_describe_cheapest(choice, limits)]
    lines.append(f"Best with {limits}: {_describe_point(choice.best)}")
    if math.isnan(choice.probability):
        return [*lines, "How sure that is, is not known: too few networks have several seeds."]
    if choice.networks == 1:
        lines.append("It is the only network here that keeps this.")
    else:
        lines.append(
            f"It is the best of the {choice.networks} evaluated networks that keep this with a "
            f"probability of {format_probability(choice.probability)}."
        )
    for point, chance in choice.rivals:
        lines.append(f"  it beats, at {format_probability(chance)}: {_describe_point(point)}")
    limit = budget.get("latency_ms")
    if limit and choice.best.latency_ms * (1 + choice.best.latency_spread) > limit:
        lines.append("Its latency may exceed the budget within the spread of its measurement.")
    return lines


def _describe_cheapest(choice: Choice, limits: str) -> list[str]:
    """Say which is the cheapest network that is as good, or that it is the plain one."""
    if math.isnan(choice.delta) or choice.networks == 1:
        return []
    margin = _amount(choice.delta, choice.unit)
    if choice.cheapest is None:
        return [f"No network with {limits} is within {margin} of the best with .8 probability."]
    point, chance = choice.cheapest
    sure = f"with a probability of {format_probability(chance)}"
    if not choice.nowhere:
        line = f"Cheapest with {limits} that is within {margin} of the best, {sure}: "
        return [line + _describe_point(point)]
    lines = [f"Nowhere: with {limits}, the plain network is within {margin} of the best, {sure}."]
    ruled_out = choice.ruled_out
    if ruled_out is not None:
        lines.append(
            f"Gains of more than {_amount(ruled_out.gain, ruled_out.unit)} are ruled out (95 %) "
            f"for the {ruled_out.networks} networks that were evaluated there, with blocks at "
            f"{ruled_out.sites} sites; that none gains more than {margin} has a probability of "
            f"{format_probability(ruled_out.probability)}."
        )
    return lines


def _amount(value: float, unit: str) -> str:
    share = unit in ("accuracy", "retrained_accuracy")
    return f"{100 * value:.2g} points" if share else f"{value:.2g} of {unit}"


def _describe_point(point: Point) -> str:
    run = f"{point.run}, " if point.run else ""
    name = point.reference
    kind = f"{name} {describe_reference(name)}: " if name else ""
    return (
        f"{run}trial {point.trial}, {format_milliseconds(point.latency_ms)} ms, "
        f"{_describe_gain(point)}, accuracy {point.accuracy:.2%}: "
        f"{kind}{point.architecture.summary}"
    )


def _describe_gain(point: Point) -> str:
    if point.is_plain:
        return f"loss {point.loss:.4f}"
    if math.isnan(point.gain_loss):
        return f"loss {point.loss:.4f} (saved {format_signed(point.loss_saved)})"
    return f"gain {format_gain(point, unit=True)}"
