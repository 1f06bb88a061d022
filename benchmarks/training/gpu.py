"""The training loop on a GPU: its share of a bare loop, trainings at a time, repeatable latency.

Four measurements, each printed as it ends, so that what is cut short has told most:

- loop: images per second beside a bare autocast loop whose normalised batches lie on the GPU, in
  turns; in every precision that the GPU has. Aim: 95 %. Then by `proxy.launch`, CUDA graphs and
  torch.compile beside eager steps: what each begins with takes a while, which is not counted.
- placed: the same with images on the GPU, and sent batch by batch (a step ahead).
- together: trainings an hour at 1, 2, 4, 8 and 16 at a time on one GPU against one at a time, by
  the measurement that `workers: auto` makes: in processes, and in streams of one process, with
  eager steps and with CUDA graphs. Aim: 5 times for networks of this size at 32 pixels.
- latency: the plain network by the runtime `cuda` in several processes; how far they are apart.
  Nothing else may run on the GPU meanwhile. Aim: 3 %, as of a certified profile.

Images are random. Run on a machine with a GPU that nothing else uses, about ten minutes:

    python -m benchmarks.training.gpu
    python -m benchmarks.training.gpu loop --steps 200 --batch 256

It has not been run on a GPU yet: no figure of it is quoted anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import SpecError
from nas.data import Dataset, Split
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.side_by_side import choose_number
from nas.execution.workers.throughput import ThroughputGauge, free_bytes
from nas.models.build import build, uniform
from nas.spec.architecture import Architecture
from nas.spec.launch import Launch
from nas.spec.precision import FP32, PRECISIONS, Precision
from nas.spec.proxy import Proxy
from nas.spec.side_by_side import Placed
from nas.spec.space import Constraints
from nas.spec.task import Task
from nas.training.device import best_device
from nas.training.loop import Training
from nas.training.placement import placed
from nas.training.precision import autocast, backend_flags, check_precision, usual_precision
from nas.training.recipe import Recipe

BACKBONE, SIDE, IMAGES, CLASSES = "mobilenetv2_035", 32, 50_000, 10
TASK = Task(outputs=CLASSES)
PLAIN = Architecture(BACKBONE, SIDE, total_stride=16)
PROCESSES = 5
SECTIONS = ("loop", "placed", "together", "latency")


def random_split(count: int) -> Split:
    """Return noise with labels: training on it takes as long as on photographs."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
    return Split(pixels, torch.randint(0, CLASSES, (count,), generator=generator))


def random_data() -> Dataset:
    """Return as many images as CIFAR-10 has for training."""
    train, held = random_split(IMAGES), random_split(1000)
    names = tuple(map(str, range(CLASSES)))
    return Dataset(train, held, names, (127.5,) * 3, (73.9,) * 3, True, "random images")


