from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nas.base.errors import SpecError
from nas.data import cached_data, load_data, open_data, open_test

CODE = """
import numpy as np
from PIL import Image

GREY = np.arange(8, dtype=np.uint8)[:, None, None].repeat(6, 1).repeat(4, 2)
COLOUR = np.stack([GREY] * 3, axis=-1)
PICTURES = [Image.fromarray(pixels) for pixels in GREY]
NAMES = ["cat", "ant"] * 4

def grey(): return GREY, [3, 5] * 4
def colour(): return COLOUR, np.array([0, 1] * 4)
def pictures(): return PICTURES, NAMES
def two(): return (COLOUR, NAMES), (GREY[:2], ["cat", "ant"])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's own in the working directory, called my_images."""
    path = tmp_path / "my_images.py"
    path.write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "my_images", raising=False)
    yield path
    sys.modules.pop("my_images", None)


@pytest.mark.parametrize(
    ("function", "classes"),
    [("grey", ("3", "5")), ("colour", ("0", "1")), ("pictures", ("ant", "cat"))],
)
def test_images_come_from_a_function(module: Path, function: str, classes: tuple[str, ...]) -> None:
    data = load_data(f"my_images:{function}", 4, validation=0.25, seed=0)
    assert data.classes == classes
    assert (len(data.train), len(data.validation)) == (6, 2)
    rows = data.train.images[:, 0, 0, 0].long()
    first = 1 if function == "pictures" else 0  # "cat" stands first and is the second class
    assert torch.equal(data.train.labels, (rows + first) % 2)


def test_it_may_bring_validation_images(module: Path) -> None:
    data = load_data("my_images:two", 4, validation=0.25, seed=0)
    assert (len(data.train), len(data.validation)) == (8, 2)
    assert data.validation.labels.tolist() == [1, 0]


def test_it_is_decoded_again_when_what_it_returns_has_changed(module: Path) -> None:
    def cached() -> Path:
        sys.modules.pop("my_images", None)
        return cached_data("my_images:pictures", 4, validation=0.25, seed=0)

    first = cached()
    assert open_data(first).classes == ("ant", "cat")
    assert cached() == first
    module.write_text(CODE.replace("GREY = np", "GREY = 1 + np"))
    changed = cached()
    assert changed != first
    module.write_text(CODE.replace('"ant"]', '"bee"]'))
    assert cached() not in {first, changed}


def test_it_brings_no_test_part(module: Path) -> None:
    with pytest.raises(SpecError, match="'my_images:two' brings no test part; these do: digits"):
        open_test("my_images:two", 4)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no\\nsuch disk')", r"ValueError: no \(.*my_images.py, line 15\)$"),
        ("return None", "it returned NoneType; allowed: .images, labels."),
        ("return COLOUR", r"it returned uint8 \(8, 6, 4, 3\); allowed"),
        ("return COLOUR, NAMES, NAMES", r"it returned a tuple of 3 .*; allowed"),
        ("return (COLOUR, NAMES), COLOUR", "it returned a tuple of 2 .ndarray, tuple.; allowed"),
        ("return COLOUR / 255.0, NAMES", r"images are float64 \(8, 6, 4, 3\); allowed: .*uint8"),
        ("return COLOUR[..., :2], NAMES", r"images are uint8 \(8, 6, 4, 2\)"),
        ("return COLOUR[:, :0], NAMES", r"images are uint8 \(8, 0, 4, 3\)"),
        ("return list(GREY), NAMES", "images are a list of 8 .ndarray.; allowed: .*PIL images"),
        ("return COLOUR, 'cat'", "labels are str; allowed: a list or an array"),
        ("return COLOUR, NAMES[:5]", "8 images and 5 labels; one for each"),
        ("return [], []", "0 images and 0 labels"),
        ("return COLOUR, [0.0] * 8", r"label 0.0 \(float\)"),
        ("return COLOUR, ['a'] * 8", "1 class; at least 2"),
        ("return COLOUR, ['a'] * 7 + ['b']", "class 'b' has 1 image; every class needs at least 2"),
        ("return (COLOUR, NAMES), (GREY, ['dog'] * 8)", "validation.*'dog' is not in the training"),
    ],
)
def test_what_cannot_be_used_is_said(module: Path, body: str, said: str) -> None:
    module.write_text(CODE + f"\ndef wrong(): {body}\n")
    with pytest.raises(SpecError, match=said) as caught:
        load_data("my_images:wrong", 4, validation=0.25, seed=0)
    assert str(caught.value).startswith("data 'my_images:wrong'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("my_images:nothing", "my_images has no function 'nothing'"),
        ("no_such_module:f", "No module named 'no_such_module'; looked in .* as well"),
        ("my images:f", "allowed: digits, cifar10, folder:PATH, .*module:function"),
    ],
)
def test_a_function_that_is_not_there_is_named(module: Path, source: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_data(source, 4, validation=0.25, seed=0)


def test_a_picture_from_a_damaged_file_is_named(module: Path) -> None:
    body = (
        "\nimport io\n"
        "def wrong():\n"
        "    whole = io.BytesIO()\n"
        "    PICTURES[3].save(whole, 'png')\n"
        "    half = Image.open(io.BytesIO(whole.getvalue()[:-30]))\n"
        "    return [*PICTURES[:7], half], NAMES\n"
    )
    module.write_text(CODE + body)
    with pytest.raises(SpecError, match="image 7 of data 'my_images:wrong' .* cannot be read"):
        load_data("my_images:wrong", 4, validation=0.25, seed=0)


def test_a_file_s_function_is_called_with_the_arguments_in_its_name(tmp_path: Path) -> None:
    file = tmp_path / "some images" / "load-them.py"
    file.parent.mkdir()
    file.write_text(CODE + "\ndef some(count=8): return COLOUR[:count], NAMES[:count]\n")
    whole, some = (
        load_data(f"{file}:some{more}", 4, validation=0.25, seed=0) for more in ("", "(count=4)")
    )
    assert len(whole.train) + len(whole.validation) == 8
    assert len(some.train) + len(some.validation) == 4
    with pytest.raises(SpecError, match=r"unexpected .* 'colour'; it takes: count=8"):
        load_data(f"{file}:some(colour=1)", 4, validation=0.25, seed=0)
