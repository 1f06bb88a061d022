"""A sample of what `benchmarks/runs/mutated_files.py` reads by the thousand."""

from __future__ import annotations

import pytest

from benchmarks.runs import mutated_files
from benchmarks.runs.mutated_files import read_mutated
from nas.base.errors import SpecError


def test_mutated_files_are_read_or_refused_in_one_line() -> None:
    found = read_mutated(120)
    assert found.troubles == ()
    assert found.outcomes.total() == 120
    assert {kind for kind, _ in found.outcomes} == {"space", "runner", "profile"}
    assert {outcome for _, outcome in found.outcomes} == {"read", "refused"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (SpecError("two\nlines"), "not one line"),
        (SpecError("\x1b[2J"), "not one line"),
        (RuntimeWarning("odd"), "RuntimeWarning: odd"),
    ],
)
def test_what_else_comes_of_one_is_noticed(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(path: object) -> None:
        raise error

    monkeypatch.setattr(mutated_files, "_KINDS", {"space": mutated_files._FileKind(".yaml", fail)})
    (trouble,) = read_mutated(1).troubles
    assert trouble.startswith("space 0 of seed 0: ") and told in trouble
