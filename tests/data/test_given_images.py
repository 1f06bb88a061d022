from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from nas.base.errors import SpecError
from nas.data.given_images import class_names, in_parts

PIXELS = np.arange(4 * 6 * 5 * 3, dtype=np.int64).reshape(4, 6, 5, 3) % 256
COLOUR = PIXELS.astype(np.uint8)
LABELS = [0, 1, 0, 1]
CHANNELS_FIRST = torch.from_numpy(COLOUR).permute(0, 3, 1, 2)
PICTURES = [Image.fromarray(image) for image in COLOUR]


class Items(Dataset[Any]):
    classes = ["cat", "ant"]

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        if isinstance(self.items[number], Exception):
            raise self.items[number]
        return self.items[number]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        raise AssertionError("not asked for")


@pytest.mark.parametrize(
    "data",
    [
        (COLOUR, LABELS),
        (COLOUR / 255.0, np.array(LABELS)),
        (PIXELS, torch.tensor(LABELS)),
        (CHANNELS_FIRST, tuple(LABELS)),
        (CHANNELS_FIRST / 255, LABELS),
        (PICTURES, LABELS),
        (list(COLOUR), LABELS),
        TensorDataset(CHANNELS_FIRST / 255, torch.tensor(LABELS)),
        Items(list(zip(PICTURES, LABELS, strict=True))),
        Items([[image, np.int64(label)] for image, label in zip(COLOUR, LABELS, strict=True)]),
    ],
    ids=lambda data: type(data).__name__,
)
def test_every_form_of_images_comes_to_the_same(data: Any) -> None:
    images, labels = in_parts(data)["train"]
    assert images.dtype == np.uint8 and (images == COLOUR).all()
    assert list(labels) == LABELS


def test_grey_images_stay_grey_and_sizes_may_differ() -> None:
    grey = COLOUR[..., 0]
    for images in (grey, grey[..., None], grey[:, None]):
        assert (in_parts((images, LABELS))["train"][0] == grey).all()
    several = [Image.new("L", (3, 2), 9), *PICTURES[:3]]
    images, _ = in_parts((several, LABELS))["train"]
    assert [image.shape for image in images] == [(2, 3, 3), *[(6, 5, 3)] * 3]


def test_parts_stand_in_a_tuple() -> None:
    pair, items = (COLOUR, LABELS), Items(list(zip(PICTURES, LABELS, strict=True)))
    assert list(in_parts((pair, pair))) == ["train", "validation"]
    assert list(in_parts((items, pair, items))) == ["train", "validation", "test"]
    assert class_names((items, pair)) == class_names(items) == ("cat", "ant")
    assert class_names(pair) is None
    items.classes = ["cat", "cat"]
    assert class_names(items) is None, "no names that tell classes apart"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (7, "data: found int; allowed: a text"),
        (None, "data: found NoneType"),
        (COLOUR, r"data: found uint8 \(4, 6, 5, 3\); allowed"),
        ((COLOUR, LABELS, LABELS), "data: found a tuple of 3"),
        ((COLOUR[0], LABELS), "6 images and 4 labels; one for each"),
        ((COLOUR[..., :2], LABELS), r"images are uint8 \(4, 6, 5, 2\); allowed"),
        ((COLOUR / 9.0, LABELS), "values from 0 to 28.3333; .*divide by the largest"),
        ((CHANNELS_FIRST / 255 - 0.5, LABELS), "values from -0.5 to 0.5; .*leave out Normalize"),
        ((PIXELS * 2, LABELS), "values from 0 to 510"),
        ((np.full((4, 6, 5), np.nan), LABELS), "some values are not finite"),
        ((np.full((4, 6, 5), np.inf), LABELS), "some values are not finite"),
        ((COLOUR.astype(str), LABELS), "images are <U"),
        ((["a.png"] * 4, LABELS), "image 0 of data is str; allowed: a PIL image"),
        ((COLOUR, [[0, 1]] * 4), r"labels are int64 \(4, 2\); allowed: one for each"),
        ((COLOUR, [0.5] * 4), r"labels are float64 \(4,\)"),
        (Endless(), "found Endless, which has no length; give a Dataset that has"),
        (Items([(PICTURES[0], 0), PICTURES[1]]), "item 1 of data: found Image; allowed"),
        (Items([{"image": 1, "label": 2}]), r"item 0 of data: found \['image', 'label'\]"),
        (Items([(PICTURES[0], 0), OSError("disk\ngone")]), "item 1 of data: OSError: disk$"),
        (((COLOUR, LABELS), (COLOUR, [0.5] * 4)), r"data \(validation\): labels are float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_used_is_said_in_a_line(data: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        in_parts(data)
    assert "\n" not in str(caught.value)


def test_more_than_memory_holds_is_said_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.given_images.available_memory", lambda: 3 * COLOUR[0].nbytes)
    items = Items([*zip(PICTURES[:2], LABELS[:2], strict=True), RuntimeError("not asked for")])
    with pytest.raises(SpecError, match="the first 2 images take .*data='folder:PATH'"):
        in_parts(items)
