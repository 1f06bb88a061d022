"""A network that nobody proposed, evaluated as a search evaluates."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.execution.observer import SilentObserver
from nas.models.candidates import Candidates
from nas.models.placement import place
from nas.runs.further_trial import evaluate, evaluate_further
from nas.runs.resume import resume
from nas.runs.run import open_run
from nas.spec.architecture import Architecture, Insertion
from nas.study.record import COMPLETE

pytestmark = pytest.mark.xdist_group("run")


def test_a_further_network_becomes_a_trial_that_a_search_goes_on_from(
    finished_run: Path, tmp_path: Path
) -> None:
    run = open_run(shutil.copytree(finished_run, tmp_path / "run"))
    known = set(map(str, run.trials()["digest"]))
    candidates, rng = Candidates(run.space), random.Random(0)
    drawn = (candidates.architecture(candidates.sample(rng)) for _ in range(100))
    new = next(architecture for architecture in drawn if architecture.digest not in known)
    record = evaluate_further(run, new, SilentObserver())
    assert (record.state, record.repeat, record.eligible) == (COMPLETE, 0, True)
    row = run.row(record.trial)
    assert row["digest"] == new.digest and row["latency_ms"] > 0
    assert run.trials().evaluated == len(known) + 1
    with pytest.raises(SpecError, match="has this network already"):
        evaluate_further(run, new, SilentObserver())
    with pytest.raises(SpecError, match="is about .*; found mobilenetv2_100 at 32x32"):
        evaluate_further(run, Architecture("mobilenetv2_100", 32), SilentObserver())
    # Seeds of the front are what is left to a search that was asked for no more.
    assert resume(run.path, trials=len(known) + 1).trials().evaluated == len(known) + 1


def test_a_named_placement_is_held_against_as_the_hand_placed_ones(
    finished_run: Path, tmp_path: Path
) -> None:
    run = open_run(shutil.copytree(finished_run, tmp_path / "run"))
    plain, sites = Candidates(run.space).plains()[0]
    outside = place(plain, sites, [f"{sites[0].name}=gc/r4"])  # of a kind that was not searched
    before = len(run.trials())
    with pytest.raises(SpecError, match="does not hold this network; name it"):
        evaluate(run.path, outside)
    trial = evaluate(run.path, outside, name="ours")
    row = run.row(trial)
    assert (trial, row["state"], row["reference"], row["eligible"]) == (
        before,
        COMPLETE,
        "ours",
        False,
    )
    front = run.front()
    (ours,) = [point for point in front if point.reference == "ours"]
    assert ours in front.references and not ours.on_front and ours.loss_saved != 0
    # Beside the others it has as many seeds as they, which a search that is resumed gives it.
    assert ours.seeds == 1
    seeds = {
        point.reference: point.seeds
        for point in resume(run.path).front()
        if point.reference is not None
    }
    assert len(set(seeds.values())) == 1 and seeds["ours"] > 1


def test_what_cannot_be_evaluated_leaves_the_study_as_it_was(
    finished_run: Path, tmp_path: Path
) -> None:
    run = open_run(shutil.copytree(finished_run, tmp_path / "run"))
    plain, sites = Candidates(run.space).plains()[0]
    new = place(plain, sites, [f"{sites[0].name}=gc/r4"])
    nowhere = replace(plain, insertions=(Insertion("blocks.99/after_depthwise", "se"),))
    before = run.trials().text("digest").objects()
    cases: list[tuple[Architecture, str | None, str]] = [
        (plain, "mine", "has this network already, as trial 0; nas show"),
        (new, "plain", "name 'plain' is taken; there are: "),
        (new, "plain x1.5", "not as widened networks are called"),
        (new, "", "allowed: up to 30 letters"),
        (new, "two\nlines", "allowed: up to 30 letters"),
        (new, "-f", "allowed: up to 30 letters"),
        (nowhere, "mine", "blocks.99"),
        (replace(new, resolution=64), "mine", "is about "),
    ]
    for architecture, name, message in cases:
        with pytest.raises(SpecError, match=message) as caught:
            evaluate(run.path, architecture, name=name)
        assert "\n" not in str(caught.value)
    assert list(run.trials().text("digest").objects()) == list(before)
