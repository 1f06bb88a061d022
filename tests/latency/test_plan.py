from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from support.latency_profiles import small_space
from torch import nn

from nas.latency.assembly import assemble_profile
from nas.latency.host_block import TimedGraph
from nas.latency.measure import Latency
from nas.latency.plan import BlockOverhead, MeasurementPlan, plan_measurements
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.space import SearchSpace
from nas.spec.task import Task


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    return Candidates(small_space())


@pytest.fixture(scope="module")
def planned(candidates: Candidates) -> tuple[MeasurementPlan, tuple[TimedGraph, ...]]:
    return plan_measurements(candidates, whole=5, held_out=4)


def additive(graph: TimedGraph) -> float:
    """Times of graphs in which a block adds its own, whatever stands around it."""
    kinds = {"as it comes": 0.0, "se": 0.05, "coord": 0.4, "eca": 0.1}
    label = graph.what.partition(" ")[2]
    size = math.prod(graph.shape) / 1e4
    return size + kinds[label if label in kinds else label.partition("/")[0]] * size


def made_up_profile(
    candidates: Candidates, planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]], slope: float
):  # type: ignore[no-untyped-def]
    """A profile from made-up times, and what whole networks truly take."""
    plan, graphs = planned
    times = {graph.key: additive(graph) for graph in graphs}
    draft = profile_of(plan, times, {digest: Latency(1.0, 1.0, 0.01) for digest in plan.networks})

    def truth(architecture: Architecture) -> float:
        return 6.0 + slope * draft.parts(architecture)[1]

    networks = {
        digest: Latency(truth(item), 1.0, 0.01) for digest, item in plan.architectures.items()
    }
    return profile_of(plan, times, networks), truth


def profile_of(plan: MeasurementPlan, times: dict[str, float], networks: dict[str, Latency]):  # type: ignore[no-untyped-def]
    return assemble_profile(
        plan,
        times,
        networks,
        device="onnxruntime",
        runtime="onnxruntime 1",
        processor="p",
        clock="thread",
        task=Task(outputs=10),
    )


def test_every_network_of_the_space_can_be_predicted(
    candidates: Candidates, planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]]
) -> None:
    profile, truth = made_up_profile(candidates, planned, slope=1.2)
    rng = random.Random(3)
    some = [candidates.architecture(candidates.sample(rng)) for _ in range(50)]
    some += list(candidates.references().values())
    mean, half = profile.predict_many(some)
    expected = np.array([truth(item) for item in some])
    assert np.abs(mean / expected - 1).max() < 0.01
    assert (np.abs(mean - expected) <= half).mean() > 0.9


def test_a_graph_is_timed_once_however_often_it_stands(
    candidates: Candidates, planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]]
) -> None:
    plan, graphs = planned
    assert len({graph.key for graph in graphs}) == len(graphs)
    # blocks.2.1 and blocks.2.2 are the same residual block.
    (table,) = plan.entries.values()
    assert table["blocks.2.1/after_depthwise"] == table["blocks.2.2/after_depthwise"]


def test_ratios_between_the_ends_are_not_timed(
    planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]],
) -> None:
    plan, graphs = planned
    (table,) = plan.entries.values()
    last = table["blocks.6.0/after_depthwise"]
    assert {"se/r4", "se/r8", "se/r16", "se/r24"} <= last.keys()
    assert last["se/r24"].low == last["se/r4"].low
    assert 0 < last["se/r8"].part < last["se/r4"].part == 1.0
    timed = [graph.what for graph in graphs if "blocks.6.0" in graph.what and " se" in graph.what]
    assert len(timed) == 2


