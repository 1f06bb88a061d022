from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial, TrialState

from nas.strategy.samplers.pareto import PROMISE, PROPOSED, Knowledge, ParetoSampler
from nas.study.front.indicators import hypervolume

SITES, LABELS = 6, ("none", "se/r8", "se/r32", "coord/r8", "coord/r32")
TIME = np.array([0.0, 0.1, 0.07, 0.5, 0.3])
WORTH = np.array([0.0, 0.5, 0.4, 1.5, 1.1])
SHARE = np.array([0.2, 0.3, 0.5, 1.0, 1.4, 2.0])

optuna.logging.set_verbosity(optuna.logging.ERROR)


def suggested(trial: Trial) -> tuple[str, ...]:
    return tuple(trial.suggest_categorical(f"site{site}", LABELS) for site in range(SITES))


def latency(columns: dict[str, np.ndarray]) -> np.ndarray:
    return 1 + sum(TIME[column] for column in columns.values())


KNOWN = Knowledge({1: latency})


def costs(labels: tuple[str, ...]) -> tuple[float, float]:
    codes = np.array([LABELS.index(label) for label in labels])
    return 10 - float((WORTH[codes] * SHARE).sum()), 1 + float(TIME[codes].sum())


def study_of(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)


def run(
    sampler: optuna.samplers.BaseSampler,
    trials: int,
    objective: Callable[[Trial], tuple[float, ...]] = lambda trial: costs(suggested(trial)),
) -> optuna.Study:
    study = study_of(sampler)
    study.optimize(objective, n_trials=trials)
    return study


def reached(study: optuna.Study) -> float:
    values = np.array([trial.values for trial in study.trials])
    return hypervolume(values, np.array([10.0, 4.0]))


def small(**given: object) -> ParetoSampler:
    return ParetoSampler(**{"pool": 3000, "start": 8} | given)  # type: ignore[arg-type]


def test_it_beats_chance_by_far() -> None:
    ours = reached(run(small(knowledge=KNOWN), 40))
    chance = reached(run(optuna.samplers.RandomSampler(seed=0), 160))
    assert ours > chance


def test_it_learns_latencies_that_are_not_known() -> None:
    ours = reached(run(small(), 40))
    chance = reached(run(optuna.samplers.RandomSampler(seed=0), 80))
    assert ours > chance


def promises(noise: float) -> np.ndarray:
    """(n, 2): gain and luck of the proposals of a model."""
    sampler = small(knowledge=KNOWN)
    sampler.noise[0] = noise
    trials = run(sampler, 40).trials
    return np.array([trial.system_attrs[PROMISE] for trial in trials if trial.number >= 8])


def test_what_a_proposal_promises_falls_below_luck_where_noise_is_large() -> None:
    little, much = promises(1e-4), promises(3.0)
    assert (little[:10, 0] > little[:10, 1]).all()
    assert (much[-10:, 0] < much[-10:, 1]).all()
    assert little[-5:, 0].mean() < little[:5, 0].mean() / 5


def test_it_proposes_nothing_twice_and_then_at_random() -> None:
    def objective(trial: Trial) -> tuple[float, float]:
        kind = trial.suggest_categorical("kind", ("none", "se/r8"))
        size = trial.suggest_int("size", 1, 3)
        return size - (kind == "none"), 4 - size

    study = run(small(start=3, space=small_space()), 10, objective)
    seen = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(seen[:6])) == 6
    assert len(seen) == 10


def small_space() -> dict[str, BaseDistribution]:
    return {
        "kind": CategoricalDistribution(("none", "se/r8")),
        "size": IntDistribution(1, 3),
    }


def test_equal_trials_give_equal_proposals_whoever_asks() -> None:
    whole = run(small(knowledge=KNOWN), 16)
    again = study_of(small(knowledge=KNOWN))
    for trial in whole.trials[:14]:
        again.add_trial(trial)
    for trial in whole.trials[14:]:
        asked = again.ask()
        assert suggested(asked) == tuple(trial.params.values())
        again.tell(asked, trial.values)


