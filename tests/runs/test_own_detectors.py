"""Somebody's own detector, whole: its sites, its weights, a search, full training, what leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from models.test_task_network import trained_like
from safetensors.torch import load_file, save_file
from support import own_detectors
from support.own_detectors import MEAN, STD, Right, Small, ssd

import nas
from nas.base.errors import SpecError
from nas.cli.output.console import make_console
from nas.cli.output.retrain_progress import RetrainWatcher
from nas.execution.observer import SilentObserver
from nas.export import export_pack
from nas.models.build import build, deploy, inserted_prefixes, uniform
from nas.models.task_sites import all_task_sites, fine_map
from nas.runs.check import check_new_run
from nas.runs.retrain.plan import plan_retraining
from nas.runs.retrain.retrain import retrain
from nas.spec.architecture import Architecture
from nas.spec.recipe import Retrain
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.training.checkpoint import checkpoint_path
from nas.training.fine_tuning import fine_tuned

TASK = Task("detection", 10, "own")
FILE = own_detectors.__file__
PARTS = {
    "Small": {"backbone", "neck", "head"},
    "ssd": {"backbone", "head"},
    "fcos": {"backbone", "head"},
    "retinanet": {"backbone", "head"},
}


@pytest.mark.parametrize("name", PARTS)
def test_sites_are_in_every_part_and_blocks_change_nothing_at_first(name: str) -> None:
    plain = Architecture(f"support.own_detectors:{name}", 64)
    sites = all_task_sites(plain, TASK)
    assert {site.part for site in sites} <= PARTS[name]
    assert {"backbone"} <= {site.part for site in sites}
    assert fine_map(plain, TASK).stride == 8
    placed = uniform(
        plain.backbone, "se", resolution=64, part=sorted({site.part for site in sites}), task=TASK,
        reduction=4, position=sorted({site.position for site in sites}),
    )  # fmt: skip
    own = build(plain, task=TASK)
    network = build(placed, task=TASK, weights=own.state_dict(), start="identity")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(images), own(images), rtol=1e-4, atol=1e-4)
    state = network.state_dict()
    assert all(torch.equal(state[key], value) for key, value in own.state_dict().items())
    trained_like(network, 64)
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(deploy(network, placed)(images), expected, rtol=1e-4, atol=1e-3)


def test_blocks_are_put_into_a_detector_by_hand() -> None:
    torch.manual_seed(0)
    network = ssd(3).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kind = type(network)
    names = [site.name for site in nas.sites(network, size=64)]
    better = nas.insert(network, {names[0]: "se/r4", "backbone.body.1": "eca"}, size=64)
    assert type(better) is kind is type(network), "it stays torchvision's"
    assert all(torch.equal(better.state_dict()[name], value) for name, value in before.items())
    with torch.no_grad():
        found, same = (each([torch.ones(3, 64, 64)])[0]["boxes"] for each in (better, network))
    torch.testing.assert_close(found, same)
    # The size is that of the example where none is named.
    yolo = Small(3)
    assert nas.sites(yolo) == nas.sites(yolo, size=96)
    yolo.example_input = torch.zeros(3, 96, 96)
    with pytest.raises(SpecError, match="example_input: found a tensor 3x96x96; allowed: images"):
        nas.sites(yolo)


def test_of_a_detector_the_backbone_is_slowed() -> None:
    placed = uniform(
        f"{FILE}:Small", "eca", resolution=64, part=["backbone", "neck"], task=TASK,
        position="after_projection",
    )  # fmt: skip
    network = build(placed, task=TASK, start="identity")
    groups, set_mode = fine_tuned(network, placed, TASK, rate_share=0.1, freeze_norms=True)
    shares = {id(one): group.share for group in groups for one in group.parameters}
    blocks = inserted_prefixes(network, placed)
    for name, parameter in network.named_parameters():
        fast = name.startswith((*blocks, "neck.", "heads."))
        assert shares[id(parameter)] == (1.0 if fast else 0.1), name
    set_mode(network)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert not any(one.requires_grad for norm in norms for one in norm.parameters())


def space(name: str = "Small", **sites: object) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "own",
            "backbones": [f"{FILE}:{name}"],
            "resolutions": [32],
            "sites": {"granularity": "network", **sites},
            "blocks": {"eca": {}},
        }
    )


def quick(*more: str) -> Any:
    settings = ("search.trials=1", "search.confirm_seeds=1", "workers=1", "device=torch")
    settings += ("task=detection", "head=own", "proxy.unit=steps", "proxy.rungs=[2]")
    return load_runner(None, (*settings, "proxy.subset=100", *more))


class Hearing(SilentObserver):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def stage(self, text: str) -> None:
        self.heard.append(text)


@pytest.mark.slow
def test_it_is_searched_from_its_weights_trained_fully_and_leaves_as_it_was_trained(
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    given = trained_like(Small(10), 32).state_dict()
    save_file(given, tmp_path / "own.safetensors")
    observer = Hearing()
    run = nas.search(
        space(
            part=["backbone", "neck", "head"], position=["after_projection", "after_convolution"]
        ),
        quick(f"proxy.backbone.weights={tmp_path / 'own.safetensors'}", "regime=finetune"),
        "digits",
        tmp_path / "run",
        observer=observer,
    )
    told = [line for line in observer.heard if line.startswith("plain ")]
    assert len(told) == 1 and "AP" in told[0], "as it stands, before anything is trained"
    plain = Architecture(run.space.backbones[0], 32)
    kept = load_file(checkpoint_path(run.checkpoints, plain.digest))
    assert all(torch.equal(kept[name], value) for name, value in given.items()), "bit for bit"
    blocks = [one.site for point in run.front().points for one in point.architecture.blocks]
    assert {"stages", "neck", "heads"} <= {site.partition(".")[0] for site in blocks}

    resumed = nas.resume(run.path, trials=3)
    assert len(resumed.trials()) >= len(run.trials())
    section = Retrain.model_validate({"epochs": 0.1, "seeds": 1, "batch_size": 32})
    plan = plan_retraining(resumed, (1,), section=section)
    (result,) = retrain(plan, RetrainWatcher(make_console()))
    assert result.failure is None and result.test_figures is not None

    with pytest.raises(SpecError, match=r"--nms graph .* own code makes them .*; leave it out"):
        export_pack(resumed, 1, "onnx", tmp_path / "pack", nms="graph")
    pack = export_pack(resumed, 1, "onnx", tmp_path / "pack")
    assert load_file(pack.path / "weights.safetensors").keys() > given.keys(), "its own names"
    report = json.loads((pack.path / "report.json").read_text())
    graphs = report["graphs"]
    assert all(graph["difference"] < 1e-4 and graph["agreement"] == 1 for graph in graphs)
    assert report["network"]["ap"] == pytest.approx(graphs[1]["ap"], abs=1e-3)
    ran = subprocess.run([sys.executable, pack.path / "verify.py"], capture_output=True, text=True)
    assert ran.returncode == 0 and ": ok; " in ran.stdout, ran.stdout + ran.stderr
    assert "boxes not looked at" in ran.stdout
    card = (pack.path / "README.md").read_text()
    assert "detector.predict(torch.zeros(1, 3, 32, 32))" in card and "Small" in card


def test_torchvisions_is_searched_in_memory_normalised_as_it_is_within(tmp_path: Path) -> None:
    network = ssd(10)
    runner = quick()
    run = nas.search(
        space(modules=["backbone.body.1"]), runner, "digits", tmp_path / "run", backbone=network
    )
    levels = run.file.normalisation
    assert levels is not None and (levels.mean, levels.std) == (MEAN, STD)
    assert len(run.front().points) >= 1
    with pytest.raises(SpecError, match="has 5 logits for each box, and the images 10 classes"):
        nas.search(
            space(modules=["backbone.body.1"]), runner, "digits", tmp_path / "b", backbone=ssd(4)
        )
    assert not (tmp_path / "b").exists()


def test_normalisation_is_its_own_from_random_weights_too(tmp_path: Path) -> None:
    plain = space("ssd", modules=["backbone.body.1"])
    new = check_new_run(plain, quick("regime=scratch"), "digits", tmp_path / "run")
    assert new.file.normalisation is not None and new.file.normalisation.mean == MEAN


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("NoMethods", (), r"has no loss\(batch\) and predict\(images\)"),
        ("rcnn", (), "FasterRCNN is of two stages"),
        ("GivesDict", (), "gives a dict of 'logits', 'boxes'"),
        ("PredictsTurned", (), "its predict gives box 24.0, 24.0, 8.0, 8.0"),
        ("LossDict", (), "its loss in training mode gives a dict"),
        ("Right", ("proxy.kind=supernet",), "brings its own loss, which a supernet cannot share"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    name: str, more: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        nas.search(space(name, modules=["backbone.body.1"]), quick(*more), "digits", tmp_path / "a")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_a_network_in_memory_is_asked_for_as_many_classes_as_there_are(tmp_path: Path) -> None:
    class Few(Right):
        def loss(self, batch: Any) -> Any:
            images, targets = batch
            weights = torch.ones(3)
            seen = torch.stack([weights[one["labels"]].sum() for one in targets])
            return self(images).square().mean(dim=(1, 2)) + 0 * seen

    with pytest.raises(SpecError, match="its loss fails .* labels go from 0 to 9 here"):
        nas.search(
            space(modules=["backbone.body.1"]), quick(), "digits", tmp_path / "a", backbone=Few(3)
        )
