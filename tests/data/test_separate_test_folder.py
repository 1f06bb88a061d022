"""A folder of test images that was named beside the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.data import Annotated, Reading, cached_data, open_test

Draw = Callable[..., None]


def reading(annotated: Annotated, test: Path) -> Reading:
    return Reading("stretch", annotated=annotated, test=str(test))


def draw_classes(folder: Path, classes: int, images: int, first: int, name: str = "class") -> None:
    """Write grey images whose level tells them apart."""
    for number in range(classes):
        (folder / f"{name}-{number}").mkdir(parents=True)
        for image in range(images):
            level = first + 10 * number + image
            Image.new("L", (12, 12), level).save(folder / f"{name}-{number}" / f"{image}.png")


def test_labels_are_numbered_as_the_training_images_are(tmp_path: Path) -> None:
    draw_classes(tmp_path / "data" / "train", 3, 4, 0)
    draw_classes(tmp_path / "apart", 3, 2, 100)
    source = f"folder:{tmp_path / 'data'}"
    test = open_test(source, 12, reading=reading("labels", tmp_path / "apart"))
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [int(level) for level in test.images[:, 0, 0, 0]] == [100, 101, 110, 111, 120, 121]


def test_masks_and_identities_have_one_too(tmp_path: Path, draw_pairs: Draw) -> None:
    ten = {str(number): [0, 1 + number % 2] for number in range(10)}
    draw_pairs(tmp_path / "data" / "train" / "images", tmp_path / "data" / "train" / "masks", ten)
    draw_pairs(tmp_path / "apart" / "images", tmp_path / "apart" / "masks", {"x": [0, 2]})
    source = f"folder:{tmp_path / 'data'}"
    masks = open_test(source, 12, reading=reading("masks", tmp_path / "apart"))
    assert masks.annotations is not None and masks.annotations.unique().tolist() == [0, 2]

    draw_classes(tmp_path / "people" / "train", 6, 4, 0)
    draw_classes(tmp_path / "others", 3, 3, 100, "other")
    source = f"folder:{tmp_path / 'people'}"
    people = open_test(source, 12, reading=reading("identities", tmp_path / "others"))
    assert len(people) == 9 and people.annotations is not None
    assert int(people.annotations[:, 1].sum()) == 3, "one query of each"


def test_the_training_images_are_no_test_part(tmp_path: Path) -> None:
    draw_classes(tmp_path / "data" / "train", 3, 4, 0)
    source = f"folder:{tmp_path / 'data'}"
    with pytest.raises(SpecError, match="these are the training images; name a folder of others"):
        open_test(source, 12, reading=reading("labels", tmp_path / "data" / "train"))
    with pytest.raises(SpecError, match="no such folder|no folder"):
        open_test(source, 12, reading=reading("labels", tmp_path / "nowhere"))


@pytest.mark.parametrize("annotated", get_args(Annotated))
def test_no_folder_is_both_validated_and_tested_on(
    annotated: Annotated, tmp_path: Path, draw_pairs: Draw
) -> None:
    data, held = tmp_path / "data", tmp_path / "held"
    if annotated == "masks":
        draw_pairs(data / "train" / "images", data / "train" / "masks", {"a": [0, 1], "b": [1, 0]})
        draw_pairs(held / "images", held / "masks", {"c": [0, 1]})
    else:
        draw_classes(data / "train", 4, 4, 0)
        draw_classes(held, 4, 4, 100)
    with pytest.raises(SpecError, match="is the test part, too"):
        cached_data(
            f"folder:{data}",
            12,
            validation=str(held),
            seed=0,
            reading=reading(annotated, held),
        )


def test_where_images_lie_does_not_matter(tmp_path: Path) -> None:
    draw_classes(tmp_path / "data" / "train", 3, 4, 0)
    draw_classes(tmp_path / "one", 3, 2, 100)
    draw_classes(tmp_path / "two", 3, 2, 100)
    source = f"folder:{tmp_path / 'data'}"
    first, second = (
        open_test(source, 12, reading=reading("labels", tmp_path / name)) for name in ("one", "two")
    )
    assert np.array_equal(first.images.numpy(), second.images.numpy())
