"""Blocks of a stage with the same weights: built, counted, trained, deployed, kept."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nas.base.errors import SpecError
from nas.base.files import parse
from nas.latency.runtime import RUNTIMES, device_named
from nas.models.build import build, deploy, inserted_modules, uniform
from nas.models.candidates import Candidates
from nas.models.coded_space import CodedCandidates
from nas.models.cost import cost, cost_by_parts
from nas.models.sharing import untied
from nas.spec.architecture import Architecture, Insertion
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.strategy.samplers.figures import SpaceFigures
from nas.training.checkpoint import save_weights

BACKBONE, SIDE = "mobilenetv2_035", 64
TASK = Task(outputs=7)
STAGE = ("blocks.2.1", "blocks.2.2")  # equal channels; blocks.2.0 has others


def placed(block: str = "se", share: bool = True, hosts: tuple[str, ...] = STAGE) -> Architecture:
    insertions = tuple(Insertion.of(f"{host}/after_depthwise", block) for host in hosts)
    return Architecture(BACKBONE, SIDE, insertions, share="stage" if share else None)


def space(**more: object) -> SearchSpace:
    values = {
        "name": "shared",
        "backbones": [BACKBONE],
        "resolutions": [SIDE],
        "share": "stage",
        "sites": {"exclude": ["blocks.0.*"]},
        "blocks": {"se": {"reduction": [24, 4]}, "eca": {}},
    }
    return parse(SearchSpace, values | more, "test")


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_an_architecture_that_shares_is_another_one_and_is_read_as_it_was_written() -> None:
    shared, apart = placed(), placed(share=False)
    assert shared.digest != apart.digest
    assert "share" not in apart.to_json()
    assert Architecture.from_json(shared.to_json()) == shared


def test_one_block_shares_with_nobody() -> None:
    one = placed(hosts=STAGE[:1])
    assert one.share is None
    assert one == placed(hosts=STAGE[:1], share=False)
    assert placed().plain == placed(share=False).plain


def test_what_is_shared_must_be_known() -> None:
    with pytest.raises(SpecError, match="share 'network'; allowed: stage"):
        replace(placed(), share="network")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="share"):
        space(share="network")


def test_equal_blocks_on_equal_maps_of_a_stage_have_the_same_weights() -> None:
    hosts = (*STAGE, "blocks.2.0", "blocks.3.1")
    network = build(placed(hosts=hosts), task=TASK)
    of = {host: network.get_submodule(f"{host}.se") for host in hosts}
    weights = {host: next(iter(module.parameters())) for host, module in of.items()}
    assert weights["blocks.2.1"] is weights["blocks.2.2"]
    assert len({id(weight) for weight in weights.values()}) == 3


def test_blocks_of_other_kinds_share_nothing() -> None:
    insertions = (
        Insertion.of("blocks.2.1/after_depthwise", "se/r8"),
        Insertion.of("blocks.2.2/after_depthwise", "se/r4"),
    )
    one, two = inserted_modules(
        network := build(
            architecture := Architecture(BACKBONE, SIDE, insertions, share="stage"), task=TASK
        ),
        architecture,
    )
    assert not {id(item) for item in one.parameters()} & {id(item) for item in two.parameters()}
    assert network is not None


def test_norms_keep_the_statistics_of_their_own_site() -> None:
    architecture = placed("gsop")
    network = build(architecture, task=TASK)
    network.train()
    network(images())
    one, two = (module.norm for module in inserted_modules(network, architecture))
    assert one.weight is two.weight
    assert not torch.equal(one.running_mean, two.running_mean)


@pytest.mark.parametrize("block", ["se", "coord", "cbam", "svga", "sge"])
def test_shared_weights_count_once_and_their_work_each_time(block: str) -> None:
    shared, apart = (cost(placed(block, share), task=TASK) for share in (True, False))
    one = cost(placed(block, hosts=STAGE[:1]), task=TASK)
    assert shared.params == one.params < apart.params
    assert shared.macs == apart.macs
    assert cost_by_parts(placed(block), TASK) == shared


def test_sums_over_a_space_know_what_is_shared() -> None:
    candidates = Candidates(space())
    coded = CodedCandidates.of(candidates, task=TASK)
    figures = SpaceFigures(candidates, task=TASK, profile=None)
    names = list(candidates.parameters())
    generator = np.random.default_rng(0)
    for _ in range(4):
        codes = np.array([generator.integers(len(labels)) for labels in coded.space.labels])
        architecture = coded.architecture(codes)
        counted = cost(architecture, task=TASK)
        assert coded.costs(codes[None])[0, 0] == counted.params
        values = candidates.values(architecture)
        assert values is not None
        choices = candidates.parameters()
        columns = {name: np.array([choices[name].index(values[name])]) for name in names}
        assert figures.figure("params")(columns)[0] == counted.params
        assert figures.figure("macs")(columns)[0] == counted.macs


def test_a_space_builds_shares_and_finds_its_networks_again() -> None:
    candidates = Candidates(space())
    reference = candidates.references()["se/r24"]
    assert reference.share == "stage"
    values = candidates.values(reference)
    assert values is not None
    assert candidates.architecture(values) == reference
    assert candidates.values(replace(reference, share=None)) is None
    assert uniform(BACKBONE, "se", resolution=SIDE, share="stage").share == "stage"


@pytest.mark.parametrize("block", ["se", "cbam", "coord", "scsa"])
def test_an_identity_start_is_one_and_folding_changes_nothing(block: str) -> None:
    architecture = uniform(BACKBONE, block, resolution=SIDE, share="stage", where_it_fits=True)
    torch.manual_seed(0)
    plain = build(architecture.plain, task=TASK)
    network = build(architecture, task=TASK, start="identity", weights=plain.state_dict())
    assert torch.equal(network(images()), plain(images()))
    with torch.no_grad():
        for module in inserted_modules(network, architecture):
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        trained = network(images())
        deployed = deploy(copy.deepcopy(network), architecture)
        torch.testing.assert_close(deployed(images()), trained, rtol=1e-5, atol=1e-6)
    assert len(list(deployed.parameters())) == len(list(network.parameters()))


def test_a_step_of_training_moves_all_sites_of_a_stage_together(tmp_path: Path) -> None:
    architecture = placed()
    network = build(architecture, task=TASK, start="identity").train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    network(images()).square().sum().backward()
    optimiser.step()
    one, two = (module.state_dict() for module in inserted_modules(network, architecture))
    assert all(torch.equal(one[name], two[name]) for name in one)
    save_weights(tmp_path / "weights.safetensors", network.state_dict())
    again = build(architecture, task=TASK, start="identity")
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(again(images()), network.eval()(images()))


def test_untied_it_computes_the_same_with_weights_of_each_site() -> None:
    network = build(placed(), task=TASK)
    apart = untied(network)
    assert torch.equal(apart(images()), network(images()))
    assert sum(item.numel() for item in apart.parameters()) == sum(
        item.numel() for item in network.state_dict(keep_vars=True).values() if item.requires_grad
    )
    plain = build(placed(share=False), task=TASK)
    assert untied(plain) is plain


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "ncnn"])
def test_runtimes_take_networks_whose_blocks_share_weights(runtime: str) -> None:
    pytest.importorskip(runtime)
    network = build(placed(), task=TASK)
    device = device_named(f"{runtime}-batch4")
    kind = RUNTIMES[runtime]
    session = kind.load(kind.convert(network, (3, SIDE, SIDE), 4, device.precision), device)
    with torch.no_grad():
        expected = network(images())
    found = torch.from_numpy(session(images().numpy()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_the_same_seed_gives_the_same_network() -> None:
    one, two = (build(placed(), task=TASK, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
