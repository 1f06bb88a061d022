"""Short trainings that may tell what full training would give: the candidates, and their rows.

    python -m benchmarks.fidelity.candidates run DATA --landscape L1 --candidate trunk
    python -m benchmarks.fidelity.candidates list

DATA: `folder:PATH` of CIFAR-10; its test part is not opened. Each candidate trains networks of its
own: drawn afresh, disjoint from the truth, by the design that a search begins with, and the plain
network with several seeds. Rows are in `benchmarks/fidelity/candidates-l1.jsonl`; what is stopped
goes on behind its last row. `judge.py` holds them against the truth; the rules are in RULES.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape
from benchmarks.fidelity.trainings import Images, append, rows_of
from benchmarks.shared.command import carry_out
from nas.base.seeds import derive
from nas.base.size import Size
from nas.belief.grid import Grid
from nas.belief.terms import Place
from nas.data import Dataset
from nas.spec.architecture import Architecture
from nas.spec.proxy import Proxy
from nas.spec.task import Task
from nas.strategy.samplers.pareto.design import balanced_design
from nas.training.climb import climb
from nas.training.loop import evaluate
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting

__all__ = ["CANDIDATES", "Candidate", "fresh_networks", "rows_file"]

FOLDER = Path(__file__).parent
KEYS = ("candidate", "network", "repeat")
_CPU = torch.device("cpu")
_PLAIN_SEEDS = 4


@dataclass(frozen=True)
class Candidate:
    """A short training, as a runner's `proxy` says it.

    networks: how many are drawn to inform the belief, beside the plain one.
    stop: epochs that are read of a training whose schedule is longer; None: all of its rungs.
    plain_only: to choose a rate by, for which no other network is looked at.
    """

    proxy: Proxy
    networks: int = 28
    stop: float | None = None
    plain_only: bool = False


def _scratch(rungs: list[float], **settings: Any) -> Proxy:
    given = {"start": "identity", "batch_size": 128, "schedule": "trunk", **settings}
    return Proxy.model_validate({"kind": "scratch", "rungs": rungs, **given})


# In epochs of L1: the warm-up of its full training is 1.5 of them, a tenth of the short one .4.
_LONG, _SHORT = 1.5, 0.4
_FULL_RATE = 0.1
_RATE = 0.2
"""Chosen by the rule on the plain network: a loss of 1.028, .981 and .949 at .05, .1 and .2."""
CANDIDATES: Mapping[str, Candidate] = {
    "rate .05": Candidate(_scratch([2, 4], warm_up=_LONG, learning_rate=0.05), plain_only=True),
    "rate .1": Candidate(_scratch([2, 4], warm_up=_LONG, learning_rate=0.1), plain_only=True),
    "rate .2": Candidate(_scratch([2, 4], warm_up=_LONG, learning_rate=0.2), plain_only=True),
    "trunk": Candidate(_scratch([2, 4], warm_up=_LONG, learning_rate=_RATE)),
    "trunk, short warm-up": Candidate(
        _scratch([1, 2, 4], warm_up=_SHORT, learning_rate=_RATE), networks=12
    ),
    "trunk, paper's start": Candidate(
        _scratch([2, 4], warm_up=_LONG, learning_rate=_RATE, start="paper"), networks=12
    ),
    "one cycle": Candidate(
        _scratch([4], warm_up=_LONG, learning_rate=_RATE, schedule="whole"), networks=12
    ),
    "real schedule": Candidate(
        _scratch(
            [1, 2, 3, 4, 5, 6, 7, 8, 15],
            warm_up=_LONG,
            learning_rate=_FULL_RATE,
            schedule="whole",
        ),
        networks=12,
        stop=8,
    ),
    "fewer images": Candidate(
        _scratch([4, 8], warm_up=_LONG, learning_rate=_RATE, subset=10_000), networks=12
    ),
    "smaller images": Candidate(
        _scratch([2, 4], warm_up=_LONG, learning_rate=_RATE, resolution=12), networks=12
    ),
}


def rows_file(landscape: Landscape) -> Path:
    """Return where the rows of the candidates of a landscape are."""
    return FOLDER / f"candidates-{landscape.name.lower()}.jsonl"


@cache
def fresh_networks(landscape: Landscape) -> Mapping[str, Architecture]:
    """Return networks to inform a belief, disjoint from the truth: a search's design without them.

    The more there are, the later they come in the design, so that fewer are its beginning.
    """
    kinds = ("coord", "se", "eca", "cbam")
    count = len(landscape.sites)
    grid = Grid({site: ("none", *kinds) for site in landscape.sites})
    places = {
        site: Place(site.rpartition("/")[0].rpartition(".")[0], number / (count - 1), 1)
        for number, site in enumerate(landscape.sites)
    }
    seed = derive(0, landscape.number_of_seeds, "fresh") % 2**31
    truth = set(landscape.networks.values())
    drawn: dict[str, Architecture] = {}
    for row in balanced_design(grid, places, 60, seed=seed):
        placed = tuple(("", *kinds)[code] for code in row)
        architecture = landscape.architecture(placed)
        if architecture not in truth:
            drawn[f"fresh {len(drawn)}"] = architecture
    return drawn


def trainings(landscape: Landscape, candidate: Candidate) -> Iterator[tuple[str, int]]:
    """Give (network, repeat) of a candidate, the plain one first, then in the design's order."""
    for repeat in range(1 if candidate.plain_only else _PLAIN_SEEDS):
        yield "plain", repeat
    if not candidate.plain_only:
        for name in list(fresh_networks(landscape))[: candidate.networks]:
            yield name, 0


