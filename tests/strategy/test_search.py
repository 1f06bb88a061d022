"""The whole loop in milliseconds: a fake evaluation, a virtual clock, any number of workers."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.searches import OBJECTIVES, digests, drive, make, space, truth

from nas.base.errors import SpecError, StorageError
from nas.execution.simulated import VirtualClock
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.search_plan import SearchPlan
from nas.strategy.confirmation import Confirmation
from nas.strategy.samplers import SAMPLERS
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.front.front import Front
from nas.study.record import COMPLETE, FAILED, PRUNED, RUNNING, Job, Outcome, Record
from nas.study.trials import Trials


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return Candidates(space())


def test_references_come_first_then_some_proposals_and_how_noisy_all_is(
    tmp_path: Path, candidates: Candidates
) -> None:
    search = make(tmp_path, candidates, SearchPlan(trials=20))
    drive(search)
    records = search.records
    assert [record.reference for record in records[:4]] == ["plain", "se/r24", "eca", None]
    assert sum(record.repeat == 0 for record in records) == 20
    assert len(set(digests(search))) == 20
    # Three references and eight more, then further seeds of the former; plain needs some too.
    repeats = [record.trial for record in records if record.repeat > 0]
    assert repeats[:6] == list(range(11, 17)) and repeats[6] >= 26
    assert {record.state for record in records} == {COMPLETE}
    assert search.stop_reason == "20 networks are evaluated"
    seeds = Counter(record.digest for record in records)
    front = Front.of(Trials.of(records), OBJECTIVES, least_seeds=3)
    assert all(seeds[point.architecture.digest] >= 3 for point in front)
    assert len(records) <= search.expected_trials()


@pytest.mark.parametrize("patience", [5, None])
def test_a_search_stops_when_all_it_could_still_find_is_luck(
    tmp_path: Path, candidates: Candidates, patience: int | None
) -> None:
    def noisy(job: Job) -> Outcome:
        return truth(job, seed_noise=1.0)

    # Two networks tell the noise here; with three seeds each they would hardly do.
    plan = SearchPlan(trials=40, patience=patience, confirm_seeds=8)
    drive(make(tmp_path, candidates, plan), noisy, steps=25)
    search = make(tmp_path, candidates, plan)
    drive(search, noisy)
    assert search.stop_reason is not None
    proposed = sum(record.repeat == 0 for record in search.records)
    if patience is None:
        assert proposed == 40 and search.stop_reason == "40 networks are evaluated"
        return
    assert 16 <= proposed < 40, proposed
    assert search.stop_reason.startswith(f"{proposed} networks are evaluated; the last 5 of them")
    # Those that were found are still confirmed.
    front = Front.of(Trials.of(search.records), OBJECTIVES, least_seeds=8)
    assert len(front.members) > 1


def test_lucky_networks_do_not_keep_a_search_from_ending(
    tmp_path: Path, candidates: Candidates
) -> None:
    """Where networks hardly differ, every further seed puts another lucky one on the front."""

    def only_noise(job: Job) -> Outcome:
        found = truth(job).evaluation
        assert found is not None
        own = random.Random(f"{job.digest}{job.seed}").gauss(0, 1)
        latency = 1 + random.Random(job.digest).random()
        return Outcome(replace(found, loss=2 + own, latency_ms=latency))

    search = make(tmp_path, candidates, SearchPlan(trials=60))
    drive(search, only_noise)
    seeds = Counter(record.digest for record in search.records if not record.reference)
    assert sum(number > 1 for number in seeds.values()) <= 12
    front = Front.of(Trials.of(search.records), OBJECTIVES, least_seeds=3)
    assert all(point.seeds >= 3 for point in front.members)


def test_seeds_are_paired_across_architectures(tmp_path: Path, candidates: Candidates) -> None:
    search = make(tmp_path, candidates, SearchPlan(trials=8))
    drive(search)
    by_repeat: dict[int, set[int]] = {}
    for record in search.records:
        by_repeat.setdefault(record.repeat, set()).add(record.seed)
    assert all(len(seeds) == 1 for seeds in by_repeat.values())
    assert len({*map(min, by_repeat.values())}) == len(by_repeat)


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"gp"}))
def test_same_seed_same_outcomes_same_trials(
    tmp_path: Path, candidates: Candidates, sampler: str
) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = tmp_path / name
        folder.mkdir()
        search = make(folder, candidates, SearchPlan(trials=26, sampler=sampler, seed=seed))
        drive(search)
        found.append(digests(search))
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("killed_after", [1, 5, 17, 24])
def test_a_killed_search_goes_on_and_doubles_nothing(
    tmp_path: Path, candidates: Candidates, workers: int, killed_after: int
) -> None:
    plan = SearchPlan(trials=20)
    drive(make(tmp_path, candidates, plan), workers=workers, steps=killed_after)
    before = {
        record.trial: record
        for record in Store(tmp_path / "study.journal", writable=True).records()
        if record.state == COMPLETE
    }
    assert len(before) == killed_after
    again = make(tmp_path, candidates, plan)
    drive(again, workers=workers)
    records = again.records
    assert all(records[trial] == record for trial, record in before.items())
    assert [record.trial for record in records] == list(range(len(records)))
    assert {record.state for record in records} == {COMPLETE}
    assert len(set(digests(again))) == 20
    pairs = [(record.digest, record.seed) for record in records]
    assert len(set(pairs)) == len(pairs)


def test_a_finished_search_has_nothing_to_do(tmp_path: Path, candidates: Candidates) -> None:
    plan = SearchPlan(trials=8)
    first = make(tmp_path, candidates, plan)
    drive(first)
    again = make(tmp_path, candidates, plan)
    assert again.ask() is None
    assert again.finished
    longer = make(tmp_path, candidates, SearchPlan(trials=12))
    drive(longer)
    assert len(set(digests(longer))) == 12


def test_a_torn_last_line_is_dropped(tmp_path: Path, candidates: Candidates) -> None:
    plan = SearchPlan(trials=8)
    drive(make(tmp_path, candidates, plan), steps=5)
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "worker_id": "x')
    again = make(tmp_path, candidates, plan)
    drive(again)
    assert {record.state for record in again.records} == {COMPLETE}


def test_killed_between_record_and_state_nothing_is_evaluated_again(
    tmp_path: Path, candidates: Candidates
) -> None:
    plan = SearchPlan(trials=8)
    drive(make(tmp_path, candidates, plan), steps=5)
    journal = tmp_path / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    states = [number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 6]
    journal.write_text("".join(lines[: states[-1]]))
    again = make(tmp_path, candidates, plan)
    assert all(record.state == COMPLETE for record in again.records)
    given = drive(again)
    assert all(job.trial >= 5 for job in given)


def test_a_damaged_study_is_said(tmp_path: Path, candidates: Candidates) -> None:
    plan = SearchPlan(trials=8)
    drive(make(tmp_path, candidates, plan), steps=5)
    journal = tmp_path / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:6], "garbage\n", *lines[6:]]))
    with pytest.raises(StorageError, match="damaged"):
        Store(journal, writable=False)


def test_failures_keep_their_reason_and_the_search_goes_on(
    tmp_path: Path, candidates: Candidates
) -> None:
    def often_wrong(job: Job) -> Outcome:
        if job.trial % 3 == 1:
            return Outcome(failure="training diverged")
        if job.trial % 7 == 2:
            return Outcome(failure="latency_ms 9 is over the limit", infeasible=True)
        found = truth(job)
        assert found.evaluation is not None
        if job.trial % 5 == 3:
            return Outcome(replace(found.evaluation, loss=math.nan))
        return found

    search = make(tmp_path, candidates, SearchPlan(trials=20))
    drive(search, often_wrong, workers=3)
    states = Counter(record.state for record in search.records)
    assert states[FAILED] and states[PRUNED] and states[COMPLETE]
    assert not states[RUNNING]
    reasons = {record.failure for record in search.records if record.state == FAILED}
    assert reasons == {"training diverged", "loss is nan"}
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    assert all(math.isfinite(point.loss) for point in front)


def test_a_lost_job_is_given_out_once_more(tmp_path: Path, candidates: Candidates) -> None:
    lost: list[int] = []

    def dies(job: Job) -> Outcome:
        if job.trial in {2, 5} and (job.trial == 5 or job.attempt == 0):
            lost.append(job.trial)
            return Outcome(failure="its worker was killed", lost=True)
        return truth(job)

    search = make(tmp_path, candidates, SearchPlan(trials=8))
    drive(search, dies)
    assert lost == [2, 5, 5]
    assert search.records[2].state == COMPLETE
    assert search.records[5].state == FAILED


def test_a_search_where_nothing_works_stops_early(tmp_path: Path, candidates: Candidates) -> None:
    search = make(tmp_path, candidates, SearchPlan(trials=100))
    drive(search, lambda job: Outcome(failure="no runtime"))
    assert search.stop_reason == "the first 8 trials all failed"
    assert len(search.records) == 8


def test_the_time_limit_leaves_time_for_repeats(tmp_path: Path, candidates: Candidates) -> None:
    clock = VirtualClock()
    plan = SearchPlan(trials=1000, time_limit=500.0)
    search = make(tmp_path, candidates, plan, clock)
    drive(search, workers=2, clock=clock)
    assert clock.now <= 520
    assert 20 < len(digests(search)) < 100
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    assert sum(point.seeds >= 3 for point in front) >= 0.2 * len(digests(search))


def test_a_front_is_made_again_when_something_has_changed_alone(
    tmp_path: Path, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers ask many times a second, whether a training has ended or not."""
    search = make(tmp_path, candidates, SearchPlan(trials=6, time_limit=1e6))
    drive(search, steps=4)
    made: list[bool] = []
    wanted_seeds = Confirmation.wanted_seeds

    def counted(self: Confirmation, *given: Any, front: bool) -> dict[str, int]:
        made.append(front)
        return wanted_seeds(self, *given, front=front)

    monkeypatch.setattr(Confirmation, "wanted_seeds", counted)
    running: list[Job] = []
    while (job := search.ask()) is not None:
        running.append(job)
    before = len(made)
    assert running and before
    for _ in range(5):
        assert search.ask() is None
    assert len(made) == before
    search.tell(running[0], truth(running[0]))
    search.ask()
    assert len(made) > before


