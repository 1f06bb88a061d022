"""Full trainings in several processes, by Ray Train: real ones, on cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.full_trainings import SE, digit_images, make_job

from nas.base.errors import SpecError
from nas.data import open_data
from nas.execution.ray.cluster import connect
from nas.execution.ray.train import check_processes, train_in_processes
from nas.models.build import build
from nas.spec.recipe import Retrain
from nas.spec.runner import Ray
from nas.training.checkpoint import load_weights, save_weights
from nas.training.full import FullTrainingJob, train_fully, weights_file


def job(folder: Path) -> FullTrainingJob:
    """A training with frozen batch norms, for which parts of a batch are as good as all of it.

    At a higher rate rounding alone takes it elsewhere: after 40 steps of .0001 by a third.
    """
    images = digit_images()
    count, plain = len(open_data(images).train), folder / "plain.safetensors"
    save_weights(plain, build(SE.plain, num_classes=10, seed=5).state_dict())
    given = Retrain(batch_size=8, epochs=20 * 8 / count, weights="backbone", learning_rate=1e-5)
    recipe = replace(given.resolved(count, "finetune"), freeze_norms=True)
    return make_job(recipe, images, folder, backbone=plain)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_processes_come_to_what_one_comes_to_also_where_one_of_them_is_killed(
    signals_stay: None, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    alone, shared = job(tmp_path / "one"), job(tmp_path / "two")
    wanted = train_fully(alone, device=torch.device("cpu"))
    epochs: list[float] = []
    killed: list[int] = []

    def hear(report: Mapping[str, float]) -> None:
        if "loss" not in report:
            return
        epochs.append(report["epoch"])
        if len(epochs) == 3:
            killed.append(kill_one())

    with connect(Ray(), cores=2, processes=2, say=lambda text: None):
        found = train_in_processes(shared, plan=Ray(), processes=2, hear=hear)
    assert found.failure is None and killed, found.failure
    assert found.processes == 2 and found.curve is not None and wanted.curve is not None
    assert [row[0] for row in found.curve] == pytest.approx([row[0] for row in wanted.curve])
    assert len(epochs) <= 10 + 2, "it went on from where it was, but for a look or two"
    assert found.images_seen == wanted.images_seen
    assert found.loss == pytest.approx(wanted.loss, rel=1e-2)
    assert found.test_loss == pytest.approx(wanted.test_loss, rel=1e-2)
    start = load_weights(alone.folder / "plain.safetensors")
    ones, twos = (load_weights(item.folder / weights_file(item.about)) for item in (alone, shared))
    weights = [name for name, value in start.items() if value.is_floating_point()]
    moved = torch.cat([(ones[name] - start[name]).flatten() for name in weights])
    apart = torch.cat([(ones[name] - twos[name]).flatten() for name in weights])
    assert apart.norm() < 0.05 * moved.norm()


def kill_one() -> int:
    """Kill one of the training's processes among those that this one has started."""
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        if "RayTrainWorker" in command and os.getpid() in ancestors(int(entry.name)):
            os.kill(int(entry.name), signal.SIGKILL)
            return int(entry.name)
    raise AssertionError("there is none")


def ancestors(process: int) -> list[int]:
    found = []
    while process > 1:
        stat = Path(f"/proc/{process}/stat").read_text()
        process = int(stat.rsplit(")", 1)[1].split()[1])
        found.append(process)
    return found


@pytest.mark.parametrize(
    ("has", "told"),
    [
        ({"CPU": 8.0, "GPU": 2.0}, "3: each takes 1 GPU, and this machine has 2; use 2, or name"),
        ({"CPU": 2.0}, "3: each takes 1 CPU, and this machine has 2; use 2, or name a cluster"),
        ({"CPU": 0.0}, "has 0; use fewer, or name a cluster that has more"),
    ],
)
def test_more_processes_than_a_machine_holds_are_refused(
    has: Mapping[str, float], told: str
) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        check_processes(Ray(), 3, has)
    assert "\n" not in str(caught.value)
    check_processes(Ray(), 3, {"CPU": 3.0, "GPU": 3.0})
    check_processes(Ray(cpus=0, gpus=1), 3, {"CPU": 1.0, "GPU": 4.0})
