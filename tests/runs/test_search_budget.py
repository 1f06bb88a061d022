"""A search takes the length of its trainings from curves, says so, and refuses those of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.base.errors import SpecError
from nas.execution.observer import SilentObserver
from nas.models.candidates import load_space
from nas.runs import start
from nas.runs.calibrate.curve_plan import placed_and_halves
from nas.runs.check import NewRun, check_new_run
from nas.runs.images import decode_images
from nas.runs.run_file import RunFile
from nas.runs.search_budget import find_curves, with_budget
from nas.spec.runner import Runner, load_runner
from nas.study.budget_curves import CURVES_FILE, Advice, Curve, CurvePoint, CurvesFound

BUDGETS = [3.0, 6.0]


def point(epochs: float, gain: float = 0.1) -> CurvePoint:
    return CurvePoint(
        epochs=epochs, images=int(1000 * epochs), gain=gain, deviation=0.01, margin=0.03,
        points=1.0, trainings=2,
    )  # fmt: skip


def curves(small_space: Path, folder: Path, **changes: Any) -> CurvesFound:
    """Those of the space's first hand-placed network, written into a calibration's folder."""
    space = load_space(small_space)
    network, architecture = list(placed_and_halves(space).items())[1]
    file = RunFile(**load_runner().model_dump(), data="digits")
    curve = Curve(
        network=network,
        architecture=architecture.to_json(),
        verdict="ahead",
        gains=[point(epochs) for epochs in BUDGETS],
    ).model_copy(update=changes.pop("curve", {}))
    found = CurvesFound(
        space=space.name, data="digits", recipe="", budgets=BUDGETS, noise=0.01, trainings=9,
        seconds=1.0, curves=[curve],
        advice=Advice(epochs=6.0, reason="longest", told=1, contradicted=0),
        images=decode_images(space, file).name,
    ).model_copy(update=changes)  # fmt: skip
    folder.mkdir(exist_ok=True)
    found.write(folder / CURVES_FILE)
    return found


def checked(small_space: Path, tmp_path: Path, *settings: str, data: str = "digits") -> NewRun:
    return check_new_run(
        small_space, load_runner(None, settings), data, tmp_path / "out",
        calibration=tmp_path / "curves",
    )  # fmt: skip


def test_trainings_are_as_long_as_the_curves_advise(small_space: Path, tmp_path: Path) -> None:
    found = curves(small_space, tmp_path / "curves")
    new = checked(small_space, tmp_path)
    assert (new.file.proxy.rungs, new.file.proxy.unit) == ([6.0], "epochs")
    assert new.curves == found
    assert new.notes == (
        f"each training takes, by the curves of {tmp_path / 'curves'}, 6 epochs: the longest of "
        "the curves, since 3 tell less, or otherwise",
    )


def test_a_budget_that_was_set_stays(small_space: Path, tmp_path: Path) -> None:
    curves(small_space, tmp_path / "curves")
    new = checked(small_space, tmp_path, "proxy.rungs=[2,4]", "proxy.batch_size=32")
    assert new.file.proxy.rungs == [2.0, 4.0]
    assert "2, 4 epochs, as asked for; the curves of" in new.notes[0]
    assert "advise 6 epochs" in new.notes[0]
    _, note = with_budget(Runner(), find_curves(tmp_path / "curves"), Path("c"), calibrated=True)  # type: ignore[arg-type]
    assert note.startswith("the budget is that of the calibrated proxy; the curves of c advise 6")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("rising", "too short to tell, since some network is behind plain and catching up; nas"),
        ("noise", "too short to tell, since no network is told from plain; nas calibrate"),
    ],
)
def test_what_is_too_short_to_tell_is_said(
    small_space: Path, tmp_path: Path, reason: Any, said: str
) -> None:
    advice = Advice(epochs=6.0, reason=reason, told=0, contradicted=0)
    curves(small_space, tmp_path / "curves", advice=advice)
    note = checked(small_space, tmp_path).notes[0]
    assert said in note and "--doublings 2 goes on" in note and "\n" not in note


def test_what_crosses_twice_is_said(small_space: Path, tmp_path: Path) -> None:
    curves(
        small_space,
        tmp_path / "curves",
        curve={"crossings": [-3000.0, 5000.0], "verdict": "crossed"},
    )
    assert "more than once crosses plain: se/r24" in checked(small_space, tmp_path).notes[0]


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"curves": []}, (), "holds the plain network alone"),
        ({"curve": {"gains": [point(3.0)]}}, (), "do not reach .they have gains at: 3.; nas"),
        ({"curve": {"gains": []}}, (), "do not reach .they have gains at: none."),
        (
            {"images": "others"},
            (),
            "other images than the search, which is of digits: those are of another r",
        ),
        (
            {"images": None, "data": "cifar10"},
            (),
            "curves of other images than the search, .* those are of cifar10; draw",
        ),
        ({}, ("proxy.kind=probe",), "from scratch, which say nothing of regime finetune with"),
        ({}, ("proxy.warm_up=9",), "the budget of .* warm_up 9 is longer than the training, 6"),
    ],
)
def test_curves_that_say_nothing_of_a_search_are_one_line(
    small_space: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    settings: tuple[str, ...],
    said: str,
) -> None:
    curves(small_space, tmp_path / "curves", **changes)
    with pytest.raises(SpecError, match=said) as caught:
        checked(small_space, tmp_path, *settings)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_curves_of_another_backbone_are_refused(small_space: Path, tmp_path: Path) -> None:
    curves(small_space, tmp_path / "curves")
    other = tmp_path / "other.yaml"
    text = small_space.read_text()
    assert "mobilenetv2_035" in text
    other.write_text(text.replace("mobilenetv2_035", "mobilenetv2_050"))
    with pytest.raises(SpecError, match="curves of mobilenetv2_035 at .* the search is of") as told:
        checked(other, tmp_path)
    assert "mobilenetv2_050" in str(told.value)


def test_curves_of_an_earlier_version_name_their_images_beside_their_rows(
    small_space: Path, tmp_path: Path
) -> None:
    found = curves(small_space, tmp_path / "curves")
    text = json.loads((tmp_path / "curves" / CURVES_FILE).read_text())
    del text["images"]
    (tmp_path / "curves" / CURVES_FILE).write_text(json.dumps(text))
    rows = tmp_path / "curves" / "curves"
    rows.mkdir()
    (rows / "about.json").write_text(json.dumps({"data": ["digits", found.images]}))
    assert find_curves(tmp_path / "curves") == found
    (rows / "about.json").write_text('{"data": []}')
    assert find_curves(tmp_path / "curves").images is None  # type: ignore[union-attr]


def test_a_folder_without_either_says_how_to_make_one(small_space: Path, tmp_path: Path) -> None:
    (tmp_path / "curves").mkdir()
    with pytest.raises(SpecError, match="nas calibrate SPACE"):
        checked(small_space, tmp_path)


def test_a_run_keeps_the_curves_and_tells_what_it_took(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = curves(small_space, tmp_path / "curves")
    heard: list[str] = []

    class Ear(SilentObserver):
        def stage(self, text: str) -> None:
            heard.append(text)

    monkeypatch.setattr(start, "drive", lambda inputs, observer: None)
    run = start.search(
        small_space, data="digits", out=tmp_path / "out", calibration=tmp_path / "curves",
        observer=Ear(),
    )  # fmt: skip
    assert run.curves() == found and run.file.proxy.rungs == [6.0] and run.file.begun == 0
    assert heard[0].startswith("each training takes, by the curves of")
    assert run.calibration() is None
