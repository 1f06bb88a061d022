"""The objectives of a search.

Everything is minimised inside; signs flip here, once, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.base.errors import SpecError

__all__ = ["OBJECTIVES", "Objective", "objectives_named"]


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
        raise SpecError(f"objectives {list(names)}: give at least two different ones")
    return tuple(OBJECTIVES[name] for name in names)
