"""How our weights are put into a network of its authors' code, which orders them otherwise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from torch import Tensor

State = dict[str, Tensor]

__all__ = ["emo_state", "moat_state", "mobilevig_state"]


def _block(name: str) -> str:
    """The block that a weight is of: `stages.2.1`."""
    return ".".join(name.split(".")[:3]) if name.startswith("stages.") else name.split(".")[0]


def _by_block(ours: State, place: Callable[[str], int]) -> State:
    """Ours with each block's weights in the order of `place`, equal ones as they were."""
    names = [sorted(group, key=place) for _, group in groupby(ours, key=_block)]
    return {name: ours[name] for group in names for name in group}


def _named_as(theirs: State, values: list[Tensor]) -> State:
    sizes = [value.numel() for value in values]
    assert sizes == [value.numel() for value in theirs.values()], list(theirs)
    pairs = zip(theirs.items(), values, strict=True)
    return {name: value.reshape(like.shape) for (name, like), value in pairs}


def mobilevig_state(ours: State, theirs: State) -> State:
    """Their inverted residuals hold the outer convolutions first and the outer norms last."""
    order = ("scale", "expand.0", "project.0", "depthwise.0", "depthwise.1", "expand.1")

    def place(name: str) -> int:
        inner = name.removeprefix(f"{_block(name)}.")
        found = (number for number, part in enumerate(order) if inner.startswith(part))
        return next(found, len(order))

    return _named_as(theirs, list(_by_block(ours, place).values()))


def emo_state(ours: State, theirs: State) -> State:
    """Their scale is the last layer of a block."""
    sorted_ = _by_block(ours, lambda name: name.endswith(".scale"))
    return _named_as(theirs, list(sorted_.values()))


def moat_state(ours: State, theirs: State) -> State:
    """Kernels with their channels last; queries, keys and values apart; no counters."""
    kept = {name: value for name, value in ours.items() if not name.endswith("tracked")}
    values: list[Tensor] = []
    attending = {_block(name) for name in kept if name.endswith(".positions")}
    for block, group in groupby(kept, key=_block):
        names = list(group)
        if block not in attending:
            values += [_channels_last(kept[name]) for name in names]
            continue
        part = {name.removeprefix(f"{block}."): kept[name] for name in names}
        values += [part["norm.weight"], part["norm.bias"], part["positions"]]
        matrices = [*part["qkv.weight"].chunk(3), part["project.weight"]]
        biases = [*part["qkv.bias"].chunk(3), part["project.bias"]]
        for matrix, bias in zip(matrices, biases, strict=True):
            values += [matrix[:, :, 0, 0].T, bias]
    return _named_as(theirs, values)


def _channels_last(weight: Tensor) -> Tensor:
    """A kernel as TensorFlow has it: (k, k, in, out), of a depthwise layer (k, k, channels, 1)."""
    if weight.dim() == 2:
        return weight.T
    if weight.dim() < 4:
        return weight
    is_depthwise = weight.shape[1] == 1
    return weight.permute(2, 3, 0, 1) if is_depthwise else weight.permute(2, 3, 1, 0)
