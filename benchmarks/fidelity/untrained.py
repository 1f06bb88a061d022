"""What scores without any training tell of the truth: the zero-cost ones, of its own networks.

    python -m benchmarks.fidelity.untrained run DATA --landscape L1

DATA: `folder:PATH` of CIFAR-10; its test part is not opened. Each network of the truth is scored on
two batches of training images, the same for all; rows are in
`benchmarks/fidelity/untrained-l1.jsonl`, and `judge.py` holds them against the truth.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape
from benchmarks.fidelity.trainings import Images, append, rows_of
from benchmarks.shared.command import carry_out
from nas.training.proxies.zero_cost import ZERO_COST, zero_cost_scores

__all__ = ["rows_file"]

FOLDER = Path(__file__).parent


def rows_file(landscape: Landscape) -> Path:
    """Return where the scores of a landscape's networks are."""
    return FOLDER / f"untrained-{landscape.name.lower()}.jsonl"


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    landscape = LANDSCAPES[arguments.landscape]
    path, data = rows_file(landscape), Images(arguments.data, landscape).proxies
    done = {(row["network"], row["score"]) for row in rows_of(path)}
    for network, architecture in landscape.networks.items():
        for name in ZERO_COST:
            if (network, name) in done:
                continue
            begun = time.process_time()
            value = zero_cost_scores(architecture, data, names=[name])[name]
            seconds = round(time.process_time() - begun, 2)
            row = {"network": network, "score": name, "value": value, "seconds": seconds}
            append(path, {"landscape": landscape.name, **row})
        print(network, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("data")
    running.add_argument("--landscape", choices=tuple(LANDSCAPES), required=True)
    running.set_defaults(run=run)
    carry_out(parser)


if __name__ == "__main__":
    main()
