"""The checkpoint of a candidate, by the kind of its proxy, and back into networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nas.base.errors import StorageError
from nas.models.build import build, inserted_prefixes
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.checkpoint import checkpoint_path, load_weights, save_weights
from nas.training.loop import Training
from nas.training.proxies import PROXIES

if TYPE_CHECKING:  # which needs pydantic, as trainings do not
    from nas.spec.proxy import Proxy

__all__ = ["Rungs", "load_training", "restore", "save_trained", "save_training"]

_NETWORK, _RUNGS = "network.", "rungs"


def save_trained(path: Path, network: nn.Module, architecture: Architecture, kind: str) -> None:
    """Write what training changed: under a frozen proxy, the inserted blocks alone.

    kind: of the proxy.
    """
    weights = network.state_dict()
    save_weights(
        path, {name: weights[name] for name in _trained_names(network, weights, architecture, kind)}
    )


Rungs = list[tuple[float, ...]]
"""A row for each rung: budget, loss, accuracy, seconds of training so far, and what else is kept,
such as losses of epochs, of which there are more at each rung. The last number is finite."""


def save_training(
    path: Path,
    network: nn.Module,
    state: Mapping[str, Tensor],
    architecture: Architecture,
    kind: str,
    rungs: Rungs,
) -> None:
    """Write what a training needs to go on.

    That is what it changed, its optimiser's state and its rungs.

    network: that is trained.
    state: of the training (`Training.state`).
    """
    weights = {name.removeprefix(_NETWORK) for name in state if name.startswith(_NETWORK)}
    trained = _trained_names(network, weights, architecture, kind)
    kept = {_NETWORK + name for name in weights - trained}
    changed = {name: value for name, value in state.items() if name not in kept}
    width = max(map(len, rungs))
    table = [[*row, *[math.nan] * (width - len(row))] for row in rungs]
    save_weights(path, changed | {_RUNGS: torch.tensor(table, dtype=torch.float64)})


def load_training(path: Path, training: Training) -> Rungs:
    """Go on from what `save_training` wrote, and return its rungs.

    Where nothing is or a file is cut short, there are none: the training starts again, and comes
    to the same.
    Raises StorageError when it is of another network.
    """
    try:
        state = load_weights(path)
    except StorageError:
        return []
    try:
        rungs = state.pop(_RUNGS).tolist()
        training.load(state)
    except (KeyError, RuntimeError) as error:
        raise StorageError(f"{path} is of another network ({error}); remove it") from None
    return [_without_padding(rung) for rung in rungs]


def _without_padding(row: list[float]) -> tuple[float, ...]:
    known = [place for place, value in enumerate(row) if not math.isnan(value)]
    return tuple(row[: known[-1] + 1])


def _trained_names(
    network: nn.Module, names: Iterable[str], architecture: Architecture, kind: str
) -> set[str]:
    """Return the names of the weights that a kind of proxy trains."""
    # By the slot and not by what the plain network lacks: a block may stand in the place of
    # one of the backbone's own, whose weights have the same names.
    if not PROXIES[kind].frozen:
        return set(names)
    prefixes = inserted_prefixes(network, architecture)
    return {name for name in names if name.startswith(prefixes)}


def restore(
    folder: Path, architecture: Architecture, proxy: Proxy, seed: int, task: Task
) -> nn.Module:
    """Build a candidate as it was when its training ended.

    proxy: that trained it.
    Raises StorageError when its weights cannot be read or are of another network.
    """
    kind = PROXIES[proxy.kind]
    plain = checkpoint_path(folder, architecture.plain.digest)
    network = build(
        architecture,
        task=task,
        start=proxy.block_start,
        weights=load_weights(plain) if kind.frozen else None,
    )
    path = checkpoint_path(folder, architecture.digest, seed)
    weights = load_weights(path)
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or ["its shapes differ"])[-1].strip()
        raise StorageError(f"{path} is of another network: {reason}") from None
    if unexpected or set(missing) & _trained_names(
        network, network.state_dict(), architecture, proxy.kind
    ):
        raise StorageError(f"{path} is of another network: its names differ")
    return network.eval()
