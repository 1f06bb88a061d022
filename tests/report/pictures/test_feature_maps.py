from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.task_runs import RunOf
from torch.nn import functional

from nas.base.errors import SpecError
from nas.models.task_network import backbone_of
from nas.report.pictures import draw_feature_maps
from nas.report.pictures.feature_maps import columns, grad_cam, shown_map
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks import TASKS
from nas.report.report_file import MARK
from nas.runs.run import Run
from nas.spec.architecture import PLAIN
from nas.spec.task import TaskName

EACH = [pytest.param(task, marks=() if task == "detection" else pytest.mark.slow) for task in TASKS]


def searched(run: Run) -> int:
    """The first network that nobody placed."""
    trials = run.trials()
    free = [name is None for name in trials["reference"].tolist()] & trials.complete
    return int(np.flatnonzero(free)[0])


@pytest.mark.parametrize("task", EACH)
def test_networks_stand_side_by_side(task: TaskName, run_of: RunOf, tmp_path: Path) -> None:
    state = run_of(task).read()
    trial = searched(state.run)
    names = [state.row(row)["reference"] for row in columns(state, trial)]
    assert names[0] == PLAIN and names[1] in {"se/r24", "coord/r32"} and names[2] is None
    for name in ("a.png", "b.png"):
        draw_feature_maps(state, trial, tmp_path / name)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Software"] == MARK
        assert picture.width > 600 < picture.height
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("task", EACH)
def test_a_map_is_that_of_its_definition(task: TaskName, run_of: RunOf) -> None:
    state, pictures = run_of(task).read(), TASKS[task]
    shown = ShownNetwork.of(state, 0, state.images.open)
    choices = pictures.choices(shown.data.validation)[0]
    rows = torch.from_numpy(choices[:3].copy())
    aim = pictures.cam_target(shown, rows)

    kept: list[torch.Tensor] = []
    layer = backbone_of(shown.network).get_submodule(shown_map(shown, pictures).path)
    handle = layer.register_forward_hook(lambda *given: kept.append(given[2]))
    score = aim(shown.network(shown.batch(rows))).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    mine = functional.relu((weights * kept[0]).sum(dim=1, keepdim=True)).detach()
    mine = functional.interpolate(mine, (16, 16), mode="bilinear")[:, 0].double()
    expected = mine / mine.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)

    found = grad_cam(shown, pictures, rows)
    assert found.shape == (3, 16, 16)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.slow
def test_best_of_those_placed_by_hand(run_of: RunOf) -> None:
    state = run_of("classification").read()
    placed = {state.row(row)["reference"]: row for row in range(3)}
    by_hand = [row for name, row in placed.items() if name != PLAIN]
    best = max(by_hand, key=lambda row: state.row(row)["accuracy"])
    assert columns(state, placed[PLAIN]) == [best, placed[PLAIN]]
    assert columns(state, best) == [placed[PLAIN], best]


def test_what_cannot_be_drawn_is_one_line(
    run_of: RunOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = run_of("classification").read()
    with pytest.raises(SpecError, match="allowed: .svg"):
        draw_feature_maps(state, 0, tmp_path / "maps.jpg")
    mine = tmp_path / "mine.png"
    mine.write_text("a photo")
    with pytest.raises(SpecError, match="exists and is no report"):
        draw_feature_maps(state, 0, mine)
    assert mine.read_text() == "a photo"
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(SpecError, match=r'pip install "attention-nas\[pictures\]"'):
        draw_feature_maps(state, 0, tmp_path / "maps.png")
