"""What the trainings of a run are as evidence of its full trainings."""

from __future__ import annotations

import math

import numpy as np

from nas.belief.evidence import CURVE
from nas.spec.proxy import Proxy
from nas.spec.runner import Runner
from nas.study.full_training import select_main_recipe
from nas.study.network_belief import Budgets, NetworkBelief
from nas.study.trials import Trials

__all__ = ["read_belief", "read_budgets", "regime_of"]

_LEAST_NETWORKS = 2
_, START = CURVE


def read_belief(runner: Runner, trials: Trials, train_images: int | None) -> NetworkBelief | None:
    """Return the belief about the networks of a run; None where fewer than two came to a value.

    train_images: number of training images; None: it was not recorded, and is told from those
    for validation.
    """
    judged = trials.complete & np.isfinite(trials["loss"])
    if len(np.unique(trials.text("digest").take(np.flatnonzero(judged)).codes())) < _LEAST_NETWORKS:
        return None
    return NetworkBelief.of(trials, read_budgets(runner, trials, train_images))


def read_budgets(runner: Runner, trials: Trials, train_images: int | None) -> Budgets:
    """Return what the short trainings of a run are beside its full ones.

    A full training is one by the recipe of those that there are, else by that of the runner.
    """
    images = float(train_images or _told_from_validation(runner, trials))
    proxy = runner.proxy
    main = select_main_recipe(trials.full_trainings())
    epochs = main[0].recipe["epochs"] if main else runner.retrain.resolved(int(images)).epochs
    return Budgets(
        source=_source(proxy),
        images=tuple(_images_of(proxy, rung, images) for rung in proxy.rungs or (1.0,)),
        train_images=images,
        full_images=images * float(epochs),
        annealed=proxy.schedule != "whole",
    )


def regime_of(runner: Runner) -> str:
    """Return the question of a run: of networks from random weights, or from trained ones."""
    regime: str | None = getattr(runner, "regime", None)
    return regime or ("scratch" if runner.proxy.kind == "scratch" else "finetune")


def _source(proxy: Proxy) -> str:
    """Name the kind of evidence; a start of full training sees the same images in the same size."""
    same = proxy.subset is None and proxy.resolution is None and proxy.unit != "seconds"
    return START if proxy.kind == "scratch" and same else proxy.kind


def _images_of(proxy: Proxy, rung: float, images: float) -> float:
    """Return the images that a training has seen at a rung; NaN for a budget of time."""
    if proxy.unit == "seconds":
        return math.nan
    if proxy.unit == "epochs":
        return rung * min(images, proxy.subset or images)
    return rung * (proxy.batch_size if proxy.unit == "steps" else 1.0)


def _told_from_validation(runner: Runner, trials: Trials) -> float:
    """Return about how many training images there were, by how many were kept for validation."""
    kept = trials["images"][np.isfinite(trials["images"])]
    share = runner.validation
    return max(1.0, float(kept[0]) * (1 - share) / share) if kept.size else 1.0
