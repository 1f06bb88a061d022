"""The setting that every proxy works in, and how a budget becomes steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nas.data import Dataset
from nas.spec.runner import Proxy
from nas.training.loop import Recipe
from nas.training.task import Classification

if TYPE_CHECKING:
    from nas.training.supernet.supernet import Supernet

__all__ = ["Setting", "scale_rate"]

_BATCH = 128


def scale_rate(learning_rate: float, batch_size: int) -> float:
    """Scale the learning rate of a batch of 128 in proportion to the batch.

    At 64 the same rate took a plain MobileNetV2 x0.35 to 34 % on CIFAR-10 in four epochs, where
    128 gave 47 %.
    """
    return learning_rate * batch_size / _BATCH


@dataclass(frozen=True)
class Setting:
    """The images, the task, the settings and the weights that a proxy works with.

    weights: of the trained plain network of each backbone, by the digest of its architecture.
    supernets: likewise, where candidates inherit their weights.
    """

    data: Dataset
    task: Classification
    proxy: Proxy
    device: torch.device
    weights: Mapping[str, Mapping[str, Tensor]]
    supernets: Mapping[str, Supernet] = field(default_factory=dict)

    def length(self, rung: int = -1) -> float:
        """Return how long to train until a rung: steps, at least one; or seconds, in that unit."""
        budget = self.proxy.budgets[rung]
        if self.proxy.unit == "seconds":
            return budget
        return max(1, round(self.proxy.steps(budget, len(self.data.train))))

    def recipe(self, learning_rate: float, *, optimiser: str = "sgd") -> Recipe:
        """Return the recipe with the proxy's budget and schedule.

        learning_rate: for SGD of a batch of 128, and scaled to the proxy's; for AdamW as it is.
            The user's takes its place where one is given.
        """
        if optimiser == "sgd":
            learning_rate = scale_rate(learning_rate, self.proxy.batch_size)
        return Recipe(
            length=self.length(),
            unit="seconds" if self.proxy.unit == "seconds" else "steps",
            cycles=tuple(map(self.length, range(len(self.proxy.budgets))))
            if self.proxy.schedule == "restart"
            else (),
            batch_size=self.proxy.batch_size,
            learning_rate=self.proxy.learning_rate or learning_rate,
            optimiser=optimiser,
        )
