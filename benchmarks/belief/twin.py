"""The belief's Gaussian model beside the same model in GPyTorch, fitted by BoTorch.

    python -m benchmarks.belief.twin [--rows 60 300] [--starts 4]

Needs `pip install botorch`, which brings GPyTorch; it is no part of the project's own packages.

The twin is written from the formulas of `nas/belief/kernel.py` and `relation.py`, pair by pair of
rows, on GPyTorch's exact model in double precision; full training is just one more row of it, on
the curve at its end, without noise. Evidence is of three budgets, some rows of one training, some
of shared seeds, and a probe.

Printed: the largest differences of posterior mean and standard deviation at 200 networks, in units
of the model, and of the log marginal likelihood, with the same hyperparameters: the priors' means,
four draws from the priors, our optimum, and the average over draws of the relation that `Belief`
takes. Then the log posterior that the two fits reach, ours in at most 60 steps within 4 prior
deviations, the twin's until it converges: from the same start, and from draws of the priors. Ends
with 1 where the two are not the same model.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from benchmarks.belief.gpytorch_twin import Twin, exactly
from benchmarks.belief.speed import FULL, LABELS, SITES, space
from benchmarks.shared.report import print_machine, print_table
from nas.belief.evidence import Evidence
from nas.belief.gaussian import Gaussian, Hyperparameters, _Evidence, fit_hyperparameters
from nas.belief.grid import Codes, Floats
from nas.belief.kernel import KernelShape
from nas.belief.points import Points, PointSpace
from nas.belief.ranks import rank_correlation
from nas.belief.relation import Relation

JUDGED, DRAWS = 200, 4
SAME = 1e-6  # that far apart two ways to compute one model may be


def evidence(count: int, at: PointSpace, rng: np.random.Generator) -> Evidence:
    """Return rows of trainings that are read at one to three budgets, and of probes."""
    rows: list[tuple[Codes, str, float, int, int, float]] = []
    worth = rng.normal(0, 0.02, (SITES, len(LABELS)))
    training = 0
    while len(rows) < count:
        code = at.grid.random(1, rng)[0] * (rng.random(SITES) < rng.random())
        gain = float(worth[np.arange(SITES), code].sum())
        seed = int(rng.integers(0, 4)) if rng.random() < 0.5 else 100 + training
        own = 0.02 * rng.standard_normal()
        for budget in range(int(rng.integers(0, 3)), 3):
            slower = 0.05 * (code > 0).mean() * np.exp(-budget)
            noise = own + 0.02 * rng.standard_normal()
            loss = 1.0 - 0.1 * budget - gain + slower + noise
            name = "full" if budget == 2 else "start"
            rows.append((code, name, FULL / 4.0 ** (2 - budget), seed, training, loss))
        training += 1
        if rng.random() < 0.4:
            loss = 0.5 - 0.5 * gain + 0.03 * rng.standard_normal()
            rows.append((code, "probe", FULL / 10, seed, training, loss))
            training += 1
    codes, source, images, seeds, trainings, loss = zip(*rows[:count], strict=True)
    return Evidence(
        np.array(codes),
        list(source),
        np.array(images),
        np.array(seeds),
        np.array(trainings),
        np.array(loss),
        np.full(count, np.nan),
    )


@dataclass(frozen=True, eq=False)
class Ours:
    """The belief's model of some rows, before it has hyperparameters."""

    space: PointSpace
    shape: KernelShape
    points: Points
    relation: Relation
    values: Floats
    plain: Points

    @classmethod
    def of(cls, at: PointSpace, rows: Evidence) -> Ours:
        assert at.reference is not None
        points, relation = at.points(rows.codes), rows.relation(FULL)
        shape = KernelShape(at.grid, points.features.shape[1], at.groups)
        values = rows.values(rows.unit(FULL))
        return cls(at, shape, points, relation, values, at.points(at.reference[None]))

    @property
    def evidence(self) -> _Evidence:
        return _Evidence(self.shape, self.points, self.relation, self.values, self.plain)

    def log_posterior(self, theta: Floats) -> tuple[float, float]:
        """Return the log marginal likelihood, and with the priors of hyperparameters."""
        means, spreads = self.evidence.prior()
        cost, _ = self.evidence.cost_and_gradient(theta)
        usual = (theta - means) / spreads
        usual_cost = 0.5 * float(usual @ usual)
        likely = usual_cost - cost - 0.5 * len(self.values) * np.log(2 * np.pi)
        constants = np.log(spreads).sum() + 0.5 * len(spreads) * np.log(2 * np.pi)
        return likely, likely - usual_cost - float(constants)

    def predict(self, theta: Floats, points: Points) -> tuple[Floats, Floats]:
        size = self.shape.size
        found = Hyperparameters(
            self.shape.kernel(theta[:size], self.plain), theta[None, size:], np.ones(1)
        )
        return Gaussian(found, self.points, self.relation, self.values).predict(points)

    def optimum(self) -> Floats:
        """Return the hyperparameters that the belief takes before it draws about them."""
        found = fit_hyperparameters(
            self.space, self.points, self.relation, self.values, draws=False
        )
        return np.append(self._logarithms(found), found.relation[0])

    def averaged(self, points: Points) -> tuple[Hyperparameters, tuple[Floats, Floats]]:
        """Return the draws that the belief averages over, and what it then says."""
        found = fit_hyperparameters(self.space, self.points, self.relation, self.values)
        model = Gaussian(found, self.points, self.relation, self.values)
        return found, model.predict(points)

    def with_kernel(self, found: Hyperparameters) -> Floats:
        """Return hyperparameters (k, h) for each draw of the relation."""
        kernel = np.tile(self._logarithms(found), (len(found.relation), 1))
        return np.concatenate([kernel, found.relation], axis=1)

    def _logarithms(self, found: Hyperparameters) -> Floats:
        """Return a kernel's hyperparameters (k,), which it holds as the matrices they make."""
        kernel, grid = found.kernel, self.shape.grid
        weight = kernel.own[grid.first, grid.first]
        same = grid.owner[:, None] == grid.owner
        distances = -np.log(kernel.own[same] / weight[grid.owner[np.nonzero(same)[0]]])
        apart = grid.differences[:, same]
        difference = np.linalg.lstsq(apart.T, distances, rcond=None)[0]
        most = np.array(
            [distances[grid.owner[np.nonzero(same)[0]] == j].max() for j in range(SITES)]
        )
        reached = np.array([kernel.distance[grid.owner == j].max() for j in range(SITES)])
        of_group = [int(np.flatnonzero(self.shape.groups == g)[0]) for g in range(self._groups)]
        joined = [
            weight,
            reached / most,
            difference,
            [kernel.joint],
            kernel.lengths,
            [kernel.feature],
            kernel.terms[of_group],
        ]
        return np.asarray(np.log(np.concatenate(joined)))

    @property
    def _groups(self) -> int:
        return int(self.shape.groups.max()) + 1


