from __future__ import annotations

import copy
import random

import pytest
import torch
from models.test_task_network import trained_like

from nas.base.errors import SpecError
from nas.blocks.gate import DoubledGate
from nas.models.build import build, deploy, inserted_modules, inserted_prefixes, uniform
from nas.models.candidates import Candidates
from nas.models.heads import HEADS
from nas.models.task_sites import all_task_sites, find_task_sites
from nas.spec.architecture import EMPTY, Architecture, Insertion
from nas.spec.space import PARTS, Part, SearchSpace, SiteRule
from nas.spec.task import TASKS, Task
from nas.training.supernet.supernet import Supernet


def segmentation(head: str) -> Task:
    return Task("segmentation", 3, head)


BACKBONE = "mobilenetv2_035"
PLAIN = Architecture(BACKBONE, 32)
WITH_SITES: list[tuple[str, Part]] = [
    ("deeplabv3", "head"),
    ("unet", "neck"),
    ("fpn", "neck"),
    ("fpn", "head"),
    ("ssdlite", "neck"),
    ("ssdlite", "head"),
    ("fcos", "neck"),
    ("fcos", "head"),
]


@pytest.mark.parametrize(("head", "part"), WITH_SITES)
def test_blocks_in_necks_and_heads_change_nothing_at_first_and_fold_exactly(
    head: str, part: Part
) -> None:
    detects = head in TASKS["detection"].heads
    task = Task("detection" if detects else "segmentation", 3, head)
    for block in ("se", "coord"):
        placed = uniform(BACKBONE, block, resolution=32, part=part, task=task)
        assert placed.blocks and all(one.site.startswith("head.") for one in placed.blocks)
        plain = build(PLAIN, task=task)
        network = build(placed, task=task, weights=plain.state_dict(), start="identity")
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            torch.testing.assert_close(network(images), plain(images), rtol=1e-5, atol=1e-5)
        trained_like(network, 32)
        with torch.no_grad():
            expected = network(images)
            deployed = deploy(copy.deepcopy(network), placed)
            torch.testing.assert_close(deployed(images), expected, rtol=1e-5, atol=1e-5)
    if head == "deeplabv3":
        left = sum(isinstance(layer, DoubledGate) for layer in deployed.modules())
        assert left < sum(isinstance(layer, DoubledGate) for layer in network.modules())


@pytest.mark.parametrize("head", HEADS)
def test_what_a_network_answers_is_no_site(head: str) -> None:
    kind = next(name for name in TASKS if head in TASKS[name].heads)
    sites = all_task_sites(PLAIN, Task(kind, 3, head))
    assert len({site.name for site in sites}) == len(sites)
    assert all(site.channels > 3 for site in sites if site.part != "backbone")
    assert not any("classifier" in site.name for site in sites)


def test_backbones_have_the_sites_and_names_that_they_have_for_classification() -> None:
    for part in ("backbone", ["backbone", "neck"]):
        rule = SiteRule.model_validate({"part": part})
        sites = find_task_sites(PLAIN, rule, segmentation("fpn"))
        backbone = [site for site in sites if site.part == "backbone"]
        assert backbone == list(find_task_sites(PLAIN, SiteRule(), None))
    assert {site.part for site in sites} == {"backbone", "neck"}


def test_names_of_blocks_around_a_backbone_are_of_the_network() -> None:
    site = "head.pyramid.layer_blocks.1/after_convolution"
    both = (Insertion.of(site, "se/r4"), Insertion.of("blocks.2.1/after_depthwise", "eca"))
    architecture = Architecture(BACKBONE, 32, both)
    network = build(architecture, task=segmentation("fpn"))
    ours = {
        f"{prefix}{key}": value
        for prefix, block in zip(
            inserted_prefixes(network, architecture),
            inserted_modules(network, architecture),
            strict=True,
        )
        for key, value in block.state_dict().items()
    }
    state = network.state_dict()
    assert ours and all(torch.equal(state[key], value) for key, value in ours.items())
    plain = build(PLAIN, task=segmentation("fpn")).state_dict()
    assert state.keys() - plain.keys() == ours.keys()


def space_of(part: object, **sites: object) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "parts",
            "backbones": [BACKBONE],
            "resolutions": [32],
            "total_stride": 16,
            "sites": {"part": part, **sites},
            "blocks": {"se": {"reduction": [4, 8]}, "eca": {}},
        }
    )


