from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, UnidentifiedImageError

from nas.data.formats import image_formats, open_image


def test_every_suffix_counts_that_pillow_decodes_here() -> None:
    formats = image_formats()
    assert {".jfif", ".jpe", ".jp2", ".tga", ".qoi", ".mpo", ".png"} <= set(formats)
    assert (".avif" in formats) == ("AVIF" in Image.OPEN)  # which Pillow 11.0 does not decode


def test_programs_stubs_and_films_do_not() -> None:
    assert not {".eps", ".ps", ".wmf", ".h5", ".grib", ".mpg", ".pdf"} & set(image_formats())


def written(path: Path, kind: str) -> str:
    Image.new("RGB", (4, 4), "red").save(path, kind)
    return str(path)


def test_an_image_is_read_whatever_its_suffix_says(tmp_path: Path) -> None:
    with open_image(written(tmp_path / "a.jpg", "PNG")) as image:
        assert image.format == "PNG"
    with open_image(written(tmp_path / "a.tga", "TGA")) as image:
        assert image.format == "TGA"


def test_postscript_is_never_run_and_bytes_without_a_signature_are_no_photo(tmp_path: Path) -> None:
    program = io.BytesIO()
    Image.new("RGB", (4, 4)).save(program, "EPS")
    (tmp_path / "a.jpg").write_bytes(program.getvalue())
    bare = io.BytesIO()
    Image.new("RGB", (4, 4)).save(bare, "TGA")
    (tmp_path / "b.jpg").write_bytes(bare.getvalue())
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(UnidentifiedImageError):
            open_image(str(tmp_path / name))
