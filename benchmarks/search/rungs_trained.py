"""What stopping weak networks early saves in real searches, and what of the front it costs.

    python -m benchmarks.search.rungs_trained SPACE DATA --out FOLDER [--seeds 2] [--networks 40]

SPACE: as for nas search, such as search_spaces/mobilenetv2-cifar.yaml. DATA:
a folder of images such as CIFAR-10. For each seed, real searches with as many networks each: whole
(every probe has 300 steps), and with rungs (of 100 and 300 steps; of 33, 100 and 300), a third of
the networks going on at each. Latencies are predicted from a profile (--profile), so that they are
the same in all searches.

Judged by what no search has seen: every member of a front is trained to the top with two further
seeds (--judges), and the front is worth the hypervolume of the mean losses, below the plain
network's loss and the highest latency among all fronts, as a share of that of all fronts of
this seed together. Beside a search with rungs stands `fewer`: the first networks of the whole
search, as many as the same training pays for. Training is in steps, of the plain network's none.

Runs that are in FOLDER already are gone on with, so an interrupted benchmark continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import nas
from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.executor import on_this_machine
from nas.execution.observer import SilentObserver
from nas.runs.prepare import SearchInputs, prepare
from nas.study.front.indicators import hypervolume
from nas.study.front.pareto import non_dominated
from nas.study.record import Job

SEARCHES: Mapping[str, Sequence[float]] = {
    "whole": (300,),
    "rungs 100, 300": (100, 300),
    "rungs 33, 100, 300": (33, 100, 300),
}
MARGIN = 1.01  # of the reference latency beyond the highest


@dataclass(frozen=True, slots=True)
class Network:
    """A first evaluation of a search. steps: of training. whole: trained to the top."""

    digest: str
    architecture: str
    loss: float
    latency_ms: float
    steps: float
    whole: bool


def searched(given: argparse.Namespace, budgets: Sequence[float], seed: int, out: Path) -> nas.Run:
    if (out / "run.yaml").exists():
        return nas.resume(out)
    runner = nas.Runner.model_validate(
        {
            "device": str(given.profile),
            "search": {
                "trials": given.networks,
                "seed": seed,
                "patience": None,
                "confirm_seeds": 1,
            },
            "proxy": {"kind": "probe", "rungs": list(budgets), "unit": "steps"},
        }
    )
    return nas.search(given.space, runner, given.data, out)


def networks_of(run: nas.Run, budgets: Sequence[float]) -> list[Network]:
    """In the order in which they were asked for; those that failed or broke a limit left out."""
    trials = run.trials()
    found = []
    for row in range(len(trials)):
        record = trials.record(row)
        if record.repeat or not np.isfinite(record.loss or np.nan):
            continue
        assert record.loss is not None and record.latency_ms is not None, record
        whole = record.state == "COMPLETE"
        reached = budgets[-1] if whole else budgets[max(0, len(record.rungs) - 1)]
        found.append(
            Network(
                record.digest,
                record.architecture,
                record.loss,
                record.latency_ms,
                reached if record.trained else 0.0,
                whole,
            )
        )
    return found


def front_of(networks: Iterable[Network]) -> list[Network]:
    whole = [network for network in networks if network.whole]
    costs = np.array([(network.loss, network.latency_ms) for network in whole])
    return [whole[row] for row in np.flatnonzero(non_dominated(costs))]


def first(networks: Sequence[Network], steps: float) -> list[Network]:
    """As many as the training pays for."""
    spent = np.cumsum([network.steps for network in networks])
    return list(networks[: int(np.searchsorted(spent, steps, side="right"))])


_EVALUATOR: list[Evaluator] = []


def _open(spec: dict[str, object]) -> None:
    _EVALUATOR.append(Evaluator(EvaluatorSpec.from_dict(spec)))


def _loss(job: Job) -> float:
    outcome = _EVALUATOR[0].evaluate(job)
    if outcome.evaluation is None:
        raise SystemExit(f"a member of a front cannot be trained again: {outcome.failure}")
    return outcome.evaluation.loss


def judged(
    run: nas.Run, members: Mapping[str, Network], judges: int, seed: int
) -> dict[str, float]:
    """Digest -> mean loss of further seeds, the same for all; kept beside the run."""
    kept = run.path.parent / f"judged-{seed}.json"
    known: dict[str, list[float]] = json.loads(kept.read_text()) if kept.exists() else {}
    spec = prepare(SearchInputs.read(run), SilentObserver(), on_this_machine)
    wanted = [
        (digest, Job(0, network.architecture, digest, derive(seed, "judge", number) % 2**31))
        for digest, network in members.items()
        for number in range(len(known.get(digest, [])), judges)
    ]
    with ProcessPoolExecutor(
        2, get_context("spawn"), initializer=_open, initargs=(spec.to_dict(),)
    ) as pool:
        losses = pool.map(_loss, [job for _, job in wanted])
        for (digest, _), loss in zip(wanted, losses, strict=True):
            known.setdefault(digest, []).append(loss)
            kept.write_text(json.dumps(known))
    return {digest: float(np.mean(known[digest][:judges])) for digest in members}


def measured(given: argparse.Namespace, seed: int) -> list[list[str]]:
    """A row for each search of one seed."""
    found: dict[str, list[Network]] = {}
    runs = {}
    for name, budgets in SEARCHES.items():
        out = given.out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
        runs[name] = searched(given, budgets, seed, out)
        found[name] = networks_of(runs[name], budgets)
        print(f"seed {seed}, {name}: searched", flush=True)
    for name in list(SEARCHES)[1:]:
        pays = sum(network.steps for network in found[name])
        found[f"fewer, for {name}"] = first(found["whole"], pays)
    fronts = {name: front_of(networks) for name, networks in found.items()}
    members = {item.digest: item for front in fronts.values() for item in front}
    losses = judged(runs["whole"], members, given.judges, seed)
    costs = {digest: (losses[digest], network.latency_ms) for digest, network in members.items()}
    reference = np.array(
        [
            max(network.loss for network in found["whole"] if not network.steps),
            MARGIN * max(latency for _, latency in costs.values()),
        ]
    )
    best = hypervolume(np.array(list(costs.values())), reference)
    whole = sum(network.steps for network in found["whole"])
    rows = []
    for name, front in fronts.items():
        worth = hypervolume(np.array([costs[item.digest] for item in front]), reference)
        steps = sum(network.steps for network in found[name])
        rows.append(
            [name, str(seed), str(len(found[name])), str(sum(n.whole for n in found[name]))]
            + [f"{steps / whole:.2f}", str(len(front)), f"{worth / best:.3f}"]
        )
    details = {name: [asdict(item) for item in front] for name, front in fronts.items()}
    (given.out / f"fronts-{seed}.json").write_text(json.dumps(details, indent=1))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("space")
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--profile", type=Path, required=True, help="of a device: nas profile")
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--judges", type=int, default=2, help="further seeds")
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    try:
        rows = [row for seed in range(given.seeds) for row in measured(given, seed)]
    except SpecError as error:
        parser.error(str(error))
    print_machine("attention-nas", "optuna", "torch")
    print_table(("search", "seed", "networks", "whole", "training", "front", "worth"), rows)


if __name__ == "__main__":
    main()
