"""Folders of identities, and Market-1501."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nas.base.errors import NoTestPart, SpecError
from nas.data import (
    Dataset,
    Reading,
    Split,
    cached_data,
    guess_annotated,
    load_data,
    open_data,
    open_test,
    same_images,
)

Make = Callable[..., Path]

IDENTITIES = Reading("stretch", annotated="identities")
NAMES = tuple(f"person {letter}" for letter in "abcdefgh")


def load(root: Path, kind: str = "folder", **options: Any) -> Dataset:
    options = {"validation": 0.25, "seed": 0, "resize": "stretch", **options}
    return load_data(f"{kind}:{root}", 16, annotated="identities", **options)


def fails(root: Path, said: str, kind: str = "folder", **options: Any) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load(root, kind, **options)
    assert "\n" not in str(caught.value)


def about(split: Split) -> list[tuple[int, int, int]]:
    """Identity, camera, and whether it is a query, of each picture."""
    assert split.annotations is not None
    return [
        (int(one), *map(int, two)) for one, two in zip(split.labels, split.annotations, strict=True)
    ]


def test_a_share_of_the_identities_is_cut_off(make_folder: Make) -> None:
    root = make_folder(parts={"train": 3}, classes=NAMES)
    data = load(root)
    assert data.annotated == "identities"
    assert len(data.classes) == 6 and set(data.classes) < set(NAMES)
    assert data.train.labels.unique().tolist() == list(range(6))
    assert about(data.validation) == [(6, -1, 1), (6, -1, 0), (6, -1, 0)] + [
        (7, -1, 1), (7, -1, 0), (7, -1, 0)
    ]  # fmt: skip
    assert load(root, seed=0).classes == data.classes != load(root, seed=3).classes
    pixels = {int(image[0, 0, 0]) for image in data.train.images}
    assert pixels.isdisjoint(int(image[0, 0, 0]) for image in data.validation.images)
    assert guess_annotated(f"folder:{root}") is None, "it might as well be classes"


def test_every_identity_keeps_two_pictures_of_a_subset(make_folder: Make) -> None:
    data = load(make_folder(parts={"train": 5}, classes=NAMES))
    assert data.imbalance == 1.0
    assert torch.bincount(data.subset(12, seed=0).train.labels).tolist() == [2] * 6
    assert data.subset(20, seed=0).train.annotations is not None
    with pytest.raises(SpecError, match=r"allowed: 12 \(two of each identity\) to 30"):
        data.subset(11, seed=0)


def test_an_identity_with_one_picture_is_left_out_of_training(make_folder: Make) -> None:
    root = make_folder(parts={"train": 3}, classes=NAMES)
    for number in (0, 1):
        (root / "train" / NAMES[1] / f"{number}.png").unlink()
    told: list[str] = []
    data = load(root, note=told.append)
    assert NAMES[1] not in data.classes and len(data.classes) == 5
    assert data.train.labels.unique().tolist() == list(range(5))
    assert told == ["left out of training: 1 identities with one picture each"]


def test_an_identity_with_one_picture_is_found_and_asks_for_nobody(make_folder: Make) -> None:
    root = make_folder(parts={"train": 3}, classes=NAMES[:2])
    make_folder(parts={"val": 2}, classes=NAMES[2:5])
    (root / "val" / NAMES[3] / "0.png").unlink()
    data = load(root)
    assert data.classes == NAMES[:2]
    assert about(data.validation) == [
        (2, -1, 1), (2, -1, 0), (3, -1, 0), (4, -1, 1), (4, -1, 0)
    ]  # fmt: skip
    for name in (NAMES[2], NAMES[4]):
        (root / "val" / name / "0.png").unlink()
    fails(root, "no identity to validate or test on has two pictures")


def test_too_few_identities_are_one_line(make_folder: Make) -> None:
    root = make_folder(parts={"train": 2}, classes=NAMES[:3])
    fails(root, "3 of 3 identities have two pictures or more; at least 4 are needed")
    single = make_folder("single", parts={"train": 1, "val": 2}, classes=NAMES[:3])
    shutil.rmtree(single / "val" / NAMES[0])
    for name in NAMES[1:3]:
        (single / "val" / name).rename(single / "val" / f"other {name}")
    fails(single, "0 of 3 identities to train on have two pictures or more; at least 2")


def test_identities_of_training_are_in_no_other_part(make_folder: Make) -> None:
    root = make_folder(parts={"train": 3, "val": 2, "test": 2}, classes=NAMES[:4])
    fails(root, "val: identity 'person a' is in .*train, too; a network is judged by identities")
    shutil.rmtree(root / "val")
    with pytest.raises(SpecError, match="test: identity 'person a' is in .*train"):
        open_test(f"folder:{root}", 16, reading=IDENTITIES)
    for name in NAMES[:4]:
        (root / "test" / name).rename(root / "test" / f"other {name}")
    split = open_test(f"folder:{root}", 16, reading=IDENTITIES)
    assert about(split)[:3] == [(0, -1, 1), (0, -1, 0), (1, -1, 1)]
    shutil.rmtree(root / "test")
    with pytest.raises(NoTestPart, match="needed: .*test/<identity>/<images>|<identity>"):
        open_test(f"folder:{root}", 16, reading=IDENTITIES)


def test_folders_may_say_which_pictures_ask(make_folder: Make) -> None:
    root = make_folder(parts={"train": 3}, classes=NAMES[:4])
    make_folder(parts={"test/query": 1}, classes=NAMES[4:6])
    make_folder(parts={"test/gallery": 2}, classes=NAMES[4:7])
    assert guess_annotated(f"folder:{root}") == "identities"
    split = open_test(f"folder:{root}", 16, reading=IDENTITIES)
    assert [row[0] for row in about(split)] == [0, 1, 0, 0, 1, 1, 2, 2]
    assert [row[2] for row in about(split)] == [1, 1, 0, 0, 0, 0, 0, 0]


def test_groups_are_not_needed_where_no_identity_is_cut(make_folder: Make) -> None:
    root = make_folder(parts={"train": 2}, classes=NAMES)
    (root / "groups.csv").write_text("image,group\n")
    told: list[str] = []
    load(root, note=told.append)
    assert told == [f"groups beside {root} are not read: no identity is cut apart"]


def test_others_are_validated_on(make_folder: Make) -> None:
    root = make_folder(parts={"train": 3}, classes=NAMES[:4])
    make_folder(parts={"test": 2}, classes=NAMES[6:])
    other = make_folder("other", parts={"held": 2}, classes=NAMES[4:6]) / "held"
    data = load(root, validation=str(other))
    assert data.classes == NAMES[:4], "all are trained on"
    assert data.validation.labels.tolist() == [4, 4, 5, 5]
    fails(root, "it holds the test images, which no search sees", validation=str(root / "test"))
    fails(root, "these are the training images", validation=str(root / "train"))
    fails(root, "no such folder; allowed: a share", validation=str(root / "nowhere"))
    shutil.copytree(other / NAMES[4], other / NAMES[0])
    fails(root, "identity 'person a' is in the training images, too", validation=str(other))


def test_the_cache_keeps_cameras_and_queries(make_folder: Make, tmp_path: Path) -> None:
    root = make_folder(parts={"train": 3}, classes=NAMES)

    def cached(place: Path, reading: Reading = IDENTITIES) -> Path:
        return cached_data(f"folder:{place}", 16, validation=0.25, seed=0, reading=reading)

    mapped, loaded = open_data(cached(root)), load(root)
    assert mapped.annotated == "identities" and mapped.classes == loaded.classes
    assert about(mapped.validation) == about(loaded.validation)
    shutil.copytree(root, tmp_path / "fresh")
    assert cached(tmp_path / "fresh") == cached(root)
    labels = cached(root, Reading("stretch"))
    assert labels != cached(root) and not same_images(labels, cached(root))
    assert open_data(labels).validation.annotations is None


def picture(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 4), len(list(folder.iterdir())), dtype=np.uint8)).save(
        folder / name
    )


@pytest.fixture
def market(tmp_path: Path) -> Path:
    root = tmp_path / "Market-1501-v15.09.15"
    for identity in range(2, 10):
        for camera in (1, 2, 3):
            for frame in (1, 2):
                name = f"{identity:04}_c{camera}s1_{frame:06}_00.jpg"
                picture(root / "bounding_box_train", name)
    picture(root / "query", "0001_c1s1_000001_00.jpg")
    for name in ("0001_c1s1_2_01", "0001_c4s1_3_01", "0000_c2s1_4_01", "-1_c1s1_5_01"):
        picture(root / "bounding_box_test", f"{name}.jpg")
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"")
    return root


def test_market_names_say_identity_and_camera(market: Path) -> None:
    data = load(market, "market1501")
    assert guess_annotated(f"market1501:{market}") == "identities"
    assert (len(data.classes), len(data.train)) == (6, 36)
    rows = about(data.validation)
    assert {row[1] for row in rows} == {1, 2, 3}
    for identity in (6, 7):
        asking = [row[1] for row in rows if row[0] == identity and row[2]]
        assert asking == [1, 2, 3], "one query of each identity and camera"


def test_market_s_gallery_keeps_distractors_and_leaves_junk(market: Path) -> None:
    told: list[str] = []
    split = open_test(f"market1501:{market.parent}", 16, reading=IDENTITIES, note=told.append)
    assert about(split) == [(0, 1, 1), (-1, 2, 0), (0, 1, 0), (0, 4, 0)]
    assert told[0].startswith(f"left out of {market}/bounding_box_test: 1 .db, 1 of junk (-1);")


def test_wrong_market_folders_are_one_line(market: Path, tmp_path: Path) -> None:
    picture(market / "bounding_box_train", "stranger.jpg")
    fails(market, "stranger.jpg is not named as in Market-1501: IDENTITY_cCAMERA", "market1501")
    shutil.rmtree(market / "query")
    fails(market, "it has no query; needed: bounding_box_train, query, bou", "market1501")
    with pytest.raises(SpecError, match="have identities, and no labels; what fits: --task retr"):
        load_data(f"market1501:{market}", 16, validation=0.2, seed=0)


def test_names_of_market_s_kind_give_cameras_in_class_folders_too(tmp_path: Path) -> None:
    root = tmp_path / "reid"
    for identity in range(8):
        for camera in (1, 2):
            for frame in range(2):
                name = f"{identity:04}_c{camera}s1_{frame}.png"
                picture(root / "train" / f"{identity:04}", name)
    assert load(root).train.targets[:4].tolist() == [[1, 0], [1, 0], [2, 0], [2, 0]]