def test_where_all_get_several_seeds_the_front_gets_them_before_time_is_up(
    tmp_path: Path, candidates: Candidates
) -> None:
    clock = VirtualClock()
    plan = SearchPlan(trials=1000, time_limit=1000.0, sampler="random")
    search = make(tmp_path, candidates, plan, clock, seeds=3)
    drive(search, workers=2, clock=clock)
    assert clock.now <= 1020
    members = Front.of(Trials.of(search.records), OBJECTIVES).members
    assert len(digests(search)) > 30
    assert all(point.seeds == 3 for point in members)


def test_what_comes_with_its_seeds_uses_up_nothing_of_what_is_confirmed(
    tmp_path: Path,
) -> None:
    candidates = Candidates(space(sites={"granularity": "block", "exclude": ["blocks.0.*"]}))
    calibrated = SearchPlan(trials=30, sampler="random")
    drive(make(tmp_path, candidates, calibrated, seeds=3))
    search = make(tmp_path, candidates, SearchPlan(trials=60, sampler="front"), begun=90)
    known = {record.digest for record in search.records}
    assert len(search.records) == 90
    drive(search)
    reported = Front.of(Trials.of(search.records), OBJECTIVES, least_seeds=3).members
    found = [point for point in reported if point.architecture.digest not in known]
    assert 4 <= len(found) <= 12 + len(search.candidates.references())


