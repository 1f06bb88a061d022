"""The benchmark of effects, on tiny images: what is killed goes on, and what is told is so."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.fidelity.trainings import rows_of
from benchmarks.tasks import effect_settings, effects
from benchmarks.tasks.effect_settings import NETWORKS, SETTINGS, networks
from benchmarks.tasks.effect_tests import effects_of, repeatability, training_variance
from benchmarks.tasks.effects import report, run, settle
from benchmarks.tasks.identity_folders import faces
from nas.backbones import plain_network
from nas.base.errors import SpecError, TrainingError
from nas.training.full import TrainingStopped, train_fully

TIMES = ("cpu_seconds", "seconds", "finished", "curve")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks on small images for half an epoch."""
    for task in ("segmentation", "retrieval", "detection"):
        small = replace(
            SETTINGS[task],
            resolution="32x32",
            batch_size=32,
            tried=0.1,
            epochs=0.2,
            rates=(0.01, 0.02),
            learning_rate=0.01,
        )
        monkeypatch.setitem(SETTINGS, task, small)
    kept = {name: NETWORKS[name] for name in ("plain", "eca everywhere")}
    for module in (effects, effect_settings):
        monkeypatch.setattr(module, "NETWORKS", kept)


def asked(folder: Path, task: str, **more: Any) -> Namespace:
    given = {"data": "digits", "task": task, "work": folder / "work", "rows": folder}
    return Namespace(**given | {"seeds": 1, "weights": None, "rate": None} | more)


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in TIMES} for row in rows]


def stopping_once(step: int) -> Callable[..., Any]:
    """Return a training that is stopped before its end the first time."""
    answers: Iterator[bool] = iter([False] * (step - 1) + [True])

    def train(job: Any, **more: Any) -> Any:
        return train_fully(job, stopping=lambda: next(answers, False), **more)

    return train


