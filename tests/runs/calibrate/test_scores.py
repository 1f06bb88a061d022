from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.base.errors import SpecError
from nas.data import Dataset, Split
from nas.models.build import uniform
from nas.runs.calibrate import scores
from nas.runs.calibrate.scores import score_all
from nas.spec.architecture import Architecture
from nas.spec.task import Task

NETWORKS = [
    uniform("mobilenetv2_035", block, resolution=32, total_stride=16) for block in ("keep", "se")
]


@pytest.fixture
def data() -> Dataset:
    images = torch.zeros((8, 32, 32, 3), dtype=torch.uint8)
    split = Split(images, torch.arange(8) % 2)
    return Dataset(split, split, ("a", "b"), (127.0,) * 3, (74.0,) * 3, True, "made")


def supernet(path: Path, loss: float) -> Any:
    """Of which all networks have one loss."""
    file = SimpleNamespace(purpose=Task(outputs=10))
    return SimpleNamespace(path=path, file=file, supernet=lambda plain: Of(loss))


class Of(float):
    def holds(self, network: Architecture) -> bool:
        return network is not NETWORKS[-1] or self < 5


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(supernet: float, *_: object, **__: object) -> SimpleNamespace:
        losses = torch.full((10,), float(supernet))
        return SimpleNamespace(loss=float(supernet), losses=losses)

    monkeypatch.setattr(scores, "score", loss)


def test_several_supernets_are_told_apart_by_their_folders(data: Dataset, tmp_path: Path) -> None:
    folders = [supernet(tmp_path / "short", 2.0), supernet(tmp_path / "long", 1.0)]
    found = score_all(data, NETWORKS, tmp_path / "kept.json", names=["params"], supernets=folders)
    assert found["supernet short"].values.tolist() == [-2.0, -2.0]
    assert found["supernet long"].values.tolist() == [-1.0, -1.0]
    by_groups = found["supernet short"].by_groups
    assert by_groups is not None and by_groups.shape[0] == 2 and (by_groups == -2.0).all()
    assert found["params"].by_groups is None  # other images judge those
    assert found["params"].values[0] < found["params"].values[1]
    same = [supernet(tmp_path / "a" / "whole", 2.0), supernet(tmp_path / "b" / "whole", 1.0)]
    with pytest.raises(SpecError, match="two supernets are in folders named 'whole'; rename one"):
        score_all(data, NETWORKS, tmp_path / "kept.json", names=[], supernets=same)


def test_what_a_supernet_does_not_hold_has_no_score(data: Dataset, tmp_path: Path) -> None:
    """A hand-placed network may have a ratio that the space has not."""
    few = [supernet(tmp_path / "few", 7.0)]
    found = score_all(data, NETWORKS, tmp_path / "kept.json", names=[], supernets=few)
    assert found["supernet few"].values[0] == -7.0
    assert math.isnan(found["supernet few"].values[1])


def test_scores_are_kept_but_those_of_a_supernet_that_may_have_changed(
    data: Dataset, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    score_all(data, NETWORKS, kept, names=["params"], supernets=[supernet(tmp_path / "one", 2.0)])
    rows = json.loads(kept.read_text())
    for row in rows.values():
        row["params"][0] = 7.0
    kept.write_text(json.dumps(rows))
    longer = supernet(tmp_path / "one", 1.5)
    found = score_all(data, NETWORKS, kept, names=["params"], supernets=[longer])
    assert found["params"].values.tolist() == [7.0, 7.0]
    assert found["supernet one"].values.tolist() == [-1.5, -1.5]
    kept.write_text("{")
    with pytest.raises(SpecError, match="cannot be gone on with"):
        score_all(data, NETWORKS, kept, names=["params"])
