"""One suite for every head: it is tested by being listed."""

from __future__ import annotations

import copy
import sys
from itertools import pairwise
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from nas.backbones import find_maps, plain_network
from nas.base.errors import SpecError
from nas.latency.runtime.onnxruntime import to_onnx
from nas.models.build import build
from nas.models.cost import cost, cost_by_parts
from nas.models.heads import HEADS
from nas.models.task_network import TaskNetwork
from nas.spec.architecture import Architecture, Insertion
from nas.spec.task import TASKS, Task, TaskName

OWN = "support.odd_networks:Network"
BACKBONES = [
    "mobilenetv2_035",
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_small",
    "mobilenext_100",
]
SITES = {
    "mobilenetv2_035": "blocks.2.1/after_depthwise",
    "torchvision/resnet18": "layer4.1/after_residual",
    "torchvision/mobilenet_v3_small": "features.11/after_residual",
    "mobilenext_100": "stages.6.1/after_first_depthwise",
}
# Every head, and every backbone with a head of masks and one of boxes.
EACH_ONCE = [("mobilenetv2_035", head) for head in HEADS] + [
    (backbone, head) for backbone in BACKBONES[1:] for head in ("lraspp", "ssdlite")
]
CLASSES = 3
BOXES = tuple(head for head in TASKS["detection"].heads if head in HEADS)


def task(head: str) -> Task:
    return Task("detection" if head in BOXES else "segmentation", CLASSES, head)


def check_shape(given: torch.Tensor, head: str, images: int, height: int, width: int) -> None:
    """Scores of every pixel, or boxes of as many default boxes as the image has room for."""
    if head not in BOXES:
        assert given.shape == (images, CLASSES, height, width)
        return
    count, boxes, columns = given.shape
    assert (count, columns) == (images, CLASSES + 9) and boxes > 20


def images(architecture: Architecture, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *architecture.size.shape, generator=generator)


