"""Questions to a front and their answers: its knee, its worth, the best within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.base.formats import format_milliseconds
from nas.cli.output.console import print_json
from nas.cli.output.formats import format_numbers, format_signed, summarise_blocks
from nas.study.front.front import Front, Point
from nas.study.front.point import Choice

__all__ = ["FrontQuery", "print_answers"]


@dataclass(frozen=True, slots=True)
class FrontQuery:
    """The questions that were asked of a front.

    at: the most of each figure that the best network may take, by name; None: not asked.
    knee: whether the knee is asked for.
    hypervolume: whether the hypervolume is asked for.
    reference: the point below which the hypervolume is, by objective; empty: the worst point.
    """

    at: Mapping[str, float] | None
    knee: bool
    hypervolume: bool
    reference: Mapping[str, float]

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
        choice = front.at(**query.at)
        values["at"] = _choice_to_dict(choice, query.at)
        lines += _describe_choice(choice, query.at)
    if query.knee:
        knee = front.knee
        values["knee"] = knee.to_dict() if knee else None
        lines.append(_describe_knee(front, knee))
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
        return f"Knee: {_describe_point(knee)}"
    if front.members:
        return "There is no knee: the front is straight or hollow."
    return "There is no knee: the front is empty."


def _choice_to_dict(choice: Choice, budget: Mapping[str, float]) -> dict[str, Any]:
    known = not math.isnan(choice.probability)
    return {
        "budget": dict(budget),
        "networks": choice.networks,
        "best": choice.best.to_dict(),
        "probability": choice.probability if known else None,
        "cheapest": None
        if choice.cheapest is None
        else {
            "point": choice.cheapest[0].to_dict(),
            "probability": choice.cheapest[1],
            "delta": choice.delta,
        },
        "rivals": [
            {"point": point.to_dict(), "probability": chance if known else None}
            for point, chance in choice.rivals
        ],
    }


def _describe_choice(choice: Choice, budget: Mapping[str, float]) -> list[str]:
    limits = " and ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
    lines = [f"Best with {limits}: {_describe_point(choice.best)}"]
    if math.isnan(choice.probability):
        return [*lines, "How sure that is, is not known: too few networks have several seeds."]
    if choice.networks == 1:
        lines.append("It is the only evaluated network that keeps this.")
    else:
        lines.append(
            f"It is the best of the {choice.networks} evaluated networks that keep this with a "
            f"probability of {choice.probability:.0%} (noise of seeds and images)."
        )
    for point, chance in choice.rivals:
        lines.append(f"  it beats, at {chance:.0%}: {_describe_point(point)}")
    if choice.cheapest is not None and choice.cheapest[0].trial != choice.best.trial:
        point, chance = choice.cheapest
        lines.append(
            f"The cheapest that is as good but for {choice.delta:g}, with a probability of "
            f"{chance:.0%}: {_describe_point(point)}"
        )
    limit = budget.get("latency_ms")
    if limit and choice.best.latency_ms * (1 + choice.best.latency_spread) > limit:
        lines.append("Its latency may exceed the budget within the spread of its measurement.")
    return lines


def _describe_point(point: Point) -> str:
    run = f"{point.run}, " if point.run else ""
    kind = f"{point.reference} hand-placed: " if point.reference else ""
    return (
        f"{run}trial {point.trial}, {format_milliseconds(point.latency_ms)} ms, "
        f"loss {point.loss:.4f} (saved {format_signed(point.loss_saved)}), "
        f"accuracy {point.accuracy:.2%}: {kind}{summarise_blocks(point.architecture)}"
    )
