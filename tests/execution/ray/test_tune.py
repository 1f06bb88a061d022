"""Ray Tune for real: honest states, its callbacks, loggers and restore, and the traps of others."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.search import Searcher
from support import ray_stand_in as stand_in
from support.ray_searches import Watch, all_accounted_for, made
from support.ray_stand_in import ALONE, GAUGED, lines
from support.samples import ROOT
from support.searches import small_candidates

from nas.base.errors import StorageError
from nas.execution.observer import SilentObserver
from nas.execution.ray.cluster import connect
from nas.execution.ray.tune import SearchSearcher, TuneExecutor
from nas.execution.simulated import SimulatedExecutor
from nas.models.candidates import Candidates
from nas.spec.runner import Ray
from nas.study.record import COMPLETE, FAILED, RUNNING, Job, Outcome

pytestmark = [pytest.mark.filterwarnings("ignore")]  # Ray's own


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return small_candidates()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=":")
        environment.setenv("RAY_worker_niceness", "0")  # Ray would let all else go first
        with connect(Ray(), cores=2, say=lambda text: None):
            yield


def executor(path: Path, **more: Any) -> TuneExecutor:
    spec = {"log": str(path / "log")} | more.pop("spec", {})
    return TuneExecutor(spec, Ray(), path / "tune", makers=more.pop("makers", ALONE), **more)


# The searcher by itself: what Tune may tell it.


def result_of(config: dict[str, Any], outcome: Outcome | None = None) -> dict[str, Any]:
    """What a trial of this configuration reports."""
    job = Job.from_dict(json.loads(config["job"]))
    return {"outcome": json.dumps((outcome or stand_in.truth(job)).to_dict()), "loss": 0.0}


def test_every_end_that_tune_tells_is_told_honestly(tmp_path: Path, candidates: Candidates) -> None:
    """Optuna's searcher leaves a NaN RUNNING for ever, aborts at a missing metric, and makes
    what was stopped COMPLETE with early values.
    """
    search, watch = made(tmp_path, candidates, trials=8), Watch()
    searcher = SearchSearcher(search, watch)
    configs = [searcher.suggest(str(number)) for number in range(6)]
    good = stand_in.truth(Job.from_dict(json.loads(configs[0]["job"]))).evaluation
    assert good is not None
    searcher.on_trial_complete("0", result_of(configs[0]))
    searcher.on_trial_complete(
        "1", result_of(configs[1], Outcome(replace(good, loss=math.nan))), error=False
    )
    searcher.on_trial_complete("2", {"training_iteration": 1})  # no metric at all
    searcher.on_trial_complete("3", None)  # stopped before it began
    searcher.on_trial_complete("4", None, error=True)
    searcher.on_trial_complete("5", result_of(configs[5], Outcome(failure="diverged")))
    searcher.on_trial_complete("6", result_of(configs[0]))  # of nobody
    states = [(record.state, record.failure) for record in search.records[:6]]
    assert states == [
        (COMPLETE, None),
        (FAILED, "loss is nan"),
        (FAILED, "Ray Tune stopped it before its evaluation"),
        (FAILED, "Ray Tune stopped it before its evaluation"),
        (RUNNING, None),
        (FAILED, "diverged"),
    ]
    assert [trial for trial, _ in watch.lost_jobs] == [4]
    again = searcher.suggest("7")
    assert again["trial"] == 4, "what was lost is given out again"
    searcher.on_trial_complete("7", None, error=True)
    assert search.records[4].state == FAILED
    number = 8
    while (config := searcher.suggest(str(number))) != Searcher.FINISHED:
        searcher.on_trial_complete(str(number), result_of(config))
        number += 1
    all_accounted_for(search, watch)


def test_a_restored_searcher_keeps_tunes_trials_and_gives_out_the_rest(
    tmp_path: Path, candidates: Candidates
) -> None:
    search = made(tmp_path, candidates, trials=8)
    searcher = SearchSearcher(search)
    configs = {str(number): searcher.suggest(str(number)) for number in range(4)}
    searcher.on_trial_complete("0", result_of(configs["0"]))
    searcher.save(str(tmp_path / "state"))
    unknown = searcher.suggest("after the last save")
    restored = SearchSearcher(reopen=lambda: made(tmp_path, candidates, trials=8))
    restored.restore(str(tmp_path / "state"))
    restored.on_trial_complete("0", result_of(configs["0"]))  # told before: counts once
    for trial in "123":
        restored.on_trial_complete(trial, result_of(configs[trial]))
    assert restored.suggest("again")["trial"] == unknown["trial"]
    states = Counter(record.state for record in restored.core().records)
    assert states == {COMPLETE: 4, RUNNING: 1}


# Tune itself.


@pytest.mark.slow
@pytest.mark.lowest
def test_one_worker_finds_what_a_simulated_one_finds(
    tmp_path: Path, candidates: Candidates, cluster: None
) -> None:
    found, watch = made(tmp_path / "tune-search", candidates), Watch()
    executor(tmp_path, workers=1).run(found, watch)
    expected = made(tmp_path / "simulated", candidates)
    SimulatedExecutor(stand_in.truth).run(expected)
    assert [(record.digest, record.loss) for record in found.records] == [
        (record.digest, record.loss) for record in expected.records
    ]
    all_accounted_for(found, watch)


class Seen(tune.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_trial_result(
        self, iteration: Any, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        if "loss" in result:
            self.losses.append(result["loss"])


@pytest.mark.slow
def test_killed_workers_callbacks_and_loggers(
    tmp_path: Path, candidates: Candidates, cluster: None
) -> None:
    search, watch, seen = made(tmp_path, candidates, trials=12), Watch(), Seen()
    given = executor(
        tmp_path,
        makers=GAUGED,
        spec={"dies": [2], "always": [5]},
        callbacks=[seen, tune.logger.CSVLoggerCallback(), tune.logger.JsonLoggerCallback()],
    )
    given.run(search, watch)
    all_accounted_for(search, watch)
    failed = [record.trial for record in search.records if record.state == FAILED]
    assert failed == [5]
    losses = sorted(record.loss or 0 for record in search.records if record.state == COMPLETE)
    assert sorted(seen.losses) == losses
    logged = list((tmp_path / "tune" / "search-1").glob("trial-7-*/progress.csv"))
    with logged[0].open() as file:
        row = next(csv.DictReader(file))
    assert float(row["loss"]) == search.records[7].loss
    assert float(row["latency_ms"]) == search.records[7].latency_ms > 5
    assert len(lines(tmp_path / "log", "measure")) >= len(losses)


@pytest.mark.slow
def test_what_a_stopper_ends_is_not_taken_for_a_result(
    tmp_path: Path, candidates: Candidates, cluster: None
) -> None:
    """A stopper of Tune's that ends the experiment leaves the rest to be gone on with."""

    class AfterFive(tune.Stopper):
        def __init__(self) -> None:
            self.heard = 0

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.heard += 1
            return True

        def stop_all(self) -> bool:
            return self.heard >= 5

    first = made(tmp_path, candidates, trials=12)
    with pytest.raises(KeyboardInterrupt):
        executor(tmp_path, stop=AfterFive()).run(first, SilentObserver())
    complete = [record for record in first.records if record.state == COMPLETE]
    assert 5 <= len(complete) < 12
    assert {record.state for record in first.records} <= {COMPLETE, RUNNING, FAILED}
    second = made(tmp_path, candidates, trials=12)
    executor(tmp_path).run(second, SilentObserver())
    assert all(second.records[record.trial] == record for record in complete)
    assert not [record for record in second.records if record.state == RUNNING]
    assert {item.name for item in (tmp_path / "tune").iterdir()} == {"search-1", "search-2"}


