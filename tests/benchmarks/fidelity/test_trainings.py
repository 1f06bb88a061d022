"""Trainings of the truth: what is stopped goes on, and what has changed since is not mixed in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.fidelity import trainings, truth
from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape, TruthRow
from benchmarks.fidelity.trainings import Images, append, check_unchanged, finish, rows_of
from nas.base.errors import SpecError

L1 = LANDSCAPES["L1"]
ROW = TruthRow("coord at 0", 0, 2)
SAVED = [2, 5, 8]  # steps, of which an epoch has four


def photos(folder: Path, bright: int = 180) -> str:
    """Write 320 dark and as many bright photos of 16 px, and test images that cannot be read."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", bright)):
        (folder / "train" / name).mkdir(parents=True)
        (folder / "test" / name).mkdir(parents=True)
        for number in range(320):
            pixels = (level + rng.normal(0, 40, (16, 16, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "train" / name / f"{number}.png")
        (folder / "test" / name / "0.png").write_text("not opened")
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(photos(tmp_path_factory.mktemp("photos")), L1)


@pytest.fixture(scope="module")
def uninterrupted(images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finish(L1, images, truth.job_of(L1, ROW), tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def saved_every_second_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        trainings,
        "_stops",
        lambda training: (step for step in SAVED if step > training.step),
    )


@pytest.mark.parametrize("saves", [0, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_killed_around_a_save_comes_to_the_same_row(
    images: Images,
    uninterrupted: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saves: int,
    when: str,
) -> None:
    save, done = trainings.save_weights, []

    def killed(path: Path, state: dict[str, torch.Tensor]) -> None:
        if len(done) == saves and when == "before":
            raise KeyboardInterrupt
        save(path, state)
        done.append(path)
        if len(done) > saves:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainings, "save_weights", killed)
    with pytest.raises(KeyboardInterrupt):
        finish(L1, images, truth.job_of(L1, ROW), tmp_path)
    steps: list[float] = []
    run = trainings.Training.run
    monkeypatch.setattr(trainings, "save_weights", save)
    monkeypatch.setattr(
        trainings.Training, "run", lambda self, until: (steps.append(until), run(self, until))[1]
    )
    assert finish(L1, images, truth.job_of(L1, ROW), tmp_path) == uninterrupted
    # Behind the first three steps, by which a change of code shows, nothing is trained twice.
    assert steps[3:] == SAVED[len(done) :]
    assert not list(tmp_path.iterdir())


def test_a_row_of_another_recipe_or_of_other_images_is_refused(
    images: Images, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    job = truth.job_of(L1, ROW)
    row = json.loads(json.dumps(uninterrupted))
    check_unchanged(L1, images, row, job)
    with pytest.raises(SpecError, match="coord at 0: its row has another recipe"):
        check_unchanged(replace(L1, learning_rate=0.2), images, row, job)
    others = Images(photos(tmp_path / "others", bright=90), L1)
    with pytest.raises(SpecError, match="other images or another code of the network"):
        check_unchanged(L1, others, row, job)


def test_networks_are_judged_by_images_that_nothing_else_sees(images: Images) -> None:
    seen = {
        name: {image.tobytes() for image in part.images.numpy()}
        for name, part in (
            ("train", images.proxies.train),
            ("proxies", images.proxies.validation),
            ("judges", images.judges.validation),
        )
    }
    assert {name: len(those) for name, those in seen.items()} == {
        "train": 512,
        "proxies": 64,
        "judges": 64,
    }
    assert len(set.union(*seen.values())) == 640


def test_a_row_that_was_cut_off_is_made_again_and_no_other_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.jsonl"
    monkeypatch.setattr(truth, "rows_file", lambda landscape: rows)
    wanted = list(L1.truth())
    for row in wanted[:3]:
        append(rows, {"network": row.network, "repeat": row.repeat, "epochs": row.epochs})
    whole = rows.read_text()
    rows.write_text(whole[:-20])
    assert next(iter(truth._missing(L1, 0, 1))) == wanted[2]
    row = {"network": wanted[2].network, "repeat": 0, "epochs": 15}
    append(rows, row)
    assert rows_of(rows)[-1] == row and len(rows_of(rows)) == 3
    assert list(truth._missing(L1, 0, 1)) == wanted[3:]
    parts = [list(truth._missing(L1, part, 2)) for part in range(2)]
    assert sorted(map(str, [*parts[0], *parts[1]])) == sorted(map(str, wanted[3:]))


@pytest.mark.parametrize(("name", "trainings_of"), [("L1", 36 + 12 + 4), ("L2", 10 + 10 + 4)])
def test_a_landscape_has_its_trainings_each_with_a_seed_of_its_own(
    name: str, trainings_of: int
) -> None:
    landscape: Landscape = LANDSCAPES[name]
    wanted = list(landscape.truth())
    assert len(set(wanted)) == len(wanted) == trainings_of
    assert wanted[0].network == "plain"
    # The same network with the same repeat begins alike at each length, and no other does.
    keys = {(row.network, row.repeat) for row in wanted}
    assert len({landscape.seed(*key) for key in keys}) == len(keys)
    assert len({item.digest for item in landscape.networks.values()}) == len(landscape.networks)


def test_pairs_hold_the_same_blocks_in_other_places() -> None:
    for number in range(5):
        one, two = (L1.networks[f"pair {number} {letter}"].insertions for letter in "ab")
        assert sorted(item.block for item in one) == sorted(item.block for item in two)
        assert {(i.site, i.block) for i in one} != {(i.site, i.block) for i in two}
