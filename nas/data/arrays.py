"""Images in one file of NumPy arrays: `arrays:FILE.npz`.

    images              uint8 (N, H, W) or (N, H, W, 3)
    labels              (N,) whole numbers from 0, or texts
    classes             the name of each label, where labels are numbers; may be left out
    validation_images, validation_labels, test_images, test_labels: the same, where there are some

Images of several sizes stand one behind the other in `images`, (pixels, 3), with the height and
width of each in `sizes`, (N, 2). A search that is given images in memory keeps them so.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.base.files import write_whole
from nas.data.images import Images, ImageSource, Parts, error_reason
from nas.data.listing import local_path, readable
from nas.data.pairs import Pair, read_pair, source_of_pairs

__all__ = ["ARRAYS_ARGUMENT", "Part", "arrays", "arrays_test", "write_arrays"]

ARRAYS_ARGUMENT = "FILE.npz"

Part = Literal["train", "validation", "test"]

_PREFIX: Mapping[Part, str] = {"train": "", "validation": "validation_", "test": "test_"}
_NEEDED = "needed: images (uint8) and labels, one for each, as numpy.savez writes them"

Whole = NDArray[np.int64]


def arrays(argument: str) -> ImageSource[Parts]:
    """Return the images of a file that a search may see. Raises SpecError for a file of others."""
    with _File(argument) as file:
        pairs = [file.pair("train")]
        pairs += [file.pair("validation")] if file.has("validation") else []
        source = source_of_pairs(pairs, file.called, file.classes)
    return _by_content(source)


def arrays_test(argument: str) -> ImageSource[Images]:
    """Return the test images of a file. Raises SpecError when there are none."""
    with _File(argument) as file:
        if not file.has("test"):
            raise NoTestPart(
                f"{file.called} brings no test part; needed: test_images and test_labels in it"
            )
        classes, _, _ = read_pair(file.pair("train"), file.classes, f"{file.called} (training)")
        _, images, content = read_pair(file.pair("test"), classes, f"{file.called} (test)")
    return _by_content(ImageSource(content, lambda: images))


def _by_content(source: ImageSource[Any]) -> ImageSource[Any]:
    """Return a source that stays what it is where its file is moved."""
    return ImageSource(source.content, source.open, lambda: source.content)


def write_arrays(
    path: Path, parts: Mapping[Part, Pair], classes: tuple[str, ...] | None = None
) -> None:
    """Write images whole, as `arrays` reads them.

    parts: images as one array, or as a list of arrays (H, W, 3) of several sizes; and labels.
    Raises StorageError where that fails.
    """
    kept: dict[str, NDArray[Any]] = {} if classes is None else {"classes": np.array(classes)}
    for part, (images, labels) in parts.items():
        prefix = _PREFIX[part]
        if isinstance(images, list):
            kept[f"{prefix}sizes"] = np.array([image.shape[:2] for image in images])
            images = np.concatenate([image.reshape(-1, 3) for image in images])
        kept |= {f"{prefix}images": images, f"{prefix}labels": np.asarray(labels)}
    with write_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **kept)


class _File:
    """An open file; its arrays are read when they are asked for. Nothing in it is unpickled."""

    def __init__(self, argument: str) -> None:
        path = local_path(argument)
        self.called = f"data 'arrays:{readable(path)}'"
        with ExitStack() as opened:
            try:
                arrays = np.load(opened.enter_context(path.open("rb")), allow_pickle=False)
            except OSError as error:
                raise SpecError(f"{self.called} cannot be read ({error_reason(error)})") from None
            except (ValueError, EOFError, zipfile.BadZipFile):
                # NumPy's own words are of pickles, and of loading them without care.
                raise SpecError(f"{self.called}: broken, or no file of arrays; {_NEEDED}") from None
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise SpecError(f"{self.called}: it holds one array alone; {_NEEDED}")
            self._arrays = opened.enter_context(arrays)
            self._opened = opened.pop_all()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *failure: object) -> None:
        self._opened.close()

    def has(self, part: Part) -> bool:
        """Return whether there are images of a part."""
        return f"{_PREFIX[part]}images" in self._arrays

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the labels, where the file has some."""
        if "classes" not in self._arrays:
            return None
        names = [str(name) for name in self._read("classes").ravel()]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise SpecError(f"{self.called}: class {twice[0]!r} is there twice; each name once")
        return tuple(names)

    def pair(self, part: Part) -> Pair:
        """Return images and labels of a part, these by their names where there are some."""
        prefix = _PREFIX[part]
        pixels, labels = self._read(f"{prefix}images"), self._named(self._read(f"{prefix}labels"))
        if f"{prefix}sizes" not in self._arrays:
            return pixels, labels
        return self._cut(pixels, self._read(f"{prefix}sizes")), labels

    def _read(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = self._arrays[name]
        except KeyError:
            raise SpecError(f"{self.called}: it has no {name}; {_NEEDED}") from None
        except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
            raise SpecError(f"{self.called}: {name}: {error_reason(error)}; {_NEEDED}") from None
        return array

    def _named(self, labels: NDArray[Any]) -> NDArray[Any]:
        classes = self.classes
        if classes is None or labels.dtype.kind not in "iu":
            return labels
        wrong = labels[(labels < 0) | (labels >= len(classes))]
        if wrong.size:
            raise SpecError(
                f"{self.called}: label {wrong[0]}, and {len(classes)} classes; allowed: 0 to "
                f"{len(classes) - 1}"
            )
        named: NDArray[Any] = np.array(classes)[labels]
        return named

    def _cut(self, pixels: NDArray[Any], sizes: NDArray[Any]) -> list[Image.Image]:
        """Return the images of pixels that stand one behind the other."""
        whole = sizes.ndim == 2 and sizes.shape[1] == 2 and sizes.dtype.kind in "iu"
        fits = whole and bool((sizes > 0).all()) and pixels.ndim == 2 and pixels.shape[1] == 3
        if not fits or pixels.dtype != np.uint8 or sizes.prod(axis=1).sum() != len(pixels):
            raise SpecError(
                f"{self.called}: sizes {sizes.shape} do not fit images {pixels.dtype} "
                f"{pixels.shape}; needed: height and width of each, and uint8 (pixels, 3)"
            )
        ends = np.cumsum(sizes.prod(axis=1))
        return [
            Image.fromarray(pixels[end - height * width : end].reshape(height, width, 3))
            for end, (height, width) in zip(ends.tolist(), sizes.tolist(), strict=True)
        ]
