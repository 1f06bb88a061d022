"""What threads that wait busily cost, when trainings share the cores: OMP_WAIT_POLICY.

A small network is trained in steps by one process, and by two side by side, each with a thread for
every core, as the plain backbone of a search is. `unset` is how torch comes; `passive` is what
`import nas` sets. Steps by the clock on the wall, since waiting is what is measured: the
policies take turns, and shown are medians over the rounds.

Run: python -m benchmarks.training.thread_waiting
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median

import torch  # before report, which imports nas, which sets the policy
from torch.nn.functional import cross_entropy

from benchmarks.shared.report import print_machine, print_table
from nas.backbones.mobilenetv2_cifar import MobileNetV2Cifar

MODULE = "benchmarks.training.thread_waiting"
POLICIES = {"unset": None, "passive": "passive"}
_BATCH, _SIDE = 64, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        print(trained(given.seconds))
        return
    print_machine("torch")
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(given.rounds):
        for side_by_side in (1, 2):
            for name, policy in POLICIES.items():
                rates = side_by_side_rates(policy, side_by_side, given.seconds)
                found.setdefault((name, side_by_side), []).append(sum(rates))
    print_table(
        ["OMP_WAIT_POLICY", "trainings", "steps a second, together"],
        [[name, str(count), f"{median(rates):.2f}"] for (name, count), rates in found.items()],
    )


def side_by_side_rates(policy: str | None, processes: int, seconds: float) -> list[float]:
    """Steps a second of each of so many trainings at once."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
    command = [sys.executable, "-m", MODULE, "--train", "--seconds", str(seconds)]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    return [float(process.communicate()[0]) for process in running]


def trained(seconds: float) -> float:
    """Steps a second, after a few that do not count."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = MobileNetV2Cifar(10).train().to(memory_format=torch.channels_last)
    images = torch.rand(_BATCH, 3, _SIDE, _SIDE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (_BATCH,))
    optimiser = torch.optim.SGD(network.parameters(), 0.01)
    began, steps, least = time.perf_counter(), 0, 3
    while steps <= least or time.perf_counter() - began < seconds:
        if steps == least:
            began = time.perf_counter()
        optimiser.zero_grad()
        cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        steps += 1
    return (steps - least) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
