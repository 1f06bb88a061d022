from __future__ import annotations

import math

import pytest

from benchmarks.shared.significance import holm


def test_p_values_stand_for_all_comparisons() -> None:
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    assert holm([0.3, 0.3, 0.3, 0.9]) == pytest.approx([1.0, 1.0, 1.0, 1.0])


def test_a_family_counts_comparisons_that_have_no_value() -> None:
    assert holm([0.01, 0.02], comparisons=3) == pytest.approx([0.03, 0.04])


def test_a_missing_value_stays_missing_and_is_not_counted() -> None:
    assert holm([0.02, math.nan, 0.01]) == pytest.approx([0.02, math.nan, 0.02], nan_ok=True)
