from __future__ import annotations

from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.data import (
    DATA,
    Annotated,
    Reading,
    guess_annotated,
    load_data,
    open_test,
    resolve_source,
)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mnist", "allowed: digits, cifar10, folder:PATH, .*svhn, hf:NAME, .*, module:function"),
        ("folder:", "allowed: digits, cifar10, folder:PATH"),
        ("folder", "allowed: digits, cifar10, folder:PATH"),
        ("digits:x", "allowed: digits, cifar10, folder:PATH"),
        ("foldr:/x", "allowed: digits, cifar10, folder:PATH"),
        ("", "allowed: digits, cifar10, folder:PATH"),
        ("folder:/nowhere/at/all", "no such folder"),
        ("folder:~nobody-of-this-name/all", "~nobody-of-this-name/all: no such folder"),
        ("~nobody-of-this-name/all", "allowed: digits, cifar10, folder:PATH"),
    ],
)
def test_wrong_source_is_said(source: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load_data(source, 16, validation=0.2, seed=0)
    assert "\n" not in str(caught.value)


def test_a_folder_without_its_kind_is_told_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=f"'{tmp_path}' is a folder; write folder:{tmp_path}$"):
        load_data(str(tmp_path), 16, validation=0.2, seed=0)


def test_a_path_is_made_absolute_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_source("folder:images") == f"folder:{tmp_path.resolve()}/images"
    assert resolve_source("imagenet:.") == f"imagenet:{tmp_path.resolve()}"
    assert resolve_source("own images/load.py:f(a=1)") == f"{tmp_path}/own images/load.py:f(a=1)"
    for source in ("digits", "hf:a/b:c", "module:function", "folder:", "unknown"):
        assert resolve_source(source) == source


def test_which_kinds_bring_a_test_part() -> None:
    assert all(kind.has_test for kind in DATA.values())
    with pytest.raises(SpecError, match="'my:images' brings no test part; these do: digits, cifar"):
        open_test("my:images", 16)


@pytest.mark.parametrize(
    ("source", "annotated"),
    [
        ("digits", None),
        ("cifar10", "labels"),
        ("imagenet:/nowhere", "labels"),
        ("hf:beans", "labels"),
        ("my:images", "labels"),
        ("folder:/nowhere", None),
        ("voc:/nowhere", "masks"),
        ("coco:a,b.json", "masks"),
        ("yolo:data.yaml", "boxes"),
        ("market1501:/nowhere", "identities"),
    ],
)
def test_what_images_clearly_are_annotated_with(source: str, annotated: Annotated | None) -> None:
    assert guess_annotated(source) == annotated


@pytest.mark.parametrize(
    ("source", "annotated", "said"),
    [
        ("cifar10", "masks", "have labels, and no masks; what fits: --task classification .for ma"),
        ("hf:beans", "identities", "have labels, and no identities; what fits: --task classifica"),
        ("my:images", "masks", "have labels, and no masks"),
        (
            "voc:/x",
            "labels",
            "have masks or boxes, and no labels; what fits: --task segmentation, ",
        ),
        ("coco:a,b.json", "identities", "have masks or boxes, and no identities"),
        ("market1501:/x", "masks", "have identities, and no masks; what fits: --task retrieval"),
    ],
)
def test_a_task_that_does_not_fit_is_told_which_does(
    source: str, annotated: Annotated, said: str
) -> None:
    reading = Reading(annotated=annotated)
    for read in (
        lambda: load_data(source, 16, validation=0.2, seed=0, annotated=annotated),
        lambda: open_test(source, 16, reading=reading),
    ):
        with pytest.raises(SpecError, match=said) as caught:
            read()
        assert "\n" not in str(caught.value)
