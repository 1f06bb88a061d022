"""A network that was given in memory, as `object:Class-STRUCTURE-WEIGHTS`.

It is held by the process that it was given to, and no other can make it: its class may stand in a
notebook, and what it was called with is known to nobody. The name says what it was, so that one who
goes on has to bring the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from nas.backbones.own_module import copied, taken_in, unwrapped
from nas.backbones.structure import describe_layers
from nas.base.errors import SpecError
from nas.spec.own_backbone import HELD, is_held

__all__ = ["check_same", "create", "exists", "has_width", "hold", "name_of", "names"]

_DIGITS = 12
_ELSEWHERE = (
    "was given in memory, and this process does not hold it; in Python, give the same network to "
    "nas.resume(run, backbone=network), or to nas.open_run(run, backbone=network) and what that "
    "returns to nas.export.export_pack or nas.runs.retrain.plan.plan_retraining"
)

_held: dict[str, nn.Module] = {}


def hold(network: nn.Module) -> str:
    """Keep a copy of a network for this process, and return the name that it is made by.

    Raises SpecError for one that cannot be copied, changed or saved (see `taken_in`).
    """
    name = name_of(network)
    _held[name] = taken_in(network, type(unwrapped(network)).__name__)
    return name


def name_of(network: nn.Module) -> str:
    """Return the name of a network: its class, what it is made of, and its weights.

    Raises SpecError for one that has no weights yet.
    """
    network = unwrapped(network)
    kind = type(network).__name__
    if any(isinstance(weight, nn.UninitializedParameter) for weight in network.parameters()):
        raise SpecError(
            f"backbone {kind}: layers of it have no weights yet; send it an image first"
        )
    structure = hashlib.sha256(describe_layers(network).encode())
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            structure.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            weights.update(flat.view(torch.uint8).numpy().tobytes())
    return f"{HELD}{kind}-{structure.hexdigest()[:_DIGITS]}-{weights.hexdigest()[:_DIGITS]}"


def check_same(network: nn.Module, backbones: Sequence[str], source: str) -> None:
    """Raise SpecError where a network is none of those of these names, and say what differs.

    source: whose they are, in errors.
    """
    name = name_of(network)
    if name in backbones:
        return
    wanted = next((backbone for backbone in backbones if is_held(backbone)), None)
    if wanted is None:
        raise SpecError(
            f"{source} searches {', '.join(backbones)}, which is found by its name; leave backbone "
            "out"
        )
    given, other = name.rsplit("-", 2), wanted.rsplit("-", 2)
    differs = "its structure differs"
    if given[:2] == other[:2]:
        differs = f"its weights differ; load those of {source}/given.safetensors"
    raise SpecError(f"backbone {name} is not the {wanted} of {source}: {differs}")


def names() -> list[str]:
    """List no names: what was given is known to who gave it."""
    return []


def exists(name: str) -> bool:
    """Say whether a name is of a network given in memory.

    Raises SpecError when it is and this process does not hold it.
    """
    if not is_held(name):
        return False
    if name not in _held:
        raise SpecError(f"backbone {name!r} {_ELSEWHERE}")
    return True


def has_width(name: str) -> bool:
    """Say that it has none."""
    return False


def create(name: str, num_classes: int, pretrained: bool, width: float = 1.0) -> nn.Module:
    """Return a copy of the network, with its own head and weights.

    num_classes: without meaning here: a search checks that the head fits its data.
    Raises SpecError where this process does not hold it.
    """
    assert exists(name) and width == 1
    return copied(_held[name])