def test_a_search_that_ended_for_luck_stays_ended(tmp_path: Path, candidates: Candidates) -> None:
    plan = SearchPlan(trials=200, patience=5)
    drive(make(tmp_path, candidates, plan), lambda job: truth(job, seed_noise=0.05))
    again = make(tmp_path, candidates, plan)
    assert len(again.records) < 200
    assert not drive(again) and again.stop_reason is not None
    assert "promised less" in again.stop_reason


def test_how_much_is_to_come_is_told_before_anything_is_known(
    tmp_path: Path, candidates: Candidates
) -> None:
    assert make(tmp_path, candidates, SearchPlan(trials=10)).expected_trials() >= 10


def test_a_long_front_is_confirmed_from_end_to_end(tmp_path: Path, candidates: Candidates) -> None:
    search = make(tmp_path, candidates, SearchPlan(trials=60))
    drive(search)
    members = Front.of(Trials.of(search.records), OBJECTIVES).members
    confirmed = [point.latency_ms for point in members if point.seeds >= 3]
    assert 8 < len(confirmed) < len(members)
    length = members[-1].latency_ms - members[0].latency_ms
    assert confirmed[-1] > members[-1].latency_ms - 0.2 * length
    assert max(np.diff(confirmed)) < 0.3 * length


def test_an_exhausted_space_ends(tmp_path: Path) -> None:
    sites = {"granularity": "network", "exclude": ["blocks.0.*"]}
    tiny = Candidates(space(sites=sites))
    assert tiny.count() == 4
    search = make(tmp_path, tiny, SearchPlan(trials=50))
    drive(search, workers=3)
    assert len(digests(search)) == 4
    assert search.stop_reason == "4 networks are evaluated; the space gave no further one"


def test_limits_known_beforehand_are_never_trained(tmp_path: Path, candidates: Candidates) -> None:
    journal = tmp_path / "study.journal"
    Store.create(journal, OBJECTIVES)
    search = Search(
        candidates,
        SearchPlan(trials=15),
        Store(journal, writable=True),
        admit=lambda architecture: len(architecture.blocks) <= 6,
    )
    drive(search)
    for record in search.records:
        blocks = Architecture.from_json(record.architecture).blocks
        assert len(blocks) <= 6 or (record.reference and not record.eligible)
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    assert {point.reference for point in front.references} == {"plain", "se/r24", "eca"}
    assert all(len(point.architecture.blocks) <= 6 for point in front.members)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "pareto"])
