"""The setting that every proxy works in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nas.data import Dataset
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.schedule import Schedule

if TYPE_CHECKING:  # which needs pydantic, as trainings do not
    from nas.spec.proxy import Proxy
    from nas.training.supernet.supernet import Supernet

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """The images, the task, the settings and the weights that a proxy works with.

    weights: of the trained plain network of each backbone, by the digest of its architecture.
    supernets: likewise, where candidates inherit their weights.
    halves: whether a batch that memory is too small for comes in two (see `Training`).
    after_step: called after each step of a training, for who takes turns with it.
    """

    data: Dataset
    task: Task
    proxy: Proxy
    device: torch.device
    weights: Mapping[str, Mapping[str, Tensor]]
    supernets: Mapping[str, Supernet] = field(default_factory=dict)
    halves: bool = True
    after_step: Callable[[], None] = lambda: None

    def grown(self, architecture: Architecture, seed: int) -> nn.Module:
        """Return the trained plain network with blocks that change nothing at first."""
        return build(
            architecture,
            task=self.task,
            start="identity",
            weights=self.weights[architecture.plain.digest],
            seed=seed,
        )

    @property
    def schedule(self) -> Schedule:
        """How long its trainings are, and at which rates."""
        return Schedule(self.proxy, len(self.data.train))
