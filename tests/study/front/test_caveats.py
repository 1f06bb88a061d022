"""Where figures come from is said wherever they are shown."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from support.samples import make_record

from nas.spec.objective import objectives_named
from nas.spec.task import TASKS
from nas.study.constant_prediction import ConstantPrediction
from nas.study.front.caveats import caveat_lines, caveats
from nas.study.front.findings import Kind
from nas.study.front.front import Front
from nas.study.front.verdict import judge
from nas.study.full_training import FullTraining, full_trainings_to_json
from nas.study.record import Evaluation, Record
from nas.study.trials import Trials

DOUBT = "The profile of a phone is not certified: it was timed once."


def front_of(*records: Record, uncertified: tuple[tuple[str, float], ...] = ()) -> Front:
    objectives = objectives_named(["loss", "latency_ms"])
    return Front.of(Trials.of(records), objectives, uncertified=uncertified)


def test_certified_profiles_and_whole_counts_need_no_word() -> None:
    front = front_of(make_record(0, latency_predicted=True), make_record(1, name="plain"))
    assert caveats(front) == ()


def test_an_uncertified_profile_is_named_where_its_latencies_are_shown() -> None:
    doubts = ((DOUBT, math.nan),)
    front = front_of(make_record(0, latency_predicted=True), uncertified=doubts)
    assert caveat_lines(front) == (DOUBT,)
    assert DOUBT in judge(front).lines
    (finding,) = caveats(front)
    assert finding.kind == Kind.UNCERTIFIED_PROFILE and math.isnan(finding.estimate)
    assert finding.to_dict()["estimate"] is None
    # Measured again at the end, none of its latencies is shown.
    predicted = make_record(0, latency_predicted=True)
    measured = replace(predicted, final_latency_ms=1.0, final_latency_spread=0.0)
    assert caveats(front_of(measured, uncertified=doubts)) == ()
    assert Front.joined({"a": front, "b": front}).uncertified == doubts


def test_networks_that_tell_all_images_the_same_are_named_wherever_they_are_shown() -> None:
    constant = ConstantPrediction(loss=2.3, accuracy=0.1)
    records = [
        make_record(0, name="plain", reference="plain", accuracy=0.5),
        make_record(1, name="b", loss=2.3, latency_ms=0.5, accuracy=0.1),
    ]
    objectives, miou = objectives_named(["loss", "latency_ms"]), TASKS["segmentation"].figures[0]
    assert caveats(Front.of(Trials.of(records), objectives)) == ()  # of an earlier version
    front = Front.of(Trials.of(records), objectives, constant=constant, figure=miou)
    line = (
        "trial 1 is no better than one answer to all images (mIoU 10.0%, where that has "
        "10.0%). Such a training collapsed, or was too short to begin: do not take its network as "
        "it is; a lower learning rate or a longer training may help."
    )
    assert caveat_lines(front) == (line,)
    assert line in judge(front).lines
    joined = Front.joined({"a": front, "b": Front.of(Trials.of(records), objectives, figure=miou)})
    (finding,) = caveats(joined)
    assert finding.networks == ("trial 1 of a",) and finding.estimate == 0.1
    every = [replace(record, accuracy=0.0) for record in records]
    (line,) = caveat_lines(Front.of(Trials.of(every), objectives, constant=constant))
    assert line.startswith("All 2 networks here are no better than one answer to all images (acc")


def test_full_trainings_that_collapsed_are_counted() -> None:
    constant = ConstantPrediction(loss=2.3, accuracy=0.1)
    full = [
        FullTraining(1, "x", None, seed, "key", {}, "short", 32, loss=2.3, accuracy=accuracy)
        for seed, accuracy in enumerate([0.1, 0.6, 0.05])
    ]
    trials = Trials.of([make_record(0)])
    texts = np.array([full_trainings_to_json(full)], dtype=object)
    trials = Trials({**trials.columns, "retrained": texts})
    front = Front.of(trials, objectives_named(["loss", "latency_ms"]), constant=constant)
    (finding,) = caveats(front)
    assert finding.networks == ("trial 0 (2 of 3 seeds)",)
    assert caveat_lines(front) == (
        "2 of 3 full trainings collapsed, and are no better than one answer to all images "
        "(accuracy at most 10.0%, where that has 10.0%): trial 0 (2 of 3 seeds). A lower learning "
        "rate may help.",
    )


def test_operators_that_multiply_adds_leave_out_are_named() -> None:
    front = front_of(
        make_record(0, uncounted=("aten::lstm",)),
        make_record(1, name="b", loss=2.0, latency_ms=0.5),
    )
    assert caveat_lines(front) == (
        "Multiply-adds leave out what aten::lstm compute, which nobody counts.",
    )
    assert [point.to_dict()["uncounted"] for point in front] == [None, "aten::lstm"]


def test_what_is_not_counted_goes_with_an_evaluation_and_its_record() -> None:
    record = make_record(0, uncounted=("aten::gru", "aten::lstm"))
    assert record.to_dict()["uncounted"] == "aten::gru aten::lstm"
    assert Record.from_dict(record.to_dict()) == record
    whole = {name: value for name, value in record.to_dict().items() if name != "uncounted"}
    assert Record.from_dict(whole).uncounted == ()  # of an earlier version
    evaluation = Evaluation(1.0, 0.5, 1.0, None, 0.0, 1, 1, 1, 1.0, 1.0, uncounted=("aten::lstm",))
    assert Evaluation.from_dict(evaluation.to_dict()) == evaluation
    assert "uncounted" not in Evaluation(1.0, 0.5, 1.0, None, 0.0, 1, 1, 1, 1.0, 1.0).to_dict()