def test_max_insertions_holds_for_proposals(tmp_path: Path, sampler: str) -> None:
    few = Candidates(space(max_insertions=4))
    search = make(tmp_path, few, SearchPlan(trials=30, sampler=sampler))
    drive(search)
    for record in search.records:
        if record.reference is None:
            assert len(Architecture.from_json(record.architecture).blocks) <= 4


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_finds_the_obvious(
    tmp_path: Path, candidates: Candidates, sampler: str
) -> None:
    """Late blocks save more at equal cost: the front must be better than hand-placed ones."""
    trials = 16 if sampler == "gp" else 60
    search = make(tmp_path, candidates, SearchPlan(trials=trials, sampler=sampler))
    drive(search, lambda job: truth(job, seed_noise=1e-4))
    front = Front.of(Trials.of(search.records), OBJECTIVES)
    assert len(front.members) >= 4
    assert len(set(digests(search))) == trials


def test_several_backbones_and_accuracy_as_objective(tmp_path: Path) -> None:
    wide = Candidates(space(backbones=["mobilenetv2_035", "mobilenetv2_050"]))
    plan = SearchPlan(trials=24, objectives=["accuracy", "latency_ms"])
    search = make(tmp_path, wide, plan)
    drive(search)
    found = {Architecture.from_json(item.architecture).backbone for item in search.records}
    assert found == {"mobilenetv2_035", "mobilenetv2_050"}
    again = make(tmp_path, wide, plan)
    assert [record.digest for record in again.records] == [item.digest for item in search.records]


@pytest.mark.parametrize("others", ["nsga2", "random"])
def test_what_another_sampler_has_begun_goes_on_with_pareto(
    tmp_path: Path, candidates: Candidates, others: str
) -> None:
    drive(make(tmp_path, candidates, SearchPlan(trials=20, sampler=others)), steps=16)
    search = make(tmp_path, candidates, SearchPlan(trials=24, sampler="pareto"))
    drive(search)
    assert len(set(digests(search))) == 24
    assert search.stop_reason == "24 networks are evaluated"


def test_a_study_of_an_older_space_is_refused(tmp_path: Path, candidates: Candidates) -> None:
    drive(make(tmp_path, candidates, SearchPlan(trials=20)), steps=16)
    with pytest.raises(SpecError, match=r"trial \d+ of the study has '.*' at .*, which the space"):
        make(tmp_path, Candidates(space(blocks={"eca": {}})), SearchPlan(trials=20))


def test_a_space_of_one_block_at_one_place(tmp_path: Path) -> None:
    tiny = Candidates(space(sites={"granularity": "network"}, blocks={"eca": {}}))
    search = make(tmp_path, tiny, SearchPlan(trials=20))
    drive(search)
    assert {record.reference for record in search.records} == {"plain", "eca"}
    assert search.stop_reason == "2 networks are evaluated; the space gave no further one"


def test_where_no_network_keeps_the_limits(tmp_path: Path, candidates: Candidates) -> None:
    Store.create(tmp_path / "study.journal", OBJECTIVES)
    store = Store(tmp_path / "study.journal", writable=True)
    search = Search(candidates, SearchPlan(trials=20), store, admit=lambda architecture: False)
    drive(search)
    assert not any(record.eligible for record in search.records)
    assert search.stop_reason == "3 networks are evaluated; the space gave no further one"
    assert Front.of(Trials.of(search.records), OBJECTIVES).members == ()


def test_where_every_network_comes_to_the_same(tmp_path: Path, candidates: Candidates) -> None:
    def same(job: Job) -> Outcome:
        found = truth(job).evaluation
        assert found is not None
        return Outcome(replace(found, loss=1.0, accuracy=0.5, latency_ms=2.0))

    search = make(tmp_path, candidates, SearchPlan(trials=100))
    drive(search, same, workers=8)
    assert search.stop_reason is not None and len(set(digests(search))) > 15
    assert len(Front.of(Trials.of(search.records), OBJECTIVES).members) >= 1


def test_many_more_workers_than_networks(tmp_path: Path) -> None:
    few = Candidates(space(sites={"granularity": "network"}))
    search = make(tmp_path, few, SearchPlan(trials=50))
    drive(search, workers=10 * few.count())
    assert len(digests(search)) == few.count()
    assert {record.state for record in search.records} == {COMPLETE}


def test_a_record_survives_the_store(tmp_path: Path, candidates: Candidates) -> None:
    search = make(tmp_path, candidates, SearchPlan(trials=6))
    drive(search)
    stored = Store(tmp_path / "study.journal", writable=False)
    assert tuple(stored.records()) == search.records
    writable = Store(tmp_path / "study.journal", writable=True)
    writable.note_final({search.records[0].digest: (3.5, 0.01)})
    final: Record = Store(tmp_path / "study.journal", writable=False).records()[0]
    assert (final.final_latency_ms, final.final_latency_spread) == (3.5, 0.01)
