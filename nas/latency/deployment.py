"""The network of an architecture as it would be shipped, which is what latencies are of."""

from __future__ import annotations

from torch import nn

from nas.models.build import build, deploy
from nas.spec.architecture import Architecture

__all__ = ["build_deployed"]


def build_deployed(architecture: Architecture, num_classes: int) -> nn.Module:
    """Build a whole network as it would be shipped: gates folded, head included."""
    network = build(architecture, num_classes=num_classes, start="identity")
    return deploy(network, architecture)