def synchronise(device: torch.device) -> None:
    """Wait for a device."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def bare(precision: Precision, steps: int, batch: int, device: torch.device) -> Callable[[], None]:
    """Return the upper limit: a loop of torch alone over batches that lie ready, normalised."""
    network = build(PLAIN, task=TASK).to(device).to(memory_format=torch.channels_last).train()
    images = torch.randn(batch, 3, SIDE, SIDE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,), device=device)
    optimiser = torch.optim.SGD(
        network.parameters(), 0.01, momentum=0.9, nesterov=True, fused=device.type == "cuda" or None
    )
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def run() -> None:
        with backend_flags(precision, device):
            for _ in range(steps):
                with autocast(precision, device):
                    scores: torch.Tensor = network(images)
                loss = functional.cross_entropy(scores.float(), labels)
                optimiser.zero_grad(set_to_none=True)
                scaled: torch.Tensor = scaler.scale(loss)
                scaled.backward()  # type: ignore[no-untyped-call]
                scaler.step(optimiser)
                scaler.update()

    return run


def ours(
    data: Dataset,
    precision: Precision,
    steps: int,
    batch: int,
    device: torch.device,
    launch: Launch = "eager",
) -> Callable[[], None]:
    """Return a loop of ours, which goes on each time it is called."""
    network: nn.Module = build(PLAIN, task=TASK)
    training = Training(
        network,
        data,
        TASK,
        Recipe(length=1e9, batch_size=batch, learning_rate=0.01),
        parameters=network.parameters(),
        seed=0,
        device=device,
        precision=precision,
        launch=launch,
    )
    return lambda: training.run(training.spent + steps)


def rates(
    loops: dict[str, Callable[[], None]], images: int, rounds: int, device: torch.device
) -> dict[str, float]:
    """Return images per second of loops in turns, the median of rounds; the first is to warm up."""
    found: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, run in loops.items():
            synchronise(device)
            started = time.perf_counter()
            run()
            synchronise(device)
            if number:
                found[name].append(images / (time.perf_counter() - started))
    return {name: median(values) for name, values in found.items()}


def precisions(device: torch.device) -> list[Precision]:
    """Return those that a device has."""
    found: list[Precision] = []
    for precision in PRECISIONS:
        try:
            check_precision(precision, device)
        except SpecError:
            continue
        found.append(precision)
    return found


def measure_loop(steps: int, batch: int, rounds: int, device: torch.device) -> None:
    """Print the share of a bare loop, by precision."""
    data, rows = placed(random_data(), device), []
    for precision in precisions(device):
        loops = {
            "bare": bare(precision, steps, batch, device),
            "ours": ours(data, precision, steps, batch, device),
        }
        found = rates(loops, steps * batch, rounds, device)
        share = found["ours"] / found["bare"]
        rows.append([precision, f"{found['bare']:,.0f}", f"{found['ours']:,.0f}", f"{share:.0%}"])
    print_table(["precision", "bare, images/s", "ours, images/s", "share (aim 95 %)"], rows)
    if device.type == "cuda":
        ways: tuple[Launch, ...] = get_args(Launch)
        usual = usual_precision(device)
        loops = {way: ours(data, usual, steps, batch, device, way) for way in ways}
        found = rates(loops, steps * batch, rounds, device)
        rows = [[way, f"{rate:,.0f}"] for way, rate in found.items()]
        print_table([f"launch, in {usual}", "ours, images/s"], rows)


def measure_placed(steps: int, batch: int, rounds: int, device: torch.device) -> None:
    """Print what images on the device are worth."""
    data, precision = random_data(), usual_precision(device)
    loops = {
        "on the device": ours(placed(data, device), precision, steps, batch, device),
        "sent batch by batch": ours(data, precision, steps, batch, device),
    }
    found = rates(loops, steps * batch, rounds, device)
    print_table(["images", "images/s"], [[name, f"{rate:,.0f}"] for name, rate in found.items()])


def measure_together(batch: int, most: int, device: torch.device) -> None:
    """Print trainings at a time on one GPU, against one, in each way."""
    launches: tuple[Launch, ...] = ("eager", "graphs") if device.type == "cuda" else ("eager",)
    for launch in launches:
        for placement in get_args(Placed):
            print(f"{launch} steps, in {placement}")
            measure_placement(batch, most, device, launch, placement)


def measure_placement(
    batch: int, most: int, device: torch.device, launch: Launch, placement: Placed
) -> None:
    """Print trainings at a time in one way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = EvaluatorSpec(
            data=_kept(folder / "data", random_data()),
            checkpoints=folder,
            proxy=Proxy(
                rungs=[1.0],
                batch_size=batch,
                precision=usual_precision(device),
                warm_up=0.3,
                launch=launch,
            ),
            constraints=Constraints(),
            plains=(),
            anchor=PLAIN.to_json(),
            anchor_ms=1.0,
            task=TASK,
        )
        placed_by_hand = uniform(BACKBONE, "coord", resolution=SIDE, total_stride=16, reduction=8)
        with ThroughputGauge(
            {"spec": spec.to_dict(), "architecture": placed_by_hand.to_json()},
            threads=1,
            log=folder / "log",
            gpu=None,
            memory=partial(free_bytes, device),
            placement=placement,
        ) as gauge:
            chosen = choose_number(gauge.measure, most, placement)
        rows = [
            [
                str(one.number),
                f"{one.images:,.0f}",
                f"{one.images / chosen.measured[0].images:.2f}",
                f"{one.taken / 2**30:.1f}",
            ]
            for one in chosen.measured
        ]
        print_table(["at a time", "images/s", "times (aim 5)", "GiB of memory"], rows)
        print(f"a search takes {chosen}")
        if not chosen.measured:
            print((folder / "log").read_text()[-2000:])


def _kept(folder: Path, data: Dataset) -> Path:
    """Write images as a search keeps those that it has decoded."""
    folder.mkdir()
    for name, split in (("train", data.train), ("validation", data.validation)):
        np.save(folder / f"{name}_images.npy", split.images.numpy())
        np.save(folder / f"{name}_labels.npy", split.labels.numpy())
    about = {
        "classes": data.classes,
        "mean": data.mean,
        "std": data.std,
        "mirror": data.mirror,
        "source": data.source,
    }
    (folder / "data.json").write_text(json.dumps(about))
    return folder


def measure_latency(device: torch.device) -> None:
    """Print how far processes are apart that measure one network on the GPU."""
    if device.type != "cuda":
        print("latency: the runtime `cuda` needs a GPU of CUDA")
        return
    command = [sys.executable, "-m", "benchmarks.training.gpu", "--one-latency"]
    found = []
    for _ in range(PROCESSES):
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
        found.append(float(done.stdout.split()[-1]))
    apart = (max(found) - min(found)) / median(found)
    rows = [["cuda", ", ".join(f"{one:.4f}" for one in found), f"{apart:.1%}"]]
    print_table(["runtime", "ms in each process", "apart (aim 3 %)"], rows)


def _one_latency() -> None:
    from nas.latency.runtime import device_named
    from nas.latency.source import measure_device

    print(measure_device(PLAIN, TASK, device_named("cuda")))


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", default=SECTIONS, help=", ".join(SECTIONS))
    parser.add_argument("--steps", type=int, default=200, help="of a round")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=16, help="trainings at a time")
    parser.add_argument("--one-latency", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one_latency:
        _one_latency()
        return
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(SECTIONS)}")
    device = best_device()
    if device.type == "cpu":
        print("no GPU: what follows tries the script on the cores, and says nothing of GPUs")
    print_machine()
    torch.set_num_threads(1)
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    measurements: dict[str, Callable[[], None]] = {
        "loop": lambda: measure_loop(asked.steps, asked.batch, asked.rounds, device),
        "placed": lambda: measure_placed(asked.steps, asked.batch, asked.rounds, device),
        "together": lambda: measure_together(asked.batch, asked.most, device),
        "latency": lambda: measure_latency(device),
    }
    assert FP32 in precisions(device)
    for name in asked.sections:
        print(f"\n{name}")
        measurements[name]()


if __name__ == "__main__":
    main()
