"""A point carries what is believed of it, and its columns are a promise."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
from support.samples import make_record

from nas.spec.objective import objectives_named
from nas.study.front.believed_gain import BelievedGain
from nas.study.front.front import Front
from nas.study.front.point import COLUMNS, Point
from nas.study.trials import Trials

BELIEVED = BelievedGain(0.01, 0.0, 0.02, 0.3, 0.2, 0.4, 0.9, 0.99)
PROMISED = """
trial architecture reference on_front seeds loss loss_noise image_noise loss_saved accuracy
accuracy_noise latency_ms latency_spread latency_final latency_predicted params macs confirmed_loss
confirmed_seeds run retrained_accuracy retrained_spread retrained_test_accuracy
retrained_test_spread retrained_seeds digest gain gain_low gain_high gain_loss gain_loss_low
gain_loss_high p_better p_better_loss regime evidence uncounted
""".split()


@pytest.fixture
def point() -> Point:
    return Front.of(Trials.of([make_record(0)]), objectives_named(["loss", "latency_ms"])).points[0]


def test_the_columns_are_those_of_every_version(point: Point, tmp_path: Path) -> None:
    assert list(COLUMNS) == PROMISED
    assert list(point.to_dict()) == PROMISED
    front = Front.of(Trials.of([make_record(0)]), objectives_named(["loss", "latency_ms"]))
    assert list(json.loads(front.to_json())[0]) == PROMISED
    front.write_csv(tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(newline="") as file:
        assert next(csv.reader(file)) == PROMISED


@pytest.mark.parametrize("name", [item.name for item in fields(BelievedGain)])
def test_what_is_believed_is_read_from_the_point(point: Point, name: str) -> None:
    assert math.isnan(getattr(point, name)) and point.to_dict()[name] is None
    known = replace(point, believed=BELIEVED)
    assert getattr(known, name) == known.to_dict()[name] == getattr(BELIEVED, name)
