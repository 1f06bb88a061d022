"""The launch of a step's kernels: one by one, replayed as a CUDA graph, or compiled.

A small network on small images keeps a GPU waiting for Python; a graph is launched at once, and
what torch compiles has fewer kernels. Each costs a training some time at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from nas.base.errors import SpecError
from nas.spec.launch import Launch
from nas.training.ahead import MAKING
from nas.training.device import random_streams

__all__ = ["Loss", "check_launch", "launched"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""The mean loss of a batch, of images and targets."""


def check_launch(launch: Launch, device: torch.device) -> None:
    """Raise SpecError where a device cannot launch steps so."""
    if launch == "graphs" and device.type != "cuda":
        raise SpecError(
            f"proxy.launch graphs is of CUDA, and trainings run on {device.type} here; use eager"
        )


def launched(objective: nn.Module, launch: Launch, images: Tensor, targets: Tensor) -> Loss:
    """Return a loss that is launched so for batches like this one; it changes no weight.

    objective: in training mode.
    """
    return _WAYS[launch](objective, images, targets)


def _eager(objective: nn.Module, images: Tensor, targets: Tensor) -> Loss:
    return objective


def _graphs(objective: nn.Module, images: Tensor, targets: Tensor) -> Loss:
    # What is captured is run before: batch norms would see it, and dropout draw for it.
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    sample = images.clone(), targets.clone()
    with MAKING, torch.random.fork_rng(**random_streams(images.device)):
        graphed = torch.cuda.make_graphed_callables(objective, sample, allow_unused_input=True)
    objective.load_state_dict(before)
    return cast(Loss, graphed)


def _compile(objective: nn.Module, images: Tensor, targets: Tensor) -> Loss:
    return cast(Loss, torch.compile(objective, dynamic=False))


_WAYS: Mapping[Launch, Callable[[nn.Module, Tensor, Tensor], Loss]] = {
    "eager": _eager,
    "graphs": _graphs,
    "compile": _compile,
}
