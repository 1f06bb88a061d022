"""The one source of every uncertainty that is shown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from study.front.test_verdict import front_of

from nas.study.front.findings import Kind
from nas.study.front.front import Front
from nas.study.front.gains import UNKNOWN, believed_gains, draw_gains
from nas.study.front.search_findings import search_findings

NETWORKS = (("plain", 1.0, 1.0), ("a", 0.5, 2.0), ("b", 0.9, 3.0))


def test_gains_are_against_the_plain_network_with_their_interval() -> None:
    front = front_of(*NETWORKS)
    plain, best, placed = front.gains
    assert (plain.gain, plain.low, plain.high) == (0.0, 0.0, 0.0)
    assert best.low < best.gain < best.high and best.gain == pytest.approx(0.5, abs=0.05)
    assert best.p_better > 0.99
    assert best.p_front > 0.99 > 0.01 > placed.p_front
    assert placed.gain == pytest.approx(0.1, abs=0.05)


def test_table_and_findings_read_the_same_draws() -> None:
    front = front_of(*NETWORKS)
    saved = next(item for item in search_findings(front) if item.kind == Kind.LOSS_DIFFERENCE)
    gain = front.gains[1]
    assert saved.estimate == pytest.approx(gain.gain)
    assert saved.low < gain.low < gain.high < saved.high  # at 95 and at 90 %


def test_the_points_speak_of_full_training_alone() -> None:
    assert all(math.isnan(point.gain_loss) for point in front_of(*NETWORKS))


def test_nothing_is_known_without_repeats_or_a_plain_network() -> None:
    alone = front_of(*NETWORKS, seeds=1)
    assert alone.gains == (UNKNOWN,) * 3
    without = front_of(("a", 0.5, 2.0), ("c", 0.9, 1.0))
    assert all(math.isnan(gain.gain) for gain in without.gains)
    draws = draw_gains(without.measured, without.point_rows)
    assert draws is not None  # differences between them can be told all the same
    assert believed_gains(without.measured, np.zeros(0, dtype=np.int64)) == ()


def test_of_several_runs_each_is_held_against_its_own_plain_network() -> None:
    worse = tuple((name, loss + 1.0, latency) for name, loss, latency in NETWORKS)
    joined = Front.joined({"one": front_of(*NETWORKS), "two": front_of(*worse)})
    by_run = {
        (point.run, point.reference): gain.gain
        for point, gain in zip(joined.points, joined.gains, strict=True)
    }
    assert by_run["one", "se"] == pytest.approx(0.1, abs=0.1)
    assert by_run["two", "se"] == pytest.approx(0.1, abs=0.1)
