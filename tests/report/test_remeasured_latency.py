from __future__ import annotations

from dataclasses import replace

import pytest
from support.samples import make_record

from nas.report.captions import describe_remeasured_latency
from nas.report.remeasured_latency import compare_latencies
from nas.study.trials import Trials


def measured(trial: int, name: str, before: float, after: float | None, **more: object):  # type: ignore[no-untyped-def]
    record = make_record(trial, name=name, latency_ms=before, **more)  # type: ignore[arg-type]
    return replace(record, final_latency_ms=after, final_latency_spread=0.01)


def test_seeds_of_one_network_are_one_point() -> None:
    latency = compare_latencies(
        Trials.of(
            [
                measured(0, "a", 1.0, 1.5),
                measured(1, "a", 2.0, 1.5, repeat=1),
                measured(2, "b", 4.0, 5.0),
                make_record(3, name="c", latency_ms=9.0),
            ]
        )
    )
    assert sorted(zip(latency.before, latency.after, strict=True)) == [(1.5, 1.5), (4.0, 5.0)]
    assert not latency.predicted
    assert describe_remeasured_latency(latency) == (
        "2 networks, measured beside the trainings, then measured on the idle machine: they "
        "differ by 12.5 % (median), at most 25.0 %."
    )


def test_predictions_say_how_many_intervals_held() -> None:
    records = [
        replace(measured(n, name, 1.0, after, latency_spread=0.1), latency_predicted=True)
        for n, (name, after) in enumerate([("a", 1.05), ("b", 0.95), ("c", 1.2)])
    ]
    latency = compare_latencies(Trials.of(records))
    assert latency.predicted
    assert latency.inside == 2
    assert describe_remeasured_latency(latency).endswith(
        "2 lie inside the 90 % interval of their prediction."
    )
    assert latency.off.max() == pytest.approx(0.2)


def test_nothing_measured_yet() -> None:
    latency = compare_latencies(Trials.of([make_record(0)]))
    assert len(latency.trial) == 0
    assert (
        describe_remeasured_latency(latency)
        == "No network has been measured on the idle machine yet."
    )
