"""The losses of detectors beside torchvision's own, and what is told nothing."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from nas.models.heads.default_boxes import joined, points, priors
from nas.training.tasks.box_losses import BOX_LOSSES, fcos_losses, ssd_losses

SIZE = (64, 96)
CLASSES = 3
GRIDS = ((8, 12), (4, 6), (2, 3))
STRIDES = (8, 16, 32)


def objects(images: int, most: int = 5, seed: int = 0) -> Tensor:
    """Objects of random places and sizes; the first image has the most, the last has one."""
    rng = np.random.default_rng(seed)
    known = np.full((images, most, 6), -1, np.float32)
    known[..., 5] = 0
    for number, image in enumerate(known):
        for row in image[: max(1, most - number)]:
            sides = rng.uniform(6, 60, 2)
            corner = rng.uniform(0, np.array(SIZE[::-1]) - sides)
            row[:5] = *corner, *(corner + sides), rng.integers(CLASSES)
    return torch.from_numpy(known)


def outputs(head: str, images: int, seed: int = 0) -> Tensor:
    """Boxes near the default ones, with random logits."""
    generator = torch.Generator().manual_seed(seed)
    made = priors if head == "ssdlite" else partial(points, STRIDES)
    defaults = torch.from_numpy(made(GRIDS, SIZE))  # type: ignore[operator]
    sides = (defaults[:, 2:] - defaults[:, :2]).repeat(1, 2)
    shifts = torch.rand(images, len(defaults), 4, generator=generator) * sides
    way = torch.tensor([-1.0, -1, 1, 1])
    logits = torch.randn(images, len(defaults), 1 + CLASSES, generator=generator)
    return joined((defaults + 0.3 * way * shifts).requires_grad_(), logits, defaults)


def as_torchvision(known: Tensor, first: int) -> list[dict[str, Tensor]]:
    images = [image[image[:, 4] >= 0] for image in known]
    return [{"boxes": one[:, :4], "labels": one[:, 4].long() + first} for one in images]


def torchvision_ssd(given: Tensor, known: Tensor) -> list[float]:
    network = SSD(
        torch.nn.Identity(), DefaultBoxGenerator([[2]]), SIZE, 4, head=torch.nn.Identity()
    )
    losses = []
    for image, target in zip(given, as_torchvision(known, 1), strict=True):
        defaults = image[:, -4:]
        match = network.proposal_matcher(box_iou(target["boxes"], defaults))
        encoded = network.box_coder.encode_single(image[:, :4], defaults)
        found = {"bbox_regression": encoded[None], "cls_logits": image[None, :, 4:-4]}
        told = network.compute_loss([target], found, [defaults], [match])
        losses.append(float(sum(part.detach() for part in told.values())))
    return losses


def torchvision_fcos(given: Tensor, known: Tensor) -> list[float]:
    backbone = torch.nn.Identity()
    backbone.out_channels = 32  # type: ignore[assignment]
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    network = FCOS(backbone, CLASSES, anchor_generator=anchors)
    levels = [height * width for height, width in GRIDS]
    losses = []
    for image, target in zip(given, as_torchvision(known, 0), strict=True):
        defaults = image[:, -4:]
        found = {
            "bbox_regression": network.box_coder.encode(defaults, image[:, :4])[None],
            "bbox_ctrness": image[None, :, 4:5],
            "cls_logits": image[None, :, 5:-4],
        }
        told = network.compute_loss([target], found, [defaults], levels)
        losses.append(float(sum(part.detach() for part in told.values())))
    return losses


@pytest.mark.parametrize("seed", range(4))
def test_ssd_is_torchvisions(seed: int) -> None:
    given, known = outputs("ssdlite", 4, seed), objects(4, seed=seed)
    assert ssd_losses(given, known).tolist() == pytest.approx(torchvision_ssd(given, known), 1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_fcos_is_torchvisions(seed: int) -> None:
    given, known = outputs("fcos", 4, seed), objects(4, seed=seed)
    assert fcos_losses(given, known).tolist() == pytest.approx(torchvision_fcos(given, known), 1e-4)


@pytest.mark.parametrize("head", BOX_LOSSES)
def test_gradients_are_finite_and_of_all_boxes_that_are_for_an_object(head: str) -> None:
    given = outputs(head, 3).detach().requires_grad_()
    BOX_LOSSES[head](given, objects(3)).mean().backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None and given.grad.isfinite().all()
    assert (given.grad[..., :4] != 0).any() and not given.grad[..., -4:].any()


@pytest.mark.parametrize("head", BOX_LOSSES)
def test_an_image_without_objects_is_told_so(head: str) -> None:
    given = outputs(head, 2)
    nothing = torch.full((2, 3, 6), -1.0)
    losses = BOX_LOSSES[head](given, nothing)
    assert losses.shape == (2,) and (losses > 0).all()
    assert torch.equal(losses, BOX_LOSSES[head](given, torch.zeros(2, 0, 6)))
    sure = given.detach().clone()
    sure[..., 4] += 20  # of the background
    sure[..., 5:-4] -= 20
    assert (BOX_LOSSES[head](sure, nothing) < 1e-5).all()


@pytest.mark.parametrize("head", BOX_LOSSES)
def test_a_region_that_does_not_count_is_told_nothing(head: str) -> None:
    given = outputs(head, 1).detach()
    crowd = torch.tensor([[[0.0, 0, 96, 64, 1, 1]]])
    assert BOX_LOSSES[head](given, crowd).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("head", BOX_LOSSES)
def test_the_order_of_objects_and_padding_say_nothing(head: str) -> None:
    given, known = outputs(head, 2), objects(2, 3)
    padded = torch.cat([torch.full((2, 2, 6), -1.0), known.flip(1)], dim=1)
    torch.testing.assert_close(BOX_LOSSES[head](given, padded), BOX_LOSSES[head](given, known))
