"""Boxes of Pascal VOC as it is unpacked: JPEGImages, Annotations, ImageSets/Main."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from nas.base.errors import NoTestPart, SpecError
from nas.base.size import Size
from nas.data.box_part import Annotated, BoxPart, boxes_source, boxes_test_source
from nas.data.boxes import Objects
from nas.data.formats import open_image
from nas.data.images import Images, ImageSource, Parts, error_reason, upright_size
from nas.data.listing import Listing, list_below, list_files, readable
from nas.data.mask_folder import by_stem, check_lists_apart, class_names, listed_names
from nas.data.reading import Reading
from nas.data.voc import voc_root

__all__ = ["has_voc_boxes", "voc_boxes", "voc_boxes_test", "xml_part"]

_NEEDED = "needed: JPEGImages, Annotations and ImageSets/Main/train.txt"
_PARTS = ("train", "val", "test")
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def has_voc_boxes(root: Path) -> bool:
    """Return whether a folder is clearly one of VOC with boxes and without masks."""
    folders = [root, *root.glob("VOC*"), *root.glob("VOCdevkit/VOC*")]
    masks = any((folder / "SegmentationClass").is_dir() for folder in folders)
    return not masks and any((folder / "Annotations").is_dir() for folder in folders)


def voc_boxes(argument: str, reading: Reading) -> ImageSource[Parts]:
    """Return the images of train.txt, and of val.txt where there is one, with their boxes.

    Without any list all are for training.
    Raises SpecError when the folder is not as it must be.
    """
    root = voc_root(argument, _NEEDED)
    train = _part(root, "train")
    assert train is not None
    return boxes_source(f"voc:{argument}", train, _part(root, "val"), reading.classes, root)


def voc_boxes_test(argument: str, reading: Reading) -> ImageSource[Images]:
    """Return the images of test.txt with their boxes. Raises SpecError when there are none."""
    root = voc_root(argument, _NEEDED)
    test, train = _part(root, "test"), _part(root, "train")
    if test is None or train is None:
        raise NoTestPart(
            f"data folder {readable(root)}: it has no test part; needed: ImageSets/Main/test.txt, "
            "and Annotations of its images"
        )
    return boxes_test_source(f"voc:{argument}", test, train, reading.classes)


def _part(root: Path, part: str) -> BoxPart | None:
    top = root / "ImageSets" / "Main"
    named = {other: listed_names(top / f"{other}.txt") for other in _PARTS}
    check_lists_apart(top, named)
    known = class_names(root)
    names = None if known is None else list(known.values())
    if part == "train" and not any(named.values()):
        return xml_part(root / "JPEGImages", root / "Annotations", None, names)
    listed = named[part]
    if part == "train" and listed is None:
        raise SpecError(
            f"data folder {readable(root)}: it has no ImageSets/Main/train.txt; {_NEEDED}"
        )
    if listed is None:
        return None
    return xml_part(root / "JPEGImages", root / "Annotations", listed, names)


def xml_part(
    images: Path, annotations: Path, listed: Sequence[str] | None, names: Sequence[str] | None
) -> BoxPart:
    """Return images and the files of their boxes, which are called alike but for the suffix.

    listed: the images that are taken; None: all.
    names: the classes there are; None: those that occur.
    Raises SpecError for a folder that is not there, and an image without a file.
    """
    for folder in (images, annotations):
        if not folder.is_dir():
            raise SpecError(f"data folder {readable(folder)}: no such folder; {_NEEDED}")
    listing, files = list_below(images), list_files(annotations, ".xml")
    image_of, file_of = by_stem(images, listing), by_stem(annotations, files)
    chosen = list(image_of) if listed is None else listed
    for name in chosen:
        if name not in image_of:
            raise SpecError(
                f"there is no image {name!r} in {readable(images)}, which a list names; add it, or "
                "take the line out"
            )
        if name not in file_of:
            raise SpecError(
                f"image {readable(image_of[name])} has no boxes; needed: "
                f"{readable(annotations)}/{name}.xml, which names no object where there is none"
            )
    if not chosen:
        raise SpecError(f"data folder {readable(images)}: it holds no image; {_NEEDED}")
    paths, of = [image_of[name] for name in chosen], [file_of[name] for name in chosen]

    def read() -> Annotated:
        objects = [_objects(file, image) for file, image in zip(of, paths, strict=True)]
        return Annotated(paths, objects, lambda row: f"annotations {readable(of[row])}", names)

    known = (
        Listing(images, tuple(("", path) for path in paths), listing.left_out),
        Listing(annotations, tuple(("", path) for path in of), files.left_out),
    )
    return BoxPart(read, known, (listing.note,) if listing.note else ())


def _objects(path: str, image: str) -> Objects:
    """Read the objects of one image; those that are difficult do not count.

    Raises SpecError for a file that is none of VOC's.
    """
    called = f"annotations {readable(path)}"
    try:
        parser = ElementTree.XMLParser(target=_Tree(called))
        root = ElementTree.fromstring(Path(path).read_bytes(), parser)
    except OSError as error:
        raise SpecError(f"{called} cannot be read ({error.strerror})") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise SpecError(f"{called} is no XML ({error}); mend it") from None
    names, boxes, crowd = [], [], []
    for item in root.iter("object"):
        name = (item.findtext("name") or "").strip()
        edges = [item.findtext(f"bndbox/{edge}") for edge in _EDGES]
        try:
            left, top, right, bottom = (float(edge) for edge in edges if edge is not None)
        except ValueError:
            raise SpecError(f"{called}: object {name!r} has no whole box; mend it") from None
        if not name:
            raise SpecError(f"{called}: an object has no name; mend it")
        names.append(name)
        # Pixels count from 1, and the last is in the box.
        boxes.append((left - 1, top - 1, right, bottom))
        crowd.append((item.findtext("difficult") or "0").strip() == "1")
    size = _size(root) or _size_of_image(image)
    return Objects(
        tuple(names), np.array(boxes, dtype=np.float64).reshape(-1, 4), size, np.array(crowd, bool)
    )


class _Tree(ElementTree.TreeBuilder):
    """A tree of a document without a type, whose entities could stand for anything.

    The parser tells of a type in whatever encoding a file is written.
    """

    def __init__(self, called: str) -> None:
        super().__init__()
        self._called = called

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Raise SpecError: it is reached before anything that a type declares is used."""
        raise SpecError(f"{self._called}: a document type is not read; take it out")


def _size(root: ElementTree.Element) -> Size | None:
    """Return the size that a file says of its image; None where it says none."""
    try:
        width, height = (
            int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height")
        )
    except (ValueError, OverflowError):
        return None
    return Size(height, width) if width > 0 and height > 0 else None


def _size_of_image(path: str) -> Size:
    try:
        with open_image(path) as image:
            return upright_size(image)
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise SpecError(
            f"image {readable(path)} cannot be read ({error_reason(error)}); mend or remove it"
        ) from None
