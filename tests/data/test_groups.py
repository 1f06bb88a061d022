"""Images that are not cut apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.base.errors import SpecError
from nas.data import cached_data, load_data
from nas.data.dataset import split_groups

Make = Callable[..., Path]


@pytest.fixture
def films(make_folder: Make) -> Path:
    """Two classes of twelve frames, three of each film."""
    root = make_folder(parts={"train": 12})
    lines = [f"{name}/{frame}.png,{name}{frame // 3}" for name in "ab" for frame in range(12)]
    (root / "groups.csv").write_text("\n".join(lines))
    return root


def levels(images: np.ndarray) -> list[int]:
    return sorted(int(image[0, 0, 0]) for image in images)


def test_frames_of_a_film_are_in_one_part(films: Path) -> None:
    data = load_data(f"folder:{films}", 8, validation=0.25, seed=0)
    held = levels(data.validation.images.numpy())
    assert np.bincount(data.validation.labels).tolist() == [3, 3], "a film of each class"
    for first in (held[0], held[3]):
        assert (first - 40) % 150 % 3 == 0, "from its first frame on"
    assert held == [held[0] + number for number in range(3)] + [
        held[3] + number for number in range(3)
    ]


def test_groups_are_part_of_what_images_are(films: Path) -> None:
    def name() -> str:
        return cached_data(f"folder:{films}", 8, validation=0.25, seed=0).name

    first, path = name(), films / "groups.csv"
    path.write_text("image,group\n" + path.read_text().replace(",a0", ",first"))
    assert name() != first
    text = path.read_text().replace(",", " ")
    path.unlink()
    without = name()
    (films / "groups.txt").write_text(text)
    assert name() not in {first, without}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a/0.png", "groups.csv, line 1: 1 values; needed: an image and its group"),
        ("\na/0.png,x\n\na/1.png", "groups.csv, line 4: 1 values; needed: an image and its group"),
        ("a/0.png,x\na/0.png,y", "line 2: a/0.png is in 'x' and 'y'; an image is in one group"),
        ("a/0.png," + "x" * 200_000, "groups.csv, line 1: field larger than field limit"),
        ("a/0.png,x", r"image .*train/a/1.png has no group in .*: a line train/a/1.png,GROUP"),
        ("", "has no group"),
    ],
)
def test_wrong_groups_are_one_line(films: Path, text: str, said: str) -> None:
    (films / "groups.csv").write_text(text)
    with pytest.raises(SpecError, match=said):
        load_data(f"folder:{films}", 8, validation=0.25, seed=0)


def test_a_class_in_one_group_cannot_be_in_both_parts(films: Path) -> None:
    lines = [f"{name}/{frame}.png,{name}" for name in "ab" for frame in range(12)]
    (films / "groups.csv").write_text("\n".join(lines))
    with pytest.raises(SpecError, match="class '[ab]' has too few groups to be in training, too"):
        load_data(f"folder:{films}", 8, validation=0.25, seed=0)


def test_groups_are_divided_by_share_and_class() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(1, 20, 60))
    labels = rng.integers(0, 3, len(groups))
    first, second = split_groups(labels, groups, 0.8, seed=1)
    assert not {*groups[first]} & {*groups[second]}
    assert sorted([*first, *second]) == list(range(len(labels)))
    shares = np.bincount(labels[second]) / np.bincount(labels)
    assert (abs(shares - 0.2) < 0.05).all()
    again = split_groups(labels, groups, 0.8, seed=1)
    assert (again[1] == second).all()
    assert {*split_groups(labels, groups, 0.8, seed=2)[1]} != {*second}
    for share in (0.001, 0.999):
        assert all(len(part) for part in split_groups(labels, groups, share, seed=0))
    with pytest.raises(SpecError, match="all images are of one group"):
        split_groups(labels, np.zeros_like(groups), 0.8, seed=0)


def test_many_groups_are_divided_as_few_are() -> None:
    """As by the sums of all that was taken before, however many that is."""
    groups = np.repeat(np.arange(20_000), 2)
    labels = np.arange(40_000) % 4
    kept, held = split_groups(labels, groups, 0.8, seed=0)
    assert not set(groups[kept]) & set(groups[held])
    assert np.bincount(labels[held]).tolist() == pytest.approx([2000] * 4, abs=2)
