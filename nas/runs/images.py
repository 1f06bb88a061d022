"""The images of a run: decoded on this machine, and checked to be those it was started with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import SpecError, StorageError
from nas.base.machine import cache_root
from nas.base.size import Resolution, Size
from nas.data import Dataset, cached_data, data_names, open_data, same_images
from nas.runs.run_file import RunFile
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace

__all__ = ["RunImages", "decode_images", "image_names", "train_resolution"]


def train_resolution(space: SearchSpace, file: Runner) -> Resolution:
    """Return the size of the images that proxies train on.

    Raises SpecError when the space has several and the runner names none.
    """
    if file.proxy.resolution is not None:
        return file.proxy.resolution
    if len(space.resolutions) > 1:
        smallest = min(space.resolutions, key=lambda size: Size.of(size).pixels)
        raise SpecError(
            f"space {space.name!r} has resolutions {space.resolutions}: say at which all are "
            f"trained, as in --set proxy.resolution={smallest}"
        )
    return space.resolutions[0]


def decode_images(
    space: SearchSpace,
    file: RunFile,
    resolution: Resolution | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Return the folder of a run's decoded images, which is named by their digest.

    They are decoded now where this machine does not have them.
    resolution: their size; None: that of the proxies.
    progress: called with (images decoded, all images).
    note: hears in sentences what is left out, and the like.
    Raises SpecError for images that cannot be read, StorageError without space.
    """
    return cached_data(
        file.data,
        resolution or train_resolution(space, file),
        validation=file.validation,
        seed=file.search.seed,
        reading=file.reading,
        progress=progress,
        note=note,
    )


def image_names(space: SearchSpace, file: RunFile) -> Collection[str]:
    """Return what the folder of a run's decoded images is called, now and by the rules of before.

    Raises SpecError for images that cannot be read.
    """
    return _names(file, train_resolution(space, file))


def _names(file: RunFile, resolution: Resolution) -> Collection[str]:
    names = data_names(
        file.data,
        resolution,
        validation=file.validation,
        seed=file.search.seed,
        reading=file.reading,
    )
    return names.values()


@dataclass(frozen=True, slots=True)
class RunImages:
    """The images that a run was started with.

    path, space, file: of the run.
    key: of the images in its environment.json.
    """

    path: Path
    space: SearchSpace
    file: RunFile
    key: str

    def find(
        self,
        way_out: str = "put them back",
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Return the folder of the decoded images.

        way_out: what is to be done when they have changed.
        progress: see `decode_images`.
        Raises SpecError when they are gone or have changed.
        """
        try:
            folder = decode_images(self.space, self.file, progress=progress)
        except SpecError as error:
            place = Path(self.file.data.partition(":")[2])
            if place.is_absolute() and not place.is_dir():
                raise SpecError(
                    f"{error}; where it lies elsewhere now, say so behind data: in "
                    f"{self.path / 'run.yaml'}"
                ) from None
            raise
        if not self.are_in(folder):
            raise SpecError(
                f"the images of {self.file.data} have changed since {self.path} was started; "
                f"{way_out}"
            )
        return folder

    def are_in(self, folder: Path) -> bool:
        """Return whether a folder of decoded images holds these.

        By the rules of before, images that were only copied or touched have another name, too: they
        are told by what is still kept under the old one.
        """
        before = self.file.image_rules == 1
        return folder.name == self.key or (before and same_images(folder, folder.parent / self.key))

    def open(self, resolution: Resolution | None = None) -> Dataset:
        """Open the images that the run was trained and judged on; decoded again where need be.

        resolution: of the same images for a full training; None: that of the proxies.
        Raises SpecError when they are gone or have changed.
        """
        folder = self.find()
        if resolution is not None:
            folder = decode_images(self.space, self.file, resolution)
        return open_data(folder)

    def open_decoded(self, resolution: Resolution | None = None) -> Dataset:
        """Open images as `open` does, but those alone that this machine has decoded already.

        So it takes a moment, and calls no function of a user's that makes images.
        Raises SpecError where they are not there.
        """
        names = [self.key]
        if resolution is not None and resolution != train_resolution(self.space, self.file):
            names = list(_names(self.file, resolution))
        for name in names:
            if Path(name).name == name:  # a run folder may come from anybody
                with suppress(StorageError):
                    return open_data(cache_root() / "data" / name)
        raise SpecError("its images are not decoded on this machine")
