"""Whoever reads a front in results/ can recompute it from the rows beside it."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from pyarrow import parquet
from support.samples import ROOT

from nas.runs.run import open_run
from nas.spec.width import is_widened
from nas.study.front.verdict import judge
from nas.study.full_training import read_full_trainings, select_main_recipe, unpack_flags
from nas.study.record import COMPLETE

RESULTS = ROOT / "results"
PUBLISHED = sorted(path.parent for path in RESULTS.rglob("run.yaml"))
pytestmark = pytest.mark.parametrize(
    "path", PUBLISHED, ids=[str(path.relative_to(RESULTS)) for path in PUBLISHED]
)


def rows_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Complete trials by network, read without this project."""
    found = defaultdict(list)
    for row in parquet.read_table(path / "trials.parquet").to_pylist():
        if row["state"] == COMPLETE:
            found[row["digest"]].append(row)
    return found


def test_the_front_is_that_of_its_rows(path: Path) -> None:
    run, rows = open_run(path), rows_of(path)
    least = run.file.search.confirm_seeds
    whole = {
        digest: trials
        for digest, trials in rows.items()
        if len(trials) >= least or read_full_trainings(trials[0]["retrained"])
    }
    losses = {digest: mean(row["loss"] for row in trials) for digest, trials in whole.items()}
    shown_front = run.front()
    every = shown_front.searched(*range(len(shown_front.cloud["trial"])))
    costs = {
        point.architecture.digest: (-point.gain_loss, point.latency_ms)
        for point in every
        # A widened plain network is beside the front.
        if point.architecture.digest in whole and not is_widened(point.reference)
    }
    front = {
        digest
        for digest, own in costs.items()
        if not any(
            other[0] <= own[0] and other[1] <= own[1] and other != own for other in costs.values()
        )
    }
    assert {point.architecture.digest for point in shown_front.members} == front
    assert len(front) >= 3
    plain = next(point for point in shown_front if point.reference == "plain")
    # Where networks take turns with seeds, means are corrected for easy and hard ones.
    exact = 1e-9 if (run.file.search.seeds_in_turn or 1) == 1 else 0.02
    for point in shown_front:
        if point.architecture.digest not in losses:  # a widened one that was trained once
            continue
        saved = losses[plain.architecture.digest] - losses[point.architecture.digest]
        assert point.loss_saved == pytest.approx(saved, abs=exact)
    assert (path / "front.csv").read_text().count("\n") == 1 + len(list(shown_front))


def test_full_trainings_are_those_of_their_rows(path: Path) -> None:
    run, rows = open_run(path), rows_of(path)
    networks = 0
    for point in run.front():
        texts = {row["retrained"] for row in rows[point.architecture.digest]}
        done = select_main_recipe([item for text in texts for item in read_full_trainings(text)])
        if not done:
            continue
        networks += 1
        assert point.retrained_seeds == len(done)
        assert point.retrained_test_accuracy == pytest.approx(
            mean(item.test_accuracy or math.nan for item in done)
        )
        for item in done:
            right = unpack_flags(item.test_correct or "", item.test_images or 0)
            assert right.mean() == pytest.approx(item.test_accuracy)
    assert networks >= 4


def test_the_best_within_a_budget_is_on_the_front(path: Path) -> None:
    front = open_run(path).front()
    for limit in (0.12, 0.2, 0.3, 8.0):
        choice = front.at(latency_ms=limit)
        widened = is_widened(choice.best.reference)
        assert widened or (choice.best.on_front and choice.probability < 0.9)


def test_the_verdict_that_is_quoted_is_that_of_the_front(path: Path) -> None:
    quoted = " ".join((path / "README.md").read_text().split())
    for line in judge(open_run(path).front()).lines:
        assert " ".join(line.split()) in quoted, line


def test_nothing_of_the_machine_that_made_it(path: Path) -> None:
    for file in path.rglob("*"):
        if file.suffix in {".yaml", ".json", ".csv", ".md", ".journal"}:
            assert not re.search(r"/(root|home|work|tmp|Users)/", file.read_text()), file
