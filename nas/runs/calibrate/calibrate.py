"""Calibrating a proxy: the same random networks by the proxy and by full training, then compared.

Both are ordinary runs with the same seed, so they draw the same networks, resume like any other,
and their fronts can be read; a search can go on from the one of the proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.files import parse
from nas.data import resolve_source
from nas.execution.executor import Observer
from nas.models.candidates import Candidates, load_space
from nas.runs.calibrate.agreement import Interval, agreement, bias, paired_noise, resolution
from nas.runs.calibrate.plot import draw_calibration
from nas.runs.calibrate.result import FILE, Calibration, Estimate, Trust
from nas.runs.calibrate.scores import SCORES, Scores, score_all
from nas.runs.run import Run, RunFile, open_run
from nas.runs.start import resume, search
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.runner import Runner, load_runner
from nas.spec.space import SearchSpace
from nas.study.trials import Trials
from nas.training.proxies.setting import scale_rate
from nas.training.supernet.folder import SupernetFolder

__all__ = ["FULL", "PROXY", "calibrate", "compare"]

FULL, PROXY = "full", "proxy"
"""Folders of the two runs."""

_LEAST = 8  # networks, below which nothing can be said of ranks
_POINTS = 0.5
_EPOCHS = {"random": 40.0, "backbone": 3.0}
_KINDS = {"random": "scratch", "backbone": "finetune"}
_RATE = 0.1  # of full training, for a batch of 128; a finetune is given less

Floats = NDArray[np.float64]


def calibrate(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None = None,
    data: str = "digits",
    out: str | Path = "runs/calibration",
    *,
    networks: int = 30,
    seeds: int = 3,
    full_epochs: float | None = None,
    full_weights: Literal["random", "backbone"] = "random",
    scores: bool = True,
    supernets: Sequence[str | Path] = (),
    observer: Observer | None = None,
) -> Calibration:
    """Train a sample of a space by the runner's proxy and fully, and say how far they agree.

    The sample holds the hand-placed networks, and random ones spread evenly over the number of
    blocks and their kinds. full_weights, full_epochs: full training is from `random` weights, with
    blocks as their papers start them, for 40 epochs unless told otherwise; or of all weights of the
    trained `backbone`, with blocks that change nothing at first, for 3 (as `retrain.weights`).
    scores: compare the zero-cost scores as well; supernets: and folders of `nas supernet` that hold
    the networks of this space.
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
    _refuse_taken(out)
    opened = [SupernetFolder.open(folder) for folder in supernets]
    for name, proxy in ((FULL, _full_proxy(runner, full_epochs, full_weights)), (PROXY, {})):
        _carried_out(out / name, space, _sampled(runner, networks, seeds, proxy), data, observer)
    full, proxied = open_run(out / FULL), open_run(out / PROXY)
    found = compare(full, proxied, seeds=runner.proxy.seeds)
    both = _PairedScores.of(full, proxied)
    if observer:
        observer.stage("scoring without training")
    given = score_all(
        full.dataset(),
        both.architectures,
        out / "scores.json",
        names=SCORES if scores else (),
        supernets=opened,
        progress=observer.step if observer else lambda done, of: None,
    )
    found = found.model_copy(
        update={
            "scores": [
                _scored(name, values, both, found.full_seconds) for name, values in given.items()
            ]
        }
    )
    found.write(out / FILE)
    kinds = groups(both.architectures, by_number=False)
    draw_calibration(both.accuracy, both.rungs[-1], kinds, found, out / "calibration.png")
    return found


def _refuse_taken(out: Path) -> None:
    """Raises SpecError for a folder with anything but a calibration in it."""
    if out.exists() and not out.is_dir():
        raise SpecError(f"{out} is a file; name a new folder for --out")
    begun = any((out / name).exists() for name in (FULL, PROXY))
    if out.exists() and not begun and any(not p.name.startswith(".") for p in out.iterdir()):
        raise SpecError(f"{out} exists and holds no calibration; name a new folder for --out")


