"""The make-up of a network in few words, so that it is known again elsewhere and later."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["Structure", "describe_layers"]


def describe_layers(network: nn.Module) -> str:
    """Return the modules of a network as they write themselves."""
    # Where an object lies in memory says nothing of it.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(network))


@dataclass(frozen=True, slots=True)
class Structure:
    """The parts of a network, whatever its weights are.

    tensors: a digest of the names, kinds and shapes of what is saved of it.
    layers: a digest of its modules as they write themselves, which torch's versions may change.
    params: how many weights it has.
    """

    tensors: str
    layers: str
    params: int

    @classmethod
    def of(cls, network: nn.Module) -> Structure:
        """Take a network apart."""
        tensors = "".join(
            f"{name} {tensor.dtype} {tuple(tensor.shape)}\n"
            for name, tensor in network.state_dict().items()
            if isinstance(tensor, torch.Tensor)
        )
        layers = describe_layers(network)
        params = sum(parameter.numel() for parameter in network.parameters())
        return cls(_digest(tensors), _digest(layers), params)

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Structure:
        """Read what `to_dict` wrote."""
        return cls(written["tensors"], written["layers"], written["params"])

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def difference(self, other: Structure, *, layers: bool) -> str | None:
        """Say what another has that this one has not; None where they are alike.

        layers: whether they were written by one version of torch, and so can be compared.
        """
        if self.params != other.params:
            return f"it has {other.params:,} weights, and had {self.params:,}"
        if self.tensors != other.tensors:
            return "its weights have other names or shapes"
        if layers and self.layers != other.layers:
            return "its layers are others, with the same weights"
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
