"""A user's file of trained weights: safetensors or a PyTorch checkpoint, read without unpickling.

What `torch.load(weights_only=True)` takes is read: tensors, plain containers and the few harmless
classes that training scripts of timm and torchvision store beside them. Anything else would run
code of whoever wrote the file, and is refused.
"""

from __future__ import annotations

import argparse
import io
import pathlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from nas.base.errors import SpecError, first_line
from nas.base.formats import one_line

__all__ = ["NESTED", "GivenWeights", "not_a_file", "read_weights"]

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
_BROKEN = "broken, or no checkpoint of PyTorch; copy it again, or name another"
_ROOM = (
    "holds builtins.bytearray, which makes room for as much as the file claims; save the weights "
    f"alone {_AS_SAFETENSORS}"
)
_LEAST_TENSORS = 2
_LONGEST_NAME = 80
_LONGEST_LINE = 200
_NAMED = 8
_PICKLES = 5  # with which a file of the form of before 2020 begins
_PIECE = 1 << 20  # bytes
_AVERAGED = "n_averaged"
"""Counters of running means are no weights of the network."""
_REAL = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
)
_ZIP, _MOST_HEADER = b"PK\x03\x04", 100_000_000
"""How archives begin, and what safetensors allow a header to have at most."""
_LENGTH_BYTES = 8
"""The length of a safetensors file's header, little-endian, before the header's `{`."""


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """The weights in a file.

    tensors: by their names in the file, in its order.
    taken: the key of the checkpoint that they stood under; None: they are all that it holds.
    aside: what stood among them and is no tensor, by name.
    ordered: they stand as in the network; safetensors files hold them by name.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    taken: str | None = None
    aside: tuple[str, ...] = ()
    ordered: bool = True


def read_weights(path: Path) -> GivenWeights:
    """Read a file of weights.

    Raises SpecError for one that is missing, damaged, no file of weights, in need of unpickling, or
    with tensors that are not plain numbers.
    """
    state = not_a_file(path)
    if state is not None:
        raise _refusal(path, f"{state}; name a .safetensors file or a PyTorch checkpoint")
    try:
        by_name = _is_safetensors(path)
        content = _read_safetensors(path) if by_name else _read_checkpoint(path)
    except OSError as error:
        raise _refusal(path, f"it cannot be read ({_first_line(error)})") from None
    taken, tensors = _find_tensors(content)
    if tensors is None:
        raise _refusal(
            path,
            f"found {_describe(content)}; allowed: the weights of a network by name, alone or "
            f"under {', '.join(NESTED)}",
        )
    _check_tensors(path, tensors)
    held = content if taken is None else content[taken]
    aside = tuple(_short(name) for name in held if name not in tensors and name != _AVERAGED)
    return GivenWeights(path, tensors, taken, aside, ordered=not by_name)


def not_a_file(path: Path) -> str | None:
    """Return what is there instead of a file that can be read; None where one is."""
    try:
        if path.is_file():
            with path.open("rb"):
                return None
        if path.is_dir():
            return "a folder"
        return "no regular file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({_first_line(error)})"


def _refusal(path: Path, text: str) -> SpecError:
    """Return the error of a file, in one line whatever its names hold."""
    return SpecError(one_line(f"weights {path}: {text}"))


def _is_safetensors(path: Path) -> bool:
    """Say which of the two a file is by what it begins with, as suffixes are anything.

    What is neither is of the kind that its suffix says.
    """
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES + 1)
    if start.startswith(_ZIP):
        return False
    whole = len(start) == _LENGTH_BYTES + 1
    headed = whole and int.from_bytes(start[:_LENGTH_BYTES], "little") <= _MOST_HEADER
    return (headed and start.endswith(b"{")) or path.suffix.lower() == ".safetensors"


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except Exception as error:  # what is broken fails in any way
        raise _refusal(path, f"broken ({_first_line(error)}); copy it again") from None
    return tensors


def _read_checkpoint(path: Path) -> Any:
    if _is_scripted(path):
        raise _refusal(
            path, f"a scripted network, which holds code; save its weights {_AS_SAFETENSORS}"
        )
    with path.open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            _check_archive(path)
        else:
            file.seek(0)
            if _makes_room(file, _PICKLES):
                raise _refusal(path, _ROOM)
    try:
        with (
            torch.serialization.safe_globals(list(_HARMLESS)),
            warnings.catch_warnings(),
            path.open("rb") as file,  # of a path, torch goes by the suffix
        ):
            warnings.simplefilter("ignore")  # of files that are refused below
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what is broken fails in any way
        needs = re.search(r"(?:GLOBAL|global|type|class) ([\w.]+\.[\w.]+)", str(error))
        if needs is None or not isinstance(error, pickle.UnpicklingError):
            raise _refusal(path, _BROKEN) from None
        raise _refusal(
            path,
            f"holds {needs[1]}, for which code of the file would have to run; save the weights "
            f"alone {_AS_SAFETENSORS}",
        ) from None


def _is_scripted(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == "constants.pkl" for name in archive.namelist())
    except Exception:  # a damaged archive fails in any way; what it is, reading tells
        return False


def _check_archive(path: Path) -> None:
    """Raise SpecError where an archive is not as it was written, or makes room for anything.

    torch reads members without a look at their checksums, so that a flipped bit would be another
    weight. It writes 0 where it was told to compute none, and compresses nothing: what is
    compressed could claim any size.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = next((each for each in archive.infolist() if each.file_size > size), None)
            if wrong is None:
                members = archive.infolist()
                wrong = next((each for each in members if _is_damaged(archive, each)), None)
        pickled = b"" if wrong else torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")
    except Exception:  # a damaged archive fails in any way
        raise _refusal(path, _BROKEN) from None
    if wrong is not None:
        raise _refusal(
            path, f"damaged: its part {wrong.filename} is not as it was written; copy it again"
        )
    if _makes_room(io.BytesIO(pickled), 1):
        raise _refusal(path, _ROOM)


