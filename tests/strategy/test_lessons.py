"""What a sampler is told is what all trials tell, however often it was told before."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.searches import OBJECTIVES, drive, space, truth
from support.simulated_run import at_its_rung

from nas.belief.evidence import Evidence
from nas.execution.simulated import VirtualClock
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.search_plan import SearchPlan
from nas.strategy import lessons
from nas.strategy.samplers.pareto import ParetoSampler
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.evidence import Budgets, collect_evidence
from nas.study.published_evidence import PUBLISHED
from nas.study.record import Job, Outcome
from nas.study.trials import Trials

RUNGS = [1.0, 3.0, 9.0]
BUDGETS = Budgets("scratch", (100.0, 300.0, 900.0), 1000.0, 5000.0)


def evaluate(job: Job) -> Outcome:
    return at_its_rung(job, truth(job), RUNGS)


def search_of(path: Path, candidates: Candidates, plan: SearchPlan) -> Search:
    journal = path / "study.journal"
    if not journal.exists():
        Store.create(journal, OBJECTIVES)
    return Search(
        candidates,
        plan,
        Store(journal, writable=True),
        rungs=len(RUNGS),
        budgets=BUDGETS,
        clock=VirtualClock(),
    )


def rebuilt(search: Search, candidates: Candidates) -> Evidence:
    architectures = {
        record.digest: Architecture.from_json(record.architecture) for record in search.records
    }
    codes = {digest: search._proposer.codes(item) for digest, item in architectures.items()}
    known = {digest: row for digest, row in codes.items() if row is not None}
    return collect_evidence(Trials.of(search.records), known, BUDGETS)


def test_the_evidence_of_every_proposal_is_that_of_all_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a resume and beside other workers, it is what collecting it anew would give."""
    candidates = Candidates(space())
    plan = SearchPlan(trials=14)
    drive(search_of(tmp_path, candidates, plan), evaluate, workers=3, steps=12)
    search = search_of(tmp_path, candidates, plan)
    collected, compared = 0, 0
    propose = search._proposer.propose

    def counted(*arguments: Any) -> Evidence:
        nonlocal collected
        collected += 1
        return collect_evidence(*arguments)

    def checked(*arguments: Any, **options: Any) -> Any:
        nonlocal compared
        compared += 1
        sampler = search._proposer._pareto
        assert isinstance(sampler, ParetoSampler)
        told, expected = sampler.evidence[0].rows, rebuilt(search, candidates)
        assert len(told) > 0
        for item in fields(Evidence):
            own, other = getattr(told, item.name), getattr(expected, item.name)
            assert list(own) == list(other) if item.name == "source" else np.array_equal(own, other)
        return propose(*arguments, **options)

    monkeypatch.setattr(lessons, "collect_evidence", counted)
    monkeypatch.setattr(search._proposer, "propose", checked)
    drive(search, evaluate, workers=3)
    assert 0 < collected < compared


def test_without_budgets_or_a_loss_there_is_no_evidence(tmp_path: Path) -> None:
    for name, budgets, objectives in (
        ("none", None, ["loss", "latency_ms"]),
        ("accuracy", BUDGETS, ["accuracy", "latency_ms"]),
    ):
        plan = SearchPlan(trials=6, objectives=objectives)
        (tmp_path / name).mkdir()
        journal = tmp_path / name / "study.journal"
        Store.create(journal, OBJECTIVES)
        search = Search(
            Candidates(space()),
            plan,
            Store(journal, writable=True),
            budgets=budgets,
            clock=VirtualClock(),
        )
        drive(search)
        assert search._proposer._pareto is not None
        assert search._proposer._pareto.evidence == {}


def test_published_comparisons_stand_beside_the_trainings_where_they_are_wanted(
    tmp_path: Path,
) -> None:
    for name, regime in (("with", "scratch"), ("without", None)):
        (tmp_path / name).mkdir()
        journal = tmp_path / name / "study.journal"
        Store.create(journal, OBJECTIVES)
        search = Search(
            Candidates(space()),
            SearchPlan(trials=8),
            Store(journal, writable=True),
            budgets=replace(BUDGETS, published=regime),
            clock=VirtualClock(),
        )
        drive(search)
        sampler = search._proposer._pareto
        assert isinstance(sampler, ParetoSampler)
        assert (PUBLISHED in sampler.evidence[0].rows.source) == (name == "with")