DRIVER = """
import os, sys
from pathlib import Path
from functools import partial
from support.ray_searches import Watch, made, reopened
from support.searches import small_candidates
from support.ray_stand_in import ALONE
from nas.execution.ray.cluster import connect
from nas.execution.ray.tune import TuneExecutor
from nas.spec.runner import Ray

class Dies(Watch):
    def finished(self, record):
        super().finished(record)
        if len(self.records) == 5:
            os._exit(9)

path = Path(sys.argv[1])
given = TuneExecutor(
    {"log": str(path / "log")}, Ray(), path / "tune", makers=ALONE, workers=2,
    reopen=partial(reopened, path),
)
with connect(Ray(), cores=2, say=print):
    given.run(made(path, small_candidates(), trials=12), Dies())
"""


@pytest.mark.slow
def test_tunes_own_restore_goes_on_where_a_driver_died(
    tmp_path: Path, candidates: Candidates, cluster: None
) -> None:
    search_path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    died = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": search_path, "TUNE_GLOBAL_CHECKPOINT_S": "0"},
        capture_output=True,
        text=True,
    )
    assert died.returncode == 9, died.stderr
    before = {
        record.trial: record
        for record in made(tmp_path, candidates, trials=12).records
        if record.state == COMPLETE
    }
    assert len(before) == 5
    folder = tmp_path / "tune" / "search-1"
    assert tune.Tuner.can_restore(str(folder))
    given = executor(tmp_path, workers=2)
    restored = tune.Tuner.restore(str(folder), trainable=given.trainable())
    assert not restored.fit().errors
    records = made(tmp_path, candidates, trials=12).records
    assert {record.state for record in records} == {COMPLETE}
    assert all(records[trial] == record for trial, record in before.items())
    assert len({record.digest for record in records}) == len(records) == 12


@pytest.mark.slow
def test_a_full_disk_ends_it_in_one_line(
    tmp_path: Path, candidates: Candidates, cluster: None
) -> None:
    with pytest.raises(StorageError, match="a worker cannot go on: no space left"):
        executor(tmp_path, spec={"broken": [2]}).run(made(tmp_path, candidates), SilentObserver())