def _makes_room(file: BinaryIO, pickles: int) -> bool:
    """Say whether reading would make arrays of bytes, of whatever length a few bytes claim.

    They are the one thing that torch makes so: of what it takes, nothing that is stored beside
    weights has any.

    pickles: that follow one another in the file.
    """
    with suppress(Exception):  # what is broken, reading tells
        for _ in range(pickles):
            for operation, argument, _ in pickletools.genops(file):
                if operation.name == "GLOBAL" and str(argument).endswith("bytearray"):
                    return True
    return False


def _is_damaged(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if not member.CRC:
        return False
    try:
        with archive.open(member) as file:
            while file.read(_PIECE):
                pass
    except zipfile.BadZipFile:
        return True
    return False


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise SpecError where a tensor is anything but an array of real numbers in memory."""
    size = path.stat().st_size
    odd = {name: _oddity(tensor, size) for name, tensor in tensors.items()}
    faults = [f"{_short(name)} {what}" for name, what in odd.items() if what is not None]
    if faults:
        more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise _refusal(
            path,
            f"{', '.join(faults[:_NAMED])}{more}; allowed: plain tensors of real numbers; save the "
            f"network's own {_AS_SAFETENSORS}",
        )


def _oddity(tensor: Tensor, file_size: int) -> str | None:
    """Return what a tensor is instead of an array of real numbers; None where it is one."""
    if tensor.is_nested or tensor.layout is not torch.strided:
        return "is sparse or nested"
    if tensor.device.type != "cpu":
        return f"has no values (it lies on {tensor.device.type})"
    if tensor.is_quantized or tensor.dtype not in _REAL:
        return f"is of {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.numel() * tensor.element_size() > file_size:  # a view of fewer that repeats them
        return f"claims {tensor.numel():,} values, more than the file holds"
    return None


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
    """Return what is weights by name of something, or None."""
    if not isinstance(content, Mapping):
        return None
    tensors = {
        name: tensor
        for name, tensor in content.items()
        if isinstance(name, str) and isinstance(tensor, Tensor) and name != _AVERAGED
    }
    return tensors if len(tensors) >= _LEAST_TENSORS else None


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        keys = ", ".join(_short(key) for key in list(content)[:_NAMED])
        return f"the keys {keys}" if keys else "nothing"
    return f"a {type(content).__name__}"


def _short(name: Any) -> str:
    text = name if isinstance(name, str) else f"a {type(name).__name__}"
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def _first_line(error: Exception) -> str:
    return first_line(error)[:_LONGEST_LINE]
