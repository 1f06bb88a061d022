from __future__ import annotations

import numpy as np
import pytest

from nas.base.errors import MeasurementError
from nas.latency.features import join, source_columns, standardise


def test_join_centres_and_shares() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((50, 3)) * 1e6, rng.random((50, 2))
    features, groups = join([(first, 1.0), (second, 0.25), (np.ones((50, 1)), 1.0)])
    np.testing.assert_array_equal(groups, [0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-12)
    sizes = (features**2).sum(axis=0) / 50
    assert sizes[:3].sum() == pytest.approx(1.0)
    assert sizes[3:5].sum() == pytest.approx(0.25)
    assert sizes[5] == 0


def test_a_constant_column_becomes_zero_whatever_its_size() -> None:
    table = np.column_stack([np.full(7, 1e8 / 3), np.arange(7.0)])
    scaled = standardise(table)
    np.testing.assert_array_equal(np.abs(scaled[:, 0]) < 1e-6, True)
    assert scaled[:, 1].std() == pytest.approx(1.0)


def test_tables_that_do_not_fit() -> None:
    good = np.random.default_rng(0).standard_normal((8, 3))
    for words, call in (
        ("no feature tables", lambda: join([])),
        ("features of 7 networks; there are 8", lambda: join([(good, 1.0), (good[:7], 1.0)])),
        ("of other devices of 7 networks", lambda: source_columns(good[:7], good)),
    ):
        with pytest.raises(MeasurementError, match=words):
            call()
