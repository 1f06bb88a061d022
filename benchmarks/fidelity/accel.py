"""What placement of squeeze-excite is worth on ImageNet, and how soon a belief sees it: L3.

    python -m benchmarks.fidelity.accel told TABLE
    python -m benchmarks.fidelity.accel stages TABLE
    python -m benchmarks.fidelity.accel belief TABLE [--landscape space|placement] [--fits 10]

TABLE: `accel_nasbench.csv` (or .csv.xz) of Accel-NASBench, Apache-2.0: 5,138 networks of the
MnasNet space, trained on ImageNet, each stage with or without squeeze-excite. Nothing is trained
here.

told: what of the accuracy log multiply-adds and the number of stages with squeeze-excite tell, what
    it adds to know which stages, and what two trainings of the same network agree in. Each tenth of
    the networks is predicted from the other nine; intervals are over the networks so judged.
stages: what squeeze-excite brings in each stage, at equal backbones, and what it costs.
belief: how well the belief from 30, 60 and 120 networks ranks networks that it has not seen, beside
    a ridge on log multiply-adds and counts. Overall, and placement (given counts of stages and of
    blocks, and log multiply-adds) are those of RULES.md. Intervals hold the luck of the trainings.
    space: everything varies, the backbone most, so that placement is mostly of its settings. It is
        judged once more given those, by sums: what is left is where squeeze-excite is, and how
        settings interact.
    placement: squeeze-excite alone. The plain network of each backbone is predicted by trees that
        were fitted to the networks without any; what a network is above it is its gain, with the
        error of that prediction as noise.
    Noise is added to the trainings of the belief, not to what judges: none, or as much as accuracy
    varies at equal multiply-adds (space), or as gains vary at all (placement). The last rows are
    models of all other networks: what could be known.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from threadpoolctl import ThreadpoolController

from benchmarks.fidelity.accel_networks import (
    STAGES,
    Floats,
    Networks,
    Whole,
    by_sums,
    by_trees,
    read_networks,
    told,
)
from benchmarks.fidelity.judgement import Figure, bootstrap, ceiling, judge_fits
from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import NasError
from nas.belief.belief import Belief
from nas.belief.evidence import Evidence
from nas.belief.grid import Grid
from nas.belief.points import PointSpace
from nas.belief.terms import Place, SharedTerms

SIZES = (30, 60, 120)
UNSEEN = 1000
FULL = 1.0  # images of a full training: all rows are of one, so that any number will do
ALPHAS = np.logspace(-3, 3, 13)


# What tells the accuracy.


def print_told(networks: Networks) -> None:
    accuracy = networks.accuracy
    macs, counts, placed = networks.log_macs[:, None], networks.counts, networks.placed
    rows: dict[str, Floats] = {
        "log multiply-adds": told(macs, accuracy, by_sums()),
        "+ stages with squeeze-excite": told(_beside(macs, counts[:, :1]), accuracy, by_sums()),
        "+ blocks with squeeze-excite": told(_beside(macs, counts), accuracy, by_sums()),
        "+ which stages": told(_beside(macs, counts, placed), accuracy, by_sums()),
    }
    settings = _beside(macs, networks.stages)
    rows |= {
        "backbone, by sums": told(settings, accuracy, by_sums()),
        "+ stages and blocks": told(_beside(settings, counts), accuracy, by_sums()),
        "+ which stages, too": told(_beside(settings, counts, placed), accuracy, by_sums()),
    }
    settings = _beside(macs, networks.settings)
    rows |= {
        "backbone, by trees": told(settings, accuracy, by_trees()),
        "+ stages and blocks, by trees": told(_beside(settings, counts), accuracy, by_trees()),
        "+ which stages, by trees": told(_beside(settings, counts, placed), accuracy, by_trees()),
    }
    print("\nWhat is told of the accuracy of networks that were not fitted to (R2):\n")
    cells, before = [], None
    for name, predicted in rows.items():
        added = _added(accuracy, predicted, None if not name.startswith("+") else before)
        left = float(np.std(accuracy - predicted))
        whole = _added(accuracy, predicted, None)
        of_rest = "" if before is None else _percent(accuracy, predicted, before)
        cells.append(
            [name, _small(whole), *([_small(added), of_rest] if name[0] == "+" else ["", ""])]
            + [f"{left:.2f}"]
        )
        before = predicted
    print_table(["what is known", "R2", "added by it", "of the rest", "points left"], cells)
    _print_repeats(networks)


def _added(truth: Floats, predicted: Floats, before: Floats | None) -> Figure:
    """Return the share of the variance that is told, less what was told before."""
    errors = (truth - predicted) ** 2
    earlier = None if before is None else (truth - before) ** 2

    def share(rows: Whole) -> Floats:
        unknown = np.var(truth[rows]) if earlier is None else float(earlier[rows].mean())
        return np.array([(unknown - errors[rows].mean()) / np.var(truth[rows])])

    return bootstrap(share, len(truth))[0]


def _percent(truth: Floats, predicted: Floats, before: Floats) -> str:
    """Return the share of what was not told before that is told now."""
    return f"{1 - np.mean((truth - predicted) ** 2) / np.mean((truth - before) ** 2):.1%}"


def _print_repeats(networks: Networks) -> None:
    pairs = networks.pairs()
    first, second = networks[pairs[:, 0]], networks[pairs[:, 1]]
    apart = first.accuracy - second.accuracy
    noise, usual = np.sqrt(np.mean(apart**2) / 2), np.median(np.abs(apart)) / 0.954
    print(
        f"\n{len(pairs)} networks were trained twice, all without squeeze-excite: a training's "
        f"deviation is {noise:.2f} points, {usual:.2f} by the median"
    )
    found = ceiling(first.accuracy, second.accuracy, first.counts, first.log_macs)
    print(f"their rank correlation: {found.overall} overall, {found.placement} given multiply-adds")


# Where squeeze-excite pays.


def print_stages(networks: Networks) -> None:
    known = _beside(np.ones((len(networks), 1)), networks.stages)
    of_accuracy = _effects(known, networks, networks.accuracy)
    measured = np.isfinite(networks.log_latency)
    of_latency = _effects(known[measured], networks[measured], networks.log_latency[measured])
    of_macs = _effects(known, networks, networks.log_macs)
    layers = networks.layers.mean(axis=0)
    cells = [
        [
            f"stage {stage}",
            _small(of_accuracy[stage]),
            f"{of_accuracy[stage].value / layers[stage]:+.2f}",
            _small(of_accuracy[STAGES + stage]),
            f"{100 * np.expm1(of_macs[stage].value):+.2f}",
            f"{100 * np.expm1(of_latency[stage].value):+.1f}",
        ]
        for stage in range(STAGES)
    ]
    print("\nWhat squeeze-excite brings in each stage, at equal backbones:\n")
    print_table(
        [
            "stage",
            "points",
            "a block",
            "above the mean stage",
            "multiply-adds, %",
            "FPGA latency, %",
        ],
        cells,
    )
    print("\nBy how many stages have it, at equal backbones, above none:\n")
    stages = networks.placed.sum(axis=1)
    counted = (stages[:, None] == np.arange(1, STAGES + 1)).astype(np.float64)
    gains = _coefficients(known, counted, networks.accuracy, draws=500)
    cells = [
        [str(number + 1), str(int((stages == number + 1).sum())), _small(gain)]
        for number, gain in enumerate(gains)
    ]
    print_table(["stages", "networks", "points"], cells)


def _effects(known: Floats, networks: Networks, figure: Floats) -> tuple[Figure, ...]:
    """Return what each stage's squeeze-excite adds to a figure, then above the mean stage."""
    apart = np.concatenate([np.eye(STAGES), np.eye(STAGES) - 1 / STAGES])
    return _coefficients(known, networks.placed.astype(np.float64), figure, apart, draws=500)


