"""A front by what is believed: gains by full training, in place of what seeds happened to show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.samples import make_record

from nas.base.errors import SpecError
from nas.spec.objective import objectives_named
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

NAMES = tuple("abcdefgh")
# One training each of eight networks that are alike, one of them lucky; plain is worse.
LUCKY = [
    make_record(0, name="plain", reference="plain", loss=1.0, accuracy=0.50, latency_ms=1.0),
    *[
        make_record(
            number,
            name=name,
            loss=0.8 + 0.02 * math.sin(7 * number) - 0.06 * (name == "d"),
            accuracy=0.6 - 0.01 * math.sin(7 * number),
            latency_ms=1.0 + 0.1 * number,
        )
        for number, name in enumerate(NAMES, 1)
    ],
]
SEVERAL = [
    *LUCKY,
    *[
        make_record(
            9 + 9 * repeat + number,
            name=record_name,
            loss=(1.0 if record_name == "plain" else 0.8) + 0.015 * math.sin(5 * number + repeat),
            accuracy=(0.5 if record_name == "plain" else 0.6)
            + 0.01 * math.sin(3 * number + repeat),
            latency_ms=1.0 + 0.1 * number,
            seed=1 + repeat,
            repeat=1 + repeat,
            reference="plain" if record_name == "plain" else None,
        )
        for repeat in range(3)
        for number, record_name in enumerate(("plain", *NAMES))
    ],
]
BUDGETS = Budgets("start", (1000.0,), 1000.0, 1000.0)


def front_of(
    records: Sequence[Record], *, by: tuple[str, ...] = ("loss", "latency_ms"), believe: bool = True
) -> Front:
    trials = Trials.of(records)
    belief = NetworkBelief.of(trials, BUDGETS) if believe else None
    return Front.of(trials, objectives_named(by), belief=belief, regime="scratch")


def test_a_point_carries_its_gain_and_what_it_rests_on() -> None:
    plain, *others = front_of(SEVERAL)
    assert (plain.gain, plain.gain_low, plain.gain_high, plain.gain_loss) == (0, 0, 0, 0)
    assert math.isnan(plain.p_better)
    assert others
    for point in others:
        assert point.gain_low < point.gain < point.gain_high
        assert point.gain_loss_low < point.gain_loss < point.gain_loss_high
        assert point.gain_loss == pytest.approx(0.2, abs=0.05)
        assert point.gain == pytest.approx(0.1, abs=0.03)
        assert point.p_better > 0.95
        assert (point.regime, point.evidence.trainings, point.evidence.full) == ("scratch", 4, 0)


def test_what_images_do_to_a_figure_widens_what_is_said_of_it() -> None:
    """Such as mIoU, of which what they do to the loss tells little."""
    known = [replace(record, loss_sem=1e-4) for record in SEVERAL]
    by_loss = front_of(known)
    by_figure = front_of([replace(record, accuracy_sem=0.03) for record in known])
    for one, other in zip(by_loss, by_figure, strict=True):
        if one.reference is None:
            before, after = (point.gain_high - point.gain_low for point in (one, other))
            assert after > before and after > 2 * 0.03
            assert other.gain_loss_low == pytest.approx(one.gain_loss_low)


def test_without_a_belief_nothing_is_said_of_gains() -> None:
    for point in front_of(SEVERAL, believe=False):
        values = point.to_dict()
        assert (values["gain"], values["gain_loss"], values["p_better"]) == (None, None, None)
        assert values["evidence"] == {"trainings": 4, "full": 0}


def test_the_front_is_by_what_is_believed_and_shows_what_was_measured() -> None:
    front = front_of(LUCKY)
    believed = {point.trial: point.gain_loss for point in front}
    members = [point.trial for point in front.members]
    assert all(
        believed[one] < believed[other] for one, other in zip(members, members[1:], strict=False)
    )
    lucky = next(point for point in front if point.trial == 4)
    assert lucky.loss == LUCKY[4].loss
    assert lucky.gain_loss < lucky.loss_saved


def test_one_network_carries_one_uncertainty_wherever_it_is_shown() -> None:
    front = front_of(SEVERAL)
    shown = {point.trial: point for point in front}
    choice = front.at(latency_ms=2)
    beside = [choice.best, *[point for point, _ in choice.rivals]]
    cloud = front.searched(*range(len(front.cloud["trial"])))
    for point in (*beside, *cloud):
        if point.trial in shown:
            one, other = point.to_dict(), shown[point.trial].to_dict()
            numbers = {name for name, value in one.items() if isinstance(value, float)}
            assert {name: one[name] for name in numbers} == pytest.approx(
                {name: other[name] for name in numbers}
            )
            assert point.evidence == shown[point.trial].evidence


def test_where_nothing_pays_the_answer_is_nowhere() -> None:
    records = [
        make_record(
            9 * seed + number,
            name=name,
            loss=1.0 + 0.004 * math.sin(5 * number + seed),
            accuracy=0.5 + 0.001 * math.sin(3 * number + seed),
            latency_ms=1.0 + 0.1 * number,
            seed=seed,
            repeat=seed,
            reference="plain" if name == "plain" else None,
        )
        for seed in range(4)
        for number, name in enumerate(("plain", *NAMES))
    ]
    choice = front_of(records).at(latency_ms=2)
    assert choice.nowhere and choice.ruled_out is not None
    assert choice.unit == "accuracy" and choice.delta == 0.005
    assert 0 < choice.ruled_out.gain < 0.01
    assert choice.ruled_out.probability > 0.8
    assert (choice.ruled_out.networks, choice.ruled_out.sites) == (8, 8)


def test_a_wider_margin_takes_a_cheaper_network() -> None:
    front = front_of(SEVERAL)
    cheap = front.at(latency_ms=2, within=40)
    assert cheap.nowhere and cheap.delta == pytest.approx(0.4)
    dear = front.at(latency_ms=2, within=3)
    assert dear.cheapest is not None and not dear.nowhere
    for wrong in (-1.0, math.nan):
        with pytest.raises(SpecError, match="points of accuracy, 0 or more"):
            front.at(latency_ms=2, within=wrong)
    with pytest.raises(SpecError, match="nothing is known"):
        front_of(SEVERAL, believe=False).at(latency_ms=2, within=1)


def test_loss_and_accuracy_may_say_the_opposite() -> None:
    # Overfitting: loss rises while accuracy does.
    records = [
        make_record(
            9 * seed + number,
            name=name,
            loss=1.0 + 0.1 * number + 0.01 * math.sin(5 * number + seed),
            accuracy=0.5 + 0.03 * number + 0.002 * math.sin(3 * number + seed),
            latency_ms=1.0 + 0.1 * number,
            seed=seed,
            repeat=seed,
            reference="plain" if name == "plain" else None,
        )
        for seed in range(4)
        for number, name in enumerate(("plain", *NAMES))
    ]
    (last,) = front_of(records).searched(8)
    assert last.gain_loss < 0 < last.gain
    assert last.p_better_loss < 0.05 and last.p_better > 0.95
    assert [point.trial for point in front_of(records).members] == [0]
    by_accuracy = front_of(records, by=("accuracy", "latency_ms"))
    assert len(by_accuracy.members) == 9


def test_runs_that_are_joined_are_each_held_against_their_own_plain_network() -> None:
    easy = [
        make_record(
            record.trial,
            name="plain" if record.reference else NAMES[(record.trial - 1) % 9],
            loss=float(record.loss or 0) + 1.0,
            accuracy=float(record.accuracy or 0) - 0.2,
            latency_ms=float(record.latency_ms or 0),
            reference=record.reference,
        )
        for record in LUCKY
    ]  # fmt: skip
    front = Front.joined({"one": front_of(LUCKY), "other": front_of(easy)})
    plains = [point for point in front if point.reference == "plain"]
    assert [point.gain for point in plains] == [0, 0]
    assert {point.run for point in front.members} == {"one"}
    alone = {point.trial: point.gain_loss for point in front_of(LUCKY)}
    for point in front:
        if point.run == "one" and point.trial in alone:
            assert point.gain_loss == pytest.approx(alone[point.trial])


@pytest.mark.parametrize("figure", ["loss", "accuracy"])
def test_what_runs_that_are_joined_have_by_chance_is_each_ones_own(figure: str) -> None:
    """Also of images: those of one run say nothing of those of another."""
    records = [replace(record, loss_sem=0.5, accuracy_sem=0.5) for record in LUCKY]
    front = Front.joined({"one": front_of(records), "other": front_of(records)})
    searched = np.flatnonzero(front.measured.columns["reference"] == None)  # noqa: E711
    gains = front.believed.gains(front.measured, searched, figure)
    assert gains is not None
    between = np.corrcoef(gains, rowvar=False)[: len(NAMES), len(NAMES) :]
    assert np.abs(between).max() < 0.1


def test_of_very_many_networks_the_hopeful_ones_are_believed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = [point.trial for point in front_of(SEVERAL)]
    monkeypatch.setattr("nas.study.front.costs._MOST_BELIEVED", 6)
    monkeypatch.setattr("nas.study.front.costs._STRATA", 3)
    front = front_of(SEVERAL)
    assert {point.trial for point in front.references} == {0}
    assert set(front.member_rows) <= set(range(9))
    assert np.isfinite([point.gain for point in front]).all()
    assert whole[0] == next(iter(front)).trial
