"""Which objects of files are told apart, and what of them is left out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.boxes import BoxNumbering, Objects
from nas.data.images import Images
from nas.data.reading import Merging

NAMES = {0: "cat", 1: "dog", 2: "car"}


def objects(*named: tuple[str, float, float, float, float], crowd: tuple[int, ...] = ()) -> Objects:
    boxes = np.array([box for _, *box in named], dtype=np.float64).reshape(-1, 4)
    return Objects(
        tuple(name for name, *_ in named), boxes, Size(10, 20),
        np.isin(np.arange(len(named)), crowd),
    )  # fmt: skip


def images(*given: Objects, merging: Merging = ()) -> Images:
    return BoxNumbering.of(NAMES, merging, "x").images(
        lambda row: Image.new("RGB", (20, 10)), lambda row: f"image {row}", given,
        lambda row: f"boxes of {row}",
    )  # fmt: skip


def test_an_image_without_objects_has_a_class_behind_all() -> None:
    found = images(
        objects(("cat", 0, 0, 5, 5), ("dog", 0, 0, 5, 5)),
        objects(("cat", 1, 0, 5, 5)),
        objects(),
        objects(("car", 0, 0, 9, 9), crowd=(0,)),
    )
    assert found.labels.tolist() == [1, 0, 3, 3], "the rarest; a crowd is no object"
    assert found.boxes is not None and found.boxes.most == 2
    assert found.boxes.of[3].tolist() == [[0, 0, 9, 9, 2, 1, 81]]
    assert found.boxes.of[2].shape == (0, 7) and found.notes == ()


def test_classes_are_merged_and_dropped() -> None:
    merging = (("animal", ("cat", "dog")),)
    found = images(objects(("dog", 0, 0, 5, 5), ("car", 1, 1, 4, 4)), objects(), merging=merging)
    assert found.boxes is not None
    assert [boxes[:, 4].tolist() for boxes in found.boxes.of] == [[0], []]
    assert found.labels.tolist() == [0, 1]
    rest = BoxNumbering.of(NAMES, (("car", ("car",)), ("rest", ("*",))), "x")
    assert rest.classes == ("car", "rest") and rest.numbers == {"car": 0, "cat": 1, "dog": 1}
    with pytest.raises(SpecError, match="'bird' is no class of data 'x'; allowed: cat, dog, car"):
        images(objects(), merging=(("a", ("bird",)),))


def test_what_is_not_there_and_what_is_there_twice_is_left_out_and_said() -> None:
    found = images(
        objects(("cat", 0, 0, 5, 5), ("cat", 30, 0, 40, 5), ("dog", 3, 3, 3, 8)),
        objects(("cat", -5, -5, 40, 40), ("cat", 1, 1, 2, 2), ("dog", 1, 1, 2, 2)),
        objects(("cat", 1, 1, 2, 2), ("cat", 1, 1, 2, 2), ("dog", 0, 10, 9, 12)),
    )
    assert found.boxes is not None
    assert [len(boxes) for boxes in found.boxes.of] == [1, 3, 1]
    assert found.boxes.of[1][0, :4].tolist() == [-5, -5, 40, 40], "clipped when it is resized"
    assert found.notes == (
        "left out: 3 boxes outside their image or without area; the first in boxes of 0",
        "left out: 1 box that is there twice; the first in boxes of 2",
    )
    kept = found.only(np.array([2, 1]))
    assert kept.boxes is not None and kept.boxes.called(0) == "boxes of 2"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            ("cta", 0, 0, 1, 1),
            "boxes of 0: class 'cta' is not among those of the data: cat, ",
        ),
        (("cat", 5, 0, 1, 1), "boxes of 0: 5, 0, 1, 1 is no box; needed are its left, upper"),
        (("cat", 0, float("nan"), 1, 1), "boxes of 0: 0, nan, 1, 1 is no box"),
    ],
)
def test_what_is_no_box_is_one_line(
    named: tuple[str, float, float, float, float], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        images(objects(named))
    assert "\n" not in str(caught.value)


def test_without_classes_nothing_can_be_told() -> None:
    with pytest.raises(SpecError, match="data 'x': no class of boxes; at least 1 is needed"):
        BoxNumbering.of({}, (), "x")