def test_workers_side_by_side_are_given_different_points() -> None:
    study = run(small(knowledge=KNOWN), 10)
    asked = [suggested(study.ask()) for _ in range(8)]
    assert len(set(asked)) == 8


@pytest.mark.parametrize("stored", [False, True])
def test_threads_side_by_side_are_given_different_points(stored: bool, tmp_path: Path) -> None:
    """Optuna's n_jobs: a trial has no parameters yet while the next one is asked for."""
    storage = f"sqlite:///{tmp_path}/study.db" if stored else None
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=small(space=space()), storage=storage
    )
    study.optimize(lambda trial: costs(suggested(trial)), n_trials=20, n_jobs=4)
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 20


def test_processes_side_by_side_are_given_different_points() -> None:
    """Each has a sampler of its own, with the same seed, and has asked for no parameter yet."""
    study = study_of(small(space=space()))
    asked = []
    for _ in range(12):
        study.sampler = small(space=space())
        asked.append(study.ask())
    assert len({suggested(trial) for trial in asked}) == 12


def test_what_another_process_proposes_meanwhile_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = study_of(small(space=small_space()))
    other = study.ask()
    taken = dict(other.relative_params)
    del other.storage.get_trial(other._trial_id).system_attrs[PROPOSED]
    propose = ParetoSampler._propose

    def and_so_does_the_other(self: ParetoSampler, *given: Any) -> dict[str, Any]:
        mine = propose(self, *given)
        other.storage.set_trial_system_attr(other._trial_id, PROPOSED, taken)
        return mine

    monkeypatch.setattr(ParetoSampler, "_propose", and_so_does_the_other)
    for _ in range(5):
        assert study.ask().relative_params != taken


def test_points_that_wait_are_not_proposed() -> None:
    study = study_of(small(space=small_space()))
    waiting = {"kind": "se/r8", "size": 2}
    study.enqueue_trial(waiting)
    first = study.ask()
    assert all(study.ask().relative_params != waiting for _ in range(5))
    assert [first.suggest_categorical("kind", ("none", "se/r8")), first.suggest_int("size", 1, 3)]


def test_a_sampler_can_be_sent_to_another_process() -> None:
    study = study_of(copy.deepcopy(small(space=small_space())))
    study.ask()
    assert study.ask().relative_params


@pytest.mark.parametrize("stored", [False, True])
def test_equal_choices_of_different_types_are_different(stored: bool, tmp_path: Path) -> None:
    """True == 1 == 1.0, and Optuna itself keeps the first of them."""
    kinds, sizes = (True, 1, 0, False), (1, 1.0, "1")
    study = optuna.create_study(
        directions=["minimize", "minimize"],
        sampler=small(start=3),
        storage=f"sqlite:///{tmp_path}/study.db" if stored else None,
    )
    seen: list[str] = []

    def objective(trial: Trial) -> tuple[float, float]:
        kind, size = trial.suggest_categorical("kind", kinds), trial.suggest_categorical("s", sizes)
        seen.append(repr((kind, size)))
        return float(kind is True) - float(size == "1"), float(isinstance(size, float))

    study.enqueue_trial({"kind": 1, "s": 1.0})
    study.optimize(objective, n_trials=12)
    assert seen[0] == "(1, 1.0)"
    assert len(set(seen)) == 12


def test_failed_trials_are_left_alone() -> None:
    study = run(small(knowledge=KNOWN), 10)
    for _ in range(3):
        asked = study.ask()
        labels = suggested(asked)
        study.tell(asked, state=TrialState.FAIL)
        assert labels not in {tuple(trial.params.values()) for trial in study.trials[:-1]}


def test_what_is_not_allowed_is_never_proposed() -> None:
    def allowed(columns: dict[str, np.ndarray]) -> np.ndarray:
        return latency(columns) <= 1.5

    study = run(small(knowledge=Knowledge({1: latency}, allowed=allowed), space=space()), 20)
    assert all(trial.values[1] <= 1.5 for trial in study.trials)


