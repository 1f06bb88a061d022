"""Exporting trained networks, each checked against the original before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture import Architecture
from nas.data import Dataset
from nas.errors import ExportError, SpecError
from nas.export.onnx import export_onnx
from nas.files import write_whole
from nas.proxies.training import Trainer
from nas.run import Run

__all__ = ["TARGETS", "Parity", "export_trial"]

TARGETS: dict[str, tuple[str, Callable[[nn.Module, int, Path], Callable[..., object]]]] = {
    "onnx": (".onnx", export_onnx),
}
"""Target -> suffix, and a function that writes a file and returns how to run it."""

_IMAGES = 64
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Parity:
    """difference: largest absolute difference of any score, on `images` real images.
    largest: the largest absolute score. tolerance: allowed share of max(1, largest).
    """

    difference: float
    largest: float
    images: int
    tolerance: float = _TOLERANCE

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance * max(1.0, self.largest)


def export_trial(run: Run, trial: int, target: str, out: Path | None = None) -> tuple[Path, Parity]:
    """Export the trained network of a trial.

    out: the file to write; None: beside the run's files. Raises SpecError (no such target or
    trial, a file that is in the way), ExportError when the export disagrees with the network.
    """
    if target not in TARGETS:
        raise SpecError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    suffix, write = TARGETS[target]
    network = run.network(trial)
    path = out or run.path / "exports" / f"trial-{trial}{suffix}"
    if path.is_dir() or (out is not None and path.exists()):
        raise SpecError(f"{path} exists; name a new file for --out")
    if not path.parent.exists() and out is not None:
        raise SpecError(f"folder {path.parent} does not exist; make it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Where it will be deployed, which may be larger than what its proxy was trained on.
    resolution = Architecture.from_json(run.row(trial)["architecture"]).resolution
    images = _images(run.dataset(), resolution)
    with write_whole(path) as temporary:
        infer = write(network, resolution, temporary)
        parity = _compare(network, infer, images)
        if not parity.holds:
            raise ExportError(
                f"the {target} graph differs from the network by {parity.difference:.2e} "
                f"(scores up to {parity.largest:.1f}); nothing was written"
            )
    return path, parity


def _images(data: Dataset, resolution: int) -> Tensor:
    """Validation images, (N, 3, resolution, resolution), normalised."""
    images = Trainer(data, torch.device("cpu")).plain(data.validation, slice(0, _IMAGES))
    if data.resolution != resolution:
        images = functional.interpolate(images, size=(resolution, resolution), mode="bilinear")
    return images.contiguous()


def _compare(network: nn.Module, infer: Callable[..., object], images: Tensor) -> Parity:
    """Run validation images through both, as a batch and one by itself."""
    with torch.inference_mode():
        wanted = network(images)
    found = torch.as_tensor(infer(images.numpy()))
    single = torch.as_tensor(infer(images[:1].numpy()))
    difference = max(float((found - wanted).abs().max()), float((single - wanted[:1]).abs().max()))
    return Parity(difference, float(wanted.abs().max()), len(images))
