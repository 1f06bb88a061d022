"""Folders of images with boxes: files of VOC, YOLO or COCO, or masks that number objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.base.errors import NoTestPart, SpecError
from nas.data.box_part import BoxPart, boxes_source, boxes_test_source, numbered_boxes
from nas.data.coco import CocoPair
from nas.data.coco_boxes import coco_part
from nas.data.images import Images, ImageSource, Numbered, Parts
from nas.data.instances import INSTANCES, instance_part
from nas.data.listing import Listing, list_below, local_path, readable
from nas.data.mask_folder import class_names, paired_parts
from nas.data.reading import Reading
from nas.data.voc_boxes import xml_part
from nas.data.yolo import label_part

__all__ = ["BOXES_NEEDED", "box_folder", "box_folder_test", "box_validation", "has_boxes"]

BOXES_NEEDED = (
    "needed: train/ (val/ and test/ likewise) with images/ beside annotations/ (*.xml), labels/ "
    f"(*.txt), {INSTANCES}/ (masks that number objects) or one file *.json"
)
_XML = ("Annotations", "annotations")
_IMAGES = ("images", "JPEGImages")
_OBJECT = "object"


def has_boxes(root: Path) -> bool:
    """Return whether a folder is laid out as one of images with boxes; masks may be of classes."""
    return any(_has_boxes(top) for top in (root, root / "train"))


def _has_boxes(top: Path) -> bool:
    beside = any((top / name).is_dir() for name in (*_XML, "labels", INSTANCES))
    named = any(path.name.endswith("coco.json") for path in _coco_files(top))
    return named or (beside and any((top / name).is_dir() for name in _IMAGES))


def _coco_files(top: Path) -> list[Path]:
    return [path for path in sorted(top.glob("*.json")) if path.name != "classes.json"]


def box_folder(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the training images of a folder with their boxes, and those for validation.

    Raises SpecError when the folder is not as it must be.
    """
    root = _root(argument)
    train = _part(root, "train")
    if train is None:
        raise SpecError(
            f"data folder {readable(root)}: it has no images with boxes; {BOXES_NEEDED}"
        )
    return boxes_source(f"folder:{argument}", train, _part(root, "val"), reading.classes, root)


def box_folder_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the test images of a folder with their boxes. Raises SpecError when it has none."""
    root = _root(argument)
    test, train = _part(root, "test"), _part(root, "train")
    if test is None or train is None:
        raise NoTestPart(
            f"data folder {readable(root)}: it has no test part; needed: test/ laid out as train/"
        )
    return boxes_test_source(f"folder:{argument}", test, train, reading.classes)


def box_validation(argument: str, reading: Reading) -> ImageSource[Numbered]:
    """Return the images of a folder, for validation beside whichever training images.

    Raises SpecError when there is no such folder.
    """
    root = local_path(argument)
    if not root.is_dir() or _laid_out(root, (), None) is None:
        raise SpecError(
            f"validation {argument!r}: no folder with images/ and their boxes; allowed: a share "
            "between 0 and 1, or the path of a folder with images/ beside annotations/ (*.xml), "
            f"labels/ (*.txt), {INSTANCES}/ or one file *.json"
        )

    def part(names: Sequence[str]) -> BoxPart:
        found = _laid_out(root, names, names if len(names) == 1 else None)
        assert found is not None
        return found

    return numbered_boxes(argument, part, reading.classes)


def _root(argument: str) -> Path:
    root = local_path(argument)
    if not root.is_dir():
        raise SpecError(f"data folder {readable(root)}: no such folder; {BOXES_NEEDED}")
    return root


def _part(root: Path, part: str) -> BoxPart | None:
    """Return the images of a part; None where the folder has no such part."""
    named = class_names(root)
    names = None if named is None else list(named.values())
    if (root / part).is_dir():
        laid_out = _laid_out(root / part, names, names)
        if laid_out is not None:
            return laid_out
    for drawn in (INSTANCES, "masks"):
        pairs = paired_parts(root, part, drawn)
        if pairs is not None:
            return _numbered(*pairs, names, root, drawn)
    # All of it, where there are no parts.
    return _laid_out(root, names, names) if part == "train" and not (root / part).is_dir() else None


def _laid_out(
    top: Path, names: Sequence[str] | None, objects: Sequence[str] | None
) -> BoxPart | None:
    """Return the images of a folder with their boxes, whichever way these are kept.

    names: the classes there are, by number; None: those that are named beside boxes.
    objects: likewise where masks number objects, which are of one class; see `_numbered`.
    """
    images = next((top / name for name in _IMAGES if (top / name).is_dir()), None)
    xml = next((top / name for name in _XML if (top / name).is_dir()), None)
    if images is not None and xml is not None:
        return xml_part(images, xml, None, names)
    if images is not None and (top / "labels").is_dir():
        listed = list_below(images)
        if names is None:
            raise SpecError(
                f"{readable(top)}: labels/ hold class numbers, and nothing names the classes; "
                "needed: classes.txt, a name a line, or name a file: yolo:DATA.yaml"
            )
        paths = [path for _, path in listed.files]
        return label_part(paths, names, None, (listed.note,) if listed.note else ())
    files = _coco_files(top)
    if len(files) == 1:
        return coco_part(CocoPair.of(str(images or top), str(files[0])))
    for drawn in (INSTANCES, "masks"):
        if images is not None and (top / drawn).is_dir():
            pairs = paired_parts(top, "train", drawn)
            return None if pairs is None else _numbered(*pairs, objects, top, drawn)
    return None


def _numbered(
    images: Listing,
    masks: Listing,
    notes: tuple[str, ...],
    names: Sequence[str] | None,
    root: Path,
    drawn: str,
) -> BoxPart:
    """Return images with masks that number objects, all of one class.

    names: one, or the background's and one; None: it has none of its own.
    """
    clearly = drawn == INSTANCES
    if names is not None and (len(names) > 2 or not clearly):
        raise SpecError(
            f"data folder {readable(root)}: its masks are of classes ({', '.join(names[:4])}), in "
            "which single objects are not told apart; use --task segmentation, or masks that "
            f"number the objects of one class, in {INSTANCES}/"
        )
    name = names[-1] if names else _OBJECT
    if not clearly:
        notes = (*notes, f"masks of {readable(root)} are read as numbering objects of one class")
    return instance_part(images, masks, name, notes, clearly=clearly)
