"""The benchmark of searches: what two benchmarks' seeds say together."""

from __future__ import annotations

import re
from argparse import Namespace

import pytest

from benchmarks.tasks import searches


def test_seeds_of_a_search_are_held_against_those_of_the_effects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    searches._beside(Namespace(task="segmentation", name="clothes"))
    plain, eca, gap, noise = capsys.readouterr().out.splitlines()
    for line in (plain, eca):
        of_search, of_effects = line.split("; ")
        assert [len(re.findall(r"\d+\.\d", part)) for part in (of_search, of_effects)] == [4, 3]
    middle, low, high = (float(value) for value in re.findall(r"[+-]\d+\.\d\d", gap))
    assert low < middle < high and middle - low == pytest.approx(high - middle, abs=0.02)
    assert "points" in noise
