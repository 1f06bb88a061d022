from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.runs.beside_weights import compare_with_images
from nas.spec.architecture import Architecture
from nas.spec.proxy import Backbone

CLASSES = ("bee", "cat", "dog", "elk")
PLAIN = Architecture("mobilenetv2_035", 32)


def heard(folder: Path, *plains: Architecture, classes: tuple[str, ...] = CLASSES) -> list[str]:
    backbone = Backbone(weights=str(folder / "weights.safetensors"))
    return compare_with_images(backbone, plains or (PLAIN,), classes)


def test_nothing_is_said_where_nothing_stands_beside(tmp_path: Path) -> None:
    assert heard(tmp_path) == []
    assert compare_with_images(Backbone(), (PLAIN,), CLASSES) == []


def test_the_same_classes_in_the_same_order_are_fine(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("bee\ncat\ndog\nelk\n")
    assert heard(tmp_path) == []
    assert heard(tmp_path, classes=CLASSES[:3]) == []  # the head is replaced


def test_the_same_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\nbee\ndog\nelk\n")
    with pytest.raises(SpecError, match="in another order .cat, bee, dog, ...; images: bee, cat"):
        heard(tmp_path)


def test_other_classes_of_the_same_number_are_said(tmp_path: Path) -> None:
    config = {"pretrained_cfg": {"label_names": ["a", "b", "c", "d"]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (note,) = heard(tmp_path)
    assert note.startswith("the weights name other classes (a, b, c, ...) than the images (bee,")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessing.json", {"size": [64, 48]}),
        ("config.json", {"pretrained_cfg": {"input_size": [3, 64, 48]}}),
    ],
)
def test_another_size_is_said_with_how_to_take_it(
    name: str, content: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    (note,) = heard(tmp_path)
    assert "images of 64x48, and networks here read 32x32" in note
    assert '`resolutions: ["64x48"]`' in note
    assert heard(tmp_path, Architecture("mobilenetv2_035", "64x48")) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"size": 3}', '{"size": [0, "x"]}', ""])
def test_what_is_of_another_program_says_nothing(content: str, tmp_path: Path) -> None:
    for name in ("preprocessing.json", "config.json"):
        (tmp_path / name).write_text(content)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    assert heard(tmp_path) == []
