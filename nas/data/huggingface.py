"""Image data sets of the Hugging Face Hub, as hf:NAME[:CONFIG][,image=COLUMN][,label=COLUMN]."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.base.optional_package import import_optional
from nas.data.images import Images, ImageSource, Parts, number_classes

__all__ = ["huggingface", "huggingface_test"]

_VALIDATION = ("validation", "val", "valid", "dev")
_OPTIONS = "image=COLUMN, label=COLUMN, mirror=no"
_LONGEST = 300  # characters of an error of the Hub's


@dataclass(frozen=True)
class _Query:
    """The text behind `hf:`; its commas are left alone by shells."""

    text: str
    name: str
    config: str | None
    image: str | None = None
    label: str | None = None
    mirror: bool = True

    @classmethod
    def parse(cls, argument: str) -> _Query:
        """Read the text behind `hf:`. Raises SpecError."""
        place, *options = argument.split(",")
        name, _, config = (place, "", "") if Path(place).is_dir() else place.partition(":")
        values = dict(option.split("=", 1) for option in options if option.count("=") == 1)
        allowed = set(values) <= {"image", "label", "mirror"} and values.get("mirror", "no") == "no"
        whole = len(values) == len(options) and all(values.values())
        if not name or not allowed or not whole:
            raise SpecError(
                f"data 'hf:{argument}'; allowed: hf:NAME or hf:NAME:CONFIG, then any of "
                f"{_OPTIONS}, each behind a comma"
            )
        return cls(
            f"hf:{argument}",
            name,
            config or None,
            values.get("image"),
            values.get("label"),
            "mirror" not in values,
        )


def huggingface(argument: str) -> ImageSource[Parts]:
    """Return the part `train`, and `validation` when there is one.

    Raises SpecError when the data cannot be had.
    """
    query = _Query.parse(argument)
    builder = _builder(query)
    train = _part(builder, ("train",))
    if train is None:
        raise SpecError(f"data {query.text!r} has no part train; its parts: {_parts(builder)}")
    held = _part(builder, _VALIDATION)

    def read() -> Parts:
        classes, images = _images(train, None, query, "training")
        validation = None if held is None else _images(held, classes, query, "validation")[1]
        return Parts(classes, images, validation, query.mirror)

    return ImageSource(
        " ".join(part._fingerprint for part in (train, held) if part is not None), read
    )


def huggingface_test(argument: str) -> ImageSource[Images]:
    """Return the part `test`, its classes numbered as those of `train`.

    Raises SpecError when there is none.
    """
    query = _Query.parse(argument)
    builder = _builder(query)
    train, test = _part(builder, ("train",)), _part(builder, ("test",))
    if train is None or test is None:
        raise NoTestPart(f"data {query.text!r} has no test part; its parts: {_parts(builder)}")

    def read() -> Images:
        classes = _images(train, None, query, "training")[0]
        return _images(test, classes, query, "test")[1]

    return ImageSource(f"{train._fingerprint} {test._fingerprint}", read)


def _datasets() -> Any:
    return import_optional(
        "datasets",
        "load_dataset_builder",
        "huggingface",
        "hf: data are read by the package datasets",
    )


def _builder(query: _Query) -> Any:
    """Download the data set. Since datasets 4 none can bring code to run."""
    datasets = _datasets()
    try:
        builder = datasets.load_dataset_builder(query.name, query.config)
        builder.download_and_prepare()
    except Exception as error:  # of requests, the Hub, the disk, or a wrong name
        reason = " ".join(str(error).split()) or type(error).__name__
        if "scripts are no longer supported" in reason:
            raise SpecError(
                f"data {query.text!r}: read by a script of its own ({reason.rpartition(' ')[2]}), "
                "which would have to be run, and which datasets refuses since version 4; where an "
                "earlier one reads it, load_dataset(...).save_to_disk(FOLDER) keeps it; then name "
                "hf:FOLDER"
            ) from None
        raise SpecError(f"data {query.text!r} cannot be had: {reason[:_LONGEST]}") from None
    return builder


def _parts(builder: Any) -> str:
    return ", ".join(builder.info.splits)


def _part(builder: Any, names: tuple[str, ...]) -> Any:
    """Open the first part of one of these names, and no other; None when there is none."""
    split = next((name for name in names if name in builder.info.splits), None)
    return None if split is None else builder.as_dataset(split=split)


def _images(
    part: Any, classes: tuple[str, ...] | None, query: _Query, called: str
) -> tuple[tuple[str, ...], Images]:
    """Return classes and images.

    classes: those of the training part; None when this is it.
    """
    datasets = _datasets()
    name = f"data {query.text!r} ({called})"
    part = _with_images(part)
    image = _column(part.features, "image", query.image, datasets.Image, name)
    label = _column(part.features, "label", query.label, datasets.ClassLabel, name)
    classes, labels = _labels(part[label][:], part.features[label], classes, name)
    return classes, Images(
        labels,
        _reader(part.select_columns([image]), image),
        lambda row: f"image {row} of {name}",
    )


def _with_images(part: Any) -> Any:
    """Let columns of encoded images, which files without datasets' own notes hold, be images."""
    for name, feature in part.features.items():
        if isinstance(feature, dict) and feature.keys() == {"bytes", "path"}:
            part = part.cast_column(name, _datasets().Image())
    return part


def _reader(part: Any, column: str) -> Callable[[int], Image.Image]:
    def read(row: int) -> Image.Image:
        image: Image.Image | None = part[row][column]
        if image is None:
            raise ValueError("it is missing")
        return image

    return read


def _column(features: Any, option: str, wanted: str | None, kind: type, where: str) -> str:
    """Return the one column of this kind, or the wanted one.

    A wanted label may be any text or number, which `number_classes` then judges.
    """
    matches: list[str] = [name for name, feature in features.items() if isinstance(feature, kind)]
    if wanted is None and len(matches) == 1:
        return matches[0]
    if wanted is not None and (wanted in matches or (option == "label" and wanted in features)):
        return wanted
    columns = ", ".join(
        f"{name} ({getattr(feature, 'dtype', type(feature).__name__)})"
        for name, feature in features.items()
    )
    if wanted is not None:
        raise SpecError(f"{where}: {wanted!r} is no {option} column; its columns: {columns}")
    raise SpecError(
        f"{where}: {len(matches) or 'no'} {option} columns ({', '.join(matches) or columns}); "
        f"choose with ,{option}=COLUMN"
    )


def _labels(
    labels: list[Any], feature: Any, classes: tuple[str, ...] | None, name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    missing = sum(label is None or label == -1 for label in labels)
    if missing or not labels:
        raise SpecError(f"{name}: {missing} of {len(labels)} images have no label; all need one")
    if isinstance(feature, _datasets().ClassLabel):
        return tuple(feature.names), np.asarray(labels, dtype=np.int64)
    return number_classes(labels, classes, name)
