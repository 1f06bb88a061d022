"""The weights of a supernet in one of its networks, and the score that they give it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.base.seeds import derive
from nas.data import Dataset
from nas.models.build import build, inserted_modules
from nas.spec.architecture import Architecture
from nas.spec.precision import FP32, Precision
from nas.spec.task import Task
from nas.training.batches import Batches
from nas.training.layout import lay_out, memory_format
from nas.training.loop import evaluate
from nas.training.precision import autocast, backend_flags
from nas.training.tasks import Score

if TYPE_CHECKING:  # which needs pydantic, as trainings do not
    from nas.training.supernet.supernet import Supernet

__all__ = ["inherit", "inherit_recalibrated", "recalibrate", "score"]

_BATCH = 128
"""Images at once when batch norm is estimated."""


def inherit(supernet: Supernet, architecture: Architecture) -> nn.Module:
    """Build the network of a path with the supernet's weights, in evaluation mode.

    Raises SpecError when the supernet does not hold it.
    """
    weights = supernet.weights_of(architecture)
    network = build(architecture, task=supernet.task, start="identity", seed=supernet.seed)
    network.load_state_dict(weights)
    return network


def inherit_recalibrated(
    supernet: Supernet,
    architecture: Architecture,
    data: Dataset,
    *,
    device: torch.device,
    images: int = 1024,
    seed: int = 0,
    precision: Precision = FP32,
) -> nn.Module:
    """Build the network of a path, with batch norms that have seen its training images.

    Where the backbone is frozen, those of the inserted blocks alone are estimated again.

    images, seed, precision: see `recalibrate`.
    Raises SpecError when the supernet does not hold it.
    """
    network = inherit(supernet, architecture)
    within = inserted_modules(network, architecture) if supernet.frozen else [network]
    recalibrate(
        network,
        data,
        device=device,
        images=images,
        seed=seed,
        within=within,
        precision=precision,
    )
    return network


def recalibrate(
    network: nn.Module,
    data: Dataset,
    *,
    device: torch.device,
    images: int = 1024,
    seed: int = 0,
    within: Iterable[nn.Module] | None = None,
    precision: Precision = FP32,
) -> None:
    """Estimate batch norm statistics again, in place; no weight changes.

    They are the mean over batches of training images as they are, not augmented.

    images: how many are drawn with the seed; the same for every network.
    within: modules whose batch norms these are; None means the whole network.
    precision: that the network was trained in.
    """
    layers = [
        layer
        for module in (within if within is not None else [network])
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    if not layers:
        return
    lay_out(network.eval().to(device), memory_format(network, device))
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of what it sees
        layer.train()
    with torch.no_grad(), backend_flags(precision, device), autocast(precision, device):
        for batch in _batches(data, images, seed, device):
            network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def _batches(data: Dataset, images: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Yield batches of one size, since each counts the same."""
    generator = torch.Generator().manual_seed(derive(seed, "statistics"))
    rows = torch.randperm(len(data.train), generator=generator)[:images]
    some = data.train.only(rows)
    size = min(_BATCH, len(rows))
    batches = Batches(data, device)
    for start in range(0, len(rows) - size + 1, size):
        yield batches.plain(some, slice(start, start + size))


def score(
    supernet: Supernet,
    architecture: Architecture,
    data: Dataset,
    task: Task,
    *,
    device: torch.device,
    images: int = 1024,
    seed: int = 0,
    precision: Precision = FP32,
) -> Score:
    """Judge an architecture by inherited weights on all validation images; compare by loss.

    images, seed, precision: see `recalibrate`.
    Raises SpecError when the supernet does not hold it.
    Raises TrainingError when scores are not finite.
    """
    network = inherit_recalibrated(
        supernet, architecture, data, device=device, images=images, seed=seed, precision=precision
    )
    return evaluate(network, data, task, device=device, precision=precision)
