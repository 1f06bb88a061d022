"""What is asked of a network that brings its loss, and what is made of what it gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.own_detectors import MeanLoss, Right, Small
from torch import Tensor, nn

from nas.base.errors import SpecError, TrainingError
from nas.models.own_network import (
    MOST_OBJECTS,
    answering,
    boxes_of_outputs,
    found_boxes,
    has_loss,
    image_losses,
    image_losses_of_outputs,
    targets_for,
)
from nas.models.task_network import task_network
from nas.spec.architecture import Architecture
from nas.spec.task import Task

TASK = Task("detection", 3, "own")
OBJECTS = torch.tensor(
    [
        [[0.0, 0, 30, 40, 2, 0], [0, 0, 64, 64, 1, 1], [0, 0, 0, 0, -1, 0]],
        [[0.0, 0, 0, 0, -1, 0], [0, 0, 0, 0, -1, 0], [0, 0, 0, 0, -1, 0]],
        [[8.0, 8, 30, 40, 0, 0], [20, 20, 60, 60, 1, 0], [0, 0, 0, 0, -1, 0]],
    ]
)


def made(kind: Any) -> nn.Module:
    torch.manual_seed(0)
    return task_network(kind(3), Architecture("net", 64), TASK, seed=0).eval()


def noise(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_a_loss_is_told_the_objects_that_count() -> None:
    first, nothing, last = targets_for(OBJECTS, TASK)
    assert first["boxes"].tolist() == [[0, 0, 30, 40]], "without the crowd"
    assert first["labels"].tolist() == [2] and first["labels"].dtype == torch.long
    assert nothing["boxes"].shape == (0, 4) and nothing["labels"].shape == (0,)
    assert last["labels"].tolist() == [0, 1]
    masks = targets_for(torch.zeros(2, 4, 4, dtype=torch.uint8), Task("segmentation", 3, "own"))
    assert masks.dtype == torch.long and masks.shape == (2, 4, 4)


def test_losses_of_images_are_the_same_by_themselves_and_together() -> None:
    with torch.no_grad():
        each = image_losses(made(Small), noise(), OBJECTS, TASK)
        one_by_one = image_losses(made(MeanLoss), noise(), OBJECTS, TASK)
    assert each.shape == (3,)
    torch.testing.assert_close(each, one_by_one)


def test_objects_are_rows_the_best_first_and_no_more_than_count() -> None:
    class Many(Right):
        def predict(self, images: Tensor) -> Any:
            count = MOST_OBJECTS + 50
            scores = torch.linspace(0, 1, count)
            boxes = torch.tensor([[0.0, 1, 2, 3]]).expand(count, 4)
            labels = torch.arange(count) % 3
            one = {"boxes": boxes, "scores": scores, "labels": labels.to(torch.int32), "more": 1}
            return tuple(one for _ in self(images))

    (rows, _) = found_boxes(made(Many), noise(2), TASK)
    assert rows.shape == (MOST_OBJECTS, 6)
    assert rows[0].tolist() == [0, 1, 2, 3, 1, (MOST_OBJECTS + 49) % 3]
    assert bool((rows[:-1, 4] >= rows[1:, 4]).all())


def test_what_goes_wrong_later_is_told_by_whose_it_is() -> None:
    class Broken(Right):
        def predict(self, images: Tensor) -> Any:
            return [one | {"scores": one["scores"] * torch.nan} for one in super().predict(images)]

        def loss(self, batch: Any) -> Any:
            return [super(type(self), self).loss(batch)]

    network = made(Broken)
    with pytest.raises(TrainingError, match="training diverged: Broken.predict gives scores"):
        found_boxes(network, noise(), TASK)
    with pytest.raises(SpecError, match="Broken.loss gives a list of 1 for 1 images; allowed"):
        image_losses(network, noise(), OBJECTS, TASK)


def test_loss_and_boxes_are_made_of_what_a_graph_gave() -> None:
    network, images = made(Small), noise()
    with torch.no_grad():
        outputs = network(images)
        expected = found_boxes(network, images, TASK)
        losses = image_losses(network, images, OBJECTS, TASK)
        # Its own layers are not asked.
        for weight in network.parameters():
            weight.fill_(torch.nan)
        nothing = torch.zeros_like(images)
        found = boxes_of_outputs(network, outputs, nothing)
        of_outputs = image_losses_of_outputs(network, outputs, nothing, OBJECTS)
    assert of_outputs is not None
    torch.testing.assert_close(of_outputs, losses)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert "forward" not in vars(network)

    class Elsewhere(Right):
        def loss(self, batch: Any) -> Any:
            return batch[0].mean(dim=(1, 2, 3))

    assert image_losses_of_outputs(made(Elsewhere), outputs, images, OBJECTS) is None


def test_a_forward_of_the_objects_own_comes_back() -> None:
    network = made(Right)
    own = network.forward
    network.forward = lambda images: own(images) + 1  # type: ignore[method-assign]
    mine = network.forward
    with answering(network, torch.zeros(1, 2, 3)) as asked:
        assert network(noise(1)).shape == (1, 2, 3)
    assert asked == [1] and network.forward is mine


def test_a_loss_is_a_method_of_a_batch_and_nothing_else() -> None:
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loss = nn.CrossEntropyLoss()

    class Two(nn.Module):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs

    class Optional(nn.Module):
        def loss(self, batch: Any, weight: float = 1.0) -> Tensor:
            return torch.zeros(())

    assert not has_loss(Module()) and not has_loss(Two()) and has_loss(Optional())