def test_limits_that_only_measuring_tells_are_learnt() -> None:
    """A network over a limit fails; the sampler must not go on asking for its like."""

    def objective(trial: Trial) -> tuple[float, float]:
        found = costs(suggested(trial))
        if found[1] > 2:
            raise optuna.TrialPruned
        return found

    states = [trial.state for trial in run(small(space=space()), 40, objective).trials]
    assert sum(state == TrialState.COMPLETE for state in states[20:]) > 12


def test_a_figure_that_is_hardly_ever_zero() -> None:
    """No network without any block is among those drawn at random to scale figures by."""
    sites = {f"site{site}": CategoricalDistribution(LABELS) for site in range(20)}

    def blocks(columns: dict[str, np.ndarray]) -> np.ndarray:
        return sum((column > 0).astype(float) for column in columns.values())  # type: ignore[return-value]

    study = study_of(small(knowledge=Knowledge(features=[blocks]), space=sites, start=3))
    study.enqueue_trial(dict.fromkeys(sites, "none"))
    for _ in range(6):
        trial = study.ask(sites)
        count = sum(value != "none" for value in trial.params.values())
        study.tell(trial, [20.0 - count, count])
    assert len(study.trials) == 6


def test_a_focus_draws_proposals_there() -> None:
    def inside(knowledge: Knowledge) -> int:
        study = run(small(knowledge=knowledge, space=space()), 28)
        return sum(1.4 <= trial.values[1] <= 1.8 for trial in study.trials[8:])

    focused = Knowledge({1: latency}, focus={1: (1.4, 1.8)})
    assert inside(focused) > 15 > inside(Knowledge({1: latency}))


def space() -> dict[str, BaseDistribution]:
    return {f"site{site}": CategoricalDistribution(LABELS) for site in range(SITES)}


def test_the_start_is_spread_over_the_known_latency() -> None:
    study = run(small(knowledge=KNOWN, space=space()), 8)
    found = sorted(trial.values[1] for trial in study.trials)
    assert found[0] == 1 and found[-1] == pytest.approx(4)
    # By how many networks are as fast, not by the time alone.
    codes = np.indices([5] * SITES).reshape(SITES, -1)
    every = np.sort(latency({str(site): row for site, row in enumerate(codes)}))
    assert max(np.diff(np.searchsorted(every, found))) < 0.3 * len(every)


def test_maximised_objectives_and_more_than_two() -> None:
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=small())

    def objective(trial: Trial) -> tuple[float, float, float]:
        labels = suggested(trial)
        quality, time = costs(labels)
        return -quality, time, sum(label != "none" for label in labels)

    study.optimize(objective, n_trials=24)
    assert max(trial.values[0] for trial in study.trials) > -5


@pytest.mark.parametrize(
    "objective",
    [
        lambda trial: (0.0, costs(suggested(trial))[1]),  # constant
        lambda trial: (1e6 if trial.number % 2 else 1.0, costs(suggested(trial))[1]),
        lambda trial: (trial.suggest_categorical("site0", ("none",)) == "", 1.0),
    ],
)
def test_degenerate_objectives_are_borne(objective: Callable[[Trial], tuple[float, float]]) -> None:
    assert len(run(small(), 14, objective).trials) == 14


def test_ten_times_more_workers_than_points() -> None:
    study = study_of(small(space=small_space()))
    for _ in range(60):
        trial = study.ask()
        trial.suggest_categorical("kind", ("none", "se/r8"))
        trial.suggest_int("size", 1, 3)
    assert len(study.trials) == 60


def test_a_parameter_with_endless_choices_is_drawn_at_random() -> None:
    def objective(trial: Trial) -> tuple[float, float]:
        rate = trial.suggest_float("rate", 0, 1)
        quality, time = costs(suggested(trial))
        return quality + rate, time

    assert len(run(small(), 12, objective).trials) == 12
