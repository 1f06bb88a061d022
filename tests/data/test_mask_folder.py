"""Folders of images with masks, laid out in either way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import (
    Dataset,
    Reading,
    cached_data,
    guess_annotated,
    load_data,
    open_data,
    open_test,
    same_images,
)
from nas.data.reading import Merging

Draw = Callable[..., None]

MASKS = Reading("stretch", annotated="masks")
TEN = {str(number): [0, 1] if number % 2 else [0, 2] for number in range(10)}


def load(root: Path, **options: Any) -> Dataset:
    options = {"validation": 0.2, "seed": 0, "resize": "stretch", **options}
    return load_data(f"folder:{root}", "20x30", annotated="masks", **options)


def fails(root: Path, said: str, **options: Any) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load(root, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def parts(tmp_path: Path, draw_pairs: Draw) -> Path:
    root = tmp_path / "parts"
    draw_pairs(root / "train" / "images", root / "train" / "masks", TEN)
    return root


@pytest.fixture
def lists(tmp_path: Path, draw_pairs: Draw) -> Path:
    root = tmp_path / "lists"
    draw_pairs(root / "images", root / "masks", TEN, suffix="jpg")
    return root


def test_a_tenth_of_each_rarest_class_is_cut_off(parts: Path) -> None:
    data = load(parts)
    assert guess_annotated(f"folder:{parts}") == data.annotated == "masks"
    assert data.classes == ("0", "1", "2")
    assert (len(data.train), len(data.validation)) == (8, 2)
    assert sorted(data.validation.labels.tolist()) == [1, 2], "background is in all"
    assert data.train.annotations is not None
    assert data.train.annotations.shape == (8, 20, 30)
    assert data.train.targets is data.train.annotations
    for image, mask in zip(data.train.images, data.train.annotations, strict=True):
        assert torch.equal(image[..., 0], mask * 50)


def test_classes_count_by_the_images_that_show_them(parts: Path) -> None:
    data = load(parts)
    assert data.imbalance == 2.0, "8 show the background, 4 each of the others"
    with pytest.raises(SpecError, match=r"allowed: 2 \(one of each class\) to 8"):
        data.check_subset(1)
    half = data.subset(4, seed=0)
    assert half.train.labels.tolist().count(1) == half.train.labels.tolist().count(2) == 2
    assert half.train.annotations is not None and len(half.train.annotations) == 4
    assert half.imbalance == 2.0


def test_own_parts_are_taken_as_they_are(parts: Path, draw_pairs: Draw) -> None:
    draw_pairs(parts / "val" / "images", parts / "val" / "masks", {"ä/ß": [2, 1, 0]})
    draw_pairs(parts / "test" / "images", parts / "test" / "masks", {"x": [2], "y": [0, 255]})
    data = load(parts)
    assert (len(data.train), len(data.validation)) == (10, 1)
    test = open_test(f"folder:{parts}", "20x30", reading=MASKS)
    assert test.annotations is not None and test.labels.tolist() == [2, 0]
    assert test.annotations[1].unique().tolist() == [0, 255]


def test_lists_name_parts_with_suffix_or_without(lists: Path) -> None:
    (lists / "train.txt").write_text("3\n1.jpg\nimages/2.png\n\n")
    (lists / "val.txt").write_text("7\n")
    (lists / "test.txt").write_text("8\n9\n")
    data = load(lists)
    assert (len(data.train), len(data.validation)) == (3, 1)
    assert data.train.labels.tolist() == [1, 1, 2], "in the order of the list"
    assert len(open_test(f"folder:{lists}", 16, reading=MASKS)) == 2
    (lists / "train.txt").unlink()
    assert len(load(lists).train) == 7, "all that no other list names"
    for name in ("val.txt", "test.txt"):
        (lists / name).unlink()
    assert len(load(lists).train) == 8
    with pytest.raises(NoTestPart, match="no test part; needed: test/images and test/masks, or"):
        open_test(f"folder:{lists}", 16, reading=MASKS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "sky\nroad\ncar\nbus\n"),
        ("classes.json", json.dumps(["sky", "road", "car", "bus"])),
        ("classes.json", json.dumps({"0": "sky", "1": "road", "2": "car", "3": "bus"})),
        ("classes.json", json.dumps({"sky": 0, "road": 1, "car": 2, "bus": 3})),
    ],
)
def test_classes_may_have_names(parts: Path, name: str, text: str) -> None:
    (parts / name).write_text(text)
    assert load(parts).classes == ("sky", "road", "car", "bus"), "also those that no mask shows"
    merged = load(parts, classes=(("vehicle", ("car", "bus")), ("rest", ("*",))))
    assert merged.classes == ("vehicle", "rest")
    assert merged.train.annotations is not None
    assert merged.train.annotations.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("classes.txt", "sky\nroad\n", "mask .*0.png: class number 2; allowed: 0 to 1, and 255"),
        ("classes.txt", "sky\nroad\nsky\n", "class 'sky' is there twice"),
        ("classes.txt", "\n\n", "these are no names of classes"),
        ("classes.json", "{", "is no JSON"),
        pytest.param("classes.json", "[" * 100_000, "is no JSON", id="deep"),
        ("classes.json", '{"a": "b"}', "these are no names of classes"),
        ("classes.json", '{"300": "b"}', "these are no names of classes"),
        ("train.txt", "0\n", "has no mask|"),
    ],
)
def test_wrong_names_of_classes_are_one_line(parts: Path, name: str, text: str, said: str) -> None:
    (parts / name).write_text(text)
    if name == "train.txt":
        assert load(parts).classes, "lists are of the other layout"
    else:
        fails(parts, said)


def break_size(root: Path) -> None:
    Image.new("L", (20, 30)).save(root / "masks" / "3.png")


def break_file(root: Path) -> None:
    path = root / "masks" / "3.png"
    path.write_bytes(path.read_bytes()[:40])


def break_nothing(root: Path) -> None:
    (root / "masks" / "3.png").write_bytes(b"")


def break_ignored(root: Path) -> None:
    Image.new("L", (30, 20), 255).save(root / "masks" / "3.png")


def break_colours(root: Path) -> None:
    Image.new("RGB", (30, 20), (1, 2, 3)).save(root / "masks" / "3.png")


def break_alone(root: Path) -> None:
    (root / "masks" / "3.png").unlink()


def break_twice(root: Path) -> None:
    Image.new("L", (30, 20)).save(root / "masks" / "3.bmp")


def break_list(root: Path) -> None:
    (root / "train.txt").write_text("3\nnowhere\n")


def break_empty_list(root: Path) -> None:
    (root / "train.txt").write_text("\n")


def break_apart(root: Path) -> None:
    (root / "train.txt").write_text("3\n4\n")
    (root / "test.txt").write_text("4.jpg\n")


def break_folder(root: Path) -> None:
    shutil.rmtree(root / "masks")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (break_size, "mask .*masks/3.png is 20x30 and image .*images/3.jpg 30x20"),
        (break_file, "mask .*masks/3.png cannot be read"),
        (break_nothing, "mask .*masks/3.png cannot be read"),
        (break_ignored, "mask .*masks/3.png: no pixel of it counts"),
        (break_colours, "mask .*masks/3.png cannot be read .its pixels are RGB"),
        (break_alone, "image .*images/3.jpg has no mask; needed: .*masks/3.png"),
        (break_twice, "3.bmp and .*3.png are called alike|3.png and .*3.bmp are called alike"),
        (break_list, "there is no image 'nowhere' in .*images, which a list names"),
        (break_empty_list, "train.txt names no image"),
        (break_apart, "train.txt and test.txt both name '4'"),
        (break_folder, "its images have labels or identities|no images with masks"),
    ],
)
def test_damage_is_one_line(lists: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(lists)
    fails(lists, said)


def test_black_and_white_masks_are_told_what_255_is(tmp_path: Path, draw_pairs: Draw) -> None:
    draw_pairs(tmp_path / "d" / "images", tmp_path / "d" / "masks", {"a": [0, 255], "b": [0]})
    fails(tmp_path / "d", r"1 class \(0\) in masks; .*255 is no class: it does not count")


def test_a_turned_photo_turns_its_mask(tmp_path: Path, draw_pairs: Draw) -> None:
    """One mask is drawn on the stored pixels, one on the upright image."""
    root = tmp_path / "turned"
    draw_pairs(root / "images", root / "masks", {"a": [0, 1, 2], "b": [0, 1, 2]})
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name in ("a", "b"):
        with Image.open(root / "images" / f"{name}.png") as image:
            image.copy().save(root / "images" / f"{name}.png", exif=exif)
    with Image.open(root / "masks" / "b.png") as mask:
        mask.transpose(Image.Transpose.ROTATE_270).save(root / "masks" / "b.png")
    data = load_data(
        f"folder:{root}", "30x20", validation=0.5, seed=0, resize="stretch", annotated="masks"
    )
    for split in (data.train, data.validation):
        assert split.annotations is not None
        assert torch.equal(split.images[0, ..., 0], split.annotations[0] * 50)
        assert len(split.annotations[0, 0].unique()) == 3, "stripes stand upright now"


def cached(root: Path, classes: Merging = ()) -> Path:
    reading = Reading("stretch", annotated="masks", classes=classes)
    return cached_data(f"folder:{root}", "20x30", validation=0.2, seed=0, reading=reading)


def test_the_cache_keeps_masks_and_names_them(parts: Path) -> None:
    mapped, loaded = open_data(cached(parts)), load(parts)
    assert mapped.annotated == "masks"
    for one, other in ((loaded.train, mapped.train), (loaded.validation, mapped.validation)):
        assert one.annotations is not None and other.annotations is not None
        assert torch.equal(one.annotations, other.annotations)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_the_cache_is_named_by_content(parts: Path, tmp_path: Path) -> None:
    first = cached(parts)
    for path in parts.rglob("*.png"):
        os.utime(path)
    shutil.copytree(parts, tmp_path / "fresh")
    assert cached(parts) == cached(tmp_path / "fresh") == first
    assert cached(parts, (("a", ("0", "1")), ("b", ("2",)))) != first
    mask = parts / "train" / "masks" / "0.png"
    pixels = np.asarray(Image.open(mask)).copy()
    pixels[0, 0] = 1
    Image.fromarray(pixels).save(mask)
    other = cached(parts)
    assert other != first and not same_images(first, other)
    (parts / "classes.txt").write_text("a\nb\nc\n")
    assert cached(parts) not in {first, other}
    assert same_images(other, cached(parts)), "the same pixels, called otherwise"


def test_another_folder_is_validated_on(parts: Path, tmp_path: Path, draw_pairs: Draw) -> None:
    other = tmp_path / "other"
    draw_pairs(other / "images", other / "masks", {"a": [2, 255], "b": [1]})
    told: list[str] = []
    data = load(parts, validation=str(other), note=told.append)
    assert (len(data.train), data.validation.labels.tolist()) == (10, [2, 1])
    assert told == [f"validated on {other} alone"]
    draw_pairs(other / "images", other / "masks", {"a": [7]})
    fails(parts, "mask .*a.png: class number 7; allowed: 0 to 2", validation=str(other))
    fails(parts, "no folder with images/ and masks/", validation=str(tmp_path))
    fails(parts, "these are the training images", validation=str(parts / "train"))
    draw_pairs(parts / "test" / "images", parts / "test" / "masks", TEN)
    fails(parts, "it holds the test images", validation=str(parts / "test"))


def test_a_single_image_cannot_be_in_both_parts(tmp_path: Path, draw_pairs: Draw) -> None:
    root = tmp_path / "one"
    draw_pairs(root / "images", root / "masks", {"a": [0, 1]})
    fails(root, "1 image with masks; at least 2 are needed")
    draw_pairs(root / "images", root / "masks", {"b": [0]})
    data = load(root)
    assert (len(data.train), len(data.validation)) == (1, 1)


def test_what_fits_is_said(parts: Path, make_folder: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="have masks, and no labels; what fits: --task segmentatio"):
        load_data(f"folder:{parts}", 16, validation=0.2, seed=0)
    classes = make_folder(parts={"train": 4})
    fails(classes, "have labels or identities, and no masks; what fits: --task classification, -")
    assert guess_annotated(f"folder:{classes}") is None
    with pytest.raises(SpecError, match="classes: merges classes of masks"):
        load_data(f"folder:{classes}", 16, validation=0.2, seed=0, classes=(("a", ("b",)),))


def test_groups_are_not_cut_apart(parts: Path) -> None:
    lines = "".join(f"{number}.png,{number // 3}\n" for number in range(10))
    (parts / "groups.csv").write_text(f"image,group\n{lines}")
    before = cached(parts)
    data = open_data(before)
    assert len(data.validation) in {1, 3}, "whole groups"
    (parts / "groups.csv").write_text(lines.replace("9.png,3", "9.png,2"))
    assert cached(parts) != before
    (parts / "groups.csv").write_text("0.png,1\n")
    fails(parts, "image .*1.png has no group in .*groups.csv; needed: a line train/images/1.png,GR")


def test_masks_beside_class_folders_are_read_where_they_are_asked_for(
    lists: Path, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        shutil.copytree(lists / "images", lists / "train" / name)
    assert guess_annotated(f"folder:{lists}") is None
    assert load_data(f"folder:{lists}", 16, validation=0.2, seed=0).classes == ("x", "y")
    assert load(lists).classes == ("0", "1", "2")


def test_damaged_masks_are_read_or_named(lists: Path) -> None:
    path, rng = lists / "masks" / "3.png", np.random.default_rng(0)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 6)):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            load(lists)
        except SpecError as error:
            assert "3.png" in str(error) and "\n" not in str(error)
