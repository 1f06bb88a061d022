"""A network that nobody proposed, evaluated as a search evaluates."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.execution.observer import SilentObserver
from nas.models.candidates import Candidates
from nas.runs.further_trial import evaluate_further
from nas.runs.resume import resume
from nas.runs.run import open_run
from nas.spec.architecture import Architecture
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
    with pytest.raises(SpecError, match="does not hold this network"):
        evaluate_further(run, Architecture("mobilenetv2_100", 32), SilentObserver())
    # Seeds of the front are what is left to a search that was asked for no more.
    assert resume(run.path, trials=len(known) + 1).trials().evaluated == len(known) + 1
