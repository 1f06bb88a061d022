"""Networks that bring their own loss are trained and judged by it, for every task."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.own_detectors import MeanLoss, Right, Small
from support.task_networks import people, scenes, things
from torch import Tensor, nn
from torch.nn import functional

from nas.base.errors import TrainingError
from nas.data import Dataset, load_data
from nas.models.task_network import task_network
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.loop import Training, evaluate
from nas.training.objective import guessing_loss
from nas.training.original_size import box_marks_at_original_size
from nas.training.recipe import Recipe

CPU = torch.device("cpu")
FACTOR = 3.0
_ROUNDED = {"rtol": 1e-4, "atol": 1e-5}  # other batches are computed by other kernels
SIDE = 32
TASKS = {
    "classification": Task(outputs=10),
    "segmentation": Task("segmentation", 3, "own"),
    "retrieval": Task("retrieval", 8, "own"),
}
DETECTION = Task("detection", 2, "own")


class Plain(nn.Module):
    """Scores of images or of their pixels by a convolution and a norm."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, task.outputs, 3, padding=1), nn.BatchNorm2d(task.outputs)
        )
        self.of_pixels = task.name == "segmentation"

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.layers(images)
        return maps if self.of_pixels else maps.mean(dim=(2, 3))


class Own(Plain):
    """The same with three times the usual loss; of identities, the size of the vectors."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.task = task
        self.asked: list[tuple[bool, int]] = []

    def loss(self, batch: Any) -> Tensor:
        images, targets = batch
        self.asked.append((self.training, len(images)))
        scores = self(images)
        if self.task.name == "retrieval":
            assert targets.shape == (len(images),)
            return scores.square().mean()
        return FACTOR * functional.cross_entropy(scores, targets, ignore_index=255)


def data_of(task: Task) -> Dataset:
    if task.name == "segmentation":
        return scenes(SIDE)
    if task.name == "retrieval":
        return people(SIDE)
    return load_data("digits", 16, validation=0.2, seed=0)


def made(kind: Any, task: Task) -> Any:
    torch.manual_seed(0)
    return task_network(kind(task), Architecture("net", SIDE), task, seed=0)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_it_is_trained_by_its_own_loss(task: Task) -> None:
    network, data = made(Own, task), data_of(task)
    recipe = Recipe(length=3, batch_size=8, learning_rate=0.01)
    training = Training(
        network, data, task, recipe, parameters=network.parameters(), seed=0, device=CPU
    )
    training.run()
    assert network.asked == [(True, 8)] * 3
    assert math.isinf(training.loss_of_guessing), "nothing is known of its loss"
    training.check(evaluate(network, data, task, device=CPU))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_it_is_judged_by_its_own_loss_and_the_figures_of_its_task(task: Task) -> None:
    own, plain, data = made(Own, task), made(Plain, task), data_of(task)
    plain.load_state_dict(own.state_dict())
    before = {name: value.clone() for name, value in own.state_dict().items()}
    score, usual = (evaluate(one, data, task, device=CPU) for one in (own, plain))
    assert dict(score.figures) == dict(usual.figures) and len(score.losses) == len(usual.losses)
    # Of retrieval losses are of queries in a gallery, and stay so.
    factor = 1.0 if task.name == "retrieval" else FACTOR
    torch.testing.assert_close(score.losses, factor * usual.losses, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in own.state_dict().items())
    assert math.isfinite(guessing_loss(plain, task, data.train))


def detector(kind: Any) -> Any:
    torch.manual_seed(0)
    return task_network(kind(2), Architecture("net", SIDE), DETECTION, seed=0)


def test_a_detector_learns_by_its_own_loss_and_finds_by_its_own_predict() -> None:
    data, network = things(SIDE), detector(Small)
    first = evaluate(network, data, DETECTION, device=CPU)
    recipe = Recipe(length=60, batch_size=16, learning_rate=0.02)
    parameters = network.parameters()
    training = Training(network, data, DETECTION, recipe, parameters=parameters, seed=0, device=CPU)
    training.run()
    last = evaluate(network, data, DETECTION, device=CPU)
    assert last.loss < 0.7 * first.loss and last.figures["ap50"] > 0.2 + first.figures["ap50"]
    again = evaluate(network, data, DETECTION, device=CPU, batch_size=5)
    torch.testing.assert_close(again.losses, last.losses, **_ROUNDED)
    assert again.figures == pytest.approx(last.figures)
    # A mean of a batch is asked image by image.
    mean = detector(MeanLoss)
    mean.load_state_dict(network.state_dict())
    given = evaluate(mean, data, DETECTION, device=CPU).losses
    torch.testing.assert_close(given, last.losses, **_ROUNDED)


def test_boxes_are_judged_where_they_lie_on_images_as_they_are() -> None:
    data, network = things(SIDE), detector(Right)
    size, objects = data.size, data.validation.annotations
    assert objects is not None
    boxes = [(size, one.double().numpy()) for one in objects]
    marks = box_marks_at_original_size(
        network, data, DETECTION, boxes, lambda found, _: found, device=CPU
    )
    there = evaluate(network, data, DETECTION, device=CPU).marks
    assert (marks == there).all()


def test_a_loss_that_is_not_finite_is_a_training_that_diverged() -> None:
    class Diverged(Right):
        def loss(self, batch: Any) -> Any:
            return super().loss(batch) * torch.inf

    with pytest.raises(TrainingError, match="the network's own loss is not finite"):
        evaluate(detector(Diverged), things(SIDE), DETECTION, device=CPU)
