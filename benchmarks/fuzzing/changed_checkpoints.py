"""Changed files of a small network's weights, each with what is to become of it.

In all the forms that `nas search --weights` takes; what is changed are bytes, names, shapes and
types, values, what stands beside them, code to be run, the path itself.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import random
import subprocess
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from nas.models.match_weights import BY_NAME, IN_ORDER
from nas.models.weights_file import NESTED

__all__ = ["BACKBONE", "CLASSES", "KINDS", "Case", "make_case", "tiny", "write_unchanged"]

CLASSES = 5
BACKBONE = "benchmarks.fuzzing.changed_checkpoints:tiny"
_PREFIXES = ("", "", "module.", "_orig_mod.", "model.", "module._orig_mod.")
_ODD_NAMES = ("a\nb", "\x1b[2J", "\u202e\u2028", "a" * 5000, "", "..", "%s{0}", "\x00", "é" * 40)


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.project = nn.Conv2d(8, 8, 1)

    def forward(self, maps: Tensor) -> Tensor:
        mapped: Tensor = self.project(self.norm(self.filter(maps)).relu())
        return maps + mapped


def tiny(num_classes: int) -> nn.Module:
    """Return the network that the weights are of."""
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
            block=_Block(),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(8, num_classes),
        )
    )


State = dict[str, Any]


def _trained(rng: random.Random, classes: int = CLASSES) -> State:
    """Return weights of the network that are not those of any new one."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    return {
        name: torch.rand(tensor.shape, generator=generator) + 0.1
        if tensor.is_floating_point()
        else torch.tensor(rng.randrange(1, 2000))
        for name, tensor in tiny(classes).state_dict().items()
    }


# Files, and what should become of them.


@dataclass(frozen=True, slots=True)
class Case:
    """A changed file of weights.

    kind: how it was changed.
    stored: what it holds, by the network's names; None: it is to be refused. Those of a head of
        other classes are left out.
    told: what a note must say, where it is read.
    how: --weights-match.
    either: it may be refused as well, as where bytes were changed.
    """

    kind: str
    path: Path
    stored: Mapping[str, Tensor] | None = None
    told: str = ""
    how: str = BY_NAME
    either: bool = False


@dataclass(frozen=True, slots=True)
class _Change:
    """What a change makes of weights: `content`, from which `stored` is to be read."""

    content: State
    stored: State | None = None
    told: str = ""
    how: str = BY_NAME


def make_case(folder: Path, number: int, seed: int, marker: Path) -> Case:
    """Write the changed file of a number.

    marker: that code in it would make.
    """
    rng = random.Random(f"{seed} {number}")
    kind = list(KINDS)[number % len(KINDS)]
    return KINDS[kind](kind, folder / f"{number:05}", rng, marker)


def write_unchanged(path: Path) -> None:
    """Write a checkpoint as it is to be."""
    path.write_bytes(_bytes_of(_trained(random.Random(0)), "zip"))


def _bytes_of(content: Any, form: str) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    return file.getvalue()


def _write(stem: Path, content: State, rng: random.Random, *, form: str | None = None) -> Path:
    """Write weights in one of the forms that are taken."""
    prefix = rng.choice(_PREFIXES)
    named = {f"{prefix}{name}": value for name, value in content.items()}
    form = form or rng.choice(("zip", "zip", "legacy", "safetensors"))
    if form == "safetensors":
        path = stem.with_suffix(
            rng.choice((".safetensors", ".safetensors", ".SAFETENSORS", ".bin"))
        )
        path.write_bytes(save(named))
        return path
    key = rng.choice((None, *NESTED))
    whole = named if key is None else {**_beside(rng), key: named}
    path = stem.with_suffix(rng.choice((".pth", ".pt", ".bin", ".tar", "")))
    path.write_bytes(_bytes_of(whole, form))
    return path


