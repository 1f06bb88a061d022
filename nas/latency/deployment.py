"""The network of an architecture as it would be shipped, which is what latencies are of."""

from __future__ import annotations

from torch import nn

from nas.models.build import build, deploy
from nas.models.merged_branches import with_merged_branches
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = ["build_deployed"]


def build_deployed(architecture: Architecture, task: Task) -> nn.Module:
    """Build a network as it would be shipped: gates folded, branches merged, with its head."""
    network = build(architecture, task=task, start="identity")
    return with_merged_branches(deploy(network, architecture), architecture, task)
