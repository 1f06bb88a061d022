"""What the full trainings at the end of a search are spent on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.samples import QUICK, SMALL_SPACE

import nas
from nas.base.errors import SpecError
from nas.runs.retrain import in_search
from nas.runs.retrain.in_search import Contender, choose_next
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.strategy.samplers.pareto import TargetedEvidence
from nas.strategy.samplers.proposer import Proposer

pytestmark = pytest.mark.xdist_group("run")


def _draws(means: list[float], deviation: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = rng.normal(means, deviation, (2000, len(means)))
    drawn[:, 0] = 0.0
    return drawn


def _contenders(seeds: list[int]) -> list[Contender]:
    return [
        Contender(trial=10 + number, seeds=had, plain=number == 0, reference=number < 2)
        for number, had in enumerate(seeds)
    ]


def test_the_plain_network_comes_first_and_keeps_the_root_of_all() -> None:
    chosen = choose_next(_contenders([0, 0, 0, 0]), _draws([0, 1, 2, 3], 1.0), 16)
    assert chosen[0] == (10, 1)
    assert Counter(trial for trial, _ in chosen)[10] == 4


def test_winner_and_rival_get_what_is_left_and_others_hardly_any() -> None:
    chosen = choose_next(_contenders([1, 1, 0, 0, 0]), _draws([0, -5, 3, 3.2, -4], 0.5), 9)
    had = Counter(trial for trial, _ in chosen)
    assert had[12] >= 3 and had[13] >= 3 and had[14] == 0


def test_a_hand_placed_network_is_among_the_first() -> None:
    chosen = choose_next(_contenders([0, 0, 0, 0]), _draws([0, 0.5, 3, 3], 0.5), 4)
    assert 11 in {trial for trial, _ in chosen}


def test_seeds_are_counted_on_from_those_there_are() -> None:
    chosen = choose_next(_contenders([3, 1, 2]), _draws([0, -9, 3], 0.1), 2)
    assert chosen == [(12, 3), (12, 4)]


def test_the_longest_trainings_of_a_round_begin_first(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = nas.open_run(finished_run)
    times = {run.row(1)["digest"]: 3.0, run.row(2)["digest"]: 2.0}
    monkeypatch.setattr(in_search, "_times_plain", lambda _state: times)
    planned = in_search._plan(run, [(0, 1), (2, 1), (1, 2)])
    assert [(job.about.trial, job.about.seed) for job in planned.jobs] == [
        (1, 0), (1, 1), (2, 0), (0, 0),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.model_validate(yaml.safe_load(SMALL_SPACE))


@pytest.mark.slow
def test_a_search_ends_in_full_trainings_and_looks_at_the_test_images_once(
    space: SearchSpace, tmp_path: Path
) -> None:
    runner = load_runner(
        overrides=(
            *QUICK,
            "search.full_trainings=3",
            "retrain.epochs=0.03",
            "retrain.batch_size=32",
            "retrain.threads=1",
        )
    )
    run = nas.search(space, runner, "digits", tmp_path / "run")
    found = run.retrained()
    assert len(found) == 3
    assert "plain" in {run.row(training.trial)["reference"] for training in found}
    shown = {point.architecture.digest for point in run.front()}
    for training in found:
        assert (training.test_loss is not None) == (training.digest in shown)
    # A run that has had its trainings makes no more; a larger number makes the difference.
    nas.resume(run.path)
    assert len(run.retrained()) == 3
    nas.resume(run.path, full_trainings=4)
    assert len(run.retrained()) == 4


@pytest.mark.slow
def test_where_full_trainings_surprise_the_search_goes_on_with_what_they_tell(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surprises = iter(range(100))
    monkeypatch.setattr(in_search, "_best", lambda run: next(surprises))
    told: list[str] = []
    learn = Proposer.learn_evidence

    def listen(proposer: Proposer, evidence: Mapping[int, TargetedEvidence]) -> None:
        told.extend(name for item in evidence.values() for name in item.rows.source)
        learn(proposer, evidence)

    monkeypatch.setattr(Proposer, "learn_evidence", listen)
    settings = ("search.full_trainings=7", "retrain.epochs=0.03", "retrain.threads=1")
    planned = ("search.sampler=pareto", "proxy.kind=scratch", "regime=scratch")
    runner = load_runner(overrides=(*QUICK, *settings, *planned))
    run = nas.search(space, runner, "digits", tmp_path / "run")
    networks = int((run.trials()["repeat"] == 0).sum())
    assert networks > runner.search.trials
    assert run.file.search.trials == runner.search.trials
    assert len(run.retrained()) == 7
    assert "full" in told


@pytest.mark.slow
def test_a_budget_too_small_for_three_full_trainings_leaves_nothing(
    space: SearchSpace, tmp_path: Path
) -> None:
    runner = load_runner(overrides=(*QUICK, "search.budget=2s"))
    with pytest.raises(SpecError, match=r"budget 2 s: a full training takes about .* allowed: "):
        nas.search(space, runner, "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _with_rivals(seeds: list[int]) -> list[Contender]:
    """Plain, a winner, its rival, another winner that has none."""
    plain, winner, rival, other = seeds
    return [
        Contender(trial=10, seeds=plain, plain=True, reference=True),
        Contender(trial=11, seeds=winner, plain=False, reference=False, rival=12),
        Contender(trial=12, seeds=rival, plain=False, reference=False),
        Contender(trial=13, seeds=other, plain=False, reference=False),
    ]


def test_a_widened_plain_network_gets_half_of_its_winners_trainings() -> None:
    # It looks worse by far, and is trained all the same.
    draws = _draws([0, 3, -9, 2.9], 0.3)
    assert choose_next(_with_rivals([1, 1, 0, 0]), draws, 1) == [(12, 1)]
    assert choose_next(_with_rivals([3, 3, 1, 3]), draws, 1) == [(12, 2)]
    had = Counter(trial for trial, _ in choose_next(_with_rivals([0, 0, 0, 0]), draws, 12))
    assert had[12] == -(-had[11] // 2) > 0


def test_a_rival_that_may_be_best_is_trained_as_any_other() -> None:
    had = Counter(
        trial for trial, _ in choose_next(_with_rivals([2, 2, 2, 0]), _draws([0, 3, 3, -9], 0.3), 6)
    )
    assert had[12] >= 2 and had[13] == 0


def test_three_trainings_are_of_plain_winner_and_rival() -> None:
    chosen = choose_next(_with_rivals([0, 0, 0, 0]), _draws([0, 3, 0, 1], 0.3), 3)
    assert {trial for trial, _ in chosen} == {10, 11, 12}
