from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution
from support.samples import make_record

from nas.base.errors import SpecError, StorageError
from nas.spec.objective import objectives_named
from nas.strategy.samplers.importances import rank_importances
from nas.strategy.storage.store import Store
from nas.study.record import Job

CHOICES = ("none", "se/r8", "coord/r32")


def study(path: Path, networks: int) -> Path:
    """Place a decides the loss, b the latency, and c nothing."""
    journal = path / "study.journal"
    store = Store.create(journal, objectives_named(["loss", "latency_ms"]))
    for number in range(networks):
        codes = (number % 3, number // 3 % 3, number // 9 % 3)
        record = make_record(number, name=str(number), loss=codes[0], latency_ms=1 + codes[1])
        job = Job(number, record.architecture, record.digest, seed=0)
        params = dict(zip("abc", (CHOICES[code] for code in codes), strict=True))
        store.start(job, params, {name: CategoricalDistribution(CHOICES) for name in "abc"}, {})
        store.finish(record, [float(codes[0]), 1.0 + codes[1]])
    return journal


def test_what_decides_an_objective_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study(tmp_path, 27)
    for objective, first in ((0, "a"), (1, "b")):
        found = rank_importances(path, objective)
        assert list(found)[0] == first
        assert found[first] > 0.9
        assert sum(found.values()) == pytest.approx(1.0)
    assert capsys.readouterr().err == ""


def test_too_few_trials_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="importances need 4 or more"):
        rank_importances(study(tmp_path, 3), 0)
    with pytest.raises(StorageError, match="no study at"):
        rank_importances(tmp_path / "none", 0)
