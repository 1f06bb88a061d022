"""The images of a run: decoded on this machine, and checked to be those it was started with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.base.errors import SpecError
from nas.data import Channels, Dataset, cached_data, open_data
from nas.runs.run import Run, RunFile
from nas.spec.runner import Normalisation, Runner
from nas.spec.space import SearchSpace

__all__ = ["channels_of", "check_images", "decode_images", "open_images", "train_resolution"]


def train_resolution(space: SearchSpace, file: Runner) -> int:
    """Return the side of the images that proxies train on.

    Raises SpecError when the space has several and the runner names none.
    """
    if file.proxy.resolution is not None:
        return file.proxy.resolution
    if len(space.resolutions) > 1:
        raise SpecError(
            f"space {space.name!r} has resolutions {space.resolutions}: say at which all are "
            f"trained, as in --set proxy.resolution={min(space.resolutions)}"
        )
    return space.resolutions[0]


def decode_images(
    space: SearchSpace,
    file: RunFile,
    resolution: int | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the folder of a run's decoded images, which is named by their digest.

    They are decoded now where this machine does not have them.
    resolution: their side; None: that of the proxies.
    progress: called with (images decoded, all images).
    Raises SpecError for images that cannot be read, StorageError without space.
    """
    return cached_data(
        file.data,
        resolution or train_resolution(space, file),
        validation=file.validation,
        seed=file.search.seed,
        normalisation=channels_of(file.normalisation),
        progress=progress,
    )


def channels_of(given: Normalisation | None) -> tuple[Channels, Channels] | None:
    """Return mean and deviation of pixels from 0 to 255, where a runner gives them."""
    if given is None:
        return None
    mean, std = ([255 * value for value in values] for values in (given.mean, given.std))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def check_images(run: Run, folder: Path, key: str, way_out: str = "put them back") -> None:
    """Raise SpecError when decoded images are not those that a run was started with.

    key: of the images in the run's environment.json.
    way_out: what is to be done then.
    """
    if folder.name != key:
        raise SpecError(
            f"the images of {run.file.data} have changed since {run.path} was started; {way_out}"
        )


def open_images(run: Run, key: str, resolution: int | None = None) -> Dataset:
    """Open the images that a run was trained and judged on; decoded again where need be.

    key: of the images in the run's environment.json.
    resolution: of the same images for a full training; None: that of the proxies.
    Raises SpecError when they are gone or have changed.
    """
    folder = decode_images(run.space, run.file)
    check_images(run, folder, key)
    if resolution is not None:
        folder = decode_images(run.space, run.file, resolution)
    return open_data(folder)
