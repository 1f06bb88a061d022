"""Pictures of every kind, as tensors."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.geometry import to_size
from nas.data.images import IMAGE_PIXELS, Images, decode_ahead, in_memory, number_classes
from nas.data.reading import Resize

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, kind: str, **options: object) -> Image.Image:
    """The image as it comes back from a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def flat(mode: str, colour: object, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def transparent_palette() -> Image.Image:
    image = flat("P", 1)
    image.putpalette([*RED, *BLUE])
    image.info["transparency"] = 1
    return saved(image, "PNG", transparency=1)


DEEP = Image.fromarray(np.full((8, 8), 32896, dtype=np.uint16))  # 128 of 255

KINDS: dict[str, tuple[Image.Image, tuple[int, int, int]]] = {
    "colour": (saved(flat("RGB", RED), "PNG"), RED),
    "grey": (saved(flat("L", 99), "PNG"), (99, 99, 99)),
    "black and white": (saved(flat("1", 1), "PNG"), WHITE),
    "16 bits, PNG": (saved(DEEP, "PNG"), (128, 128, 128)),
    "16 bits, TIFF": (saved(DEEP, "TIFF"), (128, 128, 128)),
    "16 bits, PGM": (saved(DEEP, "PPM"), (128, 128, 128)),
    "palette": (saved(flat("RGB", RED).convert("P"), "GIF"), RED),
    "palette with a transparent colour": (transparent_palette(), WHITE),
    "opaque": (saved(flat("RGBA", (*RED, 255)), "PNG"), RED),
    "half transparent": (saved(flat("RGBA", (*RED, 128)), "PNG"), (255, 127, 127)),
    "transparent": (saved(flat("RGBA", (*BLUE, 0)), "PNG"), WHITE),
    "grey and transparent": (saved(flat("LA", (0, 0)), "PNG"), WHITE),
    "a transparent colour": (saved(flat("RGB", BLUE), "PNG", transparency=BLUE), WHITE),
    "CMYK": (saved(flat("CMYK", (0, 255, 255, 0)), "TIFF"), RED),
    "YCbCr": (flat("YCbCr", (128, 128, 128)), (128, 128, 128)),  # Pillow 11.0 cannot read its TIFFs
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_every_kind_become_rgb(kind: str) -> None:
    image, colour = KINDS[kind]
    pixels = to_size(image, Size.of(4))
    assert (pixels.shape, pixels.dtype) == ((4, 4, 3), np.uint8)
    assert np.abs(pixels.astype(int) - np.array(colour)).max() <= 1


def test_a_jpeg_of_four_inks_is_read() -> None:
    pixels = to_size(saved(flat("CMYK", (0, 255, 255, 0)), "JPEG"), Size.of(4)).astype(int)
    assert (pixels[..., 0] > 200).all() and (pixels[..., 1:] < 60).all()


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image.Image:
    image = flat("RGB", left, (16, 16))
    image.paste(right, (8, 0, 16, 16))
    return image


@pytest.mark.parametrize(
    ("orientation", "top_left", "bottom_right"),
    [(1, RED, BLUE), (2, BLUE, RED), (3, BLUE, RED), (6, RED, BLUE), (8, BLUE, RED)],
)
def test_a_turned_photo_is_set_upright(
    orientation: int, top_left: tuple[int, ...], bottom_right: tuple[int, ...]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = saved(halves(RED, BLUE), "PNG", exif=exif)
    pixels = to_size(image, Size.of(16))
    assert tuple(pixels[1, 1]) == top_left
    assert tuple(pixels[14, 14]) == bottom_right
    across, down = tuple(pixels[1, 14]), tuple(pixels[14, 1])
    assert (across == bottom_right) == (orientation in (1, 2, 3))
    assert (down == bottom_right) == (orientation in (6, 8))


def header(*entries: bytes, offset: int = 8, count: int | None = None) -> bytes:
    """An EXIF header of these entries, little-endian."""
    number = struct.pack("<H", len(entries) if count is None else count)
    start = b"Exif\0\0II*\0" + struct.pack("<I", offset)
    return start + number + b"".join(entries) + struct.pack("<I", 0)


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value


TURNED = entry(0x112, 3, 1, b"\6\0\0\0")
ODD = {
    "a width below zero": header(TURNED, entry(0x100, 8, 1, b"\xff\xff\0\0")),
    "a long width below zero": header(TURNED, entry(0x100, 9, 1, b"\xfb\xff\xff\xff")),
    "a width in letters": header(TURNED, entry(0x100, 2, 4, b"abc\0")),
    "dots per inch in letters": header(TURNED, entry(0x11A, 2, 4, b"72/\0")),
    "a unit of any bytes": header(TURNED, entry(0x128, 7, 4, b"\xff\xfe\xfd\xfc")),
    "more entries than there are": header(TURNED, count=65535),
    "a maker far away": header(TURNED, entry(0x10F, 2, 100, struct.pack("<I", 10**6))),
    "entries within that are far away": header(
        TURNED, entry(0x8769, 4, 1, struct.pack("<I", 10**7))
    ),
    "turned twice": header(entry(0x112, 3, 2, b"\6\0\6\0")),
}
UNREADABLE = {
    "nothing": b"Exif\0\0",
    "cut short": b"Exif\0\0II*",
    "no TIFF": b"Exif\0\0XX*\0\x08\0\0\0",
    "entries far away": header(TURNED, offset=10**6),
    "turned in letters": header(entry(0x112, 2, 2, b"6\0\0\0")),
    "turned by 9": header(entry(0x112, 3, 1, b"\x09\0\0\0")),
    "turned in an unknown type": header(entry(0x112, 99, 1, b"\6\0\0\0")),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("about", [*ODD, *UNREADABLE])
def test_an_odd_header_stops_nothing(kind: str, about: str) -> None:
    exif = (ODD | UNREADABLE)[about]
    quality = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    content = io.BytesIO()
    halves(RED, BLUE).save(content, kind, exif=exif, **quality)
    images = Images(np.zeros(1, np.int64), lambda _: Image.open(content), lambda row: about)
    ((pixels,), _) = next(decode_ahead(images, Size.of(16)))
    upright = pixels[1, 14, 0] > 128  # red above, where it was on the left
    assert upright == (about in ODD)


def test_an_image_too_large_says_how_large_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    content = io.BytesIO()
    flat("RGB", GREEN, (20, 30)).save(content, "PNG")

    def read(_: int) -> Image.Image:
        return Image.open(io.BytesIO(content.getvalue()))

    images = Images(np.zeros(1, np.int64), read, lambda row: f"image {row} of mine")
    said = "^image 0 of mine has 600 pixels; at most 200 are read.*set NAS_IMAGE_PIXELS=600 in"
    with pytest.raises(SpecError, match=said):
        list(decode_ahead(images, Size.of(8)))
    monkeypatch.setenv(IMAGE_PIXELS, "600")
    ((block, _),) = decode_ahead(images, Size.of(8))
    assert (block == GREEN).all()
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setenv(IMAGE_PIXELS, "1e9")
    with pytest.raises(SpecError, match="NAS_IMAGE_PIXELS='1e9'; allowed: a number of pixels"):
        list(decode_ahead(images, Size.of(8)))


def test_other_shapes_are_stretched_or_padded_where_that_is_asked_for() -> None:
    image = flat("RGB", RED, (48, 16))
    image.paste(GREEN, (16, 0, 32, 16))
    stretched = to_size(image, Size.of(24), "stretch")
    assert (stretched[:, :6] == RED).all() and (stretched[:, 9:15] == GREEN).all()
    padded = to_size(image, Size.of(24), "pad")
    assert (padded[:7] == 0).all() and (padded[17:] == 0).all()
    assert (padded[9:15, :6] == RED).all() and (padded[9:15, 9:15] == GREEN).all()
    lying = to_size(image.transpose(Image.Transpose.ROTATE_90), Size.of(24), "pad")
    assert (lying[:, :7] == 0).all() and (lying[9:15, 9:15] == GREEN).all()
    line = to_size(flat("RGB", GREEN, (1, 60_000)), Size.of(8), "pad")
    assert (line[:, 3] == GREEN).all() and line.sum() == 8 * 255


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (200, 1), (3, 7), (1, 60_000)])
def test_any_shape_fits(size: tuple[int, int]) -> None:
    assert (to_size(flat("RGB", GREEN, size), Size.of(8)) == GREEN).all()


def test_the_middle_is_cut_out() -> None:
    image = flat("RGB", RED, (48, 16))
    image.paste(GREEN, (16, 0, 32, 16))
    assert (to_size(image, Size.of(16)) == GREEN).all()
    assert (to_size(image.transpose(Image.Transpose.ROTATE_90), Size.of(16)) == GREEN).all()


def test_sizes_that_are_not_square_are_height_by_width() -> None:
    # A band of red, green and blue, 90 pixels wide and 30 high.
    image = flat("RGB", RED, (90, 30))
    image.paste(GREEN, (30, 0, 60, 30))
    image.paste(BLUE, (60, 0, 90, 30))
    cut = to_size(image, Size(20, 10))  # of 30 lines, 15 columns in the middle
    assert cut.shape == (20, 10, 3) and (cut == GREEN).all()
    wide = to_size(image, Size(10, 30))  # its own shape: all of it
    assert (wide[:, :9] == RED).all() and (wide[:, -9:] == BLUE).all()
    stretched = to_size(image, Size(30, 9), "stretch")
    assert (stretched[:, 0] == RED).all() and (stretched[:, 4] == GREEN).all()
    padded = to_size(image, Size(20, 18), "pad")  # 6 lines of picture, bars above and below
    assert (padded[:7] == 0).all() and (padded[13:] == 0).all()
    assert (padded[9:11, :5] == RED).all() and (padded[9:11, 13:] == BLUE).all()
    beside = to_size(image, Size(10, 60), "pad")  # 30 columns of picture
    assert (beside[:, :15] == 0).all() and (beside[:, 45:] == 0).all()
    assert (beside[:, 15:24] == RED).all()


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (200, 1), (3, 7), (1, 60_000)])
def test_any_shape_becomes_any_size(resize: Resize, shape: tuple[int, int]) -> None:
    pixels = to_size(flat("RGB", GREEN, shape), Size(8, 24), resize)
    assert pixels.shape == (8, 24, 3)
    assert (pixels == GREEN).all(axis=2).any()


