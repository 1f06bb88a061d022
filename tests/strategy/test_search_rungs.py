"""The whole loop on several rungs: who goes on, who is stopped, and what a kill may not cost."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState
from support.searches import OBJECTIVES, digests, drive, make, space, truth

from nas.execution.simulated import VirtualClock
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.search_plan import SearchPlan
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.front.front import Front
from nas.study.front.pareto import best_first
from nas.study.record import (
    COMPLETE,
    FAILED,
    PAUSED,
    PRUNED,
    RUNNING,
    Evaluation,
    Job,
    Outcome,
    Record,
    RungResult,
)
from nas.study.trials import Trials

BUDGETS = (1, 3, 9)
TOP = len(BUDGETS) - 1


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return Candidates(space())


def climbing(job: Job) -> Outcome:
    """As `truth` says at the top; below it losses are higher, and those of slow networks most."""
    found = truth(job, seed_noise=0.002).evaluation
    assert found is not None
    rows = []
    for rung in range((TOP if job.rung == -1 else job.rung) + 1):
        left = TOP - rung
        own = random.Random(f"{job.digest}{job.seed}{rung}").gauss(0, 0.01)
        loss = found.loss + left * (0.2 + 0.02 * found.latency_ms + own)
        rows.append((BUDGETS[rung], loss, found.accuracy - 0.1 * left, float(BUDGETS[rung])))
    *below, (_, loss, accuracy, seconds) = rows
    return Outcome(
        replace(
            found,
            loss=loss,
            accuracy=accuracy,
            latency_ms=job.latency.latency_ms if job.latency else found.latency_ms,
            train_seconds=seconds,
            rungs=tuple(RungResult(*scores) for scores in below),
        )
    )


def search_on_rungs(path: Path, candidates: Candidates, trials: int = 24, **plan: object) -> Search:
    settings = SearchPlan.model_validate({"trials": trials, "confirm_seeds": 2} | plan)
    return make(path, candidates, settings, rungs=len(BUDGETS))


def states(search: Search) -> Counter[str]:
    return Counter(record.state for record in search.records)


def nothing_is_left(search: Search, path: Path) -> None:
    assert search.finished
    assert not {RUNNING, PAUSED} & set(states(search))
    store = Store(path / "study.journal", writable=False)
    assert tuple(store.records()) == search.records
    assert not any(stored.unsettled for stored in store.trials())


def firsts(search: Search) -> list[Record]:
    return [record for record in search.records if record.repeat == 0]


def cost_at(record: Record, rung: int) -> list[float]:
    losses = [rung.loss for rung in record.rungs] + [record.loss]
    return [losses[rung], record.latency_ms]


def test_the_same_front_for_half_the_training(tmp_path: Path, candidates: Candidates) -> None:
    spent, found = {}, {}
    for name, reduction in (("whole", None), ("halved", 3)):
        (tmp_path / name).mkdir()
        plan = {"reduction": reduction, "confirm_seeds": 1}
        search = search_on_rungs(tmp_path / name, candidates, 60, **plan)
        drive(search, climbing, workers=3)
        nothing_is_left(search, tmp_path / name)
        trials = Trials.of(search.records)
        spent[name], found[name] = trials.spent(BUDGETS), Front.of(trials, OBJECTIVES).members
    assert spent["whole"].stopped == 0 and spent["whole"].whole == 60
    assert spent["halved"].seconds < 0.5 * spent["whole"].seconds
    assert spent["halved"].seconds < 0.5 * spent["halved"].whole_seconds

    def volume(points: list[tuple[float, float]]) -> float:
        total, loss = 0.0, 2.5
        for latency, better in sorted(points):
            total, loss = total + (2 - latency) * max(0.0, loss - better), min(loss, better)
        return total

    volumes = {
        name: volume([(point.latency_ms, point.loss) for point in members])
        for name, members in found.items()
    }
    assert volumes["halved"] > 0.97 * volumes["whole"]


def test_the_best_of_each_rung_have_gone_on_and_the_others_are_stopped(
    tmp_path: Path, candidates: Candidates
) -> None:
    search = search_on_rungs(tmp_path, candidates, 40)
    drive(search, climbing, workers=4)
    nothing_is_left(search, tmp_path)
    assert set(states(search)) == {COMPLETE, PRUNED}
    for rung in range(TOP):
        here = [record for record in firsts(search) if record.rung >= rung]
        costs = np.array([cost_at(record, rung) for record in here])
        best = [here[row] for row in best_first(costs, len(here) // 3)]
        assert best and all(record.rung > rung for record in best)
    for record in search.records:
        assert (record.state == COMPLETE) == (record.rung == TOP)
        if record.state == PRUNED:
            assert record.stopped_early and record.failure is None and record.finished
            assert (record.repeat, record.reference) == (0, None)
            assert record.train_seconds == BUDGETS[record.rung]
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    whole = {record.digest for record in search.records if record.state == COMPLETE}
    assert len(front.members) >= 5
    assert all(point.architecture.digest in whole for point in front)


def test_in_what_order_jobs_come(tmp_path: Path, candidates: Candidates) -> None:
    search = search_on_rungs(tmp_path, candidates)
    jobs = drive(search, climbing)
    assert [job.rung for job in jobs[:3]] == [-1, -1, -1]  # references
    assert all(job.rung == -1 for job in jobs if job.repeat)
    assert jobs[3].rung == 0
    on = [number for number, job in enumerate(jobs) if job.rung == 1]
    assert on and any(jobs[number + 1].rung == 0 for number in on)  # nobody waits for a rung
    for trial in {job.trial for job in jobs if job.rung != -1}:
        own = [job for job in jobs if job.trial == trial]
        assert [job.rung for job in own] == [0, 1, -1][: len(own)]
        latency = search.records[trial].latency_ms
        measured = [job.latency and job.latency.latency_ms for job in own]
        assert measured == [None, latency, latency][: len(own)]
        assert search.records[trial].seconds == 10 * len(own)


def test_without_a_reduction_all_go_to_the_top(tmp_path: Path, candidates: Candidates) -> None:
    found = []
    for name, rungs in (("one", 1), ("whole", 3)):
        (tmp_path / name).mkdir()
        plan = SearchPlan(trials=26, reduction=None if rungs > 1 else 3)
        search = make(tmp_path / name, candidates, plan, rungs=rungs)
        jobs = drive(search)
        assert {job.rung for job in jobs} == {-1}
        assert set(states(search)) == {COMPLETE}
        found.append(digests(search))
    assert found[0] == found[1]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_outcomes_make_the_same_trials(
    tmp_path: Path, candidates: Candidates, workers: int
) -> None:
    found = []
    for name in "ab":
        (tmp_path / name).mkdir()
        search = search_on_rungs(tmp_path / name, candidates, 30)
        jobs = drive(search, climbing, workers=workers)
        kept = [replace(record, finished=None) for record in search.records]
        found.append((kept, [(job.trial, job.rung) for job in jobs]))
    assert found[0] == found[1]
    assert len(set(digests(search))) == 30


@pytest.mark.parametrize(("workers", "killed_after"), [(1, 4), (1, 13), (3, 20), (3, 31), (4, 44)])
def test_a_killed_search_trains_nothing_again(
    tmp_path: Path, candidates: Candidates, workers: int, killed_after: int
) -> None:
    before = drive(
        search_on_rungs(tmp_path, candidates), climbing, workers=workers, steps=killed_after
    )
    assert len(before) == killed_after
    stored = Store(tmp_path / "study.journal", writable=False).trials()
    waiting = [item.record for item in stored if item.record.state == PAUSED]
    going_on = [item.record for item in stored if item.record.state == RUNNING]
    again = search_on_rungs(tmp_path, candidates)
    after = drive(again, climbing, workers=workers)
    nothing_is_left(again, tmp_path)
    trained = [(job.trial, job.rung) for job in before + after]
    assert len(set(trained)) == len(trained)
    # What was on its way when it was killed comes first, from the rung it had reached.
    first = {job.trial: job.rung for job in after[: len(going_on)]}
    for record in going_on:
        expected = -1 if record.reference or record.repeat or record.rung == 1 else record.rung + 1
        assert first[record.trial] == expected
    assert all(again.records[record.trial].loss is not None for record in waiting)
    assert len(set(digests(again))) == 24


def test_killed_between_any_two_writes(tmp_path: Path, candidates: Candidates) -> None:
    drive(search_on_rungs(tmp_path, candidates, 14), climbing, workers=2)
    lines = (tmp_path / "study.journal").read_text().splitlines(keepends=True)
    rng = random.Random(0)
    for number in [*rng.sample(range(8, len(lines)), 12), len(lines) - 1]:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "study.journal").write_text("".join(lines[:number]))
        search = search_on_rungs(folder, candidates, 14)
        drive(search, climbing, workers=2)
        nothing_is_left(search, folder)
        assert len(set(digests(search))) == 14
        assert set(states(search)) == {COMPLETE, PRUNED}


def test_the_store_says_that_what_waits_has_not_come_to_its_end(
    tmp_path: Path, candidates: Candidates
) -> None:
    search = search_on_rungs(tmp_path, candidates)
    drive(search, climbing, steps=10)
    study = search._store._storage
    trials = study.get_all_trials(search._store._study, deepcopy=False)
    waiting = [record.trial for record in search.records if record.state == PAUSED]
    assert waiting
    assert all(trials[trial].state == TrialState.RUNNING for trial in waiting)
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    assert not {point.trial for point in front} & set(waiting)


def test_a_longer_search_leaves_stopped_ones_stopped(
    tmp_path: Path, candidates: Candidates
) -> None:
    first = search_on_rungs(tmp_path, candidates, 18)
    drive(first, climbing)
    stopped = {record.trial: record for record in first.records if record.state == PRUNED}
    longer = search_on_rungs(tmp_path, candidates, 36)
    jobs = drive(longer, climbing)
    nothing_is_left(longer, tmp_path)
    assert stopped and all(longer.records[trial] == record for trial, record in stopped.items())
    assert not stopped.keys() & {job.trial for job in jobs}
    assert len(set(digests(longer))) == 36


def changed(**values: object) -> Callable[[Evaluation], Outcome]:
    return lambda found: Outcome(replace(found, **values))  # type: ignore[arg-type]


def failing(found: Evaluation) -> Outcome:
    return Outcome(failure="training diverged")


@pytest.mark.parametrize("rung", [0, 1, -1])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [(failing, "training diverged"), (changed(loss=math.nan), "loss is nan")],
)
def test_what_fails_at_a_rung_is_failed(
    tmp_path: Path,
    candidates: Candidates,
    rung: int,
    wrong: Callable[[Evaluation], Outcome],
    reason: str,
) -> None:
    def sometimes(job: Job) -> Outcome:
        found = climbing(job).evaluation
        assert found is not None
        hit = job.rung == rung and job.reference is None and job.trial % 2 and not job.repeat
        return wrong(found) if hit else Outcome(found)

    search = search_on_rungs(tmp_path, candidates, 30)
    drive(search, sometimes, workers=2)
    nothing_is_left(search, tmp_path)
    failed = [record for record in search.records if record.state == FAILED]
    assert failed and {record.failure for record in failed} == {reason}
    # What it was at the rung below stays, and so does what that took.
    reached = {0: -1, 1: 0, -1: 1}[rung]
    assert {record.rung for record in failed} == {reached}
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    assert not {point.trial for point in front} & {record.trial for record in failed}
    # Others have gone on in their place.
    assert sum(record.rung == TOP for record in firsts(search) if not record.reference) >= 3


def test_all_that_is_searched_fails_at_once(tmp_path: Path, candidates: Candidates) -> None:
    search = search_on_rungs(tmp_path, candidates, 12)
    drive(search, lambda job: climbing(job) if job.reference else Outcome(failure="no"), workers=3)
    nothing_is_left(search, tmp_path)
    assert search.stop_reason == "12 networks are evaluated"
    assert {point.reference for point in Front.of(Trials.of(search.records), OBJECTIVES)} == {
        "plain",
        "se/r24",
        "eca",
    }


def test_nothing_works_any_more_after_a_resume(tmp_path: Path, candidates: Candidates) -> None:
    drive(search_on_rungs(tmp_path, candidates), climbing, steps=12)
    again = search_on_rungs(tmp_path, candidates)
    drive(again, lambda job: Outcome(failure="no runtime"))
    nothing_is_left(again, tmp_path)
    assert again.stop_reason == "the first 8 trials all failed"


def test_too_slow_ones_are_refused_before_any_rung(tmp_path: Path, candidates: Candidates) -> None:
    def limited(job: Job) -> Outcome:
        found = climbing(job)
        assert found.evaluation is not None
        if found.evaluation.latency_ms > 1.4 and job.reference is None:
            return Outcome(failure="latency_ms is over the space's limit", infeasible=True)
        return found

    search = search_on_rungs(tmp_path, candidates)
    drive(search, limited)
    pruned = [record for record in search.records if record.state == PRUNED]
    assert {record.stopped_early for record in pruned} == {True, False}
    assert all(record.stopped_early == (record.failure is None) for record in pruned)


def test_the_time_limit_while_networks_wait(tmp_path: Path, candidates: Candidates) -> None:
    clock = VirtualClock()
    plan = SearchPlan(trials=1000, time_limit=700.0, confirm_seeds=2)
    search = make(tmp_path, candidates, plan, clock, rungs=len(BUDGETS))
    drive(search, climbing, workers=2, clock=clock)
    nothing_is_left(search, tmp_path)
    assert clock.now <= 720
    found = states(search)
    assert found[PRUNED] > 20
    assert sum(record.rung == TOP for record in firsts(search) if not record.reference) >= 5
    # At the very end: nobody waits for a promotion that nobody has time for.
    (tmp_path / "short").mkdir()
    clock = VirtualClock()
    plan = SearchPlan(trials=1000, time_limit=55.0, confirm_seeds=1)
    short = make(tmp_path / "short", candidates, plan, clock, rungs=len(BUDGETS))
    drive(short, climbing, workers=4, clock=clock)
    nothing_is_left(short, tmp_path / "short")


def test_a_worker_that_dies_on_the_way_up(tmp_path: Path, candidates: Candidates) -> None:
    deaths: list[tuple[int, int, int]] = []

    def dies(job: Job) -> Outcome:
        if job.rung == 1 and (not deaths or deaths[0][0] == job.trial or job.attempt):
            deaths.append((job.trial, job.rung, job.attempt))
            return Outcome(failure="its worker was killed", lost=True)
        return climbing(job)

    search = search_on_rungs(tmp_path, candidates)
    drive(search, dies)
    nothing_is_left(search, tmp_path)
    (trial, *_), *_ = deaths
    assert deaths == [(trial, 1, 0), (trial, 1, 1)]
    assert (search.records[trial].state, search.records[trial].rung) == (FAILED, 0)
    assert states(search)[FAILED] == 1


def test_an_exhausted_space_lets_its_best_go_on(tmp_path: Path) -> None:
    tiny = Candidates(space(blocks={"se": {"reduction": [8]}}, max_insertions=4))
    assert tiny.count() == 11
    search = search_on_rungs(tmp_path, tiny, 500)
    drive(search, climbing, workers=3)
    nothing_is_left(search, tmp_path)
    assert str(search.stop_reason).endswith("the space gave no further one")
    whole = [record for record in firsts(search) if record.rung == TOP and not record.reference]
    assert len(whole) >= 3


def test_rungs_of_further_seeds_are_not_ranked(tmp_path: Path, candidates: Candidates) -> None:
    """Every seed shifts all losses: a lucky one would push others from their rung."""

    def lucky(job: Job) -> Outcome:
        found = climbing(job).evaluation
        assert found is not None
        return Outcome(replace(found, loss=found.loss - 100) if job.repeat else found)

    plan: dict[str, object] = {"trials": 20, "sampler": "random"}
    order = []
    for name, evaluate in (("a", climbing), ("b", lucky)):
        (tmp_path / name).mkdir()
        search = search_on_rungs(tmp_path / name, candidates, **plan)  # type: ignore[arg-type]
        jobs = drive(search, evaluate, workers=2)
        order.append([(job.trial, job.rung) for job in jobs if not job.repeat])
        assert any(Architecture.from_json(job.architecture).blocks for job in jobs if job.repeat)
    assert order[0] == order[1]
