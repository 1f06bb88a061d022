"""What the sampler knows when it learns twice of one network."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState
from support.searches import small_candidates

from nas.models.candidates import Candidates
from nas.spec.objective import objectives_named
from nas.strategy.samplers import SAMPLERS
from nas.strategy.samplers.proposer import Proposer


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return small_candidates()


def proposer(candidates: Candidates, sampler: str = "nsga2") -> Proposer:
    return Proposer(
        candidates,
        objectives_named(["loss", "latency_ms"]),
        sampler=sampler,
        seed=0,
        admit=lambda architecture: True,
    )


def known(found: Proposer) -> list[tuple[TrialState, list[float] | None]]:
    return [(trial.state, trial.values) for trial in found._study.trials]


def test_what_is_told_again_replaces_what_was_told(candidates: Candidates) -> None:
    found = proposer(candidates)
    architectures = list(candidates.references().values())
    for architecture in architectures:
        values = candidates.values(architecture)
        assert values is not None
        found.note(architecture, values)
    one, two, three = (architecture.digest for architecture in architectures)
    found.tell(one, [3.0, 1.0])
    found.tell(two, [2.0, 1.0])
    found.tell(three, None)
    found.tell(one, [2.5, 1.0])  # the truth after an estimate
    found.tell(two, None)  # it has failed on the way up
    found.tell(three, [1.0, 9.0])  # restored without values, then estimated
    complete, failed = TrialState.COMPLETE, TrialState.FAIL
    assert known(found) == [(complete, [2.5, 1.0]), (failed, None), (complete, [1.0, 9.0])]
    assert [trial.values for trial in found._study.best_trials] == [[2.5, 1.0], [1.0, 9.0]]


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"gp"}))
def test_a_sampler_goes_on_with_the_values_as_they_are_now(
    candidates: Candidates, sampler: str, tmp_path: Path
) -> None:
    """Two that were told the same in the end propose the same, whatever they were told before."""
    proposed = []
    for estimates in ([], [9.0, 0.1]):
        found, taken = proposer(candidates, sampler), dict[str, int]()
        for number in range(24):
            drawn = found.propose(number, taken, at_random=number < 16)
            assert drawn is not None
            digest = drawn[0].digest
            taken[digest] = number
            for loss in estimates:
                found.tell(digest, [loss, 1.0])
            found.tell(digest, [1.0 - 0.01 * len(drawn[0].blocks), 1.0 + len(drawn[0].blocks)])
        proposed.append(list(taken))
    assert proposed[0] == proposed[1]