def test_what_a_block_adds_at_several_scales_is_summed() -> None:
    """Of the three maps of the head, 16, 8 and 4 pixels wide, the largest is 3/4 of the sum."""
    values = {
        "name": "scales", "backbones": ["support.at_scales:make"], "resolutions": [32],
        "blocks": {"se": {"reduction": [4, 8]}, "eca": {}},
    }  # fmt: skip
    candidates = Candidates(SearchSpace.model_validate(values))
    plan, graphs = plan_measurements(candidates, whole=2, held_out=1)
    times = {graph.key: additive(graph) for graph in graphs}
    latencies = {digest: Latency(1.0, 1.0, 0.01) for digest in plan.networks}
    ((table,),) = (
        branch.added_ms.values() for branch in profile_of(plan, times, latencies).branches
    )
    assert sorted({graph.shape for graph in graphs}) == [(32, side, side) for side in (4, 8, 16)]
    sizes = [32 * side**2 / 1e4 for side in (4, 8, 16)]
    assert table["se/r8"] == pytest.approx(0.05 * sum(sizes))
    assert table["eca"] == pytest.approx(0.1 * sum(sizes))
    assert MeasurementPlan.model_validate(json.loads(plan.model_dump_json())) == plan


def test_blocks_around_a_backbone_are_timed_where_they_are() -> None:
    blocks = {"se": {"reduction": [4]}}
    space = small_space(sites={"part": ["backbone", "neck", "head"]}, blocks=blocks)
    candidates = Candidates(space, Task("segmentation", 3, "fpn"))
    plan, graphs = plan_measurements(candidates, whole=2, held_out=1)
    ((_, sites),) = candidates.plains()
    (table,) = plan.entries.values()
    assert table.keys() == {site.name for site in sites}
    held = {graph.key: graph for graph in graphs}
    for site in sites:
        entry = table[site.name]["se/r4"]
        assert entry.without != entry.low
        layers = held[entry.low[0]].module().modules()
        assert any(isinstance(layer, nn.Conv2d) for layer in layers)
    alone, _ = plan_measurements(
        Candidates(small_space(sites={}, blocks=blocks)), whole=2, held_out=1
    )
    (backbone,) = alone.entries.values()
    assert {name: table[name] for name in backbone} == backbone


def test_packs_of_before_name_one_graph() -> None:
    before = {"without": "a", "low": "b", "high": "c", "part": 0.25}
    read = BlockOverhead.model_validate(before)
    assert (read.without, read.low, read.high) == (["a"], ["b"], ["c"])
    with pytest.raises(ValueError, match="low"):
        BlockOverhead.model_validate(before | {"low": []})


def test_graphs_run(planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]]) -> None:
    import torch

    for graph in planned[1][::5]:
        module = graph.module()
        assert "DoubledGate" not in repr(module)
        with torch.inference_mode():
            module(torch.zeros(2, *graph.shape))


def test_networks_to_judge_by_are_others_than_those_fitted_to(
    planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]],
) -> None:
    plan, _ = planned
    assert sum(item.held_out for item in plan.networks.values()) == 4
    assert len(plan.networks) == 1 + 5 + 4
    assert not next(iter(plan.architectures.values())).blocks


def test_filled_slots_and_positions_are_in_the_table(tmp_path: Path) -> None:
    space = small_space(
        backbones=["mobilenetv3_small_050"],
        sites={"position": ["after_depthwise", "after_residual"]},
        blocks={"eca": {}},
    )
    plan, _ = plan_measurements(Candidates(space), whole=2, held_out=1)
    (table,) = plan.entries.values()
    assert {"none", "eca"} == table["blocks.0.0/after_depthwise"].keys()
    assert {"eca"} == table["blocks.1.1/after_residual"].keys()


def test_a_plan_travels_as_json(planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]]) -> None:
    plan, _ = planned
    assert MeasurementPlan.model_validate_json(plan.model_dump_json()) == plan


def test_times_taken_once_certify_nothing(
    candidates: Candidates, planned: tuple[MeasurementPlan, tuple[TimedGraph, ...]]
) -> None:
    plan, graphs = planned
    times = {graph.key: additive(graph) for graph in graphs}
    once = profile_of(plan, times, {key: Latency(5.0, 5.0, math.nan) for key in plan.networks})
    assert (once.repeatability, once.certified) == (None, False)
    twice = profile_of(plan, times, {key: Latency(5.0, 5.0, 0.001) for key in plan.networks})
    assert twice.certified
    shaky = profile_of(plan, times, {key: Latency(5.0, 5.0, 0.05) for key in plan.networks})
    assert not shaky.certified
    assert once.doubt is not None and "not certified: it was timed once" in once.doubt
    assert twice.doubt is None
    assert shaky.doubt is not None and "repeat to 10.0% (3% is asked for)" in shaky.doubt
