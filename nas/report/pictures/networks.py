"""Trained networks of a run with the images that they are shown on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.base.size import Resolution
from nas.data import Dataset
from nas.runs.run import RunState
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.width import is_widened
from nas.training.batches import Batches

__all__ = ["OpenImages", "ShownNetwork"]

OpenImages = Callable[[Resolution | None], Dataset]
"""(resolution) -> the images of a run, as `nas.runs.images.RunImages.open` has them."""

_AT_ONCE = 32


@dataclass(frozen=True)
class ShownNetwork:
    """A trained network of a run, as it was trained, on the CPU.

    name: `plain`, `se/r24 by hand` or `trial 17`.
    figure: what it reached on the validation images, 0 to 1, by its weights that count.
    data: the images that these were trained on. Their validation rows are the same ones for every
        network of a run.
    """

    name: str
    figure: float
    network: nn.Module
    architecture: Architecture
    data: Dataset

    @classmethod
    def of(cls, state: RunState, trial: int, images: OpenImages) -> ShownNetwork:
        """Open the network of a trial; fully trained weights count where they are better.

        images: of the run.
        Raises SpecError, StorageError where it cannot be had.
        """
        row, retrained = state.row(trial), state.retrained_weights(trial)
        training = None if retrained is None else retrained[1]
        network = state.network(trial, folded=False)
        figure = row["accuracy"] if training is None else training.accuracy
        return cls(
            _name(trial, row["reference"]),
            float(figure or 0.0),
            network,
            Architecture.from_json(row["architecture"]),
            images(None if training is None else training.resolution),
        )

    def batch(self, rows: Tensor) -> Tensor:
        """Return validation images as the network reads them: (B, 3, H, W).

        Laid out one channel after another: so gradients are safe in any network (see
        `nas.training.layout`).
        """
        chosen = self.data.validation.only(rows)
        images = Batches(self.data, torch.device("cpu")).plain(chosen, slice(None))
        return images.contiguous()

    def outputs(self, rows: Tensor) -> Tensor:
        """Return what the network gives for validation images: (B, ...)."""
        starts = range(0, len(rows), _AT_ONCE)
        with torch.inference_mode():
            parts = [self.network(self.batch(rows[at : at + _AT_ONCE])) for at in starts]
        return torch.cat(parts)


def _name(trial: int, reference: str | None) -> str:
    if reference is None:
        return f"trial {trial}"
    return reference if reference == PLAIN or is_widened(reference) else f"{reference} by hand"
