"""A user's file of trained weights: safetensors or a PyTorch checkpoint, read without unpickling.

What `torch.load(weights_only=True)` takes is read: tensors, plain containers and the few harmless
classes that training scripts of timm and torchvision store beside them. Anything else would run
code of whoever wrote the file, and is refused.
"""

from __future__ import annotations

import argparse
import pathlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.base.errors import SpecError

__all__ = ["NESTED", "GivenWeights", "read_weights"]

NESTED = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state", "model")
"""The keys under which training scripts keep a network's weights; of several the first counts, as
running means are what their authors report."""

_SCALAR = np.float64(0.0).__reduce__()[0]
_HARMLESS: tuple[Any, ...] = (
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
    # As numpy 2 and numpy 1 name it.
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
)
"""What scripts of timm and torchvision store beside weights: arguments, paths, figures."""
_AS_SAFETENSORS = (
    "where it was trained: safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')"
)
_LEAST_TENSORS = 2


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """The weights in a file.

    tensors: by their names in the file, in its order.
    taken: the key of the checkpoint that they stood under; None: they are all that it holds.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    taken: str | None = None


def read_weights(path: Path) -> GivenWeights:
    """Read a file of weights.

    Raises SpecError for one that is missing, broken, no file of weights, or in need of unpickling.
    """
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "is not there"
        raise SpecError(
            f"weights {path}: {state}; name a .safetensors file or a PyTorch checkpoint"
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    taken, tensors = _find_tensors(content)
    if tensors is None:
        raise SpecError(
            f"weights {path}: found {_describe(content)}; allowed: the weights of a network by "
            f"name, alone or under {', '.join(NESTED)}"
        )
    return GivenWeights(path, tensors, taken)


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise SpecError(f"weights {path}: broken ({_first_line(error)}); copy it again") from None
    return tensors


def _read_checkpoint(path: Path) -> Any:
    if _is_scripted(path):
        raise SpecError(
            f"weights {path}: a scripted network, which holds code; save its weights "
            f"{_AS_SAFETENSORS}"
        )
    try:
        with torch.serialization.safe_globals(list(_HARMLESS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is broken fails in any way
        needs = re.search(r"(?:GLOBAL|global|type|class) ([\w.]+\.[\w.]+)", str(error))
        if needs is None or not isinstance(error, pickle.UnpicklingError):
            raise SpecError(f"weights {path}: broken, or no checkpoint of PyTorch") from None
        raise SpecError(
            f"weights {path}: holds {needs[1]}, for which code of the file would have to run; save "
            f"the weights alone {_AS_SAFETENSORS}"
        ) from None


def _is_scripted(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == "constants.pkl" for name in archive.namelist())
    except Exception:  # a damaged archive fails in any way; what it is, reading tells
        return False


def _find_tensors(content: Any) -> tuple[str | None, Mapping[str, Tensor] | None]:
    """Return the key under which weights stand, None for no key, and the weights; None for none."""
    if not isinstance(content, Mapping):
        return None, None
    for name in NESTED:
        tensors = _tensors_of(content.get(name))
        if tensors is not None:
            return name, tensors
    return None, _tensors_of(content)


def _tensors_of(content: Any) -> Mapping[str, Tensor] | None:
    """Return what is weights by name of something, or None.

    Counters of running means (`n_averaged`) are no weights of the network.
    """
    if not isinstance(content, Mapping):
        return None
    tensors = {
        name: tensor
        for name, tensor in content.items()
        if isinstance(name, str) and isinstance(tensor, Tensor) and name != "n_averaged"
    }
    return tensors if len(tensors) >= _LEAST_TENSORS else None


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        keys = ", ".join(str(key) for key in list(content)[:8])
        return f"the keys {keys}" if keys else "nothing"
    return f"a {type(content).__name__}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
