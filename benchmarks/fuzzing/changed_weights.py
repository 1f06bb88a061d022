"""Changes of what a file of weights holds: names, shapes, types, values, what is beside them."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.fuzzing.stored_weights import Case, Maker, State, trained, write
from nas.models.match_weights import BY_NAME, IN_ORDER

__all__ = ["CHANGED_WEIGHTS"]

_ODD_NAMES = ("a\nb", "\x1b[2J", "\u202e\u2028", "a" * 5000, "", "..", "%s{0}", "\x00", "é" * 40)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a change makes of weights: `content`, from which `stored` is to be read."""

    content: State
    stored: State | None = None
    told: str = ""
    how: str = BY_NAME


def _of_state(change: Callable[[State, random.Random], _Change], *, tensors: bool = True) -> Maker:
    """Return what writes weights that were changed.

    tensors: all that is written are tensors, and by name, which safetensors take.
    """

    def make(kind: str, stem: Path, rng: random.Random, _marker: Path) -> Case:
        changed = change(trained(rng), rng)
        form = None if tensors else rng.choice(("zip", "legacy"))
        path = write(stem, changed.content, rng, form=form)
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


CHANGED_WEIGHTS: dict[str, Maker] = {
    "as stored": _of_state(_same),
    "by order": _of_state(_by_order, tensors=False),
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
}
