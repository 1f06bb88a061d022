"""A run with a widened plain network in it, as its readers see it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import explained_runs
from support.latency_profiles import example_profile
from typer.testing import CliRunner

from nas.cli.application import app
from nas.latency.profile import BackboneLatencies
from nas.report.explain import explain_front
from nas.runs.run import open_run
from nas.spec.architecture import Architecture
from nas.study.record import Record
from nas.study.trials import Trials

WIDE = Architecture(
    f"{explained_runs.BACKBONE}@1.25", explained_runs.SIDE, (), explained_runs.STRIDE
)


def rows() -> list[Record]:
    """The known run, and the plain network a quarter wider: it would be the best by far."""
    narrow = explained_runs.records()
    wide = replace(
        narrow[0],
        trial=len(narrow),
        architecture=WIDE.to_json(),
        digest=WIDE.digest,
        reference="plain x1.25",
        eligible=False,
        loss=0.5,
        latency_ms=0.3,
    )
    return [*narrow, wide]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explained_runs.make_run(tmp_path_factory.mktemp("runs") / "wide", rows())


def test_rules_are_those_of_the_networks_with_blocks(folder: Path) -> None:
    with_it = explain_front(open_run(folder).front())
    without = explain_front(explained_runs.front_of(explained_runs.records()))
    assert with_it.terms.names == without.terms.names
    assert len(with_it.terms.networks) == 1
    assert [item.tried for item in with_it.effects] == [item.tried for item in without.effects]


def test_what_blocks_are_believed_to_gain_stays_as_it_was(folder: Path) -> None:
    narrow = explained_runs.make_run(folder.parent / "narrow", explained_runs.records())
    gains = []
    for path in (narrow, folder):
        belief = open_run(path).read().belief()
        assert belief is not None
        gains.append(belief.gain(belief.seen.architectures).mean)
    assert gains[0] == pytest.approx(gains[1])


def test_on_another_device_it_is_as_much_slower_as_here(folder: Path, tmp_path: Path) -> None:
    profile = example_profile(backbone=explained_runs.BACKBONE)
    added = {site: dict.fromkeys(explained_runs.LABELS, 0.1) for site in explained_runs.SITES}
    branch = BackboneLatencies(
        backbone=explained_runs.BACKBONE,
        resolution=explained_runs.SIDE,
        total_stride=explained_runs.STRIDE,
        plain_ms=5.0,
        added_ms=added,
    )
    profile.model_copy(update={"branches": [branch]}).write(tmp_path / "device.json")
    front = open_run(folder).front(device=tmp_path / "device.json")
    found = {point.reference: point for point in front.references}
    measured = Trials.of(rows())["latency_ms"]
    assert found["plain x1.25"].latency_ms == pytest.approx(5.0 * measured[-1] / measured[0])
    assert found["plain x1.25"].latency_predicted
    assert np.isclose(found["plain x1.25"].latency_spread, 0.1)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("front",), "plain x1.25 plain backbone, widened"),
        (("front", "--at", "latency_ms=0.31"), "plain x1.25 widened"),
        (("show", str(len(rows()) - 1)), "widened reference: plain x1.25"),
        (("show", str(len(rows()) - 1)), "no block: the backbone, widened"),
    ],
)
def test_it_is_named_for_what_it_is(folder: Path, command: tuple[str, ...], said: str) -> None:
    name, *rest = command
    result = CliRunner().invoke(app, [name, str(folder), *rest], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    assert said in result.output
    assert "x1.25 hand-placed" not in result.output


def test_findings_have_the_question_and_how_to_answer_it(folder: Path) -> None:
    result = CliRunner().invoke(app, ["front", str(folder), "--findings", "--json"])
    found = {row["kind"]: row for row in json.loads(result.output)}
    assert "nas resume RUN --full-trainings 12 checks those" in found["width_unchecked"]["text"]
