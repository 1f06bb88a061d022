from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nas.backbones import plain_network
from nas.base.errors import SpecError
from nas.blocks.gate import DoubledGate
from nas.models.build import build, deploy, inserted_modules, inserted_prefixes, uniform
from nas.models.cost import cost
from nas.models.heads import HEADS
from nas.models.task_network import TaskNetwork, backbone_of
from nas.spec.architecture import Architecture, Insertion
from nas.spec.space import POSITIONS
from nas.spec.task import EMBEDDING, TASKS, Task

BACKBONES = [
    "mobilenetv2_035",
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_small",
    "mobilenext_100",
    "support.odd_networks:Network",
    "convnext_atto",
    "support.flat_network:Network",
]
RETRIEVAL = Task.of("retrieval", 5)


def segmentation() -> Task:
    return Task("segmentation", 3, "lraspp")


def of_head(head: str) -> Task:
    return Task("detection" if head in TASKS["detection"].heads else "segmentation", 3, head)


def trained_like(network: nn.Module, side: int) -> nn.Module:
    """Weights that have moved, of gates too, and batch norm that has seen data."""
    generator = torch.Generator().manual_seed(1)
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise, alpha=0.1 * float(parameter.std(correction=0)) + 0.02)
        for _ in range(2):
            network(torch.randn(4, 3, side, side, generator=generator))
    return network.eval()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_folded_gates_leave_what_every_head_gives(backbone: str, head: str) -> None:
    side = 32
    folded = 0
    # What a head reads hangs on where a gate is, and not on which: one head has both kinds.
    for block in ("se", "coord") if head == "lraspp" else ("coord",):
        for position in POSITIONS:
            try:
                architecture = uniform(
                    backbone, block, resolution=side, position=position, where_it_fits=True
                )
                network = build(architecture, task=of_head(head), start="identity")
            except SpecError:
                continue  # it has no such position, or too few maps for the head
            trained_like(network, side)
            images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
            with torch.no_grad():
                expected = network(images)
                deployed = deploy(copy.deepcopy(network), architecture)
                torch.testing.assert_close(deployed(images), expected, rtol=1e-5, atol=1e-5)
            gates = sum(isinstance(layer, DoubledGate) for layer in network.modules())
            left = sum(isinstance(layer, DoubledGate) for layer in deployed.modules())
            folded += gates - left
    if backbone in {"mobilenetv2_035", "mobilenext_100"}:
        assert folded > 0


def test_names_of_a_backbone_and_of_its_blocks_are_within() -> None:
    site = "blocks.2.1/after_depthwise"
    architecture = Architecture("mobilenetv2_035", 32, (Insertion.of(site, "se/r4"),))
    network = build(architecture, task=segmentation())
    assert backbone_of(network) is network.backbone
    assert inserted_prefixes(network, architecture) == ("backbone.blocks.2.1.se.",)
    (block,) = inserted_modules(network, architecture)
    assert block is network.get_submodule("backbone.blocks.2.1.se")
    classifier = build(architecture, num_classes=5)
    assert inserted_prefixes(classifier, architecture) == ("blocks.2.1.se.",)
    assert backbone_of(classifier) is classifier


def test_one_seed_gives_one_head_and_others_another() -> None:
    plain = Architecture("mobilenetv2_035", 32)
    placed = uniform("mobilenetv2_035", "se", resolution=32)
    first = build(plain, task=segmentation()).state_dict()
    paired = build(placed, task=segmentation()).state_dict()
    assert all(torch.equal(item, paired[key]) for key, item in first.items())
    other = build(plain, task=segmentation(), seed=1).state_dict()
    key = "head.scores.high_classifier.weight"
    assert not torch.equal(first[key], other[key])


def test_weights_of_a_plain_task_network_go_into_every_architecture() -> None:
    plain = build(Architecture("mobilenetv2_035", 32), task=segmentation(), seed=4)
    trained_like(plain, 32)
    placed = uniform("mobilenetv2_035", "coord", resolution=32)
    network = build(placed, task=segmentation(), weights=plain.state_dict(), start="identity")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(images), plain(images), rtol=1e-4, atol=1e-4)


def test_embeddings_have_length_one_and_the_backbones_own_classifier() -> None:
    architecture = Architecture("mobilenetv2_035", "32x64")
    network = build(architecture, task=RETRIEVAL)
    assert isinstance(network, TaskNetwork)
    assert network.backbone.classifier.out_features == EMBEDDING  # type: ignore[union-attr]
    for mode in (True, False):
        given = network.train(mode)(torch.randn(4, 3, 32, 64))
        assert given.shape == (4, EMBEDDING)
        torch.testing.assert_close(given.norm(dim=1), torch.ones(4))
    frozen = [key for key, item in network.named_parameters() if not item.requires_grad]
    assert frozen == ["head.neck.bias"]
    assert cost(architecture, task=RETRIEVAL).unsupported == ()
    whole = plain_network("mobilenetv2_035", num_classes=EMBEDDING).state_dict()
    assert network.backbone.state_dict().keys() == whole.keys()


def test_blocks_before_an_embedding_are_folded_as_before_a_classifier() -> None:
    architecture = uniform("mobilenetv2_035", "se", resolution=32, position="after_projection")
    gates = []
    for task in (Task(outputs=5), RETRIEVAL):
        network = trained_like(build(architecture, task=task, start="identity"), 32)
        images = torch.randn(3, 3, 32, 32)
        with torch.no_grad():
            expected = network(images)
            deployed = deploy(network, architecture)
            torch.testing.assert_close(deployed(images), expected, rtol=1e-5, atol=1e-5)
        gates.append(sum(isinstance(layer, DoubledGate) for layer in deployed.modules()))
    assert gates[0] == gates[1]


def test_a_site_behind_what_the_head_reads_is_refused() -> None:
    site = Insertion.of("conv_head/output", "se/r4")
    architecture = Architecture("mobilenetv2_035", 32, (site,))
    build(architecture, num_classes=5)
    with pytest.raises(SpecError, match="'conv_head/output' is behind the last map that head"):
        build(architecture, task=segmentation())


def test_segmentation_trains_under_data_parallelism(tmp_path: object) -> None:
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        network = build(uniform("mobilenetv2_035", "se", resolution=32), task=segmentation())
        parallel = DistributedDataParallel(network.train())
        for _ in range(2):  # the second finds parameters that the first left out
            parallel(torch.randn(2, 3, 32, 32)).mean().backward()
    finally:
        torch.distributed.destroy_process_group()
