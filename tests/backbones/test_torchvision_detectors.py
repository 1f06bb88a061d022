"""torchvision's detectors as networks of one's own: the same losses and boxes as they have."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.own_detectors import MEAN, SIZE, STD, Small, fcos, rcnn, retinanet, ssd
from torch import Tensor, nn

from nas.backbones.torchvision_detectors import adapted, is_two_stage, transform_normalisation
from nas.base.errors import SpecError
from nas.models.own_network import has_loss, missing_methods
from nas.models.task_network import task_network
from nas.spec.architecture import Architecture
from nas.spec.task import Task

KINDS = {"ssd": ssd, "fcos": fcos, "retinanet": retinanet}
CLASSES = 3
TASK = Task("detection", CLASSES, "own")
Make = Callable[[int], nn.Module]


def pair(make: Make) -> tuple[nn.Module, Any]:
    """A detector as it comes, and the same adapted."""
    torch.manual_seed(0)
    own = make(CLASSES)
    for name, weight in own.named_parameters():  # so that there is something to find
        if "cls" in name or "classification" in name:
            nn.init.normal_(weight, std=0.3)
    other = adapted(copy.deepcopy(own))
    return own, task_network(other, Architecture("net", SIZE), TASK, seed=0)


def pictures(count: int = 3) -> tuple[Tensor, Tensor]:
    """Images from 0 to 1, and normalised as a transform does."""
    images = torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return images, (images - mean) / std


TARGETS = [
    {"boxes": torch.tensor([[4.0, 4, 40, 44], [20, 10, 60, 60]]), "labels": torch.tensor([0, 2])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)},
    {"boxes": torch.tensor([[10.0, 20, 30, 36]]), "labels": torch.tensor([1])},
]


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_torchvisions_and_move_no_norm_in_evaluation(kind: str) -> None:
    own, ours = pair(KINDS[kind])
    images, normalised = pictures()
    first = 0 if kind == "fcos" else 1
    told = [one | {"labels": one["labels"] + first} for one in TARGETS]
    with torch.no_grad():
        expected = sum(own.train()(list(images), told).values())
        given = ours.train().loss((normalised, TARGETS))
    torch.testing.assert_close(given, expected)
    # In evaluation mode of each image, as torchvision's of that image alone would be.
    own.eval(), ours.eval()
    state = {name: value.clone() for name, value in ours.state_dict().items()}
    with torch.no_grad():
        each = ours.loss((normalised, TARGETS))
    assert each.shape == (3,) and not ours.training
    assert all(torch.equal(state[name], value) for name, value in ours.state_dict().items())
    alone = [ours.loss((normalised[row : row + 1], TARGETS[row : row + 1])) for row in range(3)]
    torch.testing.assert_close(each, torch.cat(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_torchvisions_and_its_transform_is_not_applied_twice(kind: str) -> None:
    own, ours = pair(KINDS[kind])
    images, normalised = pictures()
    with torch.no_grad():
        expected = own.eval()(list(images))
        found = ours.eval().predict(normalised)
    first = 0 if kind == "fcos" else 1
    assert sum(len(one["boxes"]) for one in found) > 0
    for wanted, got in zip(expected, found, strict=True):
        kept = wanted["labels"] >= first  # a RetinaNet may tell the background
        torch.testing.assert_close(got["boxes"], wanted["boxes"][kept])
        torch.testing.assert_close(got["scores"], wanted["scores"][kept])
        assert torch.equal(got["labels"], wanted["labels"][kept] - first)
        assert got["labels"].numel() == 0 or int(got["labels"].max()) < CLASSES
    assert transform_normalisation(ours) == (tuple(MEAN), tuple(STD))
    assert transform_normalisation(nn.Identity()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_names_weights_and_sizes_stay_and_forward_gives_one_tensor(kind: str) -> None:
    own, ours = pair(KINDS[kind])
    assert list(own.state_dict()) == list(ours.state_dict())
    assert type(ours).__name__ == type(own).__name__ and adapted(ours) is ours
    assert type(adapted(KINDS[kind](CLASSES))) is type(ours), "one class of each"
    again = copy.deepcopy(ours)
    images = torch.zeros(2, 3, 48, 96)
    with torch.no_grad():
        given = again.eval()(images)
    assert given.shape[:2] == (2, len(again.default_boxes(images)))
    assert len(again.predict(images)) == 2
    assert has_loss(again) and missing_methods(again) is None


def test_labels_begin_where_its_logits_say() -> None:
    for make, logits, first in ((ssd, 4, 1), (retinanet, 4, 1), (retinanet, 3, 0), (fcos, 3, 0)):
        assert adapted(make(2)).first_label(logits, 3) == first  # type: ignore[operator]
    with pytest.raises(SpecError, match="has 3 logits for each box, and the images 3 classes; .*4"):
        adapted(ssd(2)).first_label(3, 3)  # type: ignore[operator]
    with pytest.raises(SpecError, match="allowed: 3 or 4"):
        adapted(fcos(2)).first_label(9, 3)  # type: ignore[operator]
    assert adapted(ssd(5)).most_classes(torch.zeros(2, 3, 64, 64)) == 5  # type: ignore[operator]


def test_others_are_left_alone() -> None:
    network = Small(2)
    assert adapted(network) is network and type(network) is Small
    two_stage = rcnn(2)
    kind = type(two_stage)
    assert is_two_stage(two_stage) and type(adapted(two_stage)) is kind