def _beside(rng: random.Random) -> State:
    """Return what scripts store beside weights."""
    optimiser = {"state": {0: {"exp_avg": torch.rand(3), "step": torch.tensor(7.0)}}}
    held: State = {
        "epoch": 3,
        "arch": "tiny",
        "args": argparse.Namespace(lr=0.1, output=Path("out"), opt=["a", None]),
        "metric": np.float64(0.7),
        "optimizer": {**optimiser, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "rng": torch.arange(8, dtype=torch.uint8),
    }
    return dict(rng.sample(sorted(held.items()), rng.randint(0, len(held))))


Maker = Callable[[str, Path, random.Random, Path], Case]


def _of_state(change: Callable[[State, random.Random], _Change], *, tensors: bool = True) -> Maker:
    """Return what writes weights that were changed.

    tensors: all that is written are tensors, which safetensors take.
    """

    def make(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
        changed = change(_trained(rng), rng)
        form = None if tensors else rng.choice(("zip", "legacy"))
        path = _write(stem, changed.content, rng, form=form)
        return Case(kind, path, changed.stored, changed.told, changed.how)

    return make


def _weight(state: State, rng: random.Random, *, dims: int = 1) -> str:
    """Draw one of the floating tensors outside the head, of at least so many dimensions."""
    names = [
        name
        for name, value in state.items()
        if value.is_floating_point() and value.dim() >= dims and not name.startswith("head")
    ]
    return rng.choice(names)


def _same(state: State, _rng: random.Random) -> _Change:
    return _Change(state, state)


def _by_order(state: State, _rng: random.Random) -> _Change:
    named = {f"layer_{row:03}": value for row, value in enumerate(state.values())}
    stored = {name: value for name, value in state.items() if value.dim()}
    return _Change(named, stored, how=IN_ORDER)


def _other_classes(state: State, rng: random.Random) -> _Change:
    classes = rng.choice((1, 2, 10, 1000))
    stored = {name: value for name, value in state.items() if not name.startswith("head")}
    head = {"head.weight": torch.rand(classes, 8), "head.bias": torch.rand(classes)}
    if rng.random() < 0.3:
        head["head.bias"][0] = np.nan
    return _Change({**state, **head}, stored, f"is of {classes} classes")


def _renamed(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    new = rng.choice((name.replace(".", "_"), name + "x", "x." + name))
    return _Change({new if key == name else key: value for key, value in state.items()})


def _missing(state: State, rng: random.Random) -> _Change:
    left_out = set(rng.sample(sorted(state), rng.randint(1, 6)))
    if all("num_batches" in name for name in left_out):
        left_out.add("stem.0.weight")
    return _Change({name: value for name, value in state.items() if name not in left_out})


def _extra(state: State, rng: random.Random) -> _Change:
    return _Change({**state, rng.choice(("more", "block.norm.more")): torch.rand(4)})


def _more_numbers(state: State, rng: random.Random) -> _Change:
    name = rng.choice(("step", "epoch"))
    return _Change({**state, name: torch.tensor(3)}, state, name)


def _no_counters(state: State, _rng: random.Random) -> _Change:
    kept = {name: value for name, value in state.items() if "num_batches" not in name}
    return _Change(kept, kept)


def _transposed(state: State, rng: random.Random) -> _Change:
    name = rng.choice(("stem.0.weight", "block.filter.weight", "head.weight"))
    return _Change({**state, name: state[name].transpose(0, 1).contiguous()})


def _exchanged(state: State, _rng: random.Random) -> _Change:
    one, other = "stem.0.weight", "block.project.weight"
    return _Change({**state, one: state[other], other: state[one]})


def _shorter(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    return _Change({**state, name: state[name][: rng.randint(0, len(state[name]) - 1)].clone()})


def _no_dimensions(state: State, rng: random.Random) -> _Change:
    name = rng.choice([_weight(state, rng), "head.weight", "head.bias"])
    return _Change({**state, name: torch.tensor(rng.choice((0.5, 3)))})


def _empty(state: State, rng: random.Random) -> _Change:
    names = [_weight(state, rng)] if rng.random() < 0.5 else ["head.weight", "head.bias"]
    return _Change({**state, **{name: state[name][:0].clone() for name in names}})


def _floats(state: State, rng: random.Random) -> _Change:
    kind = rng.choice((torch.float16, torch.bfloat16, torch.float64))
    whole = rng.random() < 0.3  # the counters, too
    cast = {
        name: value.to(kind) if whole or value.is_floating_point() else value
        for name, value in state.items()
    }
    stored = {
        name: value
        for name, value in cast.items()
        if "num_batches" not in name or value == value.round()
    }
    return _Change(cast, stored)


def _doubles(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    digits = torch.from_numpy(np.random.default_rng(rng.randrange(9)).random(state[name].shape))
    stored = {**state, name: digits.float()}
    return _Change({**state, name: digits}, stored, "more digits")


def _too_large(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    return _Change({**state, name: state[name].double() * 1e300})


def _whole_numbers(state: State, rng: random.Random) -> _Change:
    kind = rng.choice((torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool))
    name = _weight(state, rng)
    return _Change({**state, name: (state[name] * 100).to(kind)})


def _complex(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    return _Change({**state, name: state[name].to(torch.complex64)})


def _eighths(state: State, rng: random.Random) -> _Change:
    kind = rng.choice((torch.float8_e4m3fn, torch.float8_e5m2))
    name = _weight(state, rng)
    return _Change({**state, name: state[name].to(kind)})


def _not_finite(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    value = state[name].clone()
    value.view(-1)[rng.randrange(value.numel())] = rng.choice((np.nan, np.inf, -np.inf))
    return _Change({**state, name: value})


def _negative_variance(state: State, rng: random.Random) -> _Change:
    name = rng.choice([name for name in state if name.endswith("running_var")])
    return _Change({**state, name: -state[name]})


def _nested(state: State, rng: random.Random) -> _Change:
    names = [name for name in state if name.startswith("block.")]
    inner = {name.removeprefix("block."): state[name] for name in names}
    rest = {name: value for name, value in state.items() if name not in names}
    return _Change({**rest, "block": rng.choice((inner, list(inner.values())))})


def _no_tensor(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    value = state[name]
    others = (value.tolist(), value.numpy(), None, "text", {"data": value}, [value], 0.5)
    return _Change({**state, name: rng.choice(others)})


def _more_beside(state: State, rng: random.Random) -> _Change:
    return _Change({**state, "note": rng.choice((7, "text", None, [1], {}))}, state, "note")


def _numpy(state: State, _rng: random.Random) -> _Change:
    return _Change({name: value.numpy() for name, value in state.items()})


def _odd_tensor(state: State, rng: random.Random) -> _Change:
    name = _weight(state, rng)
    value = state[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        odd = rng.choice(
            (
                lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
                lambda: value.to_sparse(),
                lambda: value.reshape(len(value), -1).to_sparse_csr(),
                lambda: value.to("meta"),
                lambda: torch.nested.nested_tensor([value, value]),
                lambda: torch.zeros(1).expand(10**12),
                lambda: torch.zeros(1).expand(10**12, *value.shape[1:]),
            )
        )()
    head = {} if rng.random() < 0.5 else {"head.weight": odd}
    return _Change({**state, **(head or {name: odd})})


def _enormous_head(state: State, _rng: random.Random) -> _Change:
    head = {"head.weight": torch.zeros(1, 8).expand(10**9, 8), "head.bias": torch.zeros(1)}
    return _Change({**state, **head, "head.bias": torch.zeros(1).expand(10**9)})


def _views(state: State, rng: random.Random) -> _Change:
    """Store tensors that lie in others: in one storage, in other orders, with gaps."""

    def view(value: Tensor) -> Tensor:
        if value.dim() == 4:
            return value.contiguous(memory_format=torch.channels_last)
        if value.dim() == 0:
            return value
        gaps = torch.stack([value, value + 1], -1)
        return rng.choice((gaps[..., 0], nn.Parameter(value), value.flip(0).flip(0)))

    content = {name: view(value) for name, value in state.items()}
    content["block.norm.bias"] = content["stem.1.bias"]  # one storage
    stored = {**state, "block.norm.bias": state["stem.1.bias"]}
    return _Change(content, stored)


def _odd_names(state: State, rng: random.Random) -> _Change:
    odd = rng.choice(_ODD_NAMES)
    if rng.random() < 0.5:
        return _Change({**state, odd: torch.rand(3)})
    name = _weight(state, rng)
    return _Change({f"{key}{odd}x" if key == name else key: v for key, v in state.items()})


def _odd_keys(state: State, rng: random.Random) -> _Change:
    key: Any = rng.choice((3, None, (1, 2), True, 0.5))
    return _Change({**state, key: "x"}, state, "no weights, and left aside")


# Changes of the file.


def _damaged(form: str) -> Maker:
    """Return what changes bytes of a file."""

    def make(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
        state = _trained(rng)
        path = _write(stem, state, rng, form=form)
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
    state = _trained(rng)
    path = _write(stem, state, rng, form="zip")
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
    state = _trained(rng)
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
        pickle.dumps(content, protocol) if form == "pickle" else _bytes_of(content, form)
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
    content = {"state_dict": _trained(rng), "x": large}
    path = stem.with_suffix(".pth")
    path.write_bytes(pickle.dumps(content, 2) if form == "pickle" else _bytes_of(content, form))
    return Case(kind, path)


def _claims(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
    """Claim in the header of safetensors what the file does not hold."""
    data = save(_trained(rng))
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
    state = _trained(rng)
    change = rng.randrange(12)
    path = stem.with_suffix(rng.choice((".pth", ".safetensors")))
    if change == 0:
        path.symlink_to(_write(stem.with_name(f"{stem.name}-real"), state, rng))
        return Case(kind, path, state)
    if change == 1:
        odd = stem.with_name(f"{stem.name} é\n\u202e{{}}'\"")
        return Case(kind, _write(odd, state, rng), state)
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


KINDS: dict[str, Maker] = {
    "as stored": _of_state(_same),
    "by order": _of_state(_by_order),
    "head of other classes": _of_state(_other_classes),
    "renamed": _of_state(_renamed),
    "missing": _of_state(_missing),
    "extra": _of_state(_extra),
    "single numbers": _of_state(_more_numbers),
    "no counters": _of_state(_no_counters),
    "transposed": _of_state(_transposed),
    "exchanged": _of_state(_exchanged),
    "shorter": _of_state(_shorter),
    "no dimensions": _of_state(_no_dimensions),
    "empty tensors": _of_state(_empty),
    "other floats": _of_state(_floats),
    "doubles": _of_state(_doubles),
    "too large": _of_state(_too_large),
    "whole numbers": _of_state(_whole_numbers),
    "complex": _of_state(_complex),
    "not finite": _of_state(_not_finite),
    "negative variances": _of_state(_negative_variance),
    "floats of 8 bits": _of_state(_eighths),
    "nested": _of_state(_nested, tensors=False),
    "no tensor": _of_state(_no_tensor, tensors=False),
    "more beside": _of_state(_more_beside, tensors=False),
    "numpy": _of_state(_numpy, tensors=False),
    "odd tensors": _of_state(_odd_tensor, tensors=False),
    "enormous head": _of_state(_enormous_head, tensors=False),
    "views": _of_state(_views, tensors=False),
    "odd names": _of_state(_odd_names),
    "odd keys": _of_state(_odd_keys, tensors=False),
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
