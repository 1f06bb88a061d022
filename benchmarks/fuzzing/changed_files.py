"""Changes of a file of weights: bytes, parts of an archive, code to be run, sizes, the path."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import subprocess
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from benchmarks.fuzzing.stored_weights import (
    CLASSES,
    Case,
    Maker,
    State,
    bytes_of,
    tiny,
    trained,
    write,
)
from nas.models.weights_file import NESTED

__all__ = ["CHANGED_FILES"]


def _damaged(form: str) -> Maker:
    """Return what changes bytes of a file."""

    def make(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
        state = trained(rng)
        path = write(stem, state, rng, form=form)
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 1, 2, 5))):
            _change_bytes(data, rng)
        path.write_bytes(data)
        # Zip archives have checksums; of the others, what is stored is what any reader finds.
        stored = state if form == "zip" else _as_stored(path, form)
        return Case(kind, path, stored, either=True)

    return make


def _change_bytes(data: bytearray, rng: random.Random) -> None:
    if not data:
        return
    near = min(len(data), 400) if rng.random() < 0.4 else len(data)
    start = rng.randrange(near)
    if rng.random() < 0.3:  # the other end, where archives have their lists
        start = len(data) - 1 - start
    stop = start + rng.randint(1, 32)
    change = rng.randrange(6)
    if change == 0:
        data[start] ^= 1 << rng.randrange(8)
    elif change == 1:
        data[start] = rng.randrange(256)
    elif change == 2:
        del data[start:stop]
    elif change == 3:
        del data[start:]
    elif change == 4:
        data[start:start] = data[start:stop]
    else:
        data[start : start + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"))


def _as_stored(path: Path, form: str) -> State | None:
    """Return what another reader finds in a damaged file; None where it finds nothing."""
    try:
        content = _parse_safetensors(path) if form == "safetensors" else _load(path)
    except Exception:  # whatever damage provokes
        return None
    for key in NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        return None
    found: State = {}
    for name, value in content.items():
        for own in tiny(CLASSES).state_dict():
            if isinstance(name, str) and (name == own or name.endswith(f".{own}")):
                found[own] = value
    return found


def _load(path: Path) -> Any:
    kinds: list[Any] = [argparse.Namespace, type(Path()), np.dtype, type(np.dtype("float64"))]
    scalar: Any = np.float64(0.0).__reduce__()[0]
    with warnings.catch_warnings(), torch.serialization.safe_globals([*kinds, scalar]):
        warnings.simplefilter("ignore")
        return torch.load(path, weights_only=True)


def _parse_safetensors(path: Path) -> State:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "I64": np.int64, "F16": np.float16, "I32": np.int32}
    found = {}
    for name, about in header.items():
        start, stop = (8 + size + offset for offset in about["data_offsets"])
        values = np.frombuffer(data[start:stop], kinds[about["dtype"]])
        found[name] = torch.from_numpy(values.copy()).reshape(about["shape"])
    return found


def _members(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
    """Change the parts of an archive, which is written anew with sound checksums."""
    state = trained(rng)
    path = write(stem, state, rng, form="zip")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    stored = [name for name in parts if "/data/" in name]
    one, other = rng.sample(stored, 2)
    change = rng.randrange(5)
    compression = zipfile.ZIP_STORED
    expected: State | None = None
    if change == 0:
        while len(parts[one]) == len(parts[other]):  # equal sizes are equally sound weights
            one, other = rng.sample(stored, 2)
        parts[one], parts[other] = parts[other], parts[one]
    elif change == 1:
        del parts[one]
    elif change == 2:
        parts[one] = parts[one][: len(parts[one]) // 2]
    elif change == 3:
        parts[next(name for name in parts if name.endswith("data.pkl"))] = rng.randbytes(40)
    else:
        parts[one] = b"\0" * 50_000_000
        compression = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return Case(kind, path, expected)


class _Runs:
    """What asks a reader of pickles to call something."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def _code(kind: str, stem: Path, rng: random.Random, marker: Path) -> Case:
    """Store what would make the marker where code of the file was run."""
    text = str(marker)
    harm = rng.choice(
        (
            _Runs(os.system, f"touch {text}"),
            _Runs(exec, f"open({text!r}, 'w')"),
            _Runs(eval, f"open({text!r}, 'w')"),
            _Runs(open, text, "w"),
            _Runs(os.mkdir, text),
            _Runs(Path.touch, marker),
            _Runs(subprocess.check_call, ["touch", text]),
            _Runs(torch.hub.load, text),
        )
    )
    state = trained(rng)
    places: tuple[Callable[[], object], ...] = (
        lambda: harm,
        lambda: {"state_dict": state, "epoch": harm},
        lambda: {**state, "more": harm},
        lambda: {"model": {**state, "stem.0.weight": harm}},
        lambda: [state, harm],
        lambda: {"state_dict": state, "args": argparse.Namespace(hook=harm)},
        lambda: OrderedDict({"more": harm, **state}),
    )
    path = stem.with_suffix(rng.choice((".pth", ".pkl", ".safetensors", ".bin")))
    content = rng.choice(places)()
    protocol = rng.choice((0, 2, 4))
    form = rng.choice(("zip", "legacy", "pickle"))
    path.write_bytes(
        pickle.dumps(content, protocol) if form == "pickle" else bytes_of(content, form)
    )
    return Case(kind, path)


