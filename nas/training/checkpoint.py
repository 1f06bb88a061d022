"""Trained weights on disk or in object storage, and back into networks: whole safetensors."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor, nn

from nas.base.errors import StorageError
from nas.base.files import write_whole
from nas.base.object_store import is_remote, storage_errors
from nas.models.build import build, inserted_prefixes
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.loop import Training
from nas.training.proxies import PROXIES

if TYPE_CHECKING:  # which needs pydantic, as trainings do not
    from nas.spec.proxy import Proxy

_NETWORK, _RUNGS = "network.", "rungs"

__all__ = [
    "Rungs",
    "checkpoint_path",
    "drop_training",
    "load_training",
    "load_weights",
    "restore",
    "save_trained",
    "save_training",
    "save_weights",
    "training_path",
    "weights_exist",
]


def checkpoint_path(folder: Path, digest: str, seed: int | None = None) -> Path:
    """Return the file of a candidate's trained weights.

    seed: that it was trained with; None means a plain backbone.
    """
    name = "backbone" if seed is None else f"seed-{seed}"
    return folder / digest / f"{name}.safetensors"


def training_path(folder: Path, digest: str, seed: int) -> Path:
    """Return the file of a training that stopped at a rung below the top."""
    return folder / digest / f"seed-{seed}.training.safetensors"


def weights_exist(path: Path) -> bool:
    """Say whether weights are there. Raises StorageError when the place cannot be reached."""
    with storage_errors(path):
        return path.exists()


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights by name. Raises StorageError when there is no space."""
    tensors = _apart(weights)
    if is_remote(path):
        with storage_errors(path):  # an object is there whole or not at all
            path.write_bytes(save(tensors))
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as temporary:
            save_file(tensors, temporary)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"weights {path} cannot be written ({error}); free some space") from None


def _apart(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in memory of their own, as safetensors wants them.

    Tied ones are written under each of their names, which loading asks for.
    """
    tensors: dict[str, Tensor] = {}
    held: set[int] = set()
    for name, tensor in weights.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        whole = storage.nbytes() == tensor.numel() * tensor.element_size()
        tensors[name] = tensor if whole and storage.data_ptr() not in held else tensor.clone()
        held.add(storage.data_ptr())
    return tensors


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights by name. Raises StorageError when the file is missing or cut short."""
    try:
        if is_remote(path):
            with storage_errors(path):
                content = path.read_bytes()
            return load(content)
        try:
            os.fsencode(path).decode("utf-8")
        except UnicodeDecodeError:  # a path that safetensors refuses
            return load(path.read_bytes())
        return load_file(path)
    except FileNotFoundError:
        raise StorageError(f"weights {path} cannot be read (there is no such file)") from None
    except (OSError, SafetensorError) as error:
        raise StorageError(f"weights {path} cannot be read ({error})") from None


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


def drop_training(path: Path) -> None:
    """Remove what `save_training` wrote, if anything.

    Raises StorageError when the place cannot be reached.
    """
    with storage_errors(path):
        path.unlink(missing_ok=True)


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
