"""A small version of benchmarks/cluster/chaos.py: its account is the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cluster import chaos
from benchmarks.shared.database_servers import SERVERS

# Ray's own, of files that it leaves to be closed.
OPEN = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "storage"),
    [
        ("worker", "journal"),
        ("worker", "postgresql"),
        ("worker", "mysql"),
        ("local", "journal"),
        pytest.param("ray", "journal", marks=OPEN),
        pytest.param("tune", "journal", marks=OPEN),
    ],
)
def test_nothing_is_lost_whatever_dies(tmp_path: Path, executor: str, storage: str) -> None:
    if storage in SERVERS and (reason := SERVERS[storage].missing()):
        pytest.skip(reason)
    found = chaos.carry_out(
        tmp_path / "run", executor, storage, trials=40, faults=10, seed=1, workers=2
    )
    assert found.trials == 40 and sum(found.faults.values()) >= 3
