"""What further seeds tell the sampler, worked by hand."""

from __future__ import annotations

import json

import pytest

from nas.spec.objective import objectives_named
from nas.strategy.repeats import summarise_repeats
from nas.study.record import COMPLETE, FAILED, Record

OBJECTIVES = objectives_named(["loss", "latency_ms"])


def record(trial: int, digest: str, repeat: int, loss: float, **changes: object) -> Record:
    given: dict[str, object] = {
        "trial": trial,
        "state": COMPLETE,
        "architecture": json.dumps({}),
        "digest": digest,
        "seed": 100 + repeat,
        "reference": None,
        "repeat": repeat,
        "eligible": True,
        "loss": loss,
        "accuracy": 0.5,
        "latency_ms": 2.0,
        "trained": True,
    }
    return Record(**(given | changes))  # type: ignore[arg-type]


def test_without_repeats_nothing_is_told() -> None:
    repeats = summarise_repeats([record(0, "a", 0, 1.0), record(1, "b", 0, 2.0)], OBJECTIVES)
    assert repeats.values == {} and repeats.noise == {}


def test_a_lucky_first_seed_is_taken_back_and_an_easy_one_is_not() -> None:
    """The second seed costs everybody 0.2 more; beside that, a was lucky by 0.05 at first."""
    records = [
        record(0, "a", 0, 0.9),
        record(1, "b", 0, 1.5),
        record(2, "c", 0, 2.0),
        record(3, "a", 1, 1.2),
        record(4, "b", 1, 1.6),
    ]
    repeats = summarise_repeats(records, OBJECTIVES)
    # Of two networks it is not quite believed what a seed does to all.
    values = {name: loss for name, (loss, _) in repeats.values.items()}
    assert values["b"] - values["a"] == pytest.approx(0.5)
    assert 0.9 < values["a"] <= 1.05
    assert repeats.noise == {0: pytest.approx(0.1)}


def test_it_does_not_matter_whether_a_network_was_trained_once() -> None:
    records = [
        record(0, "a", 0, 0.9),
        record(1, "b", 0, 1.5),
        record(2, "a", 1, 1.2),
        record(3, "b", 1, 1.6),
    ]
    repeats = summarise_repeats(records, OBJECTIVES)
    values = {name: loss for name, (loss, _) in repeats.values.items()}
    assert values["b"] - values["a"] == pytest.approx(0.5)
    assert 0.9 < values["a"] <= 1.05


def test_what_training_does_not_change_keeps_its_value_and_tells_no_noise() -> None:
    records = [
        record(0, "plain", 0, 1.0, trained=False),
        record(1, "plain", 1, 1.0, trained=False),
        record(2, "a", 0, 0.8),
        record(3, "a", 1, 9.9, state=FAILED),
    ]
    repeats = summarise_repeats(records, OBJECTIVES)
    assert repeats.values == {"plain": [1.0, 2.0]} and repeats.noise == {}
