"""What every proxy works with, and how a budget becomes steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.data import Dataset
from nas.proxies.training import Recipe
from nas.runner import Proxy
from nas.task import Classification

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """weights: the trained plain network of each backbone, by the digest of its architecture."""

    data: Dataset
    task: Classification
    proxy: Proxy
    device: torch.device
    weights: Mapping[str, Mapping[str, Tensor]]

    def steps(self, budget: float) -> int:
        """Steps of a budget in the proxy's unit; at least one."""
        per_epoch = max(1, len(self.data.train) // self.proxy.batch_size)
        per_unit = {
            "epochs": float(per_epoch),
            "steps": 1.0,
            "images": 1.0 / self.proxy.batch_size,
        }
        return max(1, round(budget * per_unit[self.proxy.unit]))

    def recipe(self, learning_rate: float, *, optimiser: str = "sgd") -> Recipe:
        """The proxy's budget; the user's learning rate where one is given."""
        return Recipe(
            steps=self.steps(self.proxy.rungs[-1]),
            batch_size=self.proxy.batch_size,
            learning_rate=self.proxy.learning_rate or learning_rate,
            optimiser=optimiser,
        )
