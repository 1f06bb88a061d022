"""Somebody's own segmenter, whole: its sites, its weights, a search, and what leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models.test_task_network import trained_like
from safetensors.torch import load_file, save_file
from support import own_segmenters
from support.own_segmenters import Small

import nas
from nas.base.errors import SpecError
from nas.execution.observer import SilentObserver
from nas.export import export_pack
from nas.models.build import build, deploy, uniform
from nas.models.task_sites import all_task_sites
from nas.spec.architecture import Architecture
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task

TASK = Task("segmentation", 3, "own")
SMALL = f"{own_segmenters.__file__}:Small"


@pytest.mark.parametrize("name", ["Small", "named", "unet"])
def test_sites_are_in_every_part_and_blocks_change_nothing_at_first(name: str) -> None:
    plain = Architecture(f"support.own_segmenters:{name}", 64)
    sites = all_task_sites(plain, TASK)
    parts = {site.part for site in sites}
    assert parts == ({"backbone"} if name == "named" else {"backbone", "neck"})
    assert all(site.channels > 3 for site in sites), "scores are no site"
    placed = uniform(
        plain.backbone, "se", resolution=64, part=sorted(parts), task=TASK, reduction=4,
        position="after_projection" if name == "named" else "after_convolution",
    )  # fmt: skip
    own = build(plain, task=TASK)
    network = build(placed, task=TASK, weights=own.state_dict(), start="identity")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given = own(images)
        assert given.shape == (2, 3, 64, 64)
        torch.testing.assert_close(network(images), given, rtol=1e-5, atol=1e-5)
    state = network.state_dict()
    assert all(torch.equal(state[key], value) for key, value in own.state_dict().items())
    trained_like(network, 64)
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(deploy(network, placed)(images), expected, rtol=1e-5, atol=1e-5)


def space(**sites: object) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "own",
            "backbones": [SMALL],
            "resolutions": [32],
            "sites": {"granularity": "network", **sites},
            "blocks": {"eca": {}},
        }
    )


def quick(*more: str) -> object:
    settings = ("search.trials=1", "search.confirm_seeds=1", "workers=1", "device=torch")
    settings += ("task=segmentation", "head=own", "proxy.unit=steps", "proxy.rungs=[2]")
    return load_runner(None, (*settings, "proxy.subset=100", *more))


def test_it_is_searched_from_its_weights_and_leaves_as_it_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(1)
    given = trained_like(Small(11), 32).state_dict()
    save_file(given, tmp_path / "own.safetensors")
    heard: list[str] = []

    class Hearing(SilentObserver):
        def stage(self, text: str) -> None:
            heard.append(text)

    run = nas.search(
        space(part=["backbone", "neck"]),
        quick(f"proxy.backbone.weights={tmp_path / 'own.safetensors'}", "regime=finetune"),
        "digits",
        tmp_path / "run",
        observer=Hearing(),
    )
    assert any("mIoU" in line and line.startswith("plain") for line in heard)
    blocks = [one.site for point in run.front().points for one in point.architecture.blocks]
    assert {site.partition(".")[0].partition("/")[0] for site in blocks} == {"encoder", "decoder"}
    pack = export_pack(run, 1, "onnx", tmp_path / "pack")
    assert load_file(pack.path / "weights.safetensors").keys() > given.keys(), "its own names"
    report = json.loads((pack.path / "report.json").read_text())
    assert report["graphs"][0]["difference"] < 1e-4
    ran = subprocess.run([sys.executable, pack.path / "verify.py"], capture_output=True, text=True)
    assert ran.returncode == 0 and ": ok; " in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Coarse", "allowed: scores of all pixels: let forward interpolate them to the images"),
        ("Unnamed", "gives a list of 1 for 2 images of 32x32 .* alone or named as one of logits"),
        ("Classifier", "allowed: one tensor of scores of pixels, images x classes x height x"),
    ],
)
def test_what_is_no_segmenter_is_said_in_one_line(name: str, message: str, tmp_path: Path) -> None:
    backbone = f"support.own_segmenters:{name}"
    with pytest.raises(SpecError, match=message) as caught:
        nas.search(space(), quick(), "digits", tmp_path / "run", backbone=backbone)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_network_in_memory_is_whole_too(tmp_path: Path) -> None:
    network = trained_like(Small(11), 32)
    run = nas.search(space(), quick(), "digits", tmp_path / "run", backbone=network)
    assert len(run.front()) == 2
    with pytest.raises(SpecError, match="11 classes"):
        nas.search(space(), quick(), "digits", tmp_path / "other", backbone=Small(4))


def test_a_backbone_without_a_head_is_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="allowed: one tensor of scores of pixels"):
        nas.search(space(), quick(), "digits", tmp_path / "run", backbone="mobilenetv2_035")