@pytest.mark.parametrize("size", [Size(16, 48), Size(48, 16)])
def test_a_large_jpeg_on_its_side_is_decoded_large_enough(size: Size) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 18, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((768, 256), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = image.transpose(Image.Transpose.ROTATE_270)
    small = to_size(saved(image, "JPEG", quality=95, exif=exif), size).astype(int)
    assert np.abs(small - to_size(turned, size)).max() < 20


def test_a_large_jpeg_is_decoded_small_and_looks_the_same() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((512, 512), Image.Resampling.BICUBIC)
    small = to_size(saved(image, "JPEG", quality=95), Size.of(16)).astype(int)
    assert np.abs(small - to_size(image, Size.of(16))).max() < 16


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (flat("F", 0.5), "floating-point numbers; 8 or 16 bits"),
        (flat("I", 70_000), "32 bits; 8 or 16"),
        (flat("I", -1), "32 bits; 8 or 16"),
    ],
)
def test_pixels_that_are_no_colours_are_named(image: Image.Image, said: str) -> None:
    images = Images(np.zeros(1, np.int64), lambda _: image, lambda row: f"image {row} of mine")
    with pytest.raises(SpecError, match=f"image 0 of mine cannot be read .*{said}.*mend or"):
        list(decode_ahead(images, Size.of(8)))


