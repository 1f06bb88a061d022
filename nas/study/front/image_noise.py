"""The noise of gains over the plain network that comes of the choice of validation images.

All networks are judged on the same images; others of their kind would show other gains, however
often networks were trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.spec.architecture import PLAIN
from nas.study.full_training import (
    FullTraining,
    losses_by_image,
    marks_by_training,
    read_full_trainings,
)
from nas.study.marks import figure_gap
from nas.study.trials import Trials

__all__ = ["image_noises"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_KEPT = {"image_noise": "loss_sem", "accuracy_image_noise": "accuracy_sem"}
"""Column of networks -> that of trials."""


def image_noises(
    trials: Trials, rows: Whole, group: Whole, columns: Mapping[str, NDArray[Any]]
) -> dict[str, Floats]:
    """Return the standard errors, by images, of the gains of g networks, as columns.

    `image_noise` of the loss, `accuracy_image_noise` of accuracy: (g,), NaN where it is not known.
    Short trainings tell it, each beside the plain network's with the same seed; where none does,
    full trainings. Of a network that has neither it is the median of the others.

    rows, group: (n,) of the trials, and the number of each one's network.
    columns: `reference` and `retrained` of the networks.
    """
    narrow = np.asarray(columns["reference"] != PLAIN, dtype=np.bool_)
    noises = {
        name: _mean_of_known(trials[kept][rows], group, len(narrow)) for name, kept in _KEPT.items()
    }
    if all(np.isnan(noise).all() for noise in noises.values()):
        noises = _of_full_trainings(columns["retrained"], np.flatnonzero(~narrow))
    for noise in noises.values():
        others = noise[narrow & np.isfinite(noise)]
        if others.size:
            noise[narrow & np.isnan(noise)] = np.median(others)
    return noises


def _mean_of_known(errors: Floats, group: Whole, networks: int) -> Floats:
    """Return the means over trials, (g,). errors: (n,), NaN where it is not known."""
    known = np.isfinite(errors)
    count = np.bincount(group[known], minlength=networks)
    total = np.bincount(group[known], weights=errors[known], minlength=networks)
    none = np.full(networks, np.nan)
    return np.asarray(np.divide(total, count, out=none, where=count > 0))


def _of_full_trainings(texts: NDArray[Any], plain: Whole) -> dict[str, Floats]:
    """Return the noises by what full trainings of one recipe have kept of each image.

    texts: (g,) of the column `retrained`.
    plain: the numbers of the plain network, the first of which counts; it may have none.
    """
    noises = {name: np.full(len(texts), np.nan) for name in _KEPT}
    rivals = [item for row in plain[:1] for item in _complete(texts[row])]
    if not rivals:
        return noises
    rivals = [item for item in rivals if item.key == rivals[0].key]
    task = rivals[0].task_name
    for row in np.setdiff1d(np.flatnonzero(texts != None), plain).tolist():  # noqa: E711
        mine = [item for item in _complete(texts[row]) if item.key == rivals[0].key]
        ones, others = losses_by_image(mine), losses_by_image(rivals)
        if ones is not None and others is not None and len(ones) == len(others):
            images = rivals[0].images or len(ones)
            noises["image_noise"][row] = (ones - others).std() / images**0.5
        marks, beside = marks_by_training(mine), marks_by_training(rivals)
        if marks and beside and len(marks[0]) == len(beside[0]):
            noises["accuracy_image_noise"][row] = figure_gap(task, marks, beside).error
    return noises


def _complete(text: str | None) -> list[FullTraining]:
    return [item for item in read_full_trainings(text) if item.complete]
