"""Images that a search is given in memory: they are kept in its folder, where all processes look.

So workers train on them, and the run is resumed, retrained and exported as any other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nas.data.arrays import write_arrays
from nas.data.given_images import class_names, in_parts
from nas.runs.run_file import RunFile

__all__ = ["IMAGES", "GivenImages", "given_images"]

IMAGES = "images.npz"
"""The file of images that were given in memory, in a run folder."""


@dataclass(frozen=True, slots=True)
class GivenImages:
    """The data that a search is given.

    source: the name of them, as long as the context is open.
    file: of those in memory; None: they have a name of their own.
    """

    source: str
    file: Path | None = None

    def keep(self, file: RunFile, out: Path) -> RunFile:
        """Return the file of a run that finds the images in its folder, where `put` puts them."""
        if self.file is None:
            return file
        return file.model_copy(update={"data": _source(out.resolve() / IMAGES)})

    def put(self, folder: Path) -> None:
        """Put the images into a run folder."""
        if self.file is not None:
            shutil.move(self.file, folder / IMAGES)


@contextmanager
def given_images(data: object) -> Iterator[GivenImages]:
    """Yield what is searched on.

    data: a name; or images in memory, see `nas.data.given_images`.
    Raises SpecError for what is neither.
    """
    if isinstance(data, str):
        yield GivenImages(data)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / IMAGES
        write_arrays(file, in_parts(data), class_names(data))
        yield GivenImages(_source(file), file)


def _source(file: Path) -> str:
    return f"arrays:{file}"
