"""The kinds of data that may be named, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from nas.base.errors import NoTestPart, SpecError
from nas.base.own_name import OwnName
from nas.base.user_code import is_function
from nas.data.arrays import ARRAYS_ARGUMENT, arrays, arrays_test
from nas.data.box_folder import (
    BOXES_NEEDED,
    box_folder,
    box_folder_test,
    box_validation,
    has_boxes,
)
from nas.data.cluttered_digits import cluttered_digits, cluttered_digits_test
from nas.data.coco import COCO_ARGUMENT, coco, coco_test, has_areas
from nas.data.coco_boxes import coco_boxes, coco_boxes_test
from nas.data.digit_boxes import digit_boxes, digit_boxes_test
from nas.data.digit_identities import digit_identities, digit_identities_test
from nas.data.digit_scenes import digit_scenes, digit_scenes_test
from nas.data.folder import folder, folder_test, imagenet, imagenet_test, validation_folder
from nas.data.huggingface import huggingface, huggingface_test
from nas.data.identity_folder import (
    identity_folder,
    identity_folder_test,
    identity_validation,
    is_asked,
    market1501,
    market1501_test,
)
from nas.data.images import Images, ImageSource, Numbered, Parts
from nas.data.listing import local_path, portable_path
from nas.data.mask_folder import (
    MASKS_NEEDED,
    has_classes,
    has_masks,
    mask_folder,
    mask_folder_test,
    mask_validation,
)
from nas.data.own_function import own_function
from nas.data.published import PUBLISHED, digits, digits_test
from nas.data.reading import Annotated, Reading, Rules
from nas.data.voc import voc, voc_test
from nas.data.voc_boxes import has_voc_boxes, voc_boxes, voc_boxes_test
from nas.data.yolo import YOLO_ARGUMENT, yolo, yolo_test

__all__ = [
    "DATA",
    "Kind",
    "check_source",
    "guess_annotated",
    "resolve_source",
    "resolve_validation",
    "source_to_search",
    "source_to_test",
    "source_to_validate",
]

_PATH = "PATH"

_READING = Reading()

_TASKS: Mapping[Annotated, str] = {
    "labels": "classification",
    "masks": "segmentation",
    "identities": "retrieval",
    "boxes": "detection",
}
"""The task that each kind of annotations is for, as it is written behind --task."""


@dataclass(frozen=True)
class Annotation:
    """How a kind of data is read with one kind of annotation.

    search: argument behind the colon, and how it is read -> what a search may see.
    test: the same -> the test part; None when it brings none.
    """

    search: Callable[[str, Reading], ImageSource[Parts]]
    test: Callable[[str, Reading], ImageSource[Images]] | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    search: argument behind the colon, and the rules of a folder -> what a search may see, with
        labels; None where it has none.
    test: the same -> the test part; None when it brings none.
    argument: what must be behind the colon; empty means no colon.
    others: how it is read where it has something else than labels.
    """

    search: Callable[..., ImageSource[Parts]] | None
    test: Callable[..., ImageSource[Images]] | None = None
    argument: str = ""
    others: Mapping[Annotated, Annotation] = field(default_factory=dict)

    @property
    def annotations(self) -> tuple[Annotated, ...]:
        """The kinds of annotations that its images may have."""
        return (*(("labels",) if self.search else ()), *self.others)

    @property
    def has_test(self) -> bool:
        """True where it may bring a test part."""
        return self.test is not None or any(other.test for other in self.others.values())

    @property
    def paths(self) -> bool:
        """True where paths stand behind the colon."""
        return self.argument in {_PATH, ARRAYS_ARGUMENT, COCO_ARGUMENT, YOLO_ARGUMENT}

    def arguments(self, argument: str, rules: Rules) -> tuple[str] | tuple[str, Rules]:
        """Return what its functions for labels are called with."""
        return (argument, rules) if self.argument == _PATH else (argument,)


def _masks(
    search: Callable[[str, Reading], ImageSource[Parts]],
    test: Callable[[str, Reading], ImageSource[Images]],
) -> dict[Annotated, Annotation]:
    return {"masks": Annotation(search, test)}


def _identities(
    search: Callable[[str, Reading], ImageSource[Parts]],
    test: Callable[[str, Reading], ImageSource[Images]],
) -> dict[Annotated, Annotation]:
    return {"identities": Annotation(search, test)}


def _boxes(
    search: Callable[[str, Reading], ImageSource[Parts]],
    test: Callable[[str, Reading], ImageSource[Images]],
) -> dict[Annotated, Annotation]:
    return {"boxes": Annotation(search, test)}