def _full_proxy(runner: Runner, epochs: float | None, weights: str) -> dict[str, Any]:
    return {
        "kind": _KINDS[weights],
        "rungs": [epochs or _EPOCHS[weights]],
        "unit": "epochs",
        "schedule": "whole",
        "learning_rate": scale_rate(_RATE, runner.proxy.batch_size)
        if weights == "backbone"
        else None,
        "subset": None,
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
    asked = RunFile(**runner.model_dump(), data=resolve_source(data)).model_dump()
    if runner.checkpoints is not None:  # a run has a folder of its own there
        asked["checkpoints"] = known["checkpoints"]
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
    both = _PairedScores.of(full, proxy)
    truth = both.accuracy
    found = [
        _trust(proxy, number, quality, both, seeds) for number, quality in enumerate(both.rungs)
    ]
    costs = _seconds(full), _seconds(proxy)
    budgets = np.array(proxy.file.proxy.budgets)
    shares = costs[1] / costs[0] * budgets / budgets[-1]
    agreed = agreement(both.rungs[-1], truth)
    resolved = resolution(both.rungs[-1], truth, difference=_POINTS)
    return Calibration(
        space=proxy.space.name,
        data=proxy.file.data_name,
        networks=len(truth),
        seeds=truth.shape[1],
        full=_described(full),
        full_seconds=costs[0],
        accuracy=float(np.nanmean(truth)),
        spread=float(np.nanmean(truth, axis=1).std(ddof=1)),
        seed_noise=paired_noise(truth),
        ceiling=agreed.ceiling,
        best_ceiling=agreed.best_ceiling,
        loss_ceiling=agreement(both.rungs[-1], both.loss).ceiling,
        full_seeds_needed=resolved.seeds_full,
        proxies=[
            item.model_copy(update={"cost": float(share)})
            for item, share in zip(found, shares, strict=True)
        ],
    )


def _trust(run: Run, rung: int, quality: Floats, both: _PairedScores, seeds: int) -> Trust:
    resolved = resolution(quality, both.accuracy, difference=_POINTS, seeds=seeds)
    proxy = run.file.proxy
    return Trust(
        name=proxy.kind,
        budget=f"{proxy.budgets[rung]:g} {proxy.unit}",
        cost=0.0,
        seeds=seeds,
        **_agreed(quality, both, seeds),
        bias={
            name: _estimate(item.error)
            for name, item in bias(quality, both.accuracy, groups(both.architectures)).items()
        },
        apart=resolved.apart if np.isfinite(resolved.apart) else None,
        seeds_needed=resolved.seeds_proxy,
    )


def _scored(name: str, given: Scores, both: _PairedScores, full_seconds: float) -> Trust:
    known = np.isfinite(given.values)
    quality, both = given.values[known, None], both.only(known)
    if len(quality) < _LEAST:
        unknown = Estimate(value=None, low=None, high=None)
        return Trust(
            name=name,
            budget="",
            cost=given.seconds / full_seconds,
            seeds=1,
            spearman=unknown,
            kendall=unknown,
            best_kendall=unknown,
        )
    resolved = resolution(quality, both.accuracy, difference=_POINTS)
    return Trust(
        name=name,
        budget="",
        cost=given.seconds / full_seconds,
        seeds=1,
        **_agreed(quality, both, 1),
        apart=resolved.apart if np.isfinite(resolved.apart) else None,
    )


def _agreed(quality: Floats, both: _PairedScores, seeds: int) -> dict[str, Any]:
    found = agreement(quality, both.accuracy, seeds=seeds)
    return {
        "spearman": _estimate(found.spearman),
        "kendall": _estimate(found.kendall),
        "best_kendall": _estimate(found.best_kendall),
        "loss_spearman": _estimate(agreement(quality, both.loss, seeds=seeds).spearman),
    }


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


@dataclass(frozen=True)
class _PairedScores:
    """The n networks that two runs have trained, higher being better throughout.

    accuracy, loss: of full training, (n, s), in points and negated; rungs: of the proxy, its loss
    negated at each, (n, s). A column is a seed, equal for all networks; NaN where one training
    has failed.
    """

    accuracy: Floats
    loss: Floats
    rungs: list[Floats]
    architectures: list[Architecture]

    @classmethod
    def of(cls, full: Run, proxy: Run) -> _PairedScores:
        """Raises SpecError when they are too few."""
        truths, stood_in = _by_network(full.trials()), _by_network(proxy.trials())
        seeds = full.file.proxy.seeds
        names = [
            digest
            for digest in truths
            if min(len(truths[digest][1]), len(stood_in.get(digest, ("", {}))[1])) >= seeds
        ]
        if len(names) < _LEAST:
            raise SpecError(
                f"only {len(names)} networks were trained fully and by the proxy; {_LEAST} are "
                "needed"
            )
        fully = _table([truths[digest][1] for digest in names], seeds)[:, :, -1]
        cheaply = _table([stood_in[digest][1] for digest in names], seeds)
        return cls(
            accuracy=fully[:, :, 1] * 100,
            loss=-fully[:, :, 0],
            rungs=[-cheaply[:, :, rung, 0] for rung in range(cheaply.shape[2])],
            architectures=[Architecture.from_json(truths[digest][0]) for digest in names],
        )

    def only(self, rows: NDArray[np.bool_]) -> _PairedScores:
        return _PairedScores(
            self.accuracy[rows],
            self.loss[rows],
            [quality[rows] for quality in self.rungs],
            [item for item, wanted in zip(self.architectures, rows, strict=True) if wanted],
        )


def _by_network(trials: Trials) -> dict[str, tuple[str, dict[int, list[tuple[float, float]]]]]:
    """By digest: the architecture, and by the number of the seed (loss, accuracy) at every rung."""
    found: dict[str, tuple[str, dict[int, list[tuple[float, float]]]]] = {}
    for row in np.flatnonzero(trials.complete):
        record = trials.record(int(row))
        assert record.loss is not None and record.accuracy is not None, record
        below = [(rung.loss, rung.accuracy) for rung in record.rungs]
        _, seeds = found.setdefault(record.digest, (record.architecture, {}))
        seeds[record.repeat] = [*below, (record.loss, record.accuracy)]
    return found


def _table(networks: list[dict[int, list[tuple[float, float]]]], seeds: int) -> Floats:
    """(n, seeds, rungs, 2); NaN where a seed has failed: what came in its place is another one."""
    rungs = max(len(found) for network in networks for found in network.values())
    missing = [(np.nan, np.nan)] * rungs
    return np.array(
        [[network.get(seed, missing) for seed in range(seeds)] for network in networks],
        dtype=np.float64,
    )


def _seconds(run: Run) -> float:
    trials = run.trials()
    trained = trials.complete & (trials["trained"] == 1)
    used = trained if trained.any() else trials.complete  # by shared weights none is
    return float(np.mean(trials["train_seconds"][used]))


def _described(run: Run) -> str:
    proxy = run.file.proxy
    how = "from the backbone" if proxy.kind == "finetune" else proxy.kind
    return f"{how}, {proxy.budgets[-1]:g} {proxy.unit}"


def _estimate(interval: Interval) -> Estimate:
    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return Estimate(value=known(interval.value), low=known(interval.low), high=known(interval.high))