def test_blocks_come_in_order_and_only_some_rows_may_be_wanted() -> None:
    pixels = np.arange(200, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    images = in_memory(pixels, np.arange(200), "made")
    found = np.concatenate([block for block, _ in decode_ahead(images, Size.of(2))])
    assert (found[:, 0, 0, 0] == np.arange(200)).all()
    rows = np.array([7, 3, 199])
    some = images.only(rows)
    assert (some.labels.tolist(), some.called(2)) == ([7, 3, 199], "image 199 of made")
    found = np.concatenate([block for block, _ in decode_ahead(some, Size.of(2))])
    assert found[:, 0, 0, 0].tolist() == [7, 3, 199]


def test_the_first_broken_image_is_named_whatever_its_decoder_raises() -> None:
    def read(row: int) -> Image.Image:
        if row >= 150:
            raise IndexError("\nbeyond\nthe table")
        return flat("RGB", RED)

    images = Images(np.zeros(300, np.int64), read, lambda row: f"image {row}")
    with pytest.raises(SpecError, match=r"^image 150 cannot be read \(beyond\)") as caught:
        list(decode_ahead(images, Size.of(4)))
    assert "\n" not in str(caught.value)


def test_labels_are_numbered_in_the_order_of_their_classes() -> None:
    classes, numbers = number_classes([10, 2, 2, 0], None, "mine")
    assert (classes, numbers.tolist()) == (("0", "2", "10"), [2, 1, 1, 0])
    classes, numbers = number_classes(["cat", "ant"], None, "mine")
    assert (classes, numbers.tolist()) == (("ant", "cat"), [1, 0])
    assert number_classes(np.array([1, 0]), None, "mine")[1].tolist() == [1, 0]
    assert number_classes(["cat"], ("ant", "cat"), "mine")[1].tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, -1], "label -1"),
        ([0, 1.0], "label 1.0 .float"),
        ([0, "a"], "label 'a' .str"),
        (["a", 0], "label 0 .int"),
        ([True, False], "label True .bool"),
        (np.array([0.5]), "label 0.5"),
        ([None], "label None"),
    ],
)
def test_labels_that_are_none_are_named(labels: list[object], said: str) -> None:
    with pytest.raises(SpecError, match=f"^mine: {said}.*all whole numbers from 0, or all texts"):
        number_classes(labels, None, "mine")


def test_a_class_that_training_lacks_is_named() -> None:
    with pytest.raises(SpecError, match="class 'dog' is not in the training part"):
        number_classes(["ant", "dog"], ("ant", "cat"), "mine")
