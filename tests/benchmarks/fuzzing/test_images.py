"""A small sample of benchmarks/fuzzing/images.py, which damages 5,000 files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzzing.images import damage, decode_damaged, originals


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_damaged_images_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    tally = decode_damaged(tmp_path / "data", 150, seed=1)
    assert tally.faults == []
    assert tally.read.total() + tally.refused.total() == 150
    assert tally.read.total() > 20 and tally.refused.total() > 20


def test_equal_seeds_damage_equally() -> None:
    (_, one), (_, other) = originals(0)[:2]
    twice = [damage(one, other, np.random.default_rng(3)) for _ in range(2)]
    assert twice[0] == twice[1] != one
