"""Pascal VOC as it is unpacked: JPEGImages, SegmentationClass, ImageSets/Segmentation."""

from __future__ import annotations

from pathlib import Path

from nas.base.errors import NoTestPart, SpecError
from nas.data.images import Images, ImageSource, Parts
from nas.data.listing import local_path, readable
from nas.data.mask_folder import class_names, listed_names, paired
from nas.data.masked_part import MaskedPart, part_source, parts_source
from nas.data.reading import Reading

__all__ = ["VOC_CLASSES", "voc", "voc_root", "voc_test"]

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""Everingham and others 2010; number 255 is the edge between objects."""

_NEEDED = "needed: JPEGImages, SegmentationClass and ImageSets/Segmentation/train.txt"


def voc(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the images of train.txt, and of val.txt where there is one, with their masks.

    Raises SpecError when the folder is not as it must be.
    """
    root = voc_root(argument)
    train = _part(root, "train")
    if train is None:
        raise SpecError(
            f"data folder {readable(root)}: it has no ImageSets/Segmentation/train.txt; {_NEEDED}"
        )
    return parts_source(
        f"voc:{argument}", train, _part(root, "val"), _names(root), reading.classes, root
    )


def voc_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the images of test.txt with their masks. Raises SpecError when there are none."""
    root = voc_root(argument)
    test, train = _part(root, "test"), _part(root, "train")
    if test is None or train is None:
        raise NoTestPart(
            f"data folder {readable(root)}: it has no test part; needed: "
            "ImageSets/Segmentation/test.txt, and masks of its images"
        )
    return part_source(f"voc:{argument}", test, train, _names(root), reading.classes)


def voc_root(argument: str, needed: str = _NEEDED) -> Path:
    """Return the folder of one year, also of the folder VOCdevkit that holds it alone.

    needed: what a folder must hold, for errors.
    Raises SpecError where there is none.
    """
    root = local_path(argument)
    years = sorted(root.glob("VOC*/JPEGImages")) + sorted(root.glob("VOCdevkit/VOC*/JPEGImages"))
    if not (root / "JPEGImages").is_dir() and len(years) == 1:
        return years[0].parent
    if not (root / "JPEGImages").is_dir():
        fault = "no such folder" if not root.is_dir() else "it is not laid out as VOC"
        if years:
            fault = f"it holds {', '.join(year.parent.name for year in years)}; name one"
        raise SpecError(f"data folder {readable(root)}: {fault}; {needed}")
    return root


def _part(root: Path, part: str) -> MaskedPart | None:
    names = listed_names(root / "ImageSets" / "Segmentation" / f"{part}.txt")
    if names is None:
        return None
    return paired(root / "JPEGImages", root / "SegmentationClass", names)


def _names(root: Path) -> dict[int, str]:
    """Return the classes of classes.txt or classes.json where one is there, else the 21 of VOC."""
    return class_names(root) or dict(enumerate(VOC_CLASSES))
