"""Networks that are trained with branches side by side, and shipped with one convolution."""

from __future__ import annotations

from dataclasses import replace

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nas.backbones import find_sites
from nas.backbones.sites.operations import tensors_in
from nas.export.target.onnx import plain_onnx
from nas.export.winner import Winner
from nas.latency.deployment import build_deployed
from nas.models.build import build, inserted_modules, uniform
from nas.models.cost import cost
from nas.models.merged_branches import with_merged_branches
from nas.spec.architecture import Architecture
from nas.spec.positions import POSITIONS
from nas.spec.task import Task

SIDE, TASK = 64, Task(outputs=10)
MERGED = [
    "mobileone_s0",
    pytest.param("repvgg_a0", marks=pytest.mark.slow),
    "repvit_m0_9",
    pytest.param("fastvit_t8", marks=pytest.mark.slow),
    pytest.param("ghostnetv3_050", marks=pytest.mark.slow),
]


def trained(architecture: Architecture) -> nn.Module:
    """Norms that have seen images: fresh ones hide what a merge does to them."""
    network = build(architecture, task=TASK).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean of what it sees
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(8, 3, SIDE, SIDE))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):  # of channels that are never on, it makes anything
            layer.running_var.clamp_(min=0.1)
    return network.eval()


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("backbone", MERGED)
def test_with_its_branches_merged_a_network_computes_the_same(
    backbone: str,
) -> None:
    torch.manual_seed(0)
    placed = uniform(backbone, "coord", resolution=SIDE, reduction=8, where_it_fits=True)
    network, images = trained(placed), torch.randn(4, 3, SIDE, SIDE)
    before = network(images).detach()
    merged = with_merged_branches(network, placed, TASK)
    assert parameters(merged) < parameters(network)
    assert len(inserted_modules(merged, placed)) == len(placed.insertions)
    after = merged(images).detach()
    assert torch.allclose(after, before, atol=1e-4 * float(before.abs().max()))
    with torch.no_grad():  # the blocks are in the way of the images
        for block in inserted_modules(merged, placed):
            for weights in block.parameters():
                weights.normal_()
    assert not torch.allclose(merged(images), after)
    assert torch.equal(network(images), before)


@pytest.mark.parametrize("backbone", ["mobileone_s0", "repvit_m0_9"])
def test_with_blocks_or_without_all_networks_of_a_backbone_are_merged_alike(backbone: str) -> None:
    plain = uniform(backbone, "keep", resolution=SIDE)
    for position in sorted(
        {site.position for site in find_sites(backbone, SIDE, positions=POSITIONS)}
    ):
        everywhere = uniform(
            backbone, "se", resolution=SIDE, position=position, reduction=8, where_it_fits=True
        )
        sites = {site.name: site for site in find_sites(backbone, SIDE, positions=[position])}
        bare = [each for each in everywhere.insertions if not sites[each.site].filled]
        for insertion in (bare[0], bare[-1]):
            placed = replace(everywhere, insertions=(insertion,))
            (block,) = inserted_modules(build(placed, task=TASK), placed)
            added = cost(placed, task=TASK).params - cost(plain, task=TASK).params
            assert added == parameters(block)


@pytest.mark.parametrize(
    "task",
    [
        Task("segmentation", 5, "unet"),
        Task("retrieval", 8, "embedding"),
        Task("detection", 5, "fcos"),
    ],
    ids=lambda task: task.head,
)
def test_with_any_head_the_merged_backbone_gives_the_same(task: Task) -> None:
    torch.manual_seed(0)
    placed = uniform("mobileone_s0", "eca", resolution=SIDE)
    network = build(placed, task=task).eval()
    merged = with_merged_branches(network, placed, task)
    assert parameters(merged) < parameters(network) / 1.5
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        given = [list(tensors_in(each(images))) for each in (network, merged)]
    assert len(given[0]) == len(given[1]) > 0
    for one, other in zip(*given, strict=True):
        assert torch.allclose(other, one, atol=1e-3 * float(one.abs().max()))


def test_costs_and_latencies_are_those_of_what_is_shipped() -> None:
    """Table 3 of arXiv:2206.04040: MobileOne-S0 has 2.1 M parameters and 275 M multiply-adds."""
    plain = uniform("mobileone_s0", "keep", resolution=224)
    counted = cost(plain)
    assert counted.params == pytest.approx(2.1e6, rel=0.02)
    assert counted.macs == pytest.approx(275e6, rel=0.02)
    assert parameters(build_deployed(plain, Task())) == counted.params


def test_exported_graphs_have_one_convolution_for_each_of_the_branches() -> None:
    torch.manual_seed(0)
    placed = uniform("mobileone_s0", "eca", resolution=SIDE)
    network = trained(placed)
    winner = Winner(network, placed, tuple("0123456789"), (0.0,) * 3, (1.0,) * 3, task=TASK)
    content = plain_onnx(winner, dynamic_batch=False)
    graph = onnx.load_from_string(content).graph
    plain = uniform("mobileone_s0", "keep", resolution=SIDE)
    convolutions = sum(
        isinstance(layer, nn.Conv2d) for layer in build_deployed(plain, TASK).modules()
    )
    assert [node.op_type for node in graph.node].count("Conv") == (
        convolutions + len(placed.insertions)
    )
    images = torch.randn(1, 3, SIDE, SIDE)
    says = onnxruntime.InferenceSession(content).run(None, {"images": images.numpy()})[0]
    wanted = network(images).detach()
    # Without training, what is rounded grows from layer to layer.
    assert torch.allclose(torch.as_tensor(says), wanted, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize(("made", "merges"), [("right", True), ("wrong", False), ("once", False)])
def test_modules_of_ones_own_merge_where_that_changes_nothing(made: str, merges: bool) -> None:
    backbone = f"support.side_by_side:{made}"
    placed = uniform(backbone, "se", resolution=SIDE, reduction=8)
    network = build(placed, task=TASK)
    merged = with_merged_branches(network, placed, TASK)
    assert (merged is not network) == merges
    images = torch.randn(2, 3, SIDE, SIDE)
    assert torch.allclose(merged(images), network(images), atol=1e-5)
