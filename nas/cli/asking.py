"""What is asked of a front besides the front: its knee, its worth, the best within a budget."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.base.errors import SpecError
from nas.cli.tables import milliseconds, summary
from nas.study.front.front import Front, Point

if TYPE_CHECKING:
    from nas.runs.compare import FrontComparison

__all__ = ["FrontQuery", "answer", "numbers", "print_comparison"]


@dataclass(frozen=True, slots=True)
class FrontQuery:
    """at: budgets by name; reference: of the hypervolume, by objective."""

    at: Mapping[str, float] | None
    knee: bool
    hypervolume: bool
    reference: Mapping[str, float]


def numbers(text: str, option: str) -> dict[str, float]:
    """`latency_ms=8,params=3e6`. Raises SpecError."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not equals or not name.strip() or math.isnan(number):
            raise SpecError(f"{option} {part.strip()!r}: write name=number, as in latency_ms=8")
        if name.strip() in found:
            raise SpecError(f"{option}: {name.strip()} is given twice; leave one")
        found[name.strip()] = number
    return found


def answer(front: Front, asked: FrontQuery, *, json_: bool) -> None:
    """Print the answers, as sentences or as one JSON object."""
    found: dict[str, Any] = {}
    lines: list[str] = []
    if asked.at is not None:
        found["at"], told = _at(front, asked.at)
        lines += told
    if asked.knee:
        knee = front.knee
        found["knee"] = knee.to_dict() if knee else None
        lines.append(
            f"Knee: {_named(knee)}"
            if knee
            else "There is no knee: the front is straight or hollow."
            if front.members
            else "There is no knee: the front is empty."
        )
    if asked.hypervolume:
        volume = front.hypervolume(**asked.reference)
        found["hypervolume"] = asdict(volume)
        bound = ", ".join(f"{name} {value:.6g}" for name, value in volume.reference.items())
        chosen = "as given" if asked.reference else "the worst of front and hand-placed networks"
        lines.append(f"Hypervolume: {volume.value:.6g} below the reference {bound} ({chosen}).")
    print(json.dumps(found, indent=1) if json_ else "\n".join(lines))


def _at(front: Front, budget: Mapping[str, float]) -> tuple[dict[str, Any], list[str]]:
    choice = front.at(**budget)
    limits = " and ".join(f"{name} <= {bound:g}" for name, bound in budget.items())
    known = not math.isnan(choice.probability)
    found = {
        "budget": dict(budget),
        "networks": choice.networks,
        "best": choice.best.to_dict(),
        "probability": choice.probability if known else None,
        "rivals": [
            {"point": point.to_dict(), "probability": chance if known else None}
            for point, chance in choice.rivals
        ],
    }
    lines = [f"Best with {limits}: {_named(choice.best)}"]
    if not known:
        lines.append("How sure that is, is not known: too few networks have several seeds.")
        return found, lines
    if choice.networks == 1:
        lines.append("It is the only network here that keeps this.")
    else:
        lines.append(
            f"It is the best of the {choice.networks} evaluated networks that keep this with a "
            f"probability of {choice.probability:.0%} (noise of seeds and images)."
        )
    for point, chance in choice.rivals:
        lines.append(f"  it beats, at {chance:.0%}: {_named(point)}")
    limit = budget.get("latency_ms")
    if limit and choice.best.latency_ms * (1 + choice.best.latency_spread) > limit:
        lines.append("Its latency may exceed the budget within the spread of its measurement.")
    return found, lines


def _named(point: Point) -> str:
    saved = "?" if math.isnan(point.loss_saved) else f"{point.loss_saved:+.4f}"
    run = f"{point.run}, " if point.run else ""
    kind = f"{point.reference} hand-placed: " if point.reference else ""
    return (
        f"{run}trial {point.trial}, {milliseconds(point.latency_ms)} ms, loss {point.loss:.4f} "
        f"(saved {saved}), accuracy {point.accuracy:.2%}: {kind}{summary(point.architecture)}"
    )


def print_comparison(found: FrontComparison, first: Path, second: Path, *, json_: bool) -> None:
    """In sentences, or as JSON."""
    if json_:
        values = {"first": str(first), "second": str(second), "hypervolume": asdict(found)}
        print(json.dumps(_plain(values) | {"verdict": found.verdict}, indent=1))
        return
    bound = ", ".join(f"{name} {value:.6g}" for name, value in found.reference.items())
    print(f"hypervolume below {bound} (the worst of both fronts and their hand-placed networks):")
    print(f"  first   {first}: {found.first:.6g}")
    print(f"  second  {second}: {found.second:.6g}")
    difference = found.first - found.second
    interval = ""
    if not math.isnan(found.low):
        interval = f" [{found.low:+.3g}, {found.high:+.3g}] (95 %)"
        interval += f"; the first is ahead with a probability of {found.probability:.0%}"
    print(f"difference {difference:+.3g}{interval}")
    print(found.verdict)


def _plain(value: Any) -> Any:
    """NaN becomes None."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
