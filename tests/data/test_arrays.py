from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.base.errors import SpecError
from nas.data import cached_data, guess_annotated, load_data, open_test, resolve_source
from nas.data.arrays import write_arrays

GREY = np.arange(8, dtype=np.uint8)[:, None, None].repeat(6, 1).repeat(4, 2)
COLOUR = np.stack([GREY] * 3, axis=-1)
LABELS = [3, 5] * 4


def source(path: Path, **kept: Any) -> str:
    np.savez(path / "images.npz", **kept)
    return f"arrays:{path}/images.npz"


@pytest.mark.parametrize(
    ("labels", "classes"), [(LABELS, ("3", "5")), (["cat", "ant"] * 4, ("ant", "cat"))]
)
@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_images_and_labels_are_read(
    tmp_path: Path, images: Any, labels: Any, classes: tuple[str, ...]
) -> None:
    data = load_data(source(tmp_path, images=images, labels=labels), 4, validation=0.25, seed=0)
    assert data.classes == classes
    assert (len(data.train), len(data.validation)) == (6, 2)
    rows = data.train.images[:, 0, 0, 0].tolist()
    assert [classes[label] for label in data.train.labels] == [str(labels[row]) for row in rows]


def test_classes_keep_the_order_that_a_trained_head_has(tmp_path: Path) -> None:
    named = source(tmp_path, images=GREY, labels=[1, 0] * 4, classes=["shirt", "coat", "bag"])
    data = load_data(named, 4, validation=0.25, seed=0)
    assert data.classes == ("shirt", "coat", "bag"), "one of which no image is"
    odd = data.train.images[:, 0, 0, 0] % 2
    assert data.train.labels.tolist() == (1 - odd.int()).tolist()


def test_images_of_several_sizes_and_all_parts_come_back(tmp_path: Path) -> None:
    sizes = [(6, 4), (3, 9), (5, 5)]
    images = [np.full((*size, 3), number, np.uint8) for number, size in enumerate(sizes)]
    parts: Any = {
        "train": (images * 2, [0, 1, 0, 1, 0, 1]),
        "validation": (COLOUR[:2], [0, 1]),
        "test": (GREY[4:7], [1, 1, 0]),
    }
    write_arrays(tmp_path / "a.npz", parts)
    data = load_data(f"arrays:{tmp_path}/a.npz", 4, validation=0.25, seed=0)
    assert data.train.images[:, 2, 2, 1].tolist() == [0, 1, 2, 0, 1, 2]
    assert data.validation.images[:, 0, 0, 0].tolist() == [0, 1]
    test = open_test(f"arrays:{tmp_path}/a.npz", 4)
    assert test.labels.tolist() == [1, 1, 0]
    assert test.images[:, 0, 0, 0].tolist() == [4, 5, 6]


def test_images_are_known_wherever_their_file_lies(tmp_path: Path) -> None:
    before = source(tmp_path, images=GREY, labels=LABELS)
    first = cached_data(before, 4, validation=0.25, seed=0)
    moved = (tmp_path / "images.npz").rename(tmp_path / "moved.npz")
    assert cached_data(f"arrays:{moved}", 4, validation=0.25, seed=0) == first
    changed = source(tmp_path, images=GREY + 1, labels=LABELS)
    assert cached_data(changed, 4, validation=0.25, seed=0) != first


def test_a_source_of_arrays_is_one_of_labels_and_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert guess_annotated("arrays:a.npz") == "labels"
    assert resolve_source("arrays:a.npz") == f"arrays:{tmp_path.resolve()}/a.npz"


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"images": GREY}, "it has no labels; needed: images"),
        ({"labels": LABELS}, "it has no images; needed"),
        ({"images": GREY / 255.0, "labels": LABELS}, r"images are float64 \(8, 6, 4\); allowed"),
        ({"images": GREY, "labels": LABELS[:5]}, "8 images and 5 labels; one for each"),
        ({"images": GREY, "labels": [0.5] * 8}, r"label 0.5 \(float\)"),
        ({"images": GREY, "labels": [0] * 8}, "1 class; at least 2"),
        ({"images": GREY, "labels": [0, 2] * 4, "classes": ["a", "b"]}, "label 2, and 2 classes"),
        ({"images": GREY, "labels": [0, 1] * 4, "classes": ["a", "a"]}, "class 'a' is there twice"),
        ({"images": COLOUR, "labels": LABELS, "sizes": [[6, 4]] * 8}, "sizes .* do not fit images"),
        ({"images": COLOUR[0, :, 0], "labels": [1], "sizes": [[-2, -3]]}, "do not fit images"),
        ({"images": np.array([object()] * 8), "labels": LABELS}, "images: .*Object arrays"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, kept: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load_data(source(tmp_path, **kept), 4, validation=0.25, seed=0)
    assert str(caught.value).startswith("data 'arrays:") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_none_is_said(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(SpecError, match="a.npz'(: broken, or no| cannot be read)") as caught:
        load_data(f"arrays:{tmp_path}/a.npz", 4, validation=0.25, seed=0)
    # NumPy's own words propose to load pickles without care.
    assert "\n" not in str(caught.value) and "pickle" not in str(caught.value)


def test_one_array_alone_and_no_test_part_are_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GREY)
    with pytest.raises(SpecError, match="it holds one array alone; needed: images"):
        load_data(f"arrays:{tmp_path}/a.npy", 4, validation=0.25, seed=0)
    with pytest.raises(SpecError, match="brings no test part; needed: test_images and test_lab"):
        open_test(source(tmp_path, images=GREY, labels=LABELS), 4)