DATA: dict[str, Kind] = {
    "digits": Kind(
        digits,
        digits_test,
        others=_masks(digit_scenes, digit_scenes_test)
        | _identities(digit_identities, digit_identities_test)
        | _boxes(digit_boxes, digit_boxes_test),
    ),
    "cifar10": Kind(PUBLISHED["cifar10"].search, PUBLISHED["cifar10"].test),
    "folder": Kind(
        folder,
        folder_test,
        _PATH,
        _masks(mask_folder, mask_folder_test)
        | _identities(identity_folder, identity_folder_test)
        | _boxes(box_folder, box_folder_test),
    ),
    "imagenet": Kind(imagenet, imagenet_test, _PATH),
    "cluttered-digits": Kind(cluttered_digits, cluttered_digits_test),
    "cifar100": Kind(PUBLISHED["cifar100"].search, PUBLISHED["cifar100"].test),
    "fashion-mnist": Kind(PUBLISHED["fashion-mnist"].search, PUBLISHED["fashion-mnist"].test),
    "svhn": Kind(PUBLISHED["svhn"].search, PUBLISHED["svhn"].test),
    "hf": Kind(huggingface, huggingface_test, "NAME"),
    "voc": Kind(
        None, argument=_PATH, others=_masks(voc, voc_test) | _boxes(voc_boxes, voc_boxes_test)
    ),
    "coco": Kind(
        None,
        argument=COCO_ARGUMENT,
        others=_masks(coco, coco_test) | _boxes(coco_boxes, coco_boxes_test),
    ),
    "yolo": Kind(None, argument=YOLO_ARGUMENT, others=_boxes(yolo, yolo_test)),
    "arrays": Kind(arrays, arrays_test, ARRAYS_ARGUMENT),
    "market1501": Kind(None, argument=_PATH, others=_identities(market1501, market1501_test)),
}


def resolve_source(source: str) -> str:
    """Make the path in a source, of a folder or a file of code, absolute.

    A run is resumed from anywhere.
    """
    name, _, argument = source.partition(":")
    own = OwnName.parse(source) if _is_own(source) else None
    if own is not None:
        return str(own.absolute())
    if name == "hf":
        return f"hf:{_absolute_folder(argument)}"
    if not argument or name not in DATA or not DATA[name].paths:
        return source
    places = argument.split(",") if DATA[name].argument == COCO_ARGUMENT else [argument]
    return f"{name}:{','.join(_absolute(place) if place else place for place in places)}"


def _absolute_folder(argument: str) -> str:
    """Make the folder in what names a data set of the Hub, or one kept here, absolute."""
    place, comma, options = argument.partition(",")
    whole, (name, colon, config) = place, place.partition(":")
    if whole and local_path(whole).is_dir():
        place = _absolute(whole)
    elif name and local_path(name).is_dir():
        place = f"{_absolute(name)}{colon}{config}"
    return place + comma + options


def resolve_validation(validation: float | str) -> float | str:
    """Make the path of a folder absolute; a share stays as it is."""
    return _absolute(validation) if isinstance(validation, str) else validation


def _absolute(path: str) -> str:
    return portable_path(local_path(path).resolve())


def check_source(source: str) -> None:
    """Check that a text names data, wherever the images may be. Raises SpecError."""
    if not _is_own(source):
        _kind(source)


def guess_annotated(source: str) -> Annotated | None:
    """Return what the images of a source clearly are annotated with.

    None: labels, though they may be taken for something else, as class folders for identities.
    Raises SpecError when it names no data; what cannot be read is not judged.
    """
    if _is_own(source):
        return "labels"
    kind, argument = _kind(source)
    if len(kind.annotations) == 1:
        return kind.annotations[0]
    if kind.argument == COCO_ARGUMENT:
        return "masks" if has_areas(argument) else "boxes"
    if kind.argument != _PATH:
        return None
    root = local_path(argument)
    if kind.search is None:
        return "boxes" if has_voc_boxes(root) else "masks"
    if has_boxes(root) and not has_masks(root):
        return "boxes"
    if has_masks(root) and not has_classes(root):
        return "masks"
    return "identities" if is_asked(root) or is_asked(root / "test") else None


def source_to_search(source: str, reading: Reading = _READING) -> ImageSource[Parts]:
    """Return what a search may see of a source, not read yet.

    Raises SpecError when there is no such source, or it has no such annotations.
    """
    _check_annotated(source, reading.annotated)
    if _is_own(source):
        return own_function(source)
    kind, argument = _kind(source)
    if reading.annotated != "labels":
        return kind.others[reading.annotated].search(argument, reading)
    assert kind.search is not None
    return kind.search(*kind.arguments(argument, reading.rules))


def source_to_test(source: str, reading: Reading = _READING) -> ImageSource[Images]:
    """Return the test part of a source, not read yet.

    Raises SpecError when it brings none, or has no such annotations.
    """
    _check_annotated(source, reading.annotated)
    if reading.test is not None:
        return _named_test(reading.test, source, reading)
    kind, argument = (None, "") if _is_own(source) else _kind(source)
    if kind is not None and reading.annotated != "labels":
        test = kind.others[reading.annotated].test
        if test is not None:
            return test(argument, reading)
    elif kind is not None and kind.test is not None:
        return kind.test(*kind.arguments(argument, reading.rules))
    raise NoTestPart(
        f"data {source!r} brings no test part; these do: "
        f"{', '.join(_usage(name) for name in DATA if DATA[name].has_test)}"
    )