def _coefficients(
    known: Floats,
    columns: Floats,
    figure: Floats,
    contrasts: Floats | None = None,
    *,
    draws: int,
) -> tuple[Figure, ...]:
    """Return least-squares coefficients of columns beside what is known, or contrasts of them."""
    both = _beside(known, columns)
    contrasts = np.eye(columns.shape[1]) if contrasts is None else contrasts

    def fitted(rows: Whole) -> Floats:
        weights = np.bincount(rows, minlength=len(figure)).astype(np.float64)
        weighted = both * weights[:, None]
        # Settings of a stage add up to one, so that only sums of them are known.
        found = np.linalg.lstsq(weighted.T @ both, weighted.T @ figure, rcond=1e-10)[0]
        return np.asarray(contrasts @ found[-columns.shape[1] :])

    return bootstrap(fitted, len(figure), draws=draws)


# What a belief from a few of them sees.


@dataclass(frozen=True, eq=False)
class Landscape:
    """Networks that a belief may be told of, and others that it is judged by.

    truth: (n,) higher is better. codes: (n, d) as `points` takes them. given: name -> (n, k)
    columns that placement is judged given, beside log multiply-adds. noise: what may be added to a
    training, as a standard deviation in points. plain: rows of which a tenth of the trainings are;
    pool: rows of the others; unseen: rows of the networks that judge.
    """

    networks: Networks
    truth: Floats
    points: PointSpace
    codes: Whole
    given: Mapping[str, Floats]
    noise: float
    plain: Whole
    pool: Whole
    unseen: Whole

    def trainings(self, count: int, rng: np.random.Generator) -> Whole:
        """Return the rows (count,) of a set of trainings."""
        plain = min(count // 10, len(self.plain))
        drawn = rng.choice(self.pool, count - plain, replace=False)
        return np.concatenate([rng.choice(self.plain, plain, replace=False), drawn])


def whole_space(networks: Networks) -> Landscape:
    """Return the space in which backbone and squeeze-excite vary."""
    codes = np.empty((len(networks), 4 * STAGES), dtype=np.int64)
    parameters: dict[str, tuple[int, ...] | tuple[str, ...]] = {}
    places: list[Place] = []
    for stage in range(STAGES):
        depth = stage / (STAGES - 1)
        for number, name in enumerate(("expansion", "kernel", "layers")):
            values, which = np.unique(networks.settings[:, 3 * stage + number], return_inverse=True)
            codes[:, len(parameters)] = which
            parameters[f"{name} {stage}"] = tuple(int(value) for value in values)
            places.append(Place(f"stage {stage}", depth, 0))
        codes[:, len(parameters)] = networks.placed[:, stage]
        parameters[f"squeeze-excite {stage}"] = ("none", "se")
        places.append(Place(f"stage {stage}", depth, 1))
    grid = Grid(parameters)
    terms = SharedTerms(grid, places)
    predicted = told(networks.log_macs[:, None], networks.accuracy, by_sums())
    pool, unseen = _split(networks, np.arange(len(networks)))
    log_macs = (networks.log_macs - networks.log_macs.mean()) / networks.log_macs.std()
    known = dict(zip(grid.keys(codes).tolist(), log_macs.tolist(), strict=True))

    def features(asked: Whole) -> Floats:
        return np.array([[known[key]] for key in grid.keys(asked).tolist()])

    return Landscape(
        networks,
        networks.accuracy,
        PointSpace(grid, features, terms, terms.groups, terms.load),
        codes,
        {
            "placement": networks.counts,
            "given the backbone": _beside(networks.counts, networks.each_setting),
        },
        float(np.std(networks.accuracy - predicted)),
        np.zeros(0, dtype=np.int64),
        pool,
        unseen,
    )


def placements(networks: Networks) -> Landscape:
    """Return the space of squeeze-excite alone: gains above the predicted plain networks."""
    plain = networks.placed.sum(axis=1) == 0
    # Squeeze-excite hardly changes multiply-adds, so that a network's stand for its plain one's.
    columns = _beside(networks.log_macs[:, None], networks.settings)
    expected = np.empty(len(networks))
    expected[plain] = told(columns[plain], networks.accuracy[plain], by_trees())
    model = by_trees().fit(columns[plain], networks.accuracy[plain])
    expected[~plain] = model.predict(columns[~plain])
    gains = networks.accuracy - expected
    grid = Grid({f"stage {stage}": ("none", "se") for stage in range(STAGES)})
    places = [Place(f"stage {stage}", stage / (STAGES - 1), 1) for stage in range(STAGES)]
    terms = SharedTerms(grid, places)
    pool, unseen = _split(networks, np.flatnonzero(~plain))
    return Landscape(
        networks,
        gains,
        # Without multiply-adds: where squeeze-excite is hardly changes them, backbones do.
        PointSpace(
            grid,
            terms=terms,
            groups=terms.groups,
            load=terms.load,
            reference=np.zeros(STAGES, dtype=np.int64),
        ),
        networks.placed,
        {"placement": networks.counts},
        float(np.std(gains[~plain])),
        np.flatnonzero(plain),
        pool,
        unseen,
    )


LANDSCAPES = {"space": whole_space, "placement": placements}


def _split(networks: Networks, pool: Whole) -> tuple[Whole, Whole]:
    """Return the rows that trainings are drawn from, and those that judge.

    Judges have squeeze-excite in some stages and not in others: only then is there a placement.
    """
    stages = networks.placed.sum(axis=1)
    some = np.flatnonzero((stages > 0) & (stages < STAGES))
    unseen = np.random.default_rng(0).choice(some, UNSEEN, replace=False)
    return np.setdiff1d(pool, unseen), unseen


def by_belief(at: Landscape, rows: Whole, values: Floats) -> Floats:
    """Return what the belief from some trainings says of the unseen networks."""
    count = len(rows)
    evidence = Evidence(
        at.codes[rows],
        ["full"] * count,
        np.full(count, FULL),
        np.arange(count),
        np.arange(count),
        -values,
        np.full(count, np.nan),
    )
    return Belief.fit(at.points, evidence, target_images=FULL).gain(at.codes[at.unseen]).mean


def by_ridge(at: Landscape, rows: Whole, values: Floats, *, macs: bool = True) -> Floats:
    """Return what a ridge on log multiply-adds and counts says of the unseen networks."""
    columns = at.networks.counts
    if macs:
        columns = _beside(at.networks.log_macs[:, None], columns)
    columns = (columns - columns[rows].mean(axis=0)) / (columns[rows].std(axis=0) + 1e-12)
    model = RidgeCV(ALPHAS).fit(columns[rows], values)
    return np.asarray(model.predict(columns[at.unseen]))


def by_all_others(at: Landscape) -> dict[str, Floats]:
    """Return what models of all other networks say of the unseen ones."""
    networks, pool = at.networks, at.pool
    columns = _beside(networks.log_macs[:, None], networks.counts, networks.placed)
    found = {}
    for name, known, model in (
        ("sums of squeeze-excite", columns, by_sums()),
        ("sums of it and the backbone", _beside(columns, networks.stages), by_sums()),
        ("trees of it and the backbone", _beside(columns, networks.settings), by_trees()),
    ):
        predicted = model.fit(known[pool], at.truth[pool]).predict(known[at.unseen])
        found[f"{name}, from {len(pool)}"] = np.asarray(predicted)
    return found


def print_belief(networks: Networks, name: str, fits: int) -> None:
    at = LANDSCAPES[name](networks)
    spread = float(np.std(at.truth[at.unseen]))
    print(f"\n{name}: {len(at.unseen)} unseen networks, whose truth varies by {spread:.2f} points")
    print(f"mean of {fits} sets of trainings; 90 % intervals of one set\n")
    cells = []
    for noise in (0.0, at.noise):
        for size in SIZES:
            found: dict[str, list[Floats]] = {"belief": [], "ridge": [], "counts": []}
            for fit in range(fits):
                rng = np.random.default_rng([size, fit])
                rows = at.trainings(size, rng)
                values = at.truth[rows] + noise * rng.standard_normal(size)
                found["belief"].append(by_belief(at, rows, values))
                found["ridge"].append(by_ridge(at, rows, values))
                found["counts"].append(by_ridge(at, rows, values, macs=False))
            label = f"{size} trainings, noise {noise:.2f}"
            ours, theirs = np.array(found["belief"]), np.array(found["ridge"])
            cells.append([f"{label}: belief", *_judged(at, ours)])
            cells.append([f"{label}: ridge", *_judged(at, theirs)])
            cells.append([f"{label}: ridge, counts alone", *_judged(at, np.array(found["counts"]))])
            cells.append([f"{label}: belief above ridge", *_judged(at, ours, theirs)])
    for label, predicted in by_all_others(at).items():
        cells.append([label, *_judged(at, predicted[None])])
    print_table(["candidate", "overall", *at.given], cells)


def _judged(at: Landscape, candidates: Floats, rivals: Floats | None = None) -> list[str]:
    truth, log_macs = at.truth[at.unseen], at.networks.log_macs[at.unseen]
    judged = [
        judge_fits(candidates, truth, columns[at.unseen], log_macs, rivals=rivals)
        for columns in at.given.values()
    ]
    return [str(judged[0].overall), *[str(each.placement) for each in judged]]


def _beside(*columns: Floats | Whole) -> Floats:
    return np.column_stack(columns).astype(np.float64)


def _small(figure: Figure) -> str:
    return f"{figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, dest="what")
    for name in ("told", "stages", "belief"):
        command = commands.add_parser(name)
        command.add_argument("table", type=Path)
        if name == "belief":
            command.add_argument("--landscape", choices=tuple(LANDSCAPES), default="placement")
            command.add_argument("--fits", type=int, default=10)
    arguments = parser.parse_args()
    print_machine("numpy", "scikit-learn")
    try:
        networks = read_networks(arguments.table)
    except NasError as error:
        parser.exit(2, f"{error}\n")
    with ThreadpoolController().limit(limits=1):
        if arguments.what == "told":
            print_told(networks)
        elif arguments.what == "stages":
            print_stages(networks)
        else:
            print_belief(networks, arguments.landscape, arguments.fits)


if __name__ == "__main__":
    main()
