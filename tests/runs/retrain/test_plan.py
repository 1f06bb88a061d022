"""How long full trainings take, and what is proposed where that is long for few images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nas.runs.retrain import plan
from nas.runs.retrain.plan import RetrainPlan


@pytest.mark.parametrize(
    ("images", "epochs", "seconds", "proposed"),
    [
        (1_151, 200.0, 7200.0, 50),
        (1_151, 200.0, 1700.0, None),  # short enough
        (1_151, 40.0, 7200.0, None),  # whoever says how long means it
        (1_151, 200.0, 1e7, 1),
        (50_000, 200.0, 7200.0, None),
    ],
)
def test_fewer_epochs_are_proposed_where_a_long_recipe_meets_few_images(
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    epochs: float,
    seconds: float,
    proposed: int | None,
) -> None:
    data = SimpleNamespace(train=range(images))
    monkeypatch.setattr(plan, "open_data", lambda folder: data)
    job: Any = SimpleNamespace(recipe=SimpleNamespace(epochs=epochs), data=Path())
    planned = RetrainPlan(cast(Any, None), (job,), (), 2, None)
    assert planned.shorter(seconds) == proposed
    assert RetrainPlan(cast(Any, None), (), (), 2, None).shorter(seconds) is None