def _named_test(test: str, source: str, reading: Reading) -> ImageSource[Images]:
    """Return the images of a folder that was named, as the classes of a source number them.

    Raises SpecError when there is no such folder, or it holds the training images.
    """
    if not local_path(test).is_dir():
        raise SpecError(f"test {test!r}: no such folder; needed: one as for --validation PATH")
    if reading.annotated == "labels":
        named = validation_folder(test, reading.rules)
    else:
        named = _VALIDATIONS[reading.annotated](test, reading)
    _, _, place = source.partition(":")
    top, lies = local_path(place), local_path(test).resolve()
    if place and lies in {top.resolve(), (top / "train").resolve()}:
        raise SpecError(f"test {test!r}: these are the training images; name a folder of others")
    searched = replace(reading, test=None)
    return ImageSource(
        named.content,
        lambda: named.open()(source_to_search(source, searched).open()),
        named.digest,
        named.notes,
    )


def source_to_validate(validation: str, source: str, reading: Reading) -> ImageSource[Numbered]:
    """Return the images of a folder that are validated on beside those of a source.

    Raises SpecError when there is no such folder, or its images are the source's test part.
    """
    if reading.annotated == "labels":
        _check_not_named(validation, reading.test)
        return validation_folder(validation, reading.rules)
    _check_no_test(validation, source)
    _check_not_named(validation, reading.test)
    return _VALIDATIONS[reading.annotated](validation, reading)


_VALIDATIONS: dict[Annotated, Callable[[str, Reading], ImageSource[Numbered]]] = {
    "masks": mask_validation,
    "identities": identity_validation,
    "boxes": box_validation,
}


def _check_not_named(validation: str, test: str | None) -> None:
    """Raises SpecError for a folder that was named for both."""
    places = [local_path(each).resolve() for each in (validation, test or "")]
    if test is not None and places[0] == places[1]:
        raise SpecError(
            f"validation {validation!r} is the test part, too; figures there would be no news: "
            "name two folders, or leave one out"
        )


def _check_no_test(validation: str, source: str) -> None:
    """Raises SpecError for a folder that is the test part: figures there would be no news."""
    _, _, place = source.partition(":")
    top = local_path(place)
    lies = local_path(validation).resolve()
    if place and lies in {top.resolve(), (top / "test").resolve()}:
        raise SpecError(
            f"validation {validation!r}: it holds the test images, which no search sees; name a "
            "folder of others, or a share of the training images"
        )


def _check_annotated(source: str, annotated: Annotated) -> None:
    """Raises SpecError where images do not have what is asked for, saying what they have."""
    if _is_own(source):
        has: tuple[Annotated, ...] = ("labels",)
    else:
        kind, argument = _kind(source)
        has = kind.annotations
        root = local_path(argument)
        boxes = has_boxes(root)
        if kind.argument == _PATH and has_masks(root) and not has_classes(root):
            # Masks may number objects, which is known when they are read.
            drawn = _DRAWN if boxes or annotated == "boxes" else ("masks",)
            has = tuple(one for one in has if one in drawn) or has
        elif kind.argument == _PATH and has_classes(root) and not has_masks(root):
            drawn = ("masks",) if boxes else _DRAWN
            has = tuple(one for one in has if one not in drawn) or has
    if annotated not in has:
        fit = ", ".join(f"--task {_TASKS[one]}" for one in has)
        raise SpecError(
            f"data {source!r}: its images have {' or '.join(has)}, and no {annotated}; what fits: "
            f"{fit}" + (f" (for {annotated}, {_NEEDED[annotated]})" if annotated in _NEEDED else "")
        )


_DRAWN: tuple[Annotated, ...] = ("masks", "boxes")
_NEEDED: Mapping[Annotated, str] = {"masks": MASKS_NEEDED, "boxes": BOXES_NEEDED}


def _is_own(source: str) -> bool:
    return source.partition(":")[0] not in DATA and is_function(source)


def _kind(source: str) -> tuple[Kind, str]:
    name, _, argument = source.partition(":")
    if name not in DATA or bool(argument) != bool(DATA[name].argument):
        if source and local_path(source).is_dir():
            raise SpecError(f"data {source!r} is a folder; write folder:{source}")
        own = ["module:function", "path/to/file.py:function"]
        allowed = ", ".join([*(_usage(name) for name in DATA), *own])
        raise SpecError(f"data {source!r}; allowed: {allowed}")
    return DATA[name], argument


def _usage(name: str) -> str:
    return f"{name}:{DATA[name].argument}" if DATA[name].argument else name