@pytest.mark.parametrize(
    "task",
    [
        "segmentation",
        pytest.param("retrieval", marks=pytest.mark.slow),
        pytest.param("detection", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_goes_on_and_repeats_nothing(
    task: str,
    tiny: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, parts = asked(tmp_path / "whole", task), asked(tmp_path / "parts", task)
    run(whole)
    name = f"effects-{task}-digits.jsonl"
    rows = rows_of(whole.rows / name)
    assert [(row["network"], row["seed"]) for row in rows] == [
        ("plain", 0), ("eca everywhere", 0)
    ]  # fmt: skip
    steps = len(rows[0]["curve"])
    monkeypatch.setattr(effects, "train_fully", stopping_once(steps + 2))
    with pytest.raises(TrainingStopped):
        run(parts)
    assert len(rows_of(parts.rows / name)) == 1
    assert list(parts.work.glob("*/*.training.safetensors"))
    run(parts)
    assert without_times(rows_of(parts.rows / name)) == without_times(rows)
    assert not list(parts.work.glob("*/*.training.safetensors"))
    run(parts)
    assert len(rows_of(parts.rows / name)) == 2
    capsys.readouterr()
    report(Namespace(data=None, task=None, rows=parts.rows))
    table = capsys.readouterr().out
    assert "2 trainings, 1 whole seeds" in table
    assert "one seed: none" in table


def test_rows_of_another_recipe_are_refused(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = asked(tmp_path, "retrieval")
    monkeypatch.setattr(effects, "NETWORKS", {"plain": NETWORKS["plain"]})
    monkeypatch.setattr(effects, "train_fully", stopping_once(9999))
    run(given)
    changed = replace(SETTINGS["retrieval"], learning_rate=0.02)
    monkeypatch.setitem(SETTINGS, "retrieval", changed)
    with pytest.raises(SpecError, match="another recipe"):
        run(asked(tmp_path, "retrieval", seeds=2))


@pytest.mark.slow
def test_given_weights_are_where_all_begin(tiny: None, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(plain_network(effect_settings.GIVEN, seed=5).state_dict(), weights)
    run(asked(tmp_path, "segmentation", weights=weights))
    rows = rows_of(tmp_path / "effects-segmentation-digits-given.jsonl")
    assert [row["recipe"]["weights"] for row in rows] == ["backbone"] * 2
    assert rows[0]["recipe"]["learning_rate"] == pytest.approx(0.002)


@pytest.mark.slow
def test_another_rate_has_rows_of_its_own(tiny: None, tmp_path: Path) -> None:
    run(asked(tmp_path, "retrieval", rate=0.005))
    rows = rows_of(tmp_path / "effects-retrieval-digits-rate-0.005.jsonl")
    assert [row["recipe"]["learning_rate"] for row in rows] == [0.005] * 2


@pytest.mark.slow
def test_settling_trains_the_plain_network_alone(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = asked(tmp_path, "retrieval")
    settle(given)
    settle(given)
    rows = rows_of(tmp_path / "effects-retrieval-digits-settling.jsonl")
    assert [row["recipe"]["epochs"] for row in rows] == [0.1] * 4 + [0.2]
    assert {(row["network"], row["seed"]) for row in rows} == {("plain", 100), ("plain", 101)}
    assert all(row["test_loss"] is None for row in rows)


def test_a_training_that_diverges_is_a_row_and_not_judged(
    tiny: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(job: Any, **more: Any) -> Any:
        if job.architecture == networks(SETTINGS["retrieval"])["plain"].to_json():
            return train_fully(job, **more)
        raise TrainingError("training diverged")

    monkeypatch.setattr(effects, "train_fully", train)
    run(asked(tmp_path, "retrieval"))
    plain, other = rows_of(tmp_path / "effects-retrieval-digits.jsonl")
    assert (plain["failure"], other["failure"]) == (None, "training diverged")
    assert "training diverged" in capsys.readouterr().out
    report(Namespace(data=None, task=None, rows=tmp_path))
    assert "| diverged |" in capsys.readouterr().out


def test_early_and_late_sites_are_all_of_them() -> None:
    for setting in SETTINGS.values():
        placed = networks(setting)
        early, late = (placed[f"coord {half}"].insertions for half in ("early", "late"))
        assert early + late == placed["coord everywhere"].insertions
        assert (len(early), len(late), placed["plain"].insertions) == (8, 8, ())


def test_what_trainings_vary_by_is_left_of_networks_and_seeds() -> None:
    figures = np.array([[1.0, 2.0, 4.0], [1.5, 2.5, 4.5]])
    variance, freedom = training_variance(figures)
    assert variance == pytest.approx(0.0) and freedom == 2
    figures[1] += [0.3, -0.3, 0.0]
    # Each cell is .15 off, with one sign or the other, in four of six; over two degrees.
    assert training_variance(figures)[0] == pytest.approx(4 * 0.15**2 / 2)


def test_a_gain_is_told_from_what_images_and_trainings_vary_by() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=200)  # some are harder than others, for all networks

    def marks(gain: float) -> list[np.ndarray[Any, Any]]:
        return [images + gain + rng.normal(scale=0.2, size=200) for _ in range(3)]

    found = effects_of(
        {"plain": marks(0), "better": marks(0.2), "same": marks(0), "worse": marks(-0.2)},
        lambda some: float(some.mean()),
        comparisons=3,
    )
    assert {name: effect.verdict for name, effect in found.items()} == {
        "better": "better", "same": "nothing is shown", "worse": "worse"
    }  # fmt: skip
    assert found["better"].gain == pytest.approx(0.2, abs=0.05)
    # Of differences of means of 600, twice: what varies by image and training is seen in both.
    assert found["same"].error == pytest.approx(0.2 * (2 * 2 / 600) ** 0.5, rel=0.3)


def test_faces_are_laid_out_with_pictures_that_ask(tmp_path: Path) -> None:
    for person in (1, 17, 21):
        folder = tmp_path / "orl" / ("test" if person > 20 else "train") / f"{person:02}"
        folder.mkdir(parents=True)
        for number in (1, 6):
            (folder / f"{number}.png").write_bytes(b"")
    faces(tmp_path / "orl", tmp_path / "out")
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.glob("out/**/*.png"))
    assert made == [
        "test/gallery/21/6.png",
        "test/query/21/1.png",
        "train/01/1.png",
        "train/01/6.png",
        "val/gallery/17/6.png",
        "val/query/17/1.png",
    ]
    with pytest.raises(SpecError, match=r"no train/\*/\*.png"):
        faces(tmp_path / "nothing", tmp_path / "more")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_intervals_of_repeatability_hold_the_true_one(share: float) -> None:
    rng = np.random.default_rng(0)
    held, found = 0, []
    for _ in range(500):
        network, training = rng.normal(size=(7, 1)), rng.normal(size=(7, 3))
        seeds = 5 * rng.normal(size=(1, 3))  # hard and easy ones, which networks share
        told, low, high = repeatability(
            np.sqrt(share) * network + np.sqrt(1 - share) * training + seeds
        )
        held += low <= share <= high
        found.append(told)
    assert 0.93 <= held / 500 <= 0.97
    assert abs(float(np.median(found)) - share) < 0.06


def test_figures_of_which_the_images_say_nothing_order_no_networks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such as AP of large objects where there are none, or of small ones that none finds."""
    rng = np.random.default_rng(0)

    def row() -> dict[str, Any]:
        figures = {"ap": rng.random(), "ap50": rng.random(), "ap_small": 0.0}
        both = {"loss": rng.random(), "test_loss": rng.random()}
        return both | {"figures": figures, "test_figures": figures | {"ap_large": rng.random()}}

    whole = [{name: row() for name in "abc"} for _ in range(2)]
    effects._print_repeatability("detection", list("abc"), whole)
    validation, test = capsys.readouterr().out.split("; test: ")
    assert "AP50" in validation and "large" not in validation and "small" not in validation
    assert "AP of large objects" in test and "small" not in test
