"""Training a supernet, a path at a time, and taking up a training again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nas.base.errors import StorageError
from nas.base.seeds import derive
from nas.data import Dataset
from nas.spec.architecture import Architecture
from nas.spec.precision import FP32, Precision
from nas.spec.task import Task
from nas.study.marks import figures_of
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Training
from nas.training.recipe import Recipe
from nas.training.supernet.supernet import Paths, Supernet
from nas.training.supernet.weights import score
from nas.training.tasks import Score

__all__ = ["load_supernet", "train_supernet"]

_EVERY = 100
"""Steps between two checkpoints of a training."""

_BEYOND_GUESSING = 1.0
"""How much more than guessing a supernet of a trained backbone loses that has diverged, in nats.
Backbones of digits that lost 0.8 where guessing has 2.3, in trainings of 4 and 40 steps: at honest
rates the latest epoch lost at most 1.7, at rates 100 to 10,000 times as large 4.8 to 8.5 where the
backbone was frozen, for a gate cannot give more than its bounds, and up to 2,000 where not."""

_JUDGED = 4
"""The latest steps whose paths are judged."""

_OWN = "network."
"""The beginning of the names of weights in the state of a training."""


def train_supernet(
    supernet: Supernet,
    data: Dataset,
    task: Task,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    paths: Paths | None = None,
    keep: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    precision: Precision = FP32,
) -> None:
    """Train a supernet in place, on paths drawn anew for every step.

    Blocks that are not on a step's path have no gradient there and stay as they are: neither
    momentum nor weight decay moves them.

    keep: a file for its weights. A training that was interrupted goes on from there exactly as
        if it had not been; one that had come to its end is read, and nothing is trained again.
    progress: called with (step, steps).
    precision: of the arithmetic.
    Raises SpecError when the paths do not fit a frozen backbone.
    Raises TrainingError when the training diverges.
    Raises StorageError when `keep` cannot be used.
    """
    paths = paths or Paths()
    paths.check(frozen=supernet.frozen)

    def drawn(step: int) -> Sequence[Architecture]:
        return supernet.draw(random.Random(derive(seed, "paths", step)), paths)

    training = Training(
        supernet,
        data,
        task,
        recipe,
        parameters=supernet.trained_parameters(),
        seed=seed,
        device=device,
        set_mode=lambda _: supernet.set_training(),
        before_step=lambda step: supernet.choose(*drawn(step)),
        precision=precision,
    )
    if keep is not None and keep.exists():
        _take_up(training, keep)
    while training.spent < recipe.length:
        training.run(min(recipe.length, training.spent + _EVERY), _over_all(recipe, progress))
        if keep is not None:
            save_weights(keep, _to_keep(training))
    supernet.choose(supernet.plain)
    latest = range(max(0, training.step - _JUDGED), training.step)
    steps = [drawn(step) for step in latest]
    _check(training, supernet, data, task, steps, device, precision)


def _check(
    training: Training,
    supernet: Supernet,
    data: Dataset,
    task: Task,
    steps: Sequence[Sequence[Architecture]],
    device: torch.device,
    precision: Precision,
) -> None:
    """Check that a supernet has not diverged to where its paths tell less than guessing does.

    Each began as the plain network. Where that is better than guessing, a little beyond it is too
    much; where it is not, only what is of any training (see `Training.check`).
    steps: the paths of the latest.
    Raises TrainingError when it has.
    """
    if not training.recent_loss > training.loss_of_guessing + _BEYOND_GUESSING:
        return  # as of all that learn: nothing needs to be judged
    judged = partial(score, supernet, data=data, task=task, device=device, precision=precision)
    plain = judged(supernet.plain)
    beyond = {"beyond": _BEYOND_GUESSING} if plain.loss < training.loss_of_guessing else {}
    taken = dict.fromkeys(path for paths in steps for path in paths)
    scores = [judged(path) for path in taken]
    losses = torch.cat([each.losses for each in scores])
    marks = np.concatenate([each.marks for each in scores])
    training.check(Score(losses, marks, figures_of(task.name, marks)), **beyond)


def _over_all(
    recipe: Recipe, progress: Callable[[int, int], None] | None
) -> Callable[[int, int], None] | None:
    return progress and (lambda done, _until: progress(done, int(recipe.length)))


def _to_keep(training: Training) -> dict[str, Tensor]:
    """Return the state to save.

    At the end it is without what the optimiser remembers, which is twice the weights.
    """
    finished = training.spent >= training.recipe.length
    return {
        name: tensor
        for name, tensor in training.state().items()
        if not (finished and name.startswith("optimiser."))
    }


def _take_up(training: Training, path: Path) -> None:
    state = load_weights(path)
    try:
        training.load(_check_names(state, training.network, path))
    except (KeyError, RuntimeError, ValueError):
        raise _foreign(path) from None


def load_supernet(supernet: Supernet, path: Path) -> None:
    """Give a supernet the weights that `train_supernet` wrote, in place.

    Raises StorageError when they cannot be read or are of another supernet.
    """
    state = _check_names(load_weights(path), supernet, path)
    weights = {
        name.removeprefix(_OWN): tensor for name, tensor in state.items() if name.startswith(_OWN)
    }
    try:
        supernet.load_state_dict(weights)
    except RuntimeError:
        raise _foreign(path) from None


def _check_names(
    state: Mapping[str, Tensor], supernet: nn.Module, path: Path
) -> Mapping[str, Tensor]:
    if {f"{_OWN}{name}" for name in supernet.state_dict()} - state.keys():
        raise _foreign(path)
    return state


def _foreign(path: Path) -> StorageError:
    return StorageError(f"{path} is of another supernet; move it away to train anew")
