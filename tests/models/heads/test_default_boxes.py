"""Default boxes beside torchvision's, and the networks of the paper's detection."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from nas.backbones import find_maps
from nas.models.build import build, uniform
from nas.models.cost import cost
from nas.models.heads import HEADS
from nas.models.heads.default_boxes import Parts, points, priors, rows
from nas.spec.architecture import Architecture, parse_label
from nas.spec.task import Task

SIZE = (96, 160)
GRIDS = ((6, 10), (3, 5), (2, 3), (1, 2), (1, 1), (1, 1))


def laid(generator: torch.nn.Module, grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    images = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
    return generator(images, [torch.zeros(1, 1, *grid) for grid in grids])[0].numpy()  # type: ignore


def test_ssds_are_torchvisions_but_for_the_finest_map() -> None:
    theirs = laid(DefaultBoxGenerator([[2, 3]] * 6, 0.2, 0.95), GRIDS)
    finest = GRIDS[0][0] * GRIDS[0][1]
    own = priors(GRIDS, SIZE)
    np.testing.assert_allclose(own[3 * finest :], theirs[6 * finest :], atol=1e-3)
    own, theirs = own[: 3 * finest].reshape(-1, 3, 4), theirs[: 6 * finest].reshape(-1, 6, 4)
    np.testing.assert_allclose(own[:, 1:], theirs[:, 2:4], atol=1e-3)
    sides = own[:, 0, 2:] - own[:, 0, :2]
    np.testing.assert_allclose(sides, [[0.1 * SIZE[1], 0.1 * SIZE[0]]] * finest, atol=1e-3)


def test_fcos_points_are_half_a_stride_from_torchvisions() -> None:
    grids, strides = ((12, 20), (6, 10)), (8, 16)
    theirs = laid(AnchorGenerator(((8,), (16,)), ((1.0,),) * 2), grids)
    half = np.repeat([4.0, 8.0], [240, 60])[:, None]
    np.testing.assert_allclose(points(strides, grids, SIZE), theirs + half)


def test_rows_are_in_the_order_of_torchvisions_heads() -> None:
    scores = torch.arange(2 * 6 * 2 * 3).reshape(2, 6, 2, 3)
    theirs = scores.view(2, -1, 2, 2, 3).permute(0, 3, 4, 1, 2).reshape(2, -1, 2)
    assert torch.equal(rows(scores, 2), theirs)


@pytest.mark.parametrize("head", ["ssdlite", "fcos"])
@pytest.mark.parametrize("size", [(64, 64), (40, 96)])
def test_what_is_given_holds_the_default_boxes_and_boxes_near_them(
    head: str, size: tuple[int, int]
) -> None:
    architecture = Architecture("mobilenetv2_035", 64)
    network = build(architecture, task=Task("detection", 3, head))
    with torch.no_grad():
        given = Parts.of(network(torch.zeros(2, 3, *size)))
    defaults = given.defaults
    middle = (defaults[:, :2] + defaults[:, 2:]) / 2
    assert (middle > 0).all() and (middle < torch.tensor([size[1], size[0]])).all()
    assert len({tuple(one) for one in defaults.tolist()}) == len(defaults)
    sides = given.boxes[..., 2:] - given.boxes[..., :2]
    assert (sides >= 0).all() and given.logits.shape[2] == 3


@pytest.mark.parametrize(
    ("label", "millions"),
    [("keep", "4.3"), ("se/r24", "4.7"), ("cbam/r24/k7", "4.7"), ("coord/r32", "4.8")],
)
def test_the_paper_has_as_many_parameters(label: str, millions: str) -> None:
    block, options = parse_label(label)
    placed = uniform(
        "mobilenetv2_100",
        block,
        resolution=320,
        exclude="blocks.0.*",
        **options,  # type: ignore[arg-type]
    )
    counted = cost(placed, task=Task("detection", 80, "ssdlite"))
    assert f"{counted.params / 1e6:.1f}" == millions and not counted.unsupported


@pytest.mark.parametrize(
    ("backbone", "read"),
    [
        ("mobilenetv2_100", [("blocks.5.0.bn1", 576), ("bn2", 1280)]),
        ("mobilenetv3_large_100", [("blocks.5.0.bn1", 672), ("blocks.6.0.bn1", 960)]),
        ("torchvision/resnet18", [("layer3.1", 256), ("layer4.1", 512)]),
    ],
)
def test_maps_are_read_as_wide_as_the_backbone_makes_them(
    backbone: str, read: list[tuple[str, int]]
) -> None:
    maps = find_maps(backbone, 320).all
    assert [(one.path, one.channels) for one in HEADS["ssdlite"].read(maps)] == read


def test_small_images_have_finer_maps_and_six_in_all() -> None:
    read = partial(HEADS["ssdlite"].read)
    sides = [
        [one.height for one in read(find_maps("mobilenetv2_035", side).all)] for side in (320, 96)
    ]
    assert sides == [[20, 10], [12, 6, 3]]
    network = build(Architecture("mobilenetv2_035", 96), task=Task("detection", 3, "ssdlite"))
    assert len(network.get_submodule("head.extra")) == 3  # type: ignore[arg-type]
