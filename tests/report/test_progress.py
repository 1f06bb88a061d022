from __future__ import annotations

import numpy as np
import pytest
from support.samples import make_record
from support.simulated_run import simulated_run

from nas.report.progress import summarise_rungs, trace_progress
from nas.spec.objective import objectives_named
from nas.study.trials import Trials

LOSS = objectives_named(["loss", "latency_ms"])


def test_a_course_by_hand() -> None:
    trials = Trials.of(
        [
            make_record(0, name="plain", loss=2.0, latency_ms=1.0),
            make_record(1, name="a", loss=1.0, latency_ms=3.0),
            make_record(2, name="b", loss=1.5, latency_ms=2.0),
            make_record(3, name="a", loss=0.1, latency_ms=0.1, repeat=1),  # a further seed
            make_record(4, name="c", failure="died"),
            make_record(5, name="d", loss=3.0, latency_ms=9.0),  # dominated
        ]
    )
    found = trace_progress(trials, LOSS)
    assert found.trial.tolist() == [0, 1, 2, 5]
    assert found.best.tolist() == [2.0, 1.0, 1.0, 1.0]
    # Ranges are 1..3 and 1..9: a twentieth of them beyond the front's worst.
    assert found.reference == pytest.approx([2.1, 3.4])
    areas = np.array([0.1 * 2.4, 0.1 * 2.4 + 1.0 * 0.4, 0.1 * 2.4 + 0.5 * 1.4 + 0.5 * 0.4])
    assert found.volume == pytest.approx([*(areas / areas[2]), 1.0])


def test_a_course_of_nothing() -> None:
    found = trace_progress(Trials.of([make_record(0, failure="died")]), LOSS)
    assert len(found.trial) == len(found.volume) == len(found.best) == 0
    assert np.isnan(found.reference).all()


def test_accuracy_rises_and_what_is_not_eligible_adds_nothing() -> None:
    from dataclasses import replace

    trials = Trials.of(
        [
            make_record(0, name="a", accuracy=0.5, latency_ms=1.0),
            replace(make_record(1, name="b", accuracy=0.9, latency_ms=0.5), eligible=False),
            make_record(2, name="c", accuracy=0.7, latency_ms=2.0),
        ]
    )
    found = trace_progress(trials, objectives_named(["accuracy", "latency_ms"]))
    assert found.best.tolist() == [0.5, 0.9, 0.9]
    assert found.volume[0] == found.volume[1] < found.volume[2] == 1.0


def test_networks_come_in_the_order_they_ended() -> None:
    from dataclasses import replace

    late = replace(make_record(0, name="a", loss=1.0), finished="2026-01-01T00:00:09")
    early = replace(make_record(1, name="b", loss=2.0), finished="2026-01-01T00:00:01")
    assert trace_progress(Trials.of([late, early]), LOSS).trial.tolist() == [1, 0]


def test_levels_count_where_networks_stopped(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = simulated_run(tmp_path / "run", search={"trials": 20}, proxy={"rungs": [1.0, 3.0, 9.0]})
    trials = run.trials()
    found = summarise_rungs(trials, [1.0, 3.0, 9.0])
    assert [level.budget for level in found] == [1.0, 3.0, 9.0]
    assert found[0].reached == 20
    for below, above in zip(found, found[1:], strict=False):
        assert below.reached == above.reached + below.stopped + below.waiting
    assert sum(level.stopped for level in found) == int(trials.stopped_early.sum()) > 0
