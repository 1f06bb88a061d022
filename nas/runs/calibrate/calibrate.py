"""Calibrating a proxy: the same random networks by the proxy and by full training, then compared.

Both are ordinary runs with the same seed, so they draw the same networks, resume like any other,
and their fronts can be read; a search can go on from the one of the proxy. Its trainings are judged
by all validation images, as that search will; but what is said of their agreement is by halves of
the images, of which none judges both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.execution.observer import Observer, SilentObserver
from nas.models.candidates import given_space
from nas.runs.calibrate.agreement import Interval, bias, paired_noise
from nas.runs.calibrate.judged import judge_by_groups
from nas.runs.calibrate.judging_images import Compared
from nas.runs.calibrate.network_sample import FULL, LEAST_NETWORKS, PROXY, Sample
from nas.runs.calibrate.plot import draw_calibration
from nas.runs.calibrate.scores import SCORES, Scores, score_all
from nas.runs.calibrate.sides import Sides
from nas.runs.check_network import CLASSES
from nas.runs.reading import settle_task
from nas.runs.run import Run, RunState
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.runner import Runner, given_runner
from nas.spec.space import SearchSpace
from nas.study.calibration import FILE, Calibration, Estimate, Trust
from nas.study.trials import Trials
from nas.training.supernet.folder import SupernetFolder

__all__ = ["calibrate", "compare", "groups"]

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
    full_epochs: float | None = None,
    full_weights: Literal["random", "backbone"] | None = None,
    scores: bool = True,
    supernets: Sequence[str | Path] = (),
    observer: Observer | None = None,
) -> Calibration:
    """Train a sample of a space by the runner's proxy and fully, and say how far they agree.

    The sample holds the hand-placed networks, and random ones spread evenly over the number of
    blocks and their kinds. A calibration that was interrupted goes on. Writes calibration.json and
    calibration.png.

    space, runner, data: as `nas.search` takes them.
    out: the folder of the calibration.
    networks: how many are trained.
    seeds: how often each is trained, by the proxy and fully.
    full_epochs: of full training; None: 40 from random weights, 3 from the backbone's.
    full_weights: full training is from `random` weights, with blocks as `proxy.start` says; or of
        all weights of the trained `backbone`, with blocks that change nothing at first (as
        `retrain.weights`). None: `backbone` where the runner names trained weights, else `random`.
    scores: compare the zero-cost scores as well, where there are any: of classification.
    supernets: folders of `nas supernet` that hold the networks of this space, compared as well.
    observer: hears what happens; None: nobody does.

    Raises SpecError, also when `out` holds another calibration.
    """
    out = Path(out)
    space, runner = given_space(space), given_runner(runner)
    observer = observer or SilentObserver()
    sample = Sample.of(runner, networks, seeds, full_epochs, full_weights)
    sample.check(space, settle_task(runner, data).task_on(CLASSES), out)
    folders = [SupernetFolder.open(folder) for folder in supernets]
    full_run, proxy_run = sample.train(space, runner, data, out, observer)
    full, proxy = full_run.read(), proxy_run.read()
    both = _judge_apart(_PairedScores.of(full, proxy), full, proxy, out, observer)
    calibration = _compare(full, proxy, both, seeds=runner.proxy.seeds)
    if scores and not full.task.is_classification:
        observer.stage("zero-cost scores are of classification alone: none is compared")
    observer.stage("scoring without training")
    scored = score_all(
        full.images.open(),
        both.architectures,
        out / "scores.json",
        names=SCORES if scores and full.task.is_classification else (),
        supernets=folders,
        progress=observer.step,
    )
    trusts = [
        _trust_score(name, values, both, calibration.full_seconds)
        for name, values in scored.items()
    ]
    calibration = calibration.model_copy(update={"scores": trusts})
    calibration.write(out / FILE)
    kinds = groups(both.architectures, by_number=False)
    draw_calibration(both.accuracy, both.rungs[-1], kinds, calibration, out / "calibration.png")
    return calibration


def compare(full: Run, proxy: Run, *, seeds: int = 1) -> Calibration:
    """Tell how well a run of a proxy orders what a run of full training has trained, by accuracy.

    By figures alone, which the same images gave both: that makes the proxy look better than it is.
    seeds: that the search will train candidates with.
    Raises SpecError when too few networks are in both.
    """
    states = full.read(), proxy.read()
    return _compare(*states, _PairedScores.of(*states), seeds=seeds)


def _judge_apart(
    both: _PairedScores, full: RunState, proxy: RunState, out: Path, observer: Observer
) -> _PairedScores:
    """Add what the networks are worth by groups of images, where their weights are still there."""
    observer.stage("judging the trained networks by groups of images")
    data = full.images.open()
    seeds = both.accuracy.shape[1]
    digests = [architecture.digest for architecture in both.architectures]
    sides = []
    for name, state in ((FULL, full), (PROXY, proxy)):
        keep = out / f"judged-{name}.json"
        side = judge_by_groups(state, data, digests, seeds, keep, progress=observer.step)
        if side is None:
            observer.stage(f"weights of {state.run.path} are gone: the same images judge both")
            return both
        sides.append(side)
    fully, cheaply = sides
    by_groups = _ByGroups(100 * fully[..., 1], -fully[..., 0], -cheaply[..., 0])
    return replace(both, by_groups=by_groups)


def _compare(full: RunState, proxy: RunState, both: _PairedScores, *, seeds: int) -> Calibration:
    run, truth = proxy.run, both.accuracy
    trusts = [_trust(run, number, both, seeds) for number in range(len(both.rungs))]
    costs = _seconds(full.trials), _seconds(proxy.trials)
    budgets = np.array(run.file.proxy.budgets)
    shares = costs[1] / costs[0] * budgets / budgets[-1]
    sides = both.sides(len(both.rungs) - 1)
    agreed, by_loss = (side.agreement() for side in sides)
    by_groups = sides[0].by_groups
    return Calibration(
        space=run.space.name,
        data=run.file.data_name,
        figure=run.file.figure.title,
        networks=len(truth),
        seeds=truth.shape[1],
        full=_describe(full.run),
        full_seconds=costs[0],
        accuracy=float(np.nanmean(truth)),
        spread=float(np.nanmean(truth, axis=1).std(ddof=1)),
        seed_noise=paired_noise(truth),
        ceiling=agreed.ceiling,
        ceiling_interval=_estimate(agreed.ceiling_interval),
        best_ceiling=agreed.best_ceiling,
        best_ceiling_interval=_estimate(agreed.best_ceiling_interval),
        loss_ceiling=by_loss.ceiling,
        loss_ceiling_interval=_estimate(by_loss.ceiling_interval),
        judging="same images" if by_groups is None else "other images",
        image_noise=None if by_groups is None else by_groups.noise[1],
        full_seeds_needed=sides[0].resolution(_POINTS).seeds_full,
        proxies=[
            trust.model_copy(update={"cost": float(share)})
            for trust, share in zip(trusts, shares, strict=True)
        ],
    )


def _trust(run: Run, rung: int, both: _PairedScores, seeds: int) -> Trust:
    proxy, sides = run.file.proxy, both.sides(rung)
    resolved = sides[0].resolution(_POINTS, seeds)
    return Trust(
        name=proxy.kind,
        budget=f"{proxy.budgets[rung]:g} {proxy.unit}",
        cost=0.0,
        seeds=seeds,
        **_agreement_fields(sides, seeds),
        bias={
            name: _estimate(item.error)
            for name, item in bias(
                both.rungs[rung], both.accuracy, groups(both.architectures)
            ).items()
        },
        apart=resolved.apart if np.isfinite(resolved.apart) else None,
        seeds_needed=resolved.seeds_proxy,
    )


def _trust_score(name: str, scores: Scores, both: _PairedScores, full_seconds: float) -> Trust:
    known = np.isfinite(scores.values)
    if known.sum() < LEAST_NETWORKS:
        unknown = Estimate(value=None, low=None, high=None)
        return Trust(
            name=name,
            budget="",
            cost=scores.seconds / full_seconds,
            seeds=1,
            spearman=unknown,
            kendall=unknown,
            best_kendall=unknown,
        )
    sides = both.only(known).sides_of_scores(scores.only(known))
    resolved = sides[0].resolution(_POINTS)
    return Trust(
        name=name,
        budget="",
        cost=scores.seconds / full_seconds,
        seeds=1,
        **_agreement_fields(sides, 1),
        apart=resolved.apart if np.isfinite(resolved.apart) else None,
    )


def _agreement_fields(sides: tuple[Sides, Sides], seeds: int) -> dict[str, Any]:
    agreed, by_loss = (side.agreement(seeds) for side in sides)
    return {
        "spearman": _estimate(agreed.spearman),
        "kendall": _estimate(agreed.kendall),
        "best_kendall": _estimate(agreed.best_kendall),
        "loss_spearman": _estimate(by_loss.spearman),
    }


def groups(architectures: list[Architecture], *, by_number: bool = True) -> dict[str, Floats]:
    """Return how much of each network, (n,), belongs to a kind of block.

    by_number: or to a range of their number.
    """
    kinds = sorted({item.block for network in architectures for item in network.blocks})
    shares = {
        kind: np.array(
            [
                np.mean([item.block == kind for item in network.blocks]) if network.blocks else 0.0
                for network in architectures
            ]
        )
        for kind in kinds
    }
    count = np.array([len(network.blocks) for network in architectures])
    shares[PLAIN] = (count == 0).astype(np.float64)
    if not by_number:
        return {name: share for name, share in shares.items() if share.sum() > 0}
    some = count[count > 0]
    low, high = np.quantile(some, [1 / 3, 2 / 3]) if len(some) else (0, 0)
    shares["few blocks"] = ((count > 0) & (count <= low)).astype(np.float64)
    shares["many blocks"] = ((count > low) & (count >= high)).astype(np.float64)
    return {name: share for name, share in shares.items() if share.sum() > 0}


@dataclass(frozen=True, slots=True)
class _ByGroups:
    """The same figures by k groups of validation images, higher being better throughout.

    accuracy, loss: of full training, (n, s, k). proxy: its loss at the top rung, (n, t, k).
    """

    accuracy: Floats
    loss: Floats
    proxy: Floats

    def compared(self, proxy: Floats) -> tuple[Compared, Compared]:
        """Put a proxy beside accuracy and loss; (n, t, k)."""
        return Compared(proxy, self.accuracy), Compared(proxy, self.loss)

    def only(self, rows: NDArray[np.bool_]) -> _ByGroups:
        return _ByGroups(self.accuracy[rows], self.loss[rows], self.proxy[rows])


@dataclass(frozen=True, slots=True)
class _PairedScores:
    """The n networks that two runs have trained, higher being better throughout.

    A column is a seed, equal for all networks; NaN where one training has failed.
    accuracy: of full training, (n, s), in points.
    loss: of full training, (n, s), negated.
    rungs: of the proxy, its loss at each, (n, s), negated.
    architectures: the n networks.
    by_groups: what the top rung and full training are by groups of images; None: not known.
    """

    accuracy: Floats
    loss: Floats
    rungs: list[Floats]
    architectures: list[Architecture]
    by_groups: _ByGroups | None = None

    def sides(self, rung: int) -> tuple[Sides, Sides]:
        """Put the proxy at a rung beside full training, by accuracy and by loss."""
        groups = self.by_groups
        by_groups = (None, None) if groups is None else groups.compared(groups.proxy)
        # Weights below the top are not kept, so that no group can be judged there.
        own = rung == len(self.rungs) - 1
        return (
            Sides(self.rungs[rung], self.accuracy, by_groups[0], own),
            Sides(self.rungs[rung], self.loss, by_groups[1], own),
        )

    def sides_of_scores(self, scores: Scores) -> tuple[Sides, Sides]:
        """Put scores beside full training, by accuracy and by loss."""
        by_groups: tuple[Compared | None, Compared | None] = (None, None)
        if self.by_groups is not None and scores.by_groups is not None:
            by_groups = self.by_groups.compared(scores.by_groups[:, None, :])
        quality = scores.values[:, None]
        return (
            Sides(quality, self.accuracy, by_groups[0]),
            Sides(quality, self.loss, by_groups[1]),
        )

    @classmethod
    def of(cls, full: RunState, proxy: RunState) -> _PairedScores:
        """Pair two runs. Raises SpecError when too few networks are in both."""
        truths, stood_in = _by_network(full.trials), _by_network(proxy.trials)
        seeds = full.run.file.proxy.seeds
        names = [
            digest
            for digest in truths
            if min(len(truths[digest][1]), len(stood_in.get(digest, ("", {}))[1])) >= seeds
        ]
        if len(names) < LEAST_NETWORKS:
            raise SpecError(
                f"only {len(names)} networks were trained fully and by the proxy; "
                f"{LEAST_NETWORKS} are needed"
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
            None if self.by_groups is None else self.by_groups.only(rows),
        )


def _by_network(trials: Trials) -> dict[str, tuple[str, dict[int, list[tuple[float, float]]]]]:
    """Return, by digest, the architecture and its seeds: number -> (loss, accuracy) by rung."""
    networks: dict[str, tuple[str, dict[int, list[tuple[float, float]]]]] = {}
    for row in np.flatnonzero(trials.complete):
        record = trials.record(int(row))
        assert record.loss is not None and record.accuracy is not None, record
        below = [(rung.loss, rung.accuracy) for rung in record.rungs]
        _, seeds = networks.setdefault(record.digest, (record.architecture, {}))
        seeds[record.repeat] = [*below, (record.loss, record.accuracy)]
    return networks


def _table(networks: list[dict[int, list[tuple[float, float]]]], seeds: int) -> Floats:
    """Return (n, seeds, rungs, 2): loss and accuracy.

    NaN where a seed has failed: what came in its place is another one.
    """
    rungs = max(len(scores) for network in networks for scores in network.values())
    missing = [(np.nan, np.nan)] * rungs
    return np.array(
        [[network.get(seed, missing) for seed in range(seeds)] for network in networks],
        dtype=np.float64,
    )


def _seconds(trials: Trials) -> float:
    """Return what one training takes, on average."""
    trained = trials.complete & (trials["trained"] == 1)
    used = trained if trained.any() else trials.complete  # by shared weights none is
    return float(np.mean(trials["train_seconds"][used]))


def _describe(run: Run) -> str:
    proxy = run.file.proxy
    how = "from the backbone" if proxy.kind == "finetune" else proxy.kind
    return f"{how}, {proxy.budgets[-1]:g} {proxy.unit}"


def _estimate(interval: Interval) -> Estimate:
    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return Estimate(value=known(interval.value), low=known(interval.low), high=known(interval.high))
