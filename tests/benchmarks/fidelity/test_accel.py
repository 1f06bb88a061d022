from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.fidelity import accel
from benchmarks.fidelity.accel import by_belief, by_ridge, placements, whole_space
from benchmarks.fidelity.accel_networks import STAGES, Networks, by_sums, read_networks, told
from benchmarks.fidelity.judgement import agreement
from nas.base.errors import SpecError

WORTH = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
COUNT = 600


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks whose accuracy is a sum over layers and squeeze-excite; a third without any."""
    rng = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    accuracy, macs = np.full(COUNT, 55.0), np.full(COUNT, 100.0)
    without = np.arange(COUNT) % 3 == 0
    for stage in range(STAGES):
        for name, values in (("e", [1, 4, 6]), ("k", [3, 5]), ("l", [1, 2, 3])):
            columns[f"block{stage}_{name}"] = rng.choice(values, COUNT)
        placed = (rng.random(COUNT) < 0.5) & ~without
        columns[f"block{stage}_se"] = placed
        accuracy += 0.5 * columns[f"block{stage}_l"] + WORTH[stage] * placed
        macs += 20 * columns[f"block{stage}_l"]
    frame = pd.DataFrame(columns)
    frame["acc"], frame["macs"] = accuracy + 0.1 * rng.standard_normal(COUNT), macs
    frame["latency_vck190"] = 2.0 + frame["macs"] / 100
    twice = frame.iloc[[0]].assign(acc=frame["acc"].iloc[0] + 0.1)
    path = tmp_path_factory.mktemp("table") / "accel.csv"
    pd.concat([frame, twice]).to_csv(path, index=False)
    return path


@pytest.fixture
def networks(table: Path, monkeypatch: pytest.MonkeyPatch) -> Networks:
    monkeypatch.setattr(accel, "UNSEEN", 150)
    return read_networks(table)


def test_reading(networks: Networks, tmp_path: Path) -> None:
    assert len(networks) == COUNT + 1
    assert networks.pairs().tolist() == [[0, COUNT]]
    some = int(np.flatnonzero(networks.placed.sum(axis=1) == 2)[0])
    stages, blocks = networks.counts[some]
    assert stages == 2
    assert blocks == networks.layers[some][networks.placed[some] == 1].sum()
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="no table of Accel-NASBench"):
        read_networks(wrong)


def test_what_each_stage_brings_is_found_at_equal_backbones(networks: Networks) -> None:
    known = np.column_stack([np.ones(len(networks)), networks.stages])
    found = accel._effects(known, networks, networks.accuracy)
    for stage, worth in enumerate(WORTH):
        assert found[stage].value == pytest.approx(worth, abs=0.06)
        assert found[stage].low < found[stage].value < found[stage].high
        above = found[STAGES + stage].value
        assert above == pytest.approx(worth - WORTH.mean(), abs=0.06)


def test_placement_adds_to_what_counts_tell(networks: Networks) -> None:
    counted = np.column_stack([networks.each_setting, networks.counts])
    placed = np.column_stack([counted, networks.placed])
    before = told(counted, networks.accuracy, by_sums())
    after = told(placed, networks.accuracy, by_sums())
    added = accel._added(networks.accuracy, after, before)
    assert 0.01 < added.low < added.value < added.high < 0.2


@pytest.mark.parametrize("make", [whole_space, placements])
def test_a_belief_sees_placement_where_counts_do_not(make, networks: Networks) -> None:
    at = make(networks)
    assert not set(at.unseen) & set(at.pool)
    rows = at.trainings(120, np.random.default_rng(0))
    assert len(set(rows)) == 120 and not set(rows) & set(at.unseen)
    counts, log_macs = networks.counts[at.unseen], networks.log_macs[at.unseen]
    truth = at.truth[at.unseen]
    belief, ridge = by_belief(at, rows, at.truth[rows]), by_ridge(at, rows, at.truth[rows])
    overall, placement = agreement(belief, truth, counts, log_macs)
    assert overall > agreement(ridge, truth, counts, log_macs)[0]
    assert placement > 0.5


def test_gains_are_above_the_plain_network_of_the_same_backbone(networks: Networks) -> None:
    at = placements(networks)
    planted = networks.placed @ WORTH
    assert np.corrcoef(at.truth, planted)[0, 1] > 0.7
    assert abs(at.truth[at.plain].mean()) < 0.2