def test_a_space_of_all_parts_goes_to_parameters_and_back() -> None:
    task = segmentation("fpn")
    for granularity in ("block", "stage", "network"):
        candidates = Candidates(space_of([*PARTS], granularity=granularity), task)
        rng = random.Random(0)
        for _ in range(10):
            architecture = candidates.architecture(candidates.sample(rng))
            again = candidates.values(architecture)
            assert again is not None and candidates.architecture(again) == architecture
        ((_, decisions),) = candidates.sites.items()
        assert {site.part for one in decisions for site in one.sites} == set(PARTS)
        assert all(len({site.part for site in one.sites}) == 1 for one in decisions)
    assert [one.name for one in decisions] == [
        "backbone/after_depthwise",
        "neck/after_convolution",
        "head/after_convolution",
    ]
    assert len(candidates.references()["eca"].blocks) == len(candidates.plains()[0][1])


def test_a_supernet_holds_paths_through_necks_and_heads() -> None:
    task = segmentation("fpn")
    candidates = Candidates(space_of([*PARTS]), task)
    ((plain, _),) = candidates.plains()
    supernet = Supernet(candidates, plain, task=task)
    rng, images = random.Random(1), torch.randn(2, 3, 32, 32)
    for _ in range(3):
        architecture = candidates.architecture(candidates.sample(rng))
        alone = build(architecture, task=task, start="identity")
        alone.load_state_dict(supernet.weights_of(architecture))
        supernet.choose(architecture)
        with torch.no_grad():
            torch.testing.assert_close(alone(images), supernet.eval()(images))


def test_patterns_name_modules_of_a_head_and_exclude_leaves_some_out() -> None:
    task = segmentation("lraspp")
    rule = SiteRule.model_validate({"part": "head", "modules": ["head.scores.cbr"]})
    (site,) = find_task_sites(PLAIN, rule, task)
    assert (site.name, site.part) == ("head.scores.cbr/output", "head")
    architecture = Architecture(BACKBONE, 32, (Insertion.of(site.name, "se/r4"),))
    assert len(inserted_modules(build(architecture, task=task), architecture)) == 1
    both = space_of(["backbone", "head"], exclude=["head.coarser.*"])
    ((_, sites),) = Candidates(both, segmentation("fpn")).plains()
    assert [site.name for site in sites if site.part == "head"] == ["head.finest/after_convolution"]


@pytest.mark.parametrize(
    ("task", "rule", "message"),
    [
        (None, {"part": "head"}, "part head: a network of classification is its backbone alone"),
        (Task(), {"part": "neck"}, "part neck: a network of classification is its backbone alone"),
        (segmentation("lraspp"), {"part": "neck"}, "head 'lraspp' has nothing that is a neck"),
        (Task.of("retrieval", 5), {"part": "head"}, "head 'embedding' has nothing that is a head"),
        (segmentation("lraspp"), {"part": "head"}, "any module takes a block by its path, as"),
        (
            segmentation("fpn"),
            {"part": "neck", "position": "after_depthwise"},
            "head 'fpn' has no site after_depthwise there; it has: after_convolution",
        ),
        (
            segmentation("fpn"),
            {"part": "head", "modules": ["head.pyramid.*"]},
            "no such module of head 'fpn' gives a feature map in its head",
        ),
    ],
)
def test_a_part_without_sites_is_said(
    task: Task | None, rule: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        find_task_sites(PLAIN, SiteRule.model_validate(rule), task)


def test_an_unknown_site_of_a_head_names_those_there_are() -> None:
    insertion = Insertion.of("head.finest/after_depthwise", "se/r4")
    with pytest.raises(SpecError, match="it has: head.finest/after_convolution"):
        build(Architecture(BACKBONE, 32, (insertion,)), task=segmentation("fpn"))
    with pytest.raises(SpecError, match="site 'head.finest/after_depthwise': a network of class"):
        build(Architecture(BACKBONE, 32, (insertion,)), num_classes=3)
    emptied = Insertion("head.finest/after_convolution", EMPTY)
    with pytest.raises(SpecError, match="comes empty"):
        build(Architecture(BACKBONE, 32, (emptied,)), task=segmentation("fpn"))
