"""`nas calibrate --curves`: what it prints, and options that belong to the other calibration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.study.budget_curves import Advice, Curve, CurvePoint, CurvesFound

POINT = CurvePoint(
    epochs=3.0, images=3000, gain=0.125, deviation=0.01, margin=0.03, points=1.0, trainings=2
)
FOUND = CurvesFound(
    space="small",
    data="digits",
    recipe="12 epochs from random weights",
    budgets=[3.0, 6.0],
    noise=0.0123,
    trainings=17,
    seconds=1.0,
    curves=[Curve(network="se/r16", architecture="{}", verdict="too short to tell", gains=[POINT])],
    advice=Advice(epochs=6.0, reason="noise", told=0, contradicted=0),
)


def test_curves_are_a_table_with_sentences_and_the_next_command(
    nas: Callable[..., Any], small_space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def made(*_: object, **options: object) -> CurvesFound:
        asked.update(options)
        return FOUND

    monkeypatch.setattr("nas.runs.calibrate.curves.calibrate_curves", made)
    shown = nas("calibrate", small_space, "--curves", "--budget", 3, "--out", "there")
    assert shown.code == 0 and asked["budget"] == 3.0
    assert (asked["doublings"], asked["seeds"]) == (2, 2)
    row = next(line for line in shown.out.splitlines() if line.startswith("se/r16"))
    assert row.split() == ["se/r16", "+0.125", "±0.010*", "-", "too", "short", "to", "tell"]
    assert "a noise of 0.012" in " ".join(shown.out.split())
    assert "there/curves.json" in shown.out
    assert "--set proxy.kind=scratch --set proxy.rungs=[6]: but" in " ".join(shown.out.split())
    assert "--data digits --calibration there --out RUN\n" in shown.out
    read = json.loads(nas("calibrate", small_space, "--curves", "--json").out)
    assert CurvesFound.model_validate(read) == FOUND


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "2"], "--budget is of curves; give --curves with it"),
        (["--doublings", "1"], "--doublings is of curves"),
        (["--curves", "--full-epochs", "2"], "--full-epochs is of a calibration without --curves"),
        (["--curves", "--budget", "0.5"], "--budget: found '0.5'; allowed: a number, 1 or more"),
        (["--curves", "--budget", "0"], "--budget: found '0'; allowed: a number, 1 or more"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    nas: Callable[..., Any], small_space: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    ended = nas("calibrate", small_space, *options, "--out", tmp_path / "out")
    assert ended.code == 2 and said in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
