"""What the trainings of a run are as evidence of its full trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nas.spec.runner import Runner
from nas.study.evidence import Budgets
from nas.study.full_training import select_main_recipe
from nas.study.network_belief import NetworkBelief
from nas.study.trials import Trials

__all__ = ["read_belief", "read_budgets", "regime_of"]


def read_belief(runner: Runner, trials: Trials, train_images: int | None) -> NetworkBelief | None:
    """Return the belief about the networks of a run; None where fewer than two came to a value.

    train_images: number of training images; None: it was not recorded, and is told from those
    for validation.
    """
    return NetworkBelief.of(trials, read_budgets(runner, trials, train_images))


def read_budgets(runner: Runner, trials: Trials, train_images: int | None) -> Budgets:
    """Return what the short trainings of a run are beside its full ones.

    A full training is one by the recipe of those that there are, else by that of the runner.
    """
    images = train_images or _told_from_validation(runner, trials)
    budgets = Budgets.of(runner, images)
    main = select_main_recipe(trials.full_trainings())
    epochs = main[0].recipe.get("epochs") if main else None
    return budgets if epochs is None else replace(budgets, full_images=images * float(epochs))


def regime_of(runner: Runner) -> str:
    """Return the question of a run: of networks from random weights, or from trained ones."""
    regime: str | None = getattr(runner, "regime", None)
    return regime or ("scratch" if runner.proxy.kind == "scratch" else "finetune")


def _told_from_validation(runner: Runner, trials: Trials) -> int:
    """Return about how many training images there were, by how many were kept for validation."""
    kept = trials["images"][np.isfinite(trials["images"])]
    share = runner.validation if isinstance(runner.validation, float) else 0.2
    return max(1, round(float(kept[0]) * (1 - share) / share)) if kept.size else 1
