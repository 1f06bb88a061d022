"""Optimisers, and the groups of parameters that they train at shares of the rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from nas.training.recipe import Recipe

__all__ = ["Group", "in_groups", "optimiser_of"]


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are trained alike. share: of the learning rate that they have."""

    parameters: Sequence[nn.Parameter]
    share: float = 1.0


def in_groups(parameters: Iterable[nn.Parameter] | Sequence[Group]) -> list[Group]:
    """Return groups of parameters, those that stand alone behind them in one of their own."""
    items = list(parameters)
    groups = [item for item in items if isinstance(item, Group)]
    alone = [item for item in items if isinstance(item, nn.Parameter)]
    return [*groups, Group(alone)] if alone else groups


def optimiser_of(
    groups: Sequence[Group], recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe, whose groups know their share of the rate: `share`."""
    # In one kernel, which also reads there whether a scaled loss has overflowed.
    fused = device.type == "cuda" or None
    parameters = [{"params": list(group.parameters), "share": group.share} for group in groups]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=fused,
        )
    assert recipe.optimiser == "sgd", recipe.optimiser
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
        fused=fused,
    )
