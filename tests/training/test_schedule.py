"""How budgets become a schedule."""

from __future__ import annotations

import pytest

from nas.spec.runner import Proxy
from nas.training.schedule import Schedule


def schedule(**proxy: object) -> Schedule:
    given = {"unit": "steps", "rungs": [10, 20, 40], "learning_rate": 1.0} | proxy
    return Schedule(Proxy.model_validate(given), images=1438)


@pytest.mark.parametrize(
    ("proxy", "forks"),
    [
        ({}, [8, 16, 32]),  # a fifth of each rung
        ({"cooldown": 3.0, "warm_up": 5.0}, [7, 17, 37]),
        ({"kind": "finetune"}, [8, 16, 32]),
    ],
)
def test_the_rungs_of_a_trunk_go_one_way_until_they_fork_off(
    proxy: dict[str, object], forks: list[float]
) -> None:
    given = schedule(schedule="trunk", **proxy)
    recipe = given.recipe(0.1)
    recipes = [given.toward(rung, recipe) for rung in range(3)]
    assert [given.fork(rung) for rung in range(3)] == forks
    assert recipes[-1] == recipe
    for one, fork in zip(recipes, forks, strict=True):
        for step in range(int(fork) + 1):
            assert one.rate(step) == pytest.approx(recipes[-1].rate(step))
    warm_up = int(proxy.get("warm_up", 2))  # type: ignore[call-overload]
    assert recipe.rate(warm_up - 1) < 1.0 == recipe.rate(warm_up) == recipe.rate(forks[-1])
    assert recipes[0].rate(9) == pytest.approx(1 / (10 - forks[0]))
    assert recipes[0].rate(10) == 0.0


def test_the_warm_up_of_one_cycle_is_what_the_proxy_says() -> None:
    assert schedule(warm_up=10.0).recipe(0.1).warm_up == 0.25
    assert schedule().recipe(0.1).warm_up == 0.2  # of runs of earlier versions, and beside weights
    assert schedule(unit="seconds", warm_up=4.0).recipe(0.1).warm_up == 0.1
