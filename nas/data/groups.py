"""Groups of images that are not cut apart: frames of a video, pictures of a person.

`groups.csv` beside the images names an image and its group in each line, behind a comma;
`groups.txt` behind a space.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.base.errors import SpecError
from nas.data.images import Images
from nas.data.listing import readable

__all__ = ["Groups"]

_FILES = ("groups.csv", "groups.txt")


class Groups:
    """The groups that a file beside images names."""

    def __init__(self, path: Path, of: Mapping[str, str]) -> None:
        self._path, self._of = path, of

    @classmethod
    def beside(cls, root: Path) -> Groups | None:
        """Return the groups of a folder's images; None where no file names any.

        Raises SpecError for a file that cannot be read.
        """
        path = next((root / name for name in _FILES if (root / name).is_file()), None)
        return None if path is None else cls(path, dict(_pairs(path)))

    def numbered(self, images: Images) -> Images:
        """Return images of files with their groups. Raises SpecError for one without."""
        root = readable(self._path.parent)
        names: list[str] = []
        for row in range(len(images)):
            path = images.called(row).removeprefix("image ")
            called = _ways_to_call(path.removeprefix(f"{root}/"))
            group = next((self._of[name] for name in called if name in self._of), None)
            if group is None:
                between = "," if self._path.suffix == ".csv" else " "
                raise SpecError(
                    f"image {path} has no group in {readable(self._path)}; needed: a line "
                    f"{called[0]}{between}GROUP"
                )
            names.append(group)
        return replace(images, groups=np.unique(names, return_inverse=True)[1].astype(np.int64))

    def digest(self, images: Callable[[], str]) -> Callable[[], str]:
        """Return a digest of images that changes with their groups, too."""
        own = repr(sorted(self._of.items()))
        return lambda: hashlib.sha256(f"{images()}\n{own}".encode()).hexdigest()


def _ways_to_call(name: str) -> Sequence[str]:
    """Return an image's path from the folder on, that without its first folders, and its stem."""
    parts = name.split("/")
    paths = ["/".join(parts[start:]) for start in range(len(parts))]
    return [*paths, parts[-1].rpartition(".")[0] or parts[-1]]


def _pairs(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise SpecError(f"{readable(path)} cannot be read ({reason}); mend or remove it") from None
    lines = [line for line in text.splitlines() if line.strip()]
    rows = csv.reader(lines) if path.suffix == ".csv" else (line.rsplit(None, 1) for line in lines)
    pairs: list[tuple[str, str]] = []
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise SpecError(
                f"{readable(path)}, line {number}: {len(row)} values; needed: an image and its "
                "group"
            )
        pairs.append((row[0].strip().replace("\\", "/"), row[1].strip()))
    return pairs
