"""Folders of images: train/<class>/*, and ImageNet as it is unpacked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data.images import Images, ImageSource, Parts

__all__ = ["folder", "folder_test", "imagenet", "imagenet_test"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}

_File = tuple[str, str]
"""The class and the path of an image."""


def folder(argument: str) -> ImageSource[Parts]:
    """Return train/<class>/*, and val/<class>/* when there is one.

    Raises SpecError when the folder is not as it must be.
    """
    root = _root(argument)
    classes = _classes(root)
    train = _files(root / "train", classes)
    validation_files = _files(root / "val", classes) if (root / "val").is_dir() else []

    def read() -> Parts:
        validation = _images(classes, validation_files) if validation_files else None
        return Parts(classes, _images(classes, train), validation)

    return ImageSource(_content([train, validation_files]), read)


def folder_test(argument: str) -> ImageSource[Images]:
    """Return test/<class>/*, its classes numbered as those of train/.

    Raises SpecError when there is none.
    """
    return _test_part(argument, "test")


def imagenet(argument: str) -> ImageSource[Parts]:
    """Return train/<class>/* alone; what ImageNet calls val is what papers report, its test part.

    Raises SpecError when the folder is not as it must be.
    """
    root = _root(argument)
    _check_unpacked(root, "train")
    classes = _classes(root)
    files = _files(root / "train", classes)
    return ImageSource(_content([files]), lambda: Parts(classes, _images(classes, files)))


def imagenet_test(argument: str) -> ImageSource[Images]:
    """Return val/<class>/*. Raises SpecError when there is none."""
    _check_unpacked(_root(argument), "val")
    return _test_part(argument, "val")


def _test_part(argument: str, name: str) -> ImageSource[Images]:
    root = _root(argument)
    classes = _classes(root)
    if not (root / name).is_dir():
        raise NoTestPart(
            f"data folder {root}: it has no test part; needed: {root}/{name}/<class>/<images>"
        )
    files = _files(root / name, classes)
    return ImageSource(_content([files]), lambda: _images(classes, files))


def _root(argument: str) -> Path:
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise SpecError(
            f"data folder {root}: no such folder; needed: {root}/train/<class>/<images>"
        )
    return root


def _check_unpacked(root: Path, part: str) -> None:
    archive = root / f"ILSVRC2012_img_{part}.tar"
    if archive.exists() and not (root / part).is_dir():
        raise SpecError(
            f"data folder {root}: {archive.name} is not unpacked; once: python -c 'import "
            f'torchvision; torchvision.datasets.ImageNet("{root}", "{part}")\''
        )


def _classes(root: Path) -> tuple[str, ...]:
    train = root / "train"
    if not train.is_dir():
        raise SpecError(
            f"data folder {root}: it has no folder train/; needed: {root}/train/<class>/<images>"
        )
    classes = tuple(sorted(_class_folders(train)))
    if len(classes) < 2:
        raise SpecError(
            f"data folder {train}: {len(classes)} class folders; at least 2 are needed, "
            "one for each class"
        )
    return classes


def _class_folders(part: Path) -> set[str]:
    """Return the names of the class folders; hidden ones (.ipynb_checkpoints) are left out."""
    try:
        return {
            path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith(".")
        }
    except OSError as error:
        raise SpecError(f"data folder {part} cannot be read ({error.strerror})") from None


def _files(part: Path, classes: Sequence[str]) -> list[_File]:
    """List the images of a part, class by class. Raises SpecError for a class without any."""
    unknown = _class_folders(part) - set(classes)
    if unknown:
        raise SpecError(
            f"data folder {part}: class {min(unknown)!r} is not in {part.parent / 'train'}; both "
            "need the same classes"
        )
    files: list[_File] = []
    for name in classes:
        paths = sorted(_images_below(part / name))
        if not paths:
            raise SpecError(
                f"class folder {part / name} holds no image; read are: "
                f"{', '.join(sorted(_SUFFIXES))}"
            )
        files += [(name, path) for path in paths]
    return files


def _images_below(top: Path) -> Iterator[str]:
    """Yield images in a class folder and the folders in it.

    Hidden ones are left out, such as a Mac's ._image.jpg.
    """
    for place, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in _SUFFIXES:
                yield os.path.join(place, name)


def _content(parts: Sequence[Sequence[_File]]) -> str:
    """Return a digest that changes when any image is added, removed, moved or written again."""
    digest = hashlib.sha256()
    for files in parts:
        for _, path in files:
            try:
                stat = os.stat(path)
            except OSError as error:  # a link that leads nowhere
                raise SpecError(
                    f"image {path} cannot be read ({error.strerror}); mend or remove it"
                ) from None
            digest.update(os.fsencode(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
        digest.update(b"\n")
    return digest.hexdigest()


def _images(classes: Sequence[str], files: Sequence[_File]) -> Images:
    number = {name: label for label, name in enumerate(classes)}
    return Images(
        np.asarray([number[name] for name, _ in files], dtype=np.int64),
        lambda row: Image.open(files[row][1]),
        lambda row: f"image {files[row][1]}",
    )
