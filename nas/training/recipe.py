"""The settings of a training, and how its learning rate goes up and down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Recipe", "steps_in"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a training.

    length: of the whole training, in `unit`.
    unit: seconds are of this thread's CPU time on a CPU with one thread, else of the wall clock.
    cycles: where the learning rate comes to zero, in `unit`, the last at the end; empty means
        there alone. In each cycle it rises linearly for the share `warm_up`, then falls.
    optimiser: `sgd` (with Nesterov's momentum) or `adamw`.
    warm_up: share of a cycle.
    schedule: `cosine`; `step`: to a tenth after half of the cycle and again after three
        quarters; or `trapezoid`: constant, then linear to zero over `cooldown` (warm-up, stable,
        decay: arXiv:2508.01483). Trapezoids of several lengths go one way until the shortest
        cools down.
    cooldown: share of a cycle, of a trapezoid.
    ema: decay of a running mean of the weights, smaller in the first steps; None keeps none.
    """

    length: float
    batch_size: int
    learning_rate: float
    unit: Literal["steps", "seconds"] = "steps"
    cycles: tuple[float, ...] = ()
    optimiser: str = "sgd"
    weight_decay: float = 4e-5
    momentum: float = 0.9
    warm_up: float = 0.2
    schedule: str = "cosine"
    cooldown: float = 0.2
    ema: float | None = None

    def rate(self, spent: float) -> float:
        """Return the learning rate when `spent` of the length has gone."""
        start = 0.0
        for end in self.cycles or (self.length,):
            if spent < end:
                done = (spent - start) / (end - start)
                return self.learning_rate * _SCHEDULES[self.schedule](done, self)
            start = end
        return 0.0


def steps_in(epochs: float, images: int, batch_size: int) -> int:
    """Return the steps of a training of so many epochs, in full batches; at least one."""
    return max(1, round(epochs * max(1, images // batch_size)))


def _cosine(done: float, recipe: Recipe) -> float:
    """Return the share of the top learning rate: linear up to it, then a cosine down to zero."""
    if done < recipe.warm_up:
        return _rise(done, recipe)
    return 0.5 * (1 + math.cos(math.pi * (done - recipe.warm_up) / (1 - recipe.warm_up)))


def _step(done: float, recipe: Recipe) -> float:
    """Return the share, falling at half and at three quarters: arXiv:1512.03385 on CIFAR-10."""
    if done < recipe.warm_up:
        return _rise(done, recipe)
    return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01


def _trapezoid(done: float, recipe: Recipe) -> float:
    rising = _rise(done, recipe) if done < recipe.warm_up else 1.0
    return min(rising, (1 - done) / recipe.cooldown) if recipe.cooldown else rising


def _rise(done: float, recipe: Recipe) -> float:
    return 0.1 + 0.9 * done / recipe.warm_up


_SCHEDULES: dict[str, Callable[[float, Recipe], float]] = {
    "cosine": _cosine,
    "step": _step,
    "trapezoid": _trapezoid,
}
