"""Which cheap training orders placements of attention as full training does, and is it fair?

    python -m benchmarks.training.proxy_study train DATA --work DIR [--workers 2]
        [--methods NAME ...]
    python -m benchmarks.training.proxy_study report [--picture docs/proxy-study.png]

DATA: `folder:PATH` of CIFAR-10, at 16 px. Thirty networks on a small MobileNetV2 (seven sites):
the plain one; SE, CBAM, ECA and coordinate attention at all, at the early and at the late sites;
and mixtures drawn at random. `warm` is the reference: all weights trained on at the full
learning rate, with the blocks put into the trained plain network, judged on images that no proxy
sees; then come the proxies. The test part is not touched. What was trained is in
`docs/proxy-study.csv`, a row each: an interrupted study goes on, and `report` needs no data.
Where a method gives a score, its row has minus that score in place of a loss.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

from benchmarks.training.proxy_report import report
from benchmarks.training.proxy_trainings import train

matplotlib.use("Agg")


ROWS = Path("docs/proxy-study.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("data")
    training.add_argument("--work", type=Path, required=True)
    training.add_argument("--rows", type=Path, default=ROWS)
    training.add_argument("--workers", type=int, default=2)
    training.add_argument("--part", type=int)
    training.add_argument("--methods", nargs="*", default=[])
    training.set_defaults(run=train)
    reporting = commands.add_parser("report")
    reporting.add_argument("--rows", type=Path, default=ROWS)
    reporting.add_argument("--picture", type=Path)
    reporting.set_defaults(run=report)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
