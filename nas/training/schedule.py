"""How the budget of a proxy becomes steps, or seconds, and a recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nas.training.recipe import Recipe

if TYPE_CHECKING:  # which needs pydantic, as trainings do not
    from nas.spec.proxy import Proxy

__all__ = ["Schedule", "scale_rate"]

_BATCH = 128
_WARM_UP = 0.2


def scale_rate(learning_rate: float, batch_size: int) -> float:
    """Scale the learning rate of a batch of 128 in proportion to the batch.

    At 64 the same rate took a plain MobileNetV2 x0.35 to 34 % on CIFAR-10 in four epochs, where
    128 gave 47 %.
    """
    return learning_rate * batch_size / _BATCH


@dataclass(frozen=True, slots=True)
class Schedule:
    """The lengths of trainings by a proxy, up to each of its rungs.

    images: that they train on.
    """

    proxy: Proxy
    images: int

    def length(self, rung: int = -1) -> float:
        """Return how long to train until a rung: steps, at least one; or seconds, in that unit."""
        return self._spent(self.proxy.budgets[rung])

    def fork(self, rung: int) -> float:
        """Return how long a trunk is when the branch to a rung leaves it; in the same unit."""
        cooldown = self._spent(self.proxy.cooldown_before(self.proxy.budgets[rung]))
        return max(0.0, self.length(rung) - cooldown)

    def toward(self, rung: int, recipe: Recipe) -> Recipe:
        """Return a recipe on a trunk, with the branch to a rung at its end.

        Those of all rungs are the same until the first of them forks off.
        """
        length, fork = self.length(rung), self.fork(rung)
        return replace(
            recipe,
            length=length,
            schedule="trapezoid",
            warm_up=self._warm_up(length),
            cooldown=1 - fork / length,
        )

    def _spent(self, budget: float) -> float:
        """Return a budget in seconds, where its unit is that, or in steps, at least one."""
        if self.proxy.unit == "seconds":
            return budget
        return max(1, round(self.proxy.steps(budget, self.images)))

    def _warm_up(self, length: float) -> float:
        """Return the share of a training of this length in which the rate rises."""
        if self.proxy.warm_up is not None:
            return min(self._spent(self.proxy.warm_up) / length, 1.0)
        # All rungs of a trunk have the warm-up of the first.
        return _WARM_UP * (self.length(0) / length if self.proxy.schedule == "trunk" else 1.0)

    def recipe(self, learning_rate: float, *, optimiser: str = "sgd") -> Recipe:
        """Return the recipe with the proxy's budget and schedule.

        learning_rate: for SGD of a batch of 128, and scaled to the proxy's; for AdamW as it is.
            The user's takes its place where one is given.
        """
        if optimiser == "sgd":
            learning_rate = scale_rate(learning_rate, self.proxy.batch_size)
        recipe = Recipe(
            length=self.length(),
            unit="seconds" if self.proxy.unit == "seconds" else "steps",
            cycles=tuple(map(self.length, range(len(self.proxy.budgets))))
            if self.proxy.schedule == "restart"
            else (),
            batch_size=self.proxy.batch_size,
            learning_rate=self.proxy.learning_rate or learning_rate,
            optimiser=optimiser,
            warm_up=self._warm_up(self.length()),
        )
        return self.toward(-1, recipe) if self.proxy.schedule == "trunk" else recipe
