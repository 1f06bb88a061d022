"""A backbone that has another name today is found by the name that older files have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.samples import QUICK, ROOT
from typer.testing import CliRunner

import nas
from nas.backbones import find_sites, plain_network
from nas.backbones.own_networks import EARLIER_NAMES, NETWORKS, names
from nas.cli import app
from nas.export import export_trial
from nas.export.licences import read_licences, write_notice
from nas.models.build import build, uniform
from nas.models.cost import cost
from nas.runs.run import open_run
from nas.spec.architecture import Architecture
from nas.spec.runner import load_runner
from nas.study.record import COMPLETE

PUBLISHED = ROOT / "results" / "mobilenetv2-cifar" / "cifar10" / "epyc-onnxruntime"
PAIRS = list(EARLIER_NAMES.items())
EARLIER = "benchmarks.small_mobilenet:small_mobilenet"
SPACE = f"""
name: earlier
backbones: ["{EARLIER}"]
resolutions: [16]
sites: {{granularity: network}}
blocks: {{se: {{reduction: [8, 24]}}}}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder where no module of the earlier name is found."""
    monkeypatch.chdir(tmp_path)


def output_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(("earlier", "today"), PAIRS)
def test_both_names_are_one_network(earlier: str, today: str) -> None:
    assert today in NETWORKS and earlier not in names()
    assert find_sites(earlier, 32) == find_sites(today, 32)
    states = [plain_network(name, num_classes=10, seed=5).state_dict() for name in (earlier, today)]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    placed = [uniform(name, "coord", resolution=32) for name in (earlier, today)]
    assert cost(placed[0]) == cost(placed[1])
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(*(build(item, num_classes=10)(images) for item in placed))


def test_an_architecture_keeps_the_name_it_was_written_with() -> None:
    earlier, today = uniform(EARLIER, "se", resolution=16), uniform(EARLIER_NAMES[EARLIER], "se")
    assert earlier.backbone == EARLIER and earlier.digest != today.digest


def test_published_networks_can_be_built() -> None:
    trials = open_run(PUBLISHED).trials()
    for row in (0, len(trials) - 1):
        architecture = Architecture.from_json(trials["architecture"][row])
        assert architecture.backbone == EARLIER
        assert architecture.digest == trials["digest"][row]
        assert cost(architecture, num_classes=10).params == trials["params"][row]


def test_commands_take_it() -> None:
    assert EARLIER in output_of("show", str(PUBLISHED), "12")
    counted = json.loads(output_of("cost", "--backbone", EARLIER, "--json"))
    assert counted["backbone"] == EARLIER


def test_its_code_is_of_this_package() -> None:
    architecture = uniform(EARLIER, "eca", resolution=16)
    assert "from attention-nas" in write_notice(architecture, pretrained=False)
    assert set(read_licences(architecture)) <= {"attention-nas.txt"}


@pytest.mark.slow
def test_a_run_goes_on_and_its_networks_leave(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    settings = (
        *QUICK,
        "workers=1",
        "search.trials=2",
        "search.confirm_seeds=1",
        "search.sampler=random",
    )
    nas.search("space.yaml", load_runner(None, settings), "digits", "run")
    before = open_run("run").trials()
    nas.resume("run", trials=3)
    run = open_run("run")
    trials = run.trials()
    assert set(trials["state"]) == {COMPLETE} and len(trials) > len(before)
    assert list(trials["digest"][: len(before)]) == list(before["digest"])
    assert all(f'"{EARLIER}"' in text for text in trials["architecture"])
    _, parity = export_trial(run, 0, "onnx", tmp_path / "network.onnx", weights="search")
    assert parity is not None
