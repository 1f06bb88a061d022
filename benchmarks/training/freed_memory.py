"""What it costs to give freed memory back to the system between steps, and to ask for it again.

Steps of training, and inference by PyTorch, each in a process of its own: as the C library does
by itself (`returned`), and as `nas` does (`kept`), in turns. Shown are CPU milliseconds on one
thread, medians over the rounds, the pages that were cleared, and the most memory. `--in-turn`
trains all of the cases one after another in one process, twice, and prints the most memory and
what is held in between.

Run: python -m benchmarks.training.freed_memory
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import timm
import torch
from torch.nn.functional import cross_entropy

from benchmarks.shared.report import print_machine, print_table
from nas.backbones.mobilenetv2_cifar import MobileNetV2Cifar
from nas.base.freed_memory import keep_freed_memory

MODULE = "benchmarks.training.freed_memory"
CASES = (
    ("train", "mobilenetv2_cifar", 16, 128),
    ("train", "mobilenetv2_cifar", 32, 128),
    ("train", "mobilenetv2_035", 32, 128),
    ("train", "mobilenetv2_035", 96, 64),
    ("train", "mobilenetv2_100", 128, 32),
    ("infer", "mobilenetv2_cifar", 32, 1),
    ("infer", "mobilenetv2_100", 224, 1),
    ("infer", "efficientnet_b0", 224, 1),
    ("infer", "resnet18", 224, 1),
)
_SETTLE = 3
Case = tuple[str, str, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "WAY"), help=argparse.SUPPRESS)
    parser.add_argument("--in-turn", choices=("returned", "kept"))
    given = parser.parse_args()
    if given.in_turn:
        most, held = in_turn(given.in_turn == "kept")
        print(f"{given.in_turn}: at most {most:.0f} MB, {held:.0f} MB held at the end")
        return
    if given.one:
        case, way = given.one
        print(json.dumps(measured(CASES[int(case)], way == "kept", given.seconds)))
        return
    print_machine("torch", "timm")
    rows = []
    for number, case in enumerate(CASES):
        found: dict[str, list[tuple[float, float, float]]] = {"returned": [], "kept": []}
        for _ in range(given.rounds):
            for way in found:
                command = [sys.executable, "-m", MODULE, "--one", str(number), way]
                done = subprocess.run(
                    [*command, "--seconds", str(given.seconds)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                found[way].append(tuple(json.loads(done.stdout)))
        rows.append(row_of(case, found["returned"], found["kept"]))
    print_table(
        ["what", "ms, returned", "ms, kept", "ratio", "pages a step", "kept", "MB", "kept"], rows
    )


def row_of(
    case: Case, returned: list[tuple[float, float, float]], kept: list[tuple[float, float, float]]
) -> list[str]:
    """Return a line of the table; each process gave milliseconds, pages a step and MB."""
    what, name, side, batch = case
    (slow, pages, most), (fast, pages_kept, most_kept) = (
        tuple(median(column) for column in zip(*each, strict=True)) for each in (returned, kept)
    )
    return [
        f"{what} {name}, {side} px, batch {batch}",
        f"{slow:.1f}",
        f"{fast:.1f}",
        f"{slow / fast:.2f}",
        f"{pages:.0f}",
        f"{pages_kept:.0f}",
        f"{most:.0f}",
        f"{most_kept:.0f}",
    ]


def measured(case: Case, kept: bool, seconds: float) -> tuple[float, float, float]:
    """Return CPU milliseconds and pages of a step, and the most memory in MB."""
    if kept:
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    step = step_of(case)
    for _ in range(_SETTLE):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF)
    began, steps = time.process_time(), 0
    while time.process_time() - began < seconds:
        step()
        steps += 1
    spent = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    pages = (after.ru_minflt - before.ru_minflt) / steps
    return 1e3 * spent / steps, pages, after.ru_maxrss / 1024


def in_turn(kept: bool) -> tuple[float, float]:
    """Return the most memory of trainings in turn, and what is held behind the last, MB."""
    if kept:
        keep_freed_memory()
    torch.set_num_threads(1)
    for case in [case for case in CASES if case[0] == "train"] * 2:
        step = step_of(case)
        for _ in range(_SETTLE):
            step()
        del step
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return most, pages * resource.getpagesize() / 2**20


def step_of(case: Case) -> Callable[[], object]:
    """Return what takes one step of a case."""
    what, name, side, batch = case
    own = name == "mobilenetv2_cifar"
    network = MobileNetV2Cifar(10) if own else timm.create_model(name, num_classes=10)
    images, labels = torch.randn(batch, 3, side, side), torch.randint(10, (batch,))
    if what == "infer":
        network.eval()
        return torch.inference_mode()(lambda: network(images))
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def train() -> None:
        optimiser.zero_grad()
        cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return train


if __name__ == "__main__":
    main()
