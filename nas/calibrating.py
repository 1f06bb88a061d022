"""Calibrating a proxy: the same random networks by the proxy and by full training, then compared.

Both are ordinary runs with the same seed, so they draw the same networks, resume like any other,
and their fronts can be read; a search can go on from the one of the proxy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.agreement import Interval, agreement, bias, paired_noise, resolution
from nas.architecture import Architecture
from nas.calibration import FILE, Calibration, Estimate, Trust
from nas.candidates import Candidates, load_space
from nas.data import resolved_source
from nas.errors import SpecError
from nas.executors import Observer
from nas.files import parse
from nas.front import PLAIN
from nas.launch import resume, search
from nas.picture import draw_calibration
from nas.proxies.scored import SCORES, Scored, score_all
from nas.proxies.supernet_folder import SupernetFolder
from nas.run import Run, RunFile, open_run
from nas.runner import Runner, load_runner
from nas.space import SearchSpace
from nas.trials import Trials

__all__ = ["FULL", "PROXY", "calibrate", "compare"]

FULL, PROXY = "full", "proxy"
"""Folders of the two runs."""

_LEAST = 8  # networks, below which nothing can be said of ranks
_POINTS = 0.5

Floats = NDArray[np.float64]


def calibrate(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None = None,
    data: str = "digits",
    out: str | Path = "runs/calibration",
    *,
    networks: int = 30,
    seeds: int = 3,
    full_epochs: float = 40.0,
    scores: bool = True,
    supernet: str | Path | None = None,
    observer: Observer | None = None,
) -> Calibration:
    """Train a sample of a space by the runner's proxy and fully, and say how far they agree.

    The sample holds the hand-placed networks, and random ones spread evenly over the number of
    blocks and their kinds. Full training is from scratch with blocks as their papers start them.
    scores: compare the zero-cost scores as well; supernet: and a folder of `nas supernet` for the
    same space.
    A calibration that was interrupted goes on. Writes calibration.json and calibration.png.
    Raises SpecError, also when `out` holds another calibration.
    """
    out = Path(out)
    if not isinstance(space, SearchSpace):
        space = load_space(space)
    if not isinstance(runner, Runner):
        runner = load_runner(runner)
    placed = len(Candidates(space).references())
    if networks < max(_LEAST, placed):
        raise SpecError(
            f"--networks {networks}: at least {max(_LEAST, placed)} are needed ({placed} are "
            "placed by hand), and 30 tell more"
        )
    if seeds < 2:
        raise SpecError(f"--seeds {seeds}: at least 2, or the noise between seeds stays unknown")
    for name, proxy in ((FULL, _full_proxy(runner, full_epochs)), (PROXY, {})):
        _carried_out(out / name, space, _sampled(runner, networks, seeds, proxy), data, observer)
    full, proxied = open_run(out / FULL), open_run(out / PROXY)
    found = compare(full, proxied, seeds=runner.proxy.seeds)
    truth, rungs, architectures = _qualities(full, proxied)
    if observer:
        observer.stage("scoring without training")
    given = score_all(
        full.dataset(),
        architectures,
        out / "scores.json",
        names=SCORES if scores else (),
        supernet=SupernetFolder.open(supernet) if supernet else None,
        progress=observer.step if observer else lambda done, of: None,
    )
    found = found.model_copy(
        update={
            "scores": [
                _scored(name, values, truth, found.full_seconds) for name, values in given.items()
            ]
        }
    )
    found.write(out / FILE)
    kinds = groups(architectures, by_number=False)
    draw_calibration(truth, rungs[-1], kinds, found, out / "calibration.png")
    return found


def _full_proxy(runner: Runner, epochs: float) -> dict[str, Any]:
    return {
        "kind": "scratch",
        "rungs": [epochs],
        "unit": "epochs",
        "schedule": "whole",
        "learning_rate": None,
        "subset": None,
        "batch_size": runner.proxy.batch_size,
    }


def _sampled(runner: Runner, networks: int, seeds: int, proxy: dict[str, Any]) -> Runner:
    """A runner that evaluates random networks, each with all seeds."""
    plan = {
        "sampler": "random",
        "trials": networks,
        "confirm_seeds": seeds,
        "time_limit": None,
        "reduction": None,
    }
    changed = runner.model_dump()
    changed["search"] |= plan
    changed["proxy"] |= proxy | {"seeds": seeds}
    return parse(Runner, changed, "nas calibrate")


def _carried_out(
    out: Path, space: SearchSpace, runner: Runner, data: str, observer: Observer | None
) -> Run:
    """Start the run, or go on with it when it is the same."""
    if not (out / "run.yaml").exists():
        return search(space, runner, data, out, observer=observer)
    run = open_run(out)
    known = run.file.model_dump()
    asked = RunFile(**runner.model_dump(), data=resolved_source(data)).model_dump()
    if runner.proxy.rungs is None:  # then it was settled by the number of images
        asked["proxy"] |= {name: known["proxy"][name] for name in ("rungs", "unit")}
    if run.space != space or known | {"workers": 1} != asked | {"workers": 1}:
        raise SpecError(
            f"{out.parent} is the calibration of another space or runner, or of other data; name "
            "another folder"
        )
    return run if run.finished else resume(out, workers=_workers(runner), observer=observer)


def _workers(runner: Runner) -> int | None:
    return runner.workers if isinstance(runner.workers, int) else None


def compare(full: Run, proxy: Run, *, seeds: int = 1) -> Calibration:
    """How well a run of a proxy orders what a run of full training has trained, by accuracy.

    seeds: that the search will train candidates with.
    Raises SpecError when too few networks are in both.
    """
    truth, rungs, architectures = _qualities(full, proxy)
    found = [
        _trust(proxy, number, quality, truth, architectures, seeds)
        for number, quality in enumerate(rungs)
    ]
    costs = _seconds(full), _seconds(proxy)
    budgets = np.array(proxy.file.proxy.budgets)
    shares = costs[1] / costs[0] * budgets / budgets[-1]
    agreed = agreement(rungs[-1], truth)
    resolved = resolution(rungs[-1], truth, difference=_POINTS)
    return Calibration(
        space=proxy.space.name,
        data=proxy.file.data,
        networks=len(truth),
        seeds=truth.shape[1],
        full=_described(full),
        full_seconds=costs[0],
        accuracy=float(truth.mean()),
        spread=float(truth.mean(axis=1).std(ddof=1)),
        seed_noise=paired_noise(truth),
        ceiling=agreed.ceiling,
        best_ceiling=agreed.best_ceiling,
        full_seeds_needed=resolved.seeds_full,
        proxies=[
            item.model_copy(update={"cost": float(share)})
            for item, share in zip(found, shares, strict=True)
        ],
    )


def _trust(
    run: Run,
    rung: int,
    quality: Floats,
    truth: Floats,
    architectures: list[Architecture],
    seeds: int,
) -> Trust:
    found = agreement(quality, truth, seeds=seeds)
    resolved = resolution(quality, truth, difference=_POINTS, seeds=seeds)
    proxy = run.file.proxy
    return Trust(
        name=proxy.kind,
        budget=f"{proxy.budgets[rung]:g} {proxy.unit}",
        cost=0.0,
        seeds=seeds,
        spearman=_estimate(found.spearman),
        kendall=_estimate(found.kendall),
        best_kendall=_estimate(found.best_kendall),
        bias={
            name: _estimate(item.error)
            for name, item in bias(quality, truth, groups(architectures)).items()
        },
        apart=resolved.apart if np.isfinite(resolved.apart) else None,
        seeds_needed=resolved.seeds_proxy,
    )


def _scored(name: str, given: Scored, truth: Floats, full_seconds: float) -> Trust:
    quality = given.values[:, None]
    found = agreement(quality, truth)
    resolved = resolution(quality, truth, difference=_POINTS)
    return Trust(
        name=name,
        budget="",
        cost=given.seconds / full_seconds,
        seeds=1,
        spearman=_estimate(found.spearman),
        kendall=_estimate(found.kendall),
        best_kendall=_estimate(found.best_kendall),
        apart=resolved.apart if np.isfinite(resolved.apart) else None,
    )


def groups(architectures: list[Architecture], *, by_number: bool = True) -> dict[str, Floats]:
    """How much of each network, (n,), belongs to a kind of block, or to a range of their number."""
    kinds = sorted({item.block for network in architectures for item in network.blocks})
    found = {
        kind: np.array(
            [
                np.mean([item.block == kind for item in network.blocks]) if network.blocks else 0.0
                for network in architectures
            ]
        )
        for kind in kinds
    }
    count = np.array([len(network.blocks) for network in architectures])
    found[PLAIN] = (count == 0).astype(np.float64)
    if not by_number:
        return {name: share for name, share in found.items() if share.sum() > 0}
    some = count[count > 0]
    low, high = np.quantile(some, [1 / 3, 2 / 3]) if len(some) else (0, 0)
    found["few blocks"] = ((count > 0) & (count <= low)).astype(np.float64)
    found["many blocks"] = ((count > low) & (count >= high)).astype(np.float64)
    return {name: share for name, share in found.items() if share.sum() > 0}


def _qualities(full: Run, proxy: Run) -> tuple[Floats, list[Floats], list[Architecture]]:
    """Accuracy of full training in points, (n, s); the proxy's quality (its loss, negated) at each
    rung, (n, t); and the n networks that both have trained with all seeds.
    """
    truths, losses = _by_network(full.trials(), "accuracy"), _by_network(proxy.trials(), "loss")
    seeds = full.file.proxy.seeds
    rungs = len(proxy.file.proxy.budgets)
    both = [
        digest
        for digest in truths
        if len(truths[digest][1]) >= seeds and len(losses.get(digest, ("", []))[1]) >= seeds
    ]
    if len(both) < _LEAST:
        raise SpecError(
            f"only {len(both)} networks were trained fully and by the proxy; {_LEAST} are needed"
        )
    truth = np.array([truths[digest][1][:seeds] for digest in both])[:, :, -1] * 100
    quality = -np.array([losses[digest][1][:seeds] for digest in both])
    architectures = [Architecture.from_json(truths[digest][0]) for digest in both]
    return truth, [quality[:, :, rung] for rung in range(rungs)], architectures


def _by_network(trials: Trials, figure: str) -> dict[str, tuple[str, list[list[float]]]]:
    """By digest: the architecture, and for each seed the figure at every rung."""
    found: dict[str, tuple[str, list[list[float]]]] = {}
    column = {"loss": 1, "accuracy": 2}[figure]
    for row in np.flatnonzero(trials.complete):
        record = trials.record(int(row))
        below = [rung[column] for rung in json.loads(record["rungs"] or "[]")]
        _, seeds = found.setdefault(record["digest"], (record["architecture"], []))
        seeds.append([*below, record[figure]])
    return found


def _seconds(run: Run) -> float:
    trials = run.trials()
    trained = trials.complete & (trials["trained"] == 1)
    used = trained if trained.any() else trials.complete  # by shared weights none is
    return float(np.mean(trials["train_seconds"][used]))


def _described(run: Run) -> str:
    proxy = run.file.proxy
    return f"{proxy.kind}, {proxy.budgets[-1]:g} {proxy.unit}"


def _estimate(interval: Interval) -> Estimate:
    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return Estimate(value=known(interval.value), low=known(interval.low), high=known(interval.high))