def train(
    landscape: Landscape, data: Dataset, name: str, network: str, repeat: int
) -> dict[str, Any]:
    """Train a network as a candidate says, and return its row."""
    candidate = CANDIDATES[name]
    named = {**fresh_networks(landscape), "plain": landscape.networks["plain"]}
    architecture = named[network]
    if candidate.proxy.resolution is not None:
        architecture = replace(architecture, resolution=candidate.proxy.resolution)
    seed = derive(0, landscape.number_of_seeds, "candidate", name, network, repeat) % 2**31
    setting = Setting(data, Task(outputs=len(data.classes)), candidate.proxy, _CPU, weights={})
    training = PROXIES[candidate.proxy.kind].begin(architecture, setting, seed)
    begun, judging, rungs = time.process_time(), 0.0, []
    for number, epochs in enumerate(candidate.proxy.budgets):
        if candidate.stop is not None and epochs > candidate.stop:
            break
        before = climb(training, setting, number)
        ended = time.process_time()
        score = evaluate(training.trained, data, setting.task, device=_CPU)
        judging += time.process_time() - ended
        rungs.append(
            {
                "epochs": epochs,
                "loss": round(score.loss, 5),
                "accuracy": round(score.accuracy, 4),
                "seconds": round(time.process_time() - begun - judging, 1),
            }
        )
        last = training.epoch_losses
        training.load(before)
    return {
        "landscape": landscape.name,
        "candidate": name,
        "network": network,
        "repeat": repeat,
        "seed": seed,
        "insertions": [f"{item.site}={item.label}" for item in architecture.insertions],
        "rungs": rungs,
        "curve": [round(loss, 4) for loss in last],
        "recipe": asdict(training.recipe),
    }


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    landscape = LANDSCAPES[arguments.landscape]
    path = rows_file(landscape)
    for name in arguments.candidate:
        data = _images(arguments.data, landscape, CANDIDATES[name])
        done = {tuple(row[key] for key in KEYS) for row in rows_of(path)}
        for number, (network, repeat) in enumerate(trainings(landscape, CANDIDATES[name])):
            if (name, network, repeat) in done or number % arguments.of != arguments.part:
                continue
            row = train(landscape, data, name, network, repeat)
            append(path, row)
            print(name, network, repeat, row["rungs"], flush=True)


def _images(source: str, landscape: Landscape, candidate: Candidate) -> Dataset:
    resolution = Size.of(candidate.proxy.resolution or landscape.resolution).height
    data = Images(source, replace(landscape, resolution=resolution)).proxies
    subset = candidate.proxy.subset
    return data if subset is None else data.subset(subset, seed=0)


def show(arguments: argparse.Namespace) -> None:
    for name, candidate in CANDIDATES.items():
        print(f"{name}: {candidate.proxy.model_dump_json(exclude_defaults=True)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("data")
    running.add_argument("--landscape", choices=tuple(LANDSCAPES), required=True)
    running.add_argument("--candidate", choices=tuple(CANDIDATES), nargs="+", required=True)
    running.add_argument("--part", type=int, default=0)
    running.add_argument("--of", type=int, default=1)
    running.set_defaults(run=run)
    commands.add_parser("list").set_defaults(run=show)
    carry_out(parser)


if __name__ == "__main__":
    main()