def print_same(ours: Ours, twin: Twin, judged: Points, optimum: Floats) -> float:
    """Print how far the two are apart at equal hyperparameters; return the most, of predictions."""
    means, spreads = ours.evidence.prior()
    rng = np.random.default_rng(1)
    tried = {"priors' means": means}
    for number in range(DRAWS):
        tried[f"draw {number} of the priors"] = means + spreads * rng.standard_normal(len(means))
    tried["our optimum"] = optimum
    cells, most = [], 0.0
    for name, theta in tried.items():
        twin.put(theta)
        mine, theirs = ours.predict(theta, judged), twin.predict(judged)
        most = max(most, *_most(mine, theirs))
        likely, other = ours.log_posterior(theta)[0], twin.log_posterior()[0]
        cells.append([name, *_apart(mine, theirs), f"{likely:.3f}", f"{abs(likely - other):.0e}"])
    found, mine = ours.averaged(judged)
    parts = []
    for theta in ours.with_kernel(found):
        twin.put(theta)
        parts.append(twin.predict(judged))
    each_mean, each_deviation = (np.array(part) for part in zip(*parts, strict=True))
    mean = found.weights @ each_mean
    # The law of total variance, over draws of the relation.
    variance = found.weights @ (each_deviation**2 + (each_mean - mean) ** 2)
    theirs = mean, np.sqrt(variance)
    most = max(most, *_most(mine, theirs))
    cells.append([f"average over {len(found.weights)} draws", *_apart(mine, theirs), "", ""])
    print_table(
        ["hyperparameters", "mean", "its spread", "deviation", "log likelihood", "apart"], cells
    )
    return most


