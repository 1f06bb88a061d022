"""A sample of benchmarks/fuzzing/checkpoints.py, which changes 2,000 files of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fuzzing.changed_checkpoints import KINDS, make_case
from benchmarks.fuzzing.checkpoints import judge, read_changed
from benchmarks.fuzzing.stored_weights import Case, tiny
from nas.base.errors import SpecError
from nas.models.match_weights import MatchedWeights, match_weights
from nas.models.weights_file import read_weights


def test_changed_checkpoints_are_read_as_they_say_or_refused_in_one_line(tmp_path: Path) -> None:
    tally = read_changed(tmp_path, len(KINDS), seed=1)
    assert tally.faults == []
    assert tally.outcomes.total() == len(KINDS)
    assert {kind for kind, _ in tally.outcomes} == set(KINDS)
    assert {outcome for _, outcome in tally.outcomes} == {"read", "refused"}


def read(path: Path, how: str) -> MatchedWeights:
    return match_weights(tiny(5), read_weights(path), how, num_classes=5)


def raising(error: Exception) -> Callable[[Path, str], MatchedWeights]:
    def fail(path: Path, how: str) -> MatchedWeights:
        raise error

    return fail


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return make_case(tmp_path, 0, 0, tmp_path / "marker")


@pytest.mark.parametrize(
    ("error", "outcome", "told"),
    [
        (KeyError("a"), "failed", "KeyError"),
        (SpecError("two\nlines"), "refused", "not one line"),
        (SpecError("broken"), "refused", "does not name the file"),
    ],
)
def test_what_is_refused_wrongly_is_noticed(
    case: Case, error: Exception, outcome: str, told: str
) -> None:
    found, faults = judge(case, raising(error))
    assert found == outcome and told in " ".join(faults)


def test_what_is_read_wrongly_is_noticed(case: Case) -> None:
    assert judge(case, read) == ("read", [])
    assert case.stored is not None
    other = {name: tensor + 1 for name, tensor in case.stored.items()}
    assert "is another" in " ".join(judge(replace(case, stored=other), read)[1])
    assert judge(replace(case, stored=None), read)[1] == ["was read"]
    assert "says nothing of" in judge(replace(case, told="no such note"), read)[1][0]
