"""Trained weights on disk or in object storage: whole safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from nas.base.errors import StorageError
from nas.base.files import write_whole
from nas.base.object_store import is_remote, storage_errors

__all__ = [
    "checkpoint_path",
    "drop_training",
    "load_weights",
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


def drop_training(path: Path) -> None:
    """Remove the weights of a training that stopped, if there are any.

    Raises StorageError when the place cannot be reached.
    """
    with storage_errors(path):
        path.unlink(missing_ok=True)