def _most(mine: tuple[Floats, Floats], theirs: tuple[Floats, Floats]) -> tuple[float, float]:
    """Return how far means, and deviations, lie apart at most."""
    mean, deviation = (float(np.abs(a - b).max()) for a, b in zip(mine, theirs, strict=True))
    return mean, deviation


def _apart(mine: tuple[Floats, Floats], theirs: tuple[Floats, Floats]) -> list[str]:
    """Return how far means and deviations lie apart, and how far means vary."""
    mean, deviation = _most(mine, theirs)
    return [f"{mean:.0e}", f"{np.std(mine[0]):.2f}", f"{deviation:.0e}"]


def print_fits(ours: Ours, twin: Twin, judged: Points, optimum: Floats, starts: int) -> None:
    means, spreads = ours.evidence.prior()
    begun = time.thread_time()
    ours.optimum()
    cells = [
        [
            "ours",
            f"{ours.log_posterior(optimum)[1]:.2f}",
            f"{ours.log_posterior(optimum)[0]:.2f}",
            "",
            "",
            f"{time.thread_time() - begun:.1f}",
        ]
    ]
    mean, deviation = ours.predict(optimum, judged)
    rng = np.random.default_rng(2)
    for number in range(starts + 1):
        start = means + (spreads * rng.standard_normal(len(means)) if number else 0.0)
        begun = time.thread_time()
        try:
            reached, theta = twin.fit(start)
        except Exception as error:  # noqa: BLE001
            # A start that no line search leads away from is a result of the twin, too.
            cells.append([f"twin, start {number}", f"failed: {type(error).__name__}", *[""] * 4])
            continue
        seconds = time.thread_time() - begun
        twin.put(theta)
        other, _ = twin.predict(judged)
        cells.append(
            [
                "twin, the same start" if not number else f"twin, start {number}",
                f"{reached:.2f}",
                f"{twin.log_posterior()[0]:.2f}",
                f"{np.sqrt(np.mean(((mean - other) / deviation) ** 2)):.2f}",
                f"{rank_correlation(mean, other):.3f}",
                f"{seconds:.1f}",
            ]
        )
    print_table(
        [
            "fit",
            "log posterior",
            "log likelihood",
            "means apart, in deviations",
            "rank correlation",
            "CPU s",
        ],
        cells,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[60, 300])
    parser.add_argument("--starts", type=int, default=4)
    arguments = parser.parse_args()
    print_machine("botorch", "gpytorch", "torch", "numpy")
    torch.set_num_threads(1)
    at, rng = space(), np.random.default_rng(0)
    with ThreadpoolController().limit(limits=1), warnings.catch_warnings(), exactly():
        warnings.simplefilter("ignore")
        for count in arguments.rows:
            ours = Ours.of(at, evidence(count, at, rng))
            judged = at.points(at.grid.random(JUDGED, rng))
            twin = Twin(ours.shape, ours.points, ours.relation, ours.values, ours.plain)
            optimum = ours.optimum()
            print(f"\n{count} rows, {len(optimum)} hyperparameters\n")
            most = print_same(ours, twin, judged, optimum)
            print()
            print_fits(ours, twin, judged, optimum, arguments.starts)
            if most > SAME:
                parser.exit(1, f"the two are {most:.1e} apart, more than {SAME:.0e}\n")


if __name__ == "__main__":
    main()