def _room(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
    """Store some bytes that ask for a great deal of memory."""
    scalar: Any = np.float64(0.0).__reduce__()[0]
    large = rng.choice(
        (
            _Runs(bytearray, 2 * 10**9),
            _Runs(scalar, np.dtype("V2000000000")),
            _Runs(scalar, np.dtype("U500000000")),
        )
    )
    form = rng.choice(("zip", "legacy", "pickle"))
    content = {"state_dict": trained(rng), "x": large}
    path = stem.with_suffix(".pth")
    path.write_bytes(pickle.dumps(content, 2) if form == "pickle" else bytes_of(content, form))
    return Case(kind, path)


def _claims(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
    """Claim in the header of safetensors what the file does not hold."""
    data = save(trained(rng))
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    name = rng.choice([name for name in header if name != "__metadata__"])
    about, change, length = header[name], rng.randrange(8), None
    if change == 0:
        about["shape"] = [10**6, 10**6, 10**3]
    elif change == 1:
        about["data_offsets"] = [0, 2**62]
    elif change == 2:
        about["data_offsets"] = about["data_offsets"][::-1]
        about["shape"] = [2**63, 2]
    elif change == 3:
        about["dtype"] = rng.choice(("F4", "X", "F8_E8M0", "", 3))
    elif change == 4:
        about["shape"] = rng.choice(([-1], "x", None, [[1]], [2**64]))
    elif change == 5:
        length = rng.choice((2**63, 10**8, 0, 1, size - 1, size + 1))
    elif change == 6:
        header[name] = rng.choice(([], None, {}, "x"))
    else:
        header["\n\x1b[2J"] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**12]}
    text = json.dumps(header).encode()
    path = stem.with_suffix(".safetensors")
    path.write_bytes(
        (length if length is not None else len(text)).to_bytes(8, "little") + text + rest
    )
    return Case(kind, path)


def _path(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
    """Name something other than a file of weights, or a file in an odd way."""
    state = trained(rng)
    change = rng.randrange(12)
    path = stem.with_suffix(rng.choice((".pth", ".safetensors")))
    if change == 0:
        path.symlink_to(write(stem.with_name(f"{stem.name}-real"), state, rng))
        return Case(kind, path, state)
    if change == 1:
        odd = stem.with_name(f"{stem.name} é\n\u202e{{}}'\"")
        return Case(kind, write(odd, state, rng), state)
    if change == 2:
        path.symlink_to(path)
    elif change == 3:
        path.symlink_to(stem.with_name("nothing"))
    elif change == 4:
        path.mkdir()
    elif change == 5:
        os.mkfifo(path)
    elif change == 6:
        path.write_bytes(b"")
    elif change == 7:
        path.write_bytes(rng.randbytes(rng.randint(1, 5000)))
    elif change == 8:
        path = stem.with_name("x" * 300 + path.suffix)
    elif change == 9:
        path = rng.choice((Path("/dev/null"), Path("/dev/zero"), Path("/"), Path("/proc/self/mem")))
    elif change == 10:
        path.write_text(
            rng.choice(("{}", "version https://git-lfs.github.com/spec/v1\n", "<html>"))
        )
    else:
        path = path / "below" / "x.pth"
    return Case(kind, path)


CHANGED_FILES: dict[str, Maker] = {
    "damaged archive": _damaged("zip"),
    "damaged archive, again": _damaged("zip"),
    "damaged old form": _damaged("legacy"),
    "damaged safetensors": _damaged("safetensors"),
    "parts of an archive": _members,
    "code": _code,
    "code, again": _code,
    "room": _room,
    "claims": _claims,
    "paths": _path,
}
