from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.study.calibration import Calibration, Estimate, Trust, load_calibration


def estimate(value: float | None, half: float = 0.1) -> Estimate:
    known = value is not None
    return Estimate(
        value=value, low=value - half if known else None, high=value + half if known else None
    )


def calibration(spearman: float | None = 0.8, **trust: object) -> Calibration:
    found = Trust(
        name="probe",
        budget="3 epochs",
        cost=0.05,
        seeds=1,
        spearman=estimate(spearman),
        kendall=estimate(0.6),
        best_kendall=estimate(0.3, 0.5),
        bias={"se": estimate(0.0), "coord": estimate(-0.2), "plain": estimate(0.3)},
        apart=1.2,
        seeds_needed=3,
    )
    return Calibration(
        space="small",
        data="digits",
        networks=30,
        seeds=3,
        full="scratch, 40 epochs",
        full_seconds=100.0,
        accuracy=90.0,
        spread=0.5,
        seed_noise=0.2,
        ceiling=0.9,
        best_ceiling=0.5,
        full_seeds_needed=2,
        proxies=[found.model_copy(update=trust)],
        judging="other images",
    )


def test_the_verdict_says_what_to_do() -> None:
    found = calibration()
    assert found.verdict == (
        "Trustworthy above 1.2 points of accuracy, against full training of 30 networks (3 seeds): "
        "Spearman 0.80 [0.70, 0.90], at best 0.90; below that use proxy.seeds=3."
    )
    assert found.warnings == [
        "It punishes coord (-20% of the ranks), favours plain (+30% of the ranks)."
    ]


def test_the_ceiling_has_its_interval_and_may_be_unknown() -> None:
    found = calibration().model_copy(update={"ceiling_interval": estimate(0.9, 0.05)})
    assert "at best 0.90 [0.85, 0.95]; below" in found.verdict
    unknown = calibration().model_copy(update={"ceiling": float("nan")})
    assert not unknown.trusted
    assert "NOT TRUSTWORTHY here" in unknown.verdict
    assert "at best ?: full training itself tells these networks apart" in unknown.verdict


@pytest.mark.parametrize("judging", [None, "same images"])
def test_what_the_same_images_judged_is_warned_of(judging: str | None) -> None:
    found = calibration().model_copy(update={"judging": judging})
    assert found.warnings[-1].startswith("The same validation images judged both")
    apart = found.model_copy(update={"judging": "other images"})
    assert len(apart.warnings) == len(found.warnings) - 1


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (calibration(0.5), "Rough above"),
        (calibration(0.3), "Weak above"),
        (calibration(0.05), "NOT TRUSTWORTHY"),
        (calibration(None), "NOT TRUSTWORTHY"),
        (calibration(apart=None), "NOT TRUSTWORTHY"),
        (calibration(seeds_needed=None), "train the candidates fully"),
        (calibration(seeds_needed=1), "train the candidates fully"),
    ],
)
def test_the_verdict_is_no_better_than_what_was_found(found: Calibration, told: str) -> None:
    assert told in found.verdict


def test_it_reads_back_from_its_file_or_folder(tmp_path: Path) -> None:
    calibration().write(tmp_path / "calibration.json")
    assert load_calibration(tmp_path) == calibration()
    assert load_calibration(tmp_path / "calibration.json") == calibration()


def test_that_of_an_earlier_version_still_opens(tmp_path: Path) -> None:
    calibration().write(tmp_path / "calibration.json")
    earlier = json.loads((tmp_path / "calibration.json").read_text())
    for key in (
        "ceiling_interval",
        "best_ceiling_interval",
        "loss_ceiling_interval",
        "judging",
        "image_noise",
    ):
        del earlier[key]
    (tmp_path / "calibration.json").write_text(json.dumps(earlier))
    found = load_calibration(tmp_path)
    assert str(found.best_possible) == "0.90"
    assert found.verdict == calibration().verdict


def test_what_is_no_calibration_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nas calibrate"):
        load_calibration(tmp_path)
    (tmp_path / "calibration.json").write_text('{"space": 3}')
    with pytest.raises(SpecError, match="calibration.json") as caught:
        load_calibration(tmp_path)
    assert "\n" not in str(caught.value)
