from __future__ import annotations

import pytest

from nas.base.errors import SpecError
from nas.spec.objective import OBJECTIVES, objectives_named


def test_only_accuracies_are_maximised() -> None:
    assert {name for name, item in OBJECTIVES.items() if item.sign == -1} == {
        "accuracy",
        "retrained_accuracy",
    }
    assert all(item.sign**2 == 1 for item in OBJECTIVES.values())


def test_order_is_kept() -> None:
    assert [item.name for item in objectives_named(["latency_ms", "loss"])] == [
        "latency_ms",
        "loss",
    ]
    assert len(objectives_named(tuple(OBJECTIVES))) == len(OBJECTIVES)


def test_unknown_one_lists_the_known() -> None:
    with pytest.raises(SpecError, match="unknown objective 'speed'; known: loss, accuracy, laten"):
        objectives_named(["loss", "speed"])


@pytest.mark.parametrize("names", [[], ["loss"], ["loss", "loss"], ["loss", "params", "loss"]])
def test_two_different_ones_are_needed(names: list[str]) -> None:
    with pytest.raises(SpecError, match="at least two different"):
        objectives_named(names)
