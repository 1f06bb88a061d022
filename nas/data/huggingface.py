"""Image data sets of the Hugging Face Hub, as hf:NAME[:CONFIG][,image=COLUMN][,label=COLUMN]."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data.images import Images, ImageSource, Parts, number_classes

__all__ = ["huggingface", "huggingface_test"]

_VALIDATION = ("validation", "val", "valid", "dev")
_OPTIONS = "image=COLUMN, label=COLUMN, mirror=no"
_LONGEST = 300  # characters of an error of the Hub's


@dataclass(frozen=True)
class _Query:
    """What stands behind `hf:`. Commas, since shells leave them alone."""

    text: str
    name: str
    config: str | None
    image: str | None = None
    label: str | None = None
    mirror: bool = True

    @classmethod
    def parse(cls, argument: str) -> _Query:
        place, *options = argument.split(",")
        name, _, config = place.partition(":")
        given = dict(option.split("=", 1) for option in options if option.count("=") == 1)
        known = set(given) <= {"image", "label", "mirror"} and all(given.values())
        if not name or not known or len(given) < len(options) or given.get("mirror", "no") != "no":
            raise SpecError(
                f"data 'hf:{argument}'; allowed: hf:NAME or hf:NAME:CONFIG, then any of "
                f"{_OPTIONS}, each behind a comma"
            )
        return cls(
            f"hf:{argument}",
            name,
            config or None,
            given.get("image"),
            given.get("label"),
            "mirror" not in given,
        )


def huggingface(argument: str) -> ImageSource[Parts]:
    """The part `train`, and `validation` when there is one. Raises SpecError."""
    asked = _Query.parse(argument)
    builder = _builder(asked)
    train = _part(builder, ("train",))
    if train is None:
        raise SpecError(f"data {asked.text!r} has no part train; its parts: {_parts(builder)}")
    held = _part(builder, _VALIDATION)

    def read() -> Parts:
        classes, images = _images(train, None, asked, "training")
        validation = None if held is None else _images(held, classes, asked, "validation")[1]
        return Parts(classes, images, validation, asked.mirror)

    return ImageSource(
        " ".join(part._fingerprint for part in (train, held) if part is not None), read
    )


def huggingface_test(argument: str) -> ImageSource[Images]:
    """The part `test`, its classes numbered as those of `train`. Raises SpecError."""
    asked = _Query.parse(argument)
    builder = _builder(asked)
    train, test = _part(builder, ("train",)), _part(builder, ("test",))
    if train is None or test is None:
        raise NoTestPart(f"data {asked.text!r} has no test part; its parts: {_parts(builder)}")

    def read() -> Images:
        classes = _images(train, None, asked, "training")[0]
        return _images(test, classes, asked, "test")[1]

    return ImageSource(f"{train._fingerprint} {test._fingerprint}", read)


def _datasets() -> Any:
    try:
        import datasets

        datasets.load_dataset_builder  # noqa: B018  # a folder of this name imports as well
    except (ImportError, AttributeError):
        raise SpecError(
            "hf: data are read by the package datasets, which is not here; "
            'pip install "attention-nas[huggingface]"'
        ) from None
    return datasets


def _builder(asked: _Query) -> Any:
    """The data set, downloaded. Since datasets 4 none can bring code to run."""
    datasets = _datasets()
    try:
        builder = datasets.load_dataset_builder(asked.name, asked.config)
        builder.download_and_prepare()
    except Exception as error:  # of requests, the Hub, the disk, or a wrong name
        said = " ".join(str(error).split()) or type(error).__name__
        raise SpecError(f"data {asked.text!r} cannot be had: {said[:_LONGEST]}") from None
    return builder


def _parts(builder: Any) -> str:
    return ", ".join(builder.info.splits)


def _part(builder: Any, names: tuple[str, ...]) -> Any:
    """The first part of one of these names, or None. No other is opened."""
    found = next((name for name in names if name in builder.info.splits), None)
    return None if found is None else builder.as_dataset(split=found)


def _images(
    part: Any, classes: tuple[str, ...] | None, asked: _Query, called: str
) -> tuple[tuple[str, ...], Images]:
    """Classes and images. classes: those of the training part, None when this is it."""
    datasets = _datasets()
    name = f"data {asked.text!r} ({called})"
    image = _column(part.features, "image", asked.image, datasets.Image, name)
    label = _column(part.features, "label", asked.label, datasets.ClassLabel, name)
    classes, labels = _labels(part[label][:], part.features[label], classes, name)
    return classes, Images(
        labels,
        _reader(part.select_columns([image]), image),
        lambda row: f"image {row} of {name}",
    )


def _reader(part: Any, column: str) -> Callable[[int], Image.Image]:
    def read(row: int) -> Image.Image:
        found = part[row][column]
        if found is None:
            raise ValueError("it is missing")
        image: Image.Image = found
        return image

    return read


def _column(features: Any, option: str, wanted: str | None, kind: type, where: str) -> str:
    """The one column of this kind, or the wanted one. A wanted label may be any text or number,
    which `number_classes` then judges.
    """
    found: list[str] = [name for name, feature in features.items() if isinstance(feature, kind)]
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted is not None and (wanted in found or (option == "label" and wanted in features)):
        return wanted
    columns = ", ".join(
        f"{name} ({getattr(feature, 'dtype', type(feature).__name__)})"
        for name, feature in features.items()
    )
    if wanted is not None:
        raise SpecError(f"{where}: {wanted!r} is no {option} column; its columns: {columns}")
    raise SpecError(
        f"{where}: {len(found) or 'no'} {option} columns ({', '.join(found) or columns}); choose "
        f"with ,{option}=COLUMN"
    )


def _labels(
    found: list[Any], feature: Any, classes: tuple[str, ...] | None, name: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    missing = sum(label is None or label == -1 for label in found)
    if missing or not found:
        raise SpecError(f"{name}: {missing} of {len(found)} images have no label; all need one")
    if isinstance(feature, _datasets().ClassLabel):
        return tuple(feature.names), np.asarray(found, dtype=np.int64)
    return number_classes(found, classes, name)
