from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.task_networks import detector, things
from torch import Tensor
from torchvision.models.detection.ssd import SSD, DefaultBoxGenerator

from nas.data import Dataset, Split
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.suppression import SUPPRESSION, Suppression
from nas.spec.task import OWN, TASKS, Task
from nas.study.detection_marks import detection_marks
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe
from nas.training.suppression import suppressed
from nas.training.tasks import training_task
from nas.training.tasks.box_losses import BOX_LOSSES

CPU = torch.device("cpu")
HEADS = tuple(head for head in TASKS["detection"].heads if head != OWN)
SIDE = 32


def outputs_for(split: Split, head: str, seed: int = 0) -> Tensor:
    network = build(Architecture("mobilenetv2_035", SIDE), task=Task("detection", 2, head))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        given = network(torch.randn(len(split), 3, SIDE, SIDE, generator=generator))
    given[..., 4:-4] += torch.randn(given[..., 4:-4].shape, generator=generator)
    return given


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("at_once", [1, 5, 16])
def test_a_score_is_of_each_image_whatever_the_batches(head: str, at_once: int) -> None:
    split, task = things(SIDE).validation, Task("detection", 2, head)
    given = outputs_for(split, head)
    scorer = training_task(task).scorer(split)
    for part in given.split(at_once):
        scorer.add(part)
    score = scorer.score()
    assert split.annotations is not None
    losses = BOX_LOSSES[head](given, split.annotations)
    torch.testing.assert_close(score.losses, losses.double(), rtol=1e-5, atol=1e-5)
    assert list(score.figures)[:3] == ["ap", "ap50", "ap75"]
    assert score.suppression_ms is not None and score.suppression_ms > 0
    for boxes, objects, marks in zip(
        suppressed(given, head, (SIDE, SIDE)), split.annotations, score.marks, strict=True
    ):
        own = detection_marks(boxes.numpy(), objects.numpy())
        np.testing.assert_array_equal(marks[: len(own)], own)


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_of_a_batch_is_that_of_its_parts(head: str) -> None:
    split, task = things(SIDE).validation, training_task(Task("detection", 2, head))
    given, known = outputs_for(split, head), task.targets(split, torch.arange(16))
    parts = [float(task.loss(given[part], known[part])) for part in (slice(0, 4), slice(4, 16))]
    assert float(task.loss(given, known)) == pytest.approx((4 * parts[0] + 12 * parts[1]) / 16)


def test_boxes_are_kept_as_torchvision_keeps_them() -> None:
    split = things(SIDE).validation
    given = outputs_for(split, "ssdlite")
    given[..., 4] -= 2
    theirs = SSD(
        torch.nn.Identity(), DefaultBoxGenerator([[2]]), (SIDE, SIDE), 3, head=torch.nn.Identity(),
        score_thresh=SUPPRESSION.score, nms_thresh=SUPPRESSION.overlap,
        detections_per_img=SUPPRESSION.most, topk_candidates=SUPPRESSION.candidates,
    )  # fmt: skip
    defaults = given[0, :, -4:]
    encoded = [theirs.box_coder.encode_single(image[:, :4], defaults) for image in given]
    wanted = theirs.postprocess_detections(
        {"bbox_regression": torch.stack(encoded), "cls_logits": given[..., 4:-4]},
        [defaults] * len(given),
        [(SIDE, SIDE)] * len(given),
    )
    for own, other in zip(suppressed(given, "ssdlite", (SIDE, SIDE)), wanted, strict=True):
        assert len(own) == len(other["scores"]) > 0
        torch.testing.assert_close(own[:, :4], other["boxes"], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(own[:, 4], other["scores"])
        assert torch.equal(own[:, 5].long() + 1, other["labels"])


def test_few_boxes_are_kept_where_few_are_asked_for() -> None:
    given = outputs_for(things(SIDE).validation, "fcos")
    few = suppressed(given, "fcos", (SIDE, SIDE), Suppression(most=3))
    more = suppressed(given, "fcos", (SIDE, SIDE))
    assert all(torch.equal(one, other[:3]) for one, other in zip(few, more, strict=True))
    assert suppressed(given, "fcos", (SIDE, SIDE), Suppression(score=1.0))[0].shape == (0, 6)


def test_guessing_knows_how_often_each_class_is_there() -> None:
    boxes = torch.tensor([[[0.0, 0, 4, 4, 0, 0], [0, 0, 4, 4, 1, 0]], [[0.0, 0, 4, 4, 1, 0]] * 2])
    boxes[1, 1, 4] = -1
    split = Split(torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.tensor([0, 1]), boxes)
    of_class = -sum(share * math.log(share) for share in (1 / 3, 2 / 3))
    ssd = training_task(Task("detection", 2, "ssdlite")).guessing_loss(split)
    assert ssd == pytest.approx(of_class + math.log(4) + 3 * math.log(4 / 3) + 4)
    assert 2 < training_task(Task("detection", 2, "fcos")).guessing_loss(split) < 3


def test_large_images_are_judged_a_few_at_a_time() -> None:
    task = training_task(Task("detection", 80, "ssdlite"))

    def split(side: int) -> Split:
        pixels = torch.zeros(1, 1, 1, 3, dtype=torch.uint8).expand(2, side, side, 3)
        return Split(pixels, torch.zeros(2), torch.zeros(2, 1, 6))

    assert task.judged_at_once(split(128)) == 64 and task.judged_at_once(split(2048)) == 2


def begun(data: Dataset, head: str, length: int = 30) -> Training:
    task = Task("detection", 2, head)
    network = build(Architecture("mobilenetv2_035", SIDE), task=task)
    return Training(
        network, data, task, Recipe(length, 8, 0.05),
        parameters=network.parameters(), seed=1, device=CPU,
    )  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_a_training_learns_goes_on_and_repeats_exactly(head: str) -> None:
    data = things(SIDE)
    whole, first, second = (begun(data, head) for _ in range(3))
    whole.run()
    whole.check(evaluate(whole.network, data, Task("detection", 2, head), device=CPU))
    assert whole.epoch_losses[-1] < 0.8 * whole.epoch_losses[0]
    first.run(17)
    torch.manual_seed(99)
    second.load(first.state())
    second.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


@pytest.mark.parametrize("head", ["ssdlite", pytest.param("fcos", marks=pytest.mark.slow)])
def test_trained_networks_find_objects(head: str) -> None:
    winner, data = detector(head, "64x48"), things("64x48")
    score = evaluate(winner.trained, data, winner.task, device=CPU)
    assert score.figures["ap50"] > 0.1
