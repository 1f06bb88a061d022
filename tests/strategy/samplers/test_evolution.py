from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import create_trial

from nas.base.errors import SpecError
from nas.strategy.samplers.evolution import FrontMutation, RegularisedEvolution, _ranks
from nas.study.front.pareto import non_dominated

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACE = {
    "kind": CategoricalDistribution(("none", "se", "coord")),
    "second": CategoricalDistribution(("none", "se", "coord")),
    "width": IntDistribution(2, 8, step=2),
    "fixed": IntDistribution(5, 5),
}
COSTS = {"none": 3.0, "se": 1.0, "coord": 0.0}

Make = Callable[[int], optuna.samplers.BaseSampler]
MAKES: dict[str, Make] = {
    "front": lambda seed: FrontMutation(seed=seed, startup=4),
    "regularised": lambda seed: RegularisedEvolution(seed=seed, population=6, tournament=3),
}


def empty(sampler: optuna.samplers.BaseSampler, ways: Sequence[str] = ("minimize",) * 2):
    return optuna.create_study(directions=list(ways), sampler=sampler)


def costs(params: dict[str, object]) -> list[float]:
    loss = COSTS[str(params["kind"])] + COSTS[str(params["second"])] - 0.1 * float(params["width"])
    return [loss, float(params["width"]) + 2 * (params["kind"] == "coord")]


def add(study: optuna.Study, params: dict[str, object], values: list[float]) -> None:
    space = {name: SPACE[name] for name in params}
    study.add_trial(create_trial(params=params, distributions=space, values=values))


def ask(study: optuna.Study) -> dict[str, object]:
    return study.ask(SPACE).params


def searched(make: Make, seed: int, count: int) -> list[dict[str, object]]:
    study = empty(make(seed))
    for _ in range(count):
        trial = study.ask(SPACE)
        study.tell(trial, costs(trial.params))
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_values_are_of_the_space_and_the_seed_decides(make: Make) -> None:
    found = searched(make, 1, 30)
    assert found == searched(make, 1, 30)
    assert found != searched(make, 2, 30)
    for params in found:
        assert all(
            SPACE[name]._contains(SPACE[name].to_internal_repr(params[name])) for name in SPACE
        )


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_sampler_made_anew_goes_on_as_the_old_one(make: Make) -> None:
    study = empty(make(3))
    for _ in range(30):
        study.sampler = make(3)
        trial = study.ask(SPACE)
        study.tell(trial, costs(trial.params))
    assert [trial.params for trial in study.trials] == searched(make, 3, 30)


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_child_differs_from_its_parent(make: Make) -> None:
    study = empty(make(0))
    parent = {"kind": "se", "second": "none", "width": 4, "fixed": 5}
    for _ in range(6):
        add(study, parent, [1.0, 1.0])
    children = [ask(study) for _ in range(60)]
    differing = [changes(child, parent) for child in children]
    assert min(differing) == 1
    assert differing.count(1) > differing.count(2) > 0
    assert all(child["fixed"] == 5 for child in children)


def test_front_mutation_takes_each_member_of_the_front_alike() -> None:
    study = empty(FrontMutation(seed=0, startup=3), ("maximize", "minimize"))
    cheap = {"kind": "none", "second": "none", "width": 2, "fixed": 5}
    good = {"kind": "coord", "second": "coord", "width": 8, "fixed": 5}
    worse = {"kind": "se", "second": "se", "width": 4, "fixed": 5}
    add(study, cheap, [0.5, 1.0])
    for _ in range(5):  # told again and again, it has no more children
        add(study, good, [0.9, 2.0])
    add(study, worse, [0.4, 3.0])
    near = [nearest(ask(study), (cheap, good, worse)) for _ in range(200)]
    assert near.count(0) > 60 and near.count(1) > 60
    assert near.count(2) < 40  # by many changes at once


def test_members_of_the_population_die_of_age() -> None:
    study = empty(RegularisedEvolution(seed=0, population=3, tournament=3))
    best = {"kind": "coord", "second": "coord", "width": 8, "fixed": 5}
    young = {"kind": "none", "second": "none", "width": 2, "fixed": 5}
    add(study, best, [0.0, 0.0])
    for _ in range(2):
        add(study, young, [1.0, 1.0])
    assert sum(changes(ask(study), best) == 1 for _ in range(100)) > 35
    add(study, young, [1.0, 1.0])
    assert sum(changes(ask(study), best) == 1 for _ in range(100)) < 20


def changes(params: dict[str, object], other: dict[str, object]) -> int:
    return sum(params[name] != other[name] for name in params)


def nearest(params: dict[str, object], others: Sequence[dict[str, object]]) -> int:
    return int(np.argmin([changes(params, other) for other in others]))


def test_the_tournament_is_won_by_rank() -> None:
    points = np.array([[0.0, 3.0], [1.0, 1.0], [2.0, 2.0], [1.0, 3.0], [3.0, 3.0], [3.0, 3.0]])
    assert list(_ranks(points)) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_failed_and_running_trials_are_no_parents(make: Make) -> None:
    study = empty(make(0))
    for _ in range(20):
        study.tell(study.ask(SPACE), state=optuna.trial.TrialState.FAIL)
    running = [study.ask(SPACE) for _ in range(5)]
    assert len({tuple(trial.params.items()) for trial in running}) > 2  # drawn at random


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_parameters_that_the_parent_lacks_are_drawn(make: Make) -> None:
    study = empty(make(0))
    for _ in range(6):
        add(study, {"kind": "se", "fixed": 5}, [1.0, 1.0])
    assert len({ask(study)["width"] for _ in range(40)}) == 4


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_enqueued_values_are_kept(make: Make) -> None:
    study = empty(make(0))
    study.enqueue_trial({"kind": "coord", "width": 6})
    params = ask(study)
    assert (params["kind"], params["width"]) == ("coord", 6)


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_finds_the_end_of_the_front_of_an_easy_space(make: Make) -> None:
    found = np.array([costs(params) for params in searched(make, 0, 60)])
    optimum = np.array([[-0.2, 4.0]])  # coord twice at width 2
    front = found[non_dominated(found)]
    assert (np.abs(front - optimum).sum(axis=1) < 1e-9).any()


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_float_is_refused(make: Make) -> None:
    trial = empty(make(0)).ask()
    with pytest.raises(SpecError, match=r"'rate' is a FloatDistribution; .*choose"):
        trial.suggest_float("rate", 0.0, 1.0)
