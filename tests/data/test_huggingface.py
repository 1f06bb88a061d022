"""A stand-in for the package datasets, with what is used of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.base.errors import SpecError
from nas.data import cached_data, load_data, open_data, open_test
from nas.data.kinds import resolve_source


class FakeImage:
    dtype = "PIL.Image.Image"


class FakeClassLabel:
    dtype = "int64"

    def __init__(self, names: list[str]) -> None:
        self.names = names


class FakeText:
    dtype = "string"


class FakePart:
    def __init__(self, features: dict[str, Any], columns: dict[str, list[Any]], mark: str) -> None:
        self.features, self.columns, self._fingerprint = features, columns, mark

    def select_columns(self, names: list[str]) -> FakePart:
        return FakePart(self.features, {name: self.columns[name] for name in names}, "some")

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        return {name: values[key] for name, values in self.columns.items()}


def picture(level: int) -> Image.Image:
    return Image.fromarray(np.full((6, 4), level, dtype=np.uint8))


def part(count: int, first: int, **columns: list[Any]) -> dict[str, list[Any]]:
    pictures = [picture(first + row) for row in range(count)]
    return {"img": pictures, "label": [row % 2 for row in range(count)], **columns}


FEATURES = {"img": FakeImage(), "label": FakeClassLabel(["cat", "dog"])}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """features and parts may be changed; opened lists the parts that were."""
    found = SimpleNamespace(
        features=dict(FEATURES),
        parts={"train": part(8, 0), "test": part(4, 100)},
        asked=[],
        opened=[],
        mark="1",
    )

    def as_dataset(split: str) -> FakePart:
        found.opened.append(split)
        return FakePart(found.features, found.parts[split], f"{split} {found.mark}")

    def load_dataset_builder(name: str, config: str | None) -> SimpleNamespace:
        found.asked.append((name, config))
        if name == "scripted":
            raise RuntimeError("Dataset scripts are no longer supported, but found scripted.py")
        if name == "no/such":
            raise FileNotFoundError("Dataset 'no/such' doesn't exist\non the Hub")
        return SimpleNamespace(
            download_and_prepare=lambda: None,
            as_dataset=as_dataset,
            info=SimpleNamespace(splits=found.parts),
        )

    fake = SimpleNamespace(
        load_dataset_builder=load_dataset_builder, Image=FakeImage, ClassLabel=FakeClassLabel
    )
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return found


def fails(source: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load_data(source, 4, validation=0.25, seed=0)
    assert "\n" not in str(caught.value)


def test_images_and_labels_are_found_by_their_types(hub: SimpleNamespace) -> None:
    data = load_data("hf:some/pets:small", 4, validation=0.25, seed=0)
    assert hub.asked == [("some/pets", "small")]
    assert hub.opened == ["train"]
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation), data.mirror) == (6, 2, True)
    levels = data.train.images[:, 0, 0, 0].long()
    assert (data.train.labels == levels % 2).all()


def test_its_validation_and_test_parts_are_used_as_they_are(hub: SimpleNamespace) -> None:
    hub.parts["validation"] = part(2, 50)
    data = load_data("hf:some/pets,mirror=no", 4, validation=0.25, seed=0)
    assert (len(data.train), len(data.validation), data.mirror) == (8, 2, False)
    assert "test" not in hub.opened
    test = open_test("hf:some/pets", 4)
    assert test.images[:, 0, 0, 0].tolist() == [100, 101, 102, 103]
    del hub.parts["test"]
    with pytest.raises(SpecError, match="has no test part; its parts: train, validation"):
        open_test("hf:some/pets", 4)


def test_what_was_downloaded_anew_is_decoded_anew(hub: SimpleNamespace) -> None:
    first = cached_data("hf:some/pets", 4, validation=0.25, seed=0)
    assert cached_data("hf:some/pets", 4, validation=0.25, seed=0) == first
    hub.mark = "2"
    assert cached_data("hf:some/pets", 4, validation=0.25, seed=0) != first
    assert open_data(first).classes == ("cat", "dog")


def test_columns_are_chosen_where_there_are_several(hub: SimpleNamespace) -> None:
    hub.features |= {"mask": FakeImage(), "breed": FakeClassLabel(["a", "b", "c"])}
    for name in hub.parts:
        count = len(hub.parts[name]["img"])
        masks = [picture(200)] * count
        hub.parts[name] |= {"mask": masks, "breed": [row % 3 for row in range(count)]}
    fails("hf:some/pets", r"training.: 2 image columns \(img, mask\); choose with ,image=COLUMN")
    fails("hf:some/pets,image=img", r"2 label columns \(label, breed\); choose with ,label=COL")
    data = load_data("hf:some/pets,image=mask,label=breed", 4, validation=0.25, seed=0)
    assert data.classes == ("a", "b", "c")
    assert (data.train.images == 200).all()
    fails("hf:some/pets,image=label", "'label' is no image column; its columns: img .PIL")
    fails("hf:some/pets,image=img,label=nothing", "'nothing' is no label column")


def test_texts_are_labels_when_asked_for(hub: SimpleNamespace) -> None:
    hub.features = {"img": FakeImage(), "kind": FakeText()}
    for columns in hub.parts.values():
        columns["kind"] = [["owl", "emu"][label] for label in columns.pop("label")]
    fails("hf:some/birds", r"no label columns \(img .*, kind \(string\)\); choose with ,label=")
    data = load_data("hf:some/birds,label=kind", 4, validation=0.25, seed=0)
    assert data.classes == ("emu", "owl")
    assert open_test("hf:some/birds,label=kind", 4).labels.tolist() == [1, 0, 1, 0]


def test_missing_images_and_labels_are_named(hub: SimpleNamespace) -> None:
    hub.parts["train"]["img"][3] = None
    fails("hf:some/pets", "image 3 of data 'hf:some/pets' .training. cannot be read .it is miss")
    hub.parts["test"]["label"] = [-1] * 4
    with pytest.raises(SpecError, match="test.: 4 of 4 images have no label"):
        open_test("hf:some/pets", 4)
    hub.parts = {"test": part(4, 0)}
    fails("hf:some/pets", "has no part train; its parts: test")


@pytest.mark.parametrize(
    "source", ["hf::small", "hf:pets,", "hf:pets,colour=red", "hf:pets,label=", "hf:pets,mirror=1"]
)
def test_a_wrong_name_says_what_is_allowed(hub: SimpleNamespace, source: str) -> None:
    fails(source, "allowed: hf:NAME or hf:NAME:CONFIG, then any of image=COLUMN, label=COLUMN")


def test_what_the_hub_says_is_passed_on_in_one_line(hub: SimpleNamespace) -> None:
    fails("hf:no/such", "data 'hf:no/such' cannot be had: Dataset 'no/such' .* exist on the Hub$")


@pytest.mark.parametrize("instead", [None, SimpleNamespace()])
def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, instead: object
) -> None:
    """None makes the import fail; a folder called datasets imports as an empty package."""
    monkeypatch.setitem(sys.modules, "datasets", instead)
    fails("hf:some/pets", r'pip install "attention-nas\[huggingface\]"')


def test_a_script_that_would_have_to_run_is_refused_with_the_way_out(hub: SimpleNamespace) -> None:
    fails("hf:scripted", r"script of its own \(scripted.py\).*save_to_disk.*name hf:FOLDER")


@pytest.mark.usefixtures("hub")
def test_a_folder_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "at 10:30").mkdir()
    assert resolve_source("hf:pets") == f"hf:{tmp_path}/pets"
    assert resolve_source("hf:pets:small,label=x") == f"hf:{tmp_path}/pets:small,label=x"
    assert resolve_source("hf:./at 10:30,mirror=no") == f"hf:{tmp_path}/at 10:30,mirror=no"
    assert resolve_source("hf:some/pets:small") == "hf:some/pets:small"
    assert resolve_source("hf:") == "hf:"


def test_a_colon_in_the_name_of_a_folder_is_no_configuration(
    hub: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "at 10:30").mkdir()
    load_data(f"hf:{tmp_path}/at 10:30", 4, validation=0.25, seed=0)
    assert hub.asked == [(f"{tmp_path}/at 10:30", None)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("style", ["saved", "saved by datasets 1", "parquet alone"])
def test_folders_of_every_style_are_read(
    style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real package, as earlier ones kept data and as pandas would write them."""
    datasets = pytest.importorskip("datasets", reason='pip install "attention-nas[huggingface]"')
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    file = tmp_path / "one.png"
    picture(7).save(file)
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    encoded = {
        "image": [{"bytes": file.read_bytes(), "path": None}] * 8,
        "label": [row % 2 for row in range(8)],
    }
    folder = tmp_path / "pets"
    if style == "parquet alone":
        folder.mkdir()
        pyarrow = pytest.importorskip("pyarrow")
        pyarrow.parquet.write_table(pyarrow.table(encoded), folder / "train.parquet")
    else:
        part = datasets.Dataset.from_dict(encoded, features=kinds)
        datasets.DatasetDict(train=part).save_to_disk(str(folder))
    if style == "saved by datasets 1":
        (folder / "train" / "data-00000-of-00001.arrow").rename(folder / "train" / "dataset.arrow")
        state = json.loads((folder / "train" / "state.json").read_text())
        state |= {"_data_files": [{"filename": "dataset.arrow"}], "_indices_data_files": None}
        (folder / "train" / "state.json").write_text(json.dumps(state))
    options = ",label=label" if style == "parquet alone" else ""
    data = load_data(f"hf:{folder}{options}", 4, validation=0.25, seed=0)
    assert len(data.classes) == 2 and (len(data.train), len(data.validation)) == (6, 2)