def steady(network: nn.Module, some: torch.Tensor) -> nn.Module:
    """Batch norm that has seen data, so that maps are of sensible sizes."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        network(torch.cat([some, some.flip(0) + 1]))
    return network.eval()


def test_every_head_of_the_tasks_is_here() -> None:
    listed = {head for name in get_args(TaskName) for head in TASKS[name].heads}
    assert listed == {*HEADS, "classifier", "embedding", "own"}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_scores_are_of_images_of_any_size_and_the_backbone_keeps_its_names(
    backbone: str, head: str
) -> None:
    architecture = Architecture(backbone, "33x47")
    network = build(architecture, task=task(head))
    with torch.no_grad():
        check_shape(network(images(architecture)), head, 2, 33, 47)
        check_shape(network(torch.zeros(1, 3, 64, 40)), head, 1, 64, 40)
    plain = plain_network(backbone)
    weights = {f"backbone.{key}": item for key, item in plain.state_dict().items()}
    own = network.state_dict()
    kept = [key for key in own if not key.startswith("head.")]
    assert kept and set(kept) < set(weights)
    assert all(own[key].shape == weights[key].shape for key in kept)
    # A trained classification network's weights go in by their names.
    missing, unexpected = network.load_state_dict({key: weights[key] for key in kept}, strict=False)
    assert all(key.startswith("head.") for key in missing) and not unexpected


@pytest.mark.parametrize("head", HEADS)
def test_an_own_network_has_heads_as_far_as_it_has_maps(head: str) -> None:
    architecture = Architecture(OWN, 32)
    if head == "deeplabv3":
        network = build(architecture, task=task(head))
        assert network(images(architecture)).shape == (2, CLASSES, 32, 32)
        return
    other = "a backbone with more of them" if head in BOXES else "head deeplabv3"
    with pytest.raises(SpecError, match=f"has one map alone, of stride 2; take {other}"):
        build(architecture, task=task(head))


@pytest.mark.parametrize("head", HEADS)
def test_what_nothing_reads_costs_nothing(head: str) -> None:
    architecture = Architecture("mobilenetv2_035", 64)
    network, plain = build(architecture, task=task(head)), plain_network("mobilenetv2_035")
    behind = ("classifier",) if head == "ssdlite" else ("conv_head", "bn2", "classifier")
    kept = sum(item.numel() for key, item in plain.named_parameters() if not key.startswith(behind))
    counted = cost(architecture, task=task(head))
    assert isinstance(network, TaskNetwork) and counted.unsupported == ()
    assert sum(item.numel() for item in network.backbone.parameters()) == kept
    head_params = sum(item.numel() for item in network.head.parameters())
    assert counted.params == kept + head_params
    inserted = Architecture(
        "mobilenetv2_035",
        64,
        tuple(Insertion.of(f"blocks.{n}.0/after_depthwise", "se/r4") for n in (1, 6)),
    )
    assert cost_by_parts(inserted, task(head)) == cost(inserted, task=task(head))


@pytest.mark.parametrize(("backbone", "head"), EACH_ONCE)
def test_blocks_at_sites_are_seen_also_by_copies(backbone: str, head: str) -> None:
    plain = Architecture(backbone, 32)
    placed = Architecture(backbone, 32, (Insertion.of(SITES[backbone], "se/r4"),))
    some = images(plain, 4)
    torch.manual_seed(0)
    without, with_block = build(plain, task=task(head)), build(placed, task=task(head))
    heads = [network.head.state_dict() for network in (without, with_block)]
    assert all(torch.equal(one, heads[1][key]) for key, one in heads[0].items())
    steady(with_block, some)
    without.load_state_dict(
        {k: v for k, v in with_block.state_dict().items() if k in without.state_dict()}
    )
    with torch.no_grad():
        given = with_block(some)
        assert not torch.allclose(given, without(some))
        copied = copy.deepcopy(with_block)
        assert torch.equal(copied(some), given)
        for parameter in copied.get_submodule("backbone").parameters():
            parameter.zero_()
        assert torch.equal(with_block(some), given)


# Of torch 2.6, of tensors that a graph holds:
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr", "ignore:Node .*lifted_tensor")
@pytest.mark.parametrize(
    ("backbone", "size", "head"),
    [
        *(("mobilenetv2_035", "33x47", head) for head in HEADS),
        *(("torchvision/resnet18", "32x64", head) for head in ("deeplabv3", "fcos")),
    ],
)
def test_exported_graphs_give_the_same_and_hold_nothing_else(
    backbone: str, size: str, head: str
) -> None:
    architecture = Architecture(backbone, size, (Insertion.of(SITES[backbone], "coord/r32"),))
    some = images(architecture, 8)
    network = steady(build(architecture, task=task(head)), some)
    with torch.no_grad():
        expected = network(some)
    graph = to_onnx(network, architecture.size.shape, dynamic_batch=True)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: some.numpy()})
    # Boxes are in pixels, and made by an exponential.
    np.testing.assert_allclose(
        given, expected.numpy(), atol=1e-3 if head in BOXES else 1e-4, rtol=1e-4
    )
    program = torch.export.export(network, (some,), strict=False)
    program.graph.eliminate_dead_code()
    assert not any("zeros" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(some), expected)


@pytest.mark.parametrize("head", HEADS)
def test_a_batch_of_one_trains(head: str) -> None:
    architecture = Architecture("mobilenetv2_035", 64)
    network = build(architecture, task=task(head)).train()
    network(images(architecture, 1)).mean().backward()
    used = [p.grad is not None for p in network.parameters() if p.requires_grad]
    assert all(used)  # as data parallelism wants it


@pytest.mark.parametrize("head", HEADS)
def test_shapes_are_told_without_values(head: str) -> None:
    architecture = Architecture("mobilenetv2_035", 64)
    network = build(architecture, task=task(head)).to("meta")
    check_shape(network(torch.zeros(2, 3, 64, 64, device="meta")), head, 2, 64, 64)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_heads_stand_on_a_dilated_end(head: str, output_stride: int) -> None:
    architecture = Architecture("mobilenetv2_035", 64, output_stride=output_stride)
    usual = Architecture("mobilenetv2_035", 64)
    dilated, plain = (cost(item, task=task(head)) for item in (architecture, usual))
    if head == "deeplabv3":  # others read fewer maps
        assert dilated.macs > 2 * plain.macs and dilated.params == plain.params
    network = build(architecture, task=task(head))
    check_shape(network(images(architecture)), head, 2, 64, 64)


def test_the_pyramid_reaches_as_far_in_the_image_at_every_stride() -> None:
    def rates(output_stride: int | None) -> list[int]:
        architecture = Architecture("mobilenetv2_035", 64, output_stride=output_stride)
        network = build(architecture, task=task("deeplabv3"))
        layers = [m for m in network.get_submodule("head").modules() if isinstance(m, nn.Conv2d)]
        return [layer.dilation[0] for layer in layers if layer.groups > 1]

    assert rates(16) == [6, 12, 18]
    assert rates(8) == [12, 24, 36]
    assert rates(None) == [3, 6, 9]


def test_heads_read_from_the_finest_to_the_coarsest() -> None:
    maps = find_maps("mobilenetv2_100", 224).all
    strides = {head: [one.stride for one in kind.read(maps)] for head, kind in HEADS.items()}
    assert strides == {
        "deeplabv3": [32],
        "lraspp": [8, 32],
        "unet": [2, 4, 8, 16, 32],
        "fpn": [4, 8, 16, 32],
        "ssdlite": [16, 32],
        "fcos": [8, 16, 32],
    }
    assert all(one < two for chosen in strides.values() for one, two in pairwise(chosen))


@pytest.mark.parametrize("head", ["deeplabv3", "unet"])
def test_a_missing_library_is_one_line_that_names_its_command(
    head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("segmentation_models_pytorch"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(SpecError, match=r'pip install "attention-nas\[segmentation\]"'):
        build(Architecture("mobilenetv2_035", 32), task=task(head))
