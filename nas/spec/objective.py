"""The objectives of a search.

Everything is minimised inside; signs flip here, once, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.base.errors import SpecError

__all__ = ["OBJECTIVES", "Objective", "objectives_named", "values_by_objective"]


@dataclass(frozen=True, slots=True)
class Objective:
    """One column of the trials with a direction.

    searched: whether it is known while a search goes on.
    """

    name: str
    minimise: bool
    title: str
    searched: bool = True

    @property
    def sign(self) -> float:
        """The factor that turns a value into the minimised form, and back."""
        return 1.0 if self.minimise else -1.0


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("loss", True, "validation loss"),
        Objective("accuracy", False, "validation accuracy"),
        Objective("latency_ms", True, "latency (ms)"),
        Objective("params", True, "parameters"),
        Objective("macs", True, "multiply-adds"),
        Objective("retrained_accuracy", False, "accuracy after full training", searched=False),
    )
}


def objectives_named(names: str | Sequence[str]) -> tuple[Objective, ...]:
    """Look objectives up by name.

    Raises SpecError for an unknown one, or fewer than two different ones.
    """
    names = [names] if isinstance(names, str) else names
    for name in names:
        if name not in OBJECTIVES:
            raise SpecError(f"unknown objective {name!r}; known: {', '.join(OBJECTIVES)}")
    if len(set(names)) < max(len(names), 2):
        raise SpecError(f"objectives {', '.join(names)}: name at least two different ones")
    return tuple(OBJECTIVES[name] for name in names)


def values_by_objective(
    objectives: Sequence[Objective],
    values: Mapping[str, float],
    what: str,
    least: float = -math.inf,
) -> dict[str, float]:
    """Return values that were given for some of the objectives, by their names.

    what: the values are, for the error.
    Raises SpecError for another name, and for a value that is not finite or below the least.
    """
    names = [objective.name for objective in objectives]
    for name, value in values.items():
        if name not in names:
            raise SpecError(f"{what} of {name!r}; allowed: {', '.join(names)}")
        if not (math.isfinite(value) and value >= least):
            raise SpecError(f"{what} {name}={value}; allowed: a number, {least:g} or more")
    return {name: float(value) for name, value in values.items()}
