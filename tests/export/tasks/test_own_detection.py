"""What a pack of somebody's own detector says of boxes, done as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.own_detectors import SIZE, Right, Small, fcos, retinanet, ssd
from support.task_networks import things
from torch import Tensor, nn

from nas.backbones.own_module import taken_in
from nas.base.errors import SpecError
from nas.base.size import Size
from nas.export.outputs import own_detection as outputs
from nas.export.plain_torch import export_program
from nas.export.tasks import export_task
from nas.models.own_network import found_boxes
from nas.models.task_network import task_network
from nas.spec.architecture import Architecture
from nas.spec.task import Task

TASK = Task("detection", 2, "own")
KINDS: dict[str, Any] = {"Small": Small, "ssd": ssd, "fcos": fcos, "retinanet": retinanet}


def made(make: Any) -> Any:
    """A network as a run has it, and as its owner does."""
    torch.manual_seed(0)
    own = make(2)
    for name, weight in own.named_parameters():  # so that there is something to find
        if "cls" in name or "classification" in name:
            nn.init.normal_(weight, std=0.3)
    ours = task_network(taken_in(own, "own"), Architecture("net", SIZE), TASK, seed=0)
    return own.eval(), ours.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_of_a_pack_make_the_boxes_that_it_was_judged_by(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ours = made(KINDS[kind])
    about = export_task(TASK, ours, Size(SIZE, SIZE))
    images = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        given = ours(images).numpy()
        (expected,) = found_boxes(ours, images, TASK)
    objects = np.array([[[8.0, 8, 40, 40, 0, 0]]], np.float32)
    judged = about.judge(given, objects)
    rows, held = about.samples(8, given, objects, judged.answers)
    assert rows.tolist() == [0]
    np.savez(tmp_path / "samples.npz", **held)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"given": given, "detector": own, "torch": torch, "numpy": np}
    with torch.no_grad():
        exec("\n".join(line.strip() for line in about.usage()[2:-2]), names)
    (found,) = names["boxes"]
    if "background" in "".join(about.usage()):
        found = {name: value[found["labels"] > 0] for name, value in found.items()}
    assert len(expected) and len(found["boxes"]) == len(expected)
    order = found["scores"].argsort(descending=True, stable=True)
    torch.testing.assert_close(found["boxes"][order], expected[:, :4])
    kept = min(len(expected), judged.answers.shape[1])
    np.testing.assert_allclose(judged.answers[0, :kept], expected[:kept].numpy(), rtol=1e-5)
    assert bool(np.isfinite(judged.losses).all())


def test_losses_are_unknown_where_they_are_not_made_of_what_a_graph_gave() -> None:
    class Elsewhere(Right):
        def loss(self, batch: Any) -> Tensor:
            return self.head(self.backbone(batch[0])["1"]).mean(dim=(1, 2, 3))

    _, network = made(Elsewhere)
    data = things(SIZE)
    about = export_task(TASK, network, Size(SIZE, SIZE))
    rows = about.rows(data.validation, 4)
    targets = about.targets(data.validation, rows, Size(SIZE, SIZE))
    with torch.no_grad():
        given = network(torch.zeros(len(rows), 3, SIZE, SIZE)).numpy()
    judged = about.judge(given, targets)
    assert bool(np.isnan(judged.losses).all()) and len(judged.answers) == len(rows)
    assert about.agreement(judged.answers, judged.answers) == 1


def test_graphs_of_the_same_numbers_are_alike_and_others_are_not() -> None:
    wanted = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    assert outputs.alike(wanted * 1.01 + 0.001, wanted).all()
    assert not outputs.alike(-wanted, wanted).any()
    constant = np.ones((1, 5, 6), np.float32)
    assert outputs.alike(constant, constant).all() and not outputs.alike(2 * constant, constant)[0]
    samples = {"scores": wanted}
    found = outputs.compare(lambda rows: wanted[rows], samples)
    assert found[:2] == (0.0, 1.0) and found[3] == "boxes not looked at"
    broken = outputs.compare(lambda rows: wanted[rows] * np.nan, samples)
    assert broken[:2] == (np.inf, 0.0)


def test_a_forward_for_one_number_of_images_is_said_with_its_cause() -> None:
    class Counted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.reshape(len(images), -1)

    with pytest.raises(SpecError, match=r"one number of images: .*len\(x\).* write x.shape\[0\]"):
        export_program(Counted(), Size(8, 8))
