"""The trained weights of a network: which count, and the network that is built with them.

torch is imported where a network is built: the command line asks here for names alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas.base.errors import SpecError, StorageError
from nas.spec.architecture import Architecture
from nas.study.full_training import FullTraining
from nas.study.record import COMPLETE

if TYPE_CHECKING:
    from torch import nn

    from nas.runs.run import RunState

__all__ = ["RETRAINED_FOLDER", "Weights", "retrained_weights", "trained_network"]

RETRAINED_FOLDER = "retrained"
"""The folder of fully trained weights in a run folder."""

Weights = Literal["best", "search", "retrained"]
"""Which trained weights of a network: see `retrained_weights`."""


def retrained_weights(
    state: RunState, trial: int, which: Weights = "best"
) -> tuple[Path, FullTraining] | None:
    """Return the fully trained weights that count for a network, and how they came about.

    They are a safetensors file of its whole state. Of all recipes and seeds the best by accuracy
    on validation images counts, never by test images.
    which: `best`: those of the search count where they are better, and were trained at the
        resolution of the network; `search`: those of the search count; `retrained`: these do.
    Returns None where those of the search count.
    Raises SpecError when there are none and `retrained` was asked for.
    """
    from nas.runs.images import train_resolution

    run, row = state.run, state.row(trial)
    trainings = [
        (run.path / RETRAINED_FOLDER / training.weights, training)
        for training in state.retrained()
        if training.digest == row["digest"] and training.complete and training.weights
    ]
    there = [pair for pair in trainings if which != "search" and pair[0].is_file()]
    if which == "retrained" and not there:
        raise SpecError(
            f"trial {trial} has no fully trained weights; train them: nas retrain {run.path} "
            f"--trial {trial}"
        )
    best = max(there, key=lambda pair: pair[1].accuracy or 0.0, default=None)
    if best is None or which == "retrained":
        return best
    deployed = Architecture.from_json(row["architecture"]).resolution
    alike = train_resolution(run.space, run.file) == deployed
    better = alike and (row["accuracy"] or 0.0) > (best[1].accuracy or 0.0)
    return None if better else best


def trained_network(
    state: RunState, trial: int, which: Weights = "best", *, folded: bool = True
) -> nn.Module:
    """Build the trained network of a trial, ready to ship: in evaluation mode, gates folded.

    which: see `retrained_weights`.
    folded: whether gates are folded; else it is the network as it was trained.
    Raises SpecError when the trial is not complete, StorageError when its weights are gone.
    """
    from nas.models.build import build, deploy
    from nas.spec.recipe import FullRecipe
    from nas.training.checkpoint import load_weights, restore

    run, row = state.run, state.row(trial)
    if row["state"] != COMPLETE:
        cause = f": {row['failure']}" if row["failure"] else ""
        raise SpecError(
            f"trial {trial} is {row['state']}{cause}; only COMPLETE trials have a network"
        )
    architecture = Architecture.from_json(row["architecture"])
    task = state.task
    best = retrained_weights(state, trial, which)
    if best is not None:
        file, training = best
        start = FullRecipe(**training.recipe).block_start
        network = build(architecture, task=task, start=start)
        network.load_state_dict(load_weights(file))
    else:
        try:
            network = restore(run.checkpoints, architecture, run.file.proxy, row["seed"], task)
        except StorageError as error:
            raise StorageError(
                f"{error}; train it anew: nas retrain {run.path} --trial {trial}"
            ) from None
    return deploy(network.eval(), architecture) if folded else network.eval()
