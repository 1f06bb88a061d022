"""What the numbers in masks mean."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError
from nas.data.images import Masks
from nas.data.masks import Numbering, class_numbers, numbers_found, rarest_classes
from nas.data.reading import Merging

NAMES = {0: "sky", 1: "road", 2: "car", 3: "bus"}


def back(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def grey(values: list[list[int]]) -> Image.Image:
    return Image.fromarray(np.asarray(values, dtype=np.uint8))


def test_grey_palettes_bits_and_grey_saved_as_colours_are_class_numbers() -> None:
    values = [[0, 1, 2], [3, 255, 7]]
    palette = grey(values).convert("P")
    palette.putdata([0, 1, 2, 3, 255, 7])
    palette.putpalette(list(range(255, -1, -1)) * 3)
    for image in (
        back(grey(values)),
        back(palette),
        back(grey(values).convert("RGB")),
        back(Image.fromarray(np.asarray(values, dtype=np.uint16))),
        back(grey(values), "BMP"),
        back(grey(values), "TIFF"),
    ):
        assert class_numbers(image).tolist() == values, image
        assert class_numbers(image).dtype == np.uint8
    assert class_numbers(back(Image.new("1", (2, 1), 1))).tolist() == [[1, 1]]


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_not_spread(bits: int) -> None:
    """Pillow reads level 1 of 4 bits as 17."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    packed = 0b00_01_10_11 if bits == 2 else 0x12
    width = 8 // bits
    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes([0, packed])))
        + chunk(b"IEND", b"")
    )
    found = class_numbers(Image.open(io.BytesIO(data))).tolist()
    assert found == [[0, 1, 2, 3] if bits == 2 else [1, 2]]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (back(grey([[1, 2]]), "JPEG"), "JPEG changes class numbers; PNG keeps them"),
        (back(Image.new("RGB", (2, 2), (1, 2, 3))), "its pixels are RGB; allowed: one class"),
        (back(Image.new("RGBA", (2, 2))), "its pixels are RGBA"),
        (back(Image.fromarray(np.full((2, 2), 300, np.uint16))), "holds class number 300"),
    ],
)
def test_what_is_no_mask_is_refused(image: Image.Image, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        class_numbers(image)


def found(*masks: list[int]) -> NDArray[np.bool_]:
    rows = np.zeros((len(masks), 256), dtype=np.bool_)
    for row, numbers in zip(rows, masks, strict=True):
        row[numbers] = True
    return rows


def unread(row: int) -> Image.Image:
    raise AssertionError(row)


def masks_of(rows: NDArray[np.bool_]) -> Masks:
    return Masks(
        lambda row: np.flatnonzero(rows[row]).astype(np.uint8)[None],
        lambda row: f"mask {row}",
    )


def images(numbering: Numbering, rows: NDArray[np.bool_]) -> tuple[list[int], list[list[int]]]:
    """Labels, and the class numbers of each mask."""
    made = numbering.images(unread, lambda row: f"image {row}", masks_of(rows), rows)
    assert made.masks is not None
    return made.labels.tolist(), [made.masks.read(row)[0].tolist() for row in range(len(made))]


def test_classes_are_numbered_without_gaps() -> None:
    rows = found([0, 5, 255], [5], [19, 255])
    assert numbers_found(rows) == {0: "0", 5: "5", 19: "19"}
    numbering = Numbering.of(numbers_found(rows), (), "x")
    assert numbering.classes == ("0", "5", "19")
    assert images(numbering, rows) == ([0, 1, 2], [[0, 1, 255], [1], [2, 255]])


def test_classes_are_merged_and_others_do_not_count() -> None:
    merging: Merging = (("vehicle", ("bus", "car")), ("road", ("road",)))
    numbering = Numbering.of(NAMES, merging, "x")
    assert numbering.classes == ("vehicle", "road")
    rows = found([0, 1, 2], [3, 255], [1])
    assert images(numbering, rows)[1] == [[255, 1, 0], [0, 255], [1]]
    rest = Numbering.of(NAMES, (("car", ("car",)), ("rest", ("*",))), "x")
    assert rest.table[:5].tolist() == [1, 1, 0, 1, 255] and rest.table[255] == 255


def test_images_without_any_of_the_classes_are_left_out_and_counted() -> None:
    numbering = Numbering.of(NAMES, (("car", ("car",)), ("bus", ("bus",))), "x")
    rows = found([0, 1], [2, 0], [3])
    assert images(numbering, rows) == ([0, 1], [[255, 0], [1]])
    made = numbering.images(unread, lambda row: f"image {row}", masks_of(rows), rows)
    assert made.notes == ("left out: 1 of 3 images, with none of the classes",)
    assert made.called(0) == "image 1"
    with pytest.raises(SpecError, match="image 0 and all others show none of the classes car, bus"):
        images(numbering, found([0], [1]))


@pytest.mark.parametrize(
    ("merging", "said"),
    [
        ((("a", ("sky",)), ("b", ("cat",))), "'b': 'cat' is no class of data 'x'; allowed: car, s"),
        ((("a", ("sky",)), ("b", ("sky",))), "'sky' is in 'a' and 'b'; one takes it"),
        ((("a", ("*",)), ("b", ("*",))), r"'\*' is in 'a' and 'b'"),
        ((("a", ("sky",)), ("a", ("car",))), "'a' is there twice"),
        ((("a", ("sky",)), ("b", ())), "'b' holds no class"),
        ((("a", ("sky", "car")),), r"1 class \(a\) in masks; at least 2"),
    ],
)
def test_wrong_merging_is_one_line(merging: Merging, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        Numbering.of(NAMES, merging, "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (found([0], [0, 4]), "mask 1: class number 4; allowed: 0 to 3, and 255"),
        (found([0], [255]), r"mask 1: no pixel of it counts \(all are 255\); remove it"),
    ],
)
def test_wrong_masks_are_named(rows: NDArray[np.bool_], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        images(Numbering.of(NAMES, (), "x"), rows)


def test_one_class_alone_says_that_255_is_none() -> None:
    with pytest.raises(SpecError, match=r"1 class \(0\) in masks; .*255 is no class"):
        Numbering.of({0: "0"}, (), "x")


def test_an_image_is_labelled_by_its_rarest_class() -> None:
    there = np.asarray([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=np.bool_)
    assert rarest_classes(there).tolist() == [1, 1, 2, 0, -1]
    assert rarest_classes(there[:0]).tolist() == []
