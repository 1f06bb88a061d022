"""How the cheap trainings of the proxy study agree with full training."""

from __future__ import annotations

import argparse
import csv
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib

from benchmarks.training.proxy_methods import KINDS, REFERENCE, networks

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata

from nas.runs.calibrate.agreement import Agreement, Bias, agreement, bias, paired_noise

SHOWN = "probe, 3x as long"
TOGETHER = (
    (SHOWN, "number of blocks"),
    (SHOWN, "macs"),
    (SHOWN, "zico"),
    (SHOWN, "macs", "zico"),
    (SHOWN, "probe, SGD, 3x as long"),
    (SHOWN, "supernet"),
    (SHOWN, "finetune, 3x as long"),
    ("supernet, backbone too, 4x", "macs"),
    ("supernet, backbone too, 4x", SHOWN),
    ("supernet, backbone too, 4x", "supernet, backbone too, 16x"),
    ("supernet, backbone too, 4x", "probe, 3x, rate /3"),
    ("probe, 3x, rate /3", "macs"),
)
BY_ACCURACY = (SHOWN, "supernet", "supernet, not recalibrated", "supernet, 4x as long")


@dataclass(frozen=True)
class Table:
    """loss, accuracy: (networks, seeds), NaN where missing; seconds: mean of one training."""

    loss: np.ndarray
    accuracy: np.ndarray
    seconds: float


def tables(rows: Path) -> dict[str, Table]:
    names = list(networks())
    found: dict[str, list[dict[str, str]]] = {}
    with rows.open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["method"], []).append(row)
    made = {}
    for method, listed in found.items():
        seeds = 1 + max(int(row["seed"]) for row in listed)
        values = np.full((2, len(names), seeds), np.nan)
        for row in listed:
            at = names.index(row["network"]), int(row["seed"])
            values[0][at], values[1][at] = float(row["loss"]), float(row["accuracy"])
        made[method] = Table(
            values[0], values[1], float(np.mean([float(row["seconds"]) for row in listed]))
        )
    return made


def shares() -> dict[str, np.ndarray]:
    """Of each kind and of each range of numbers of blocks: how much of a network is of it."""
    listed = list(networks().values())
    found = {}
    for kind in KINDS:
        of = [[item.block == kind for item in network.insertions] for network in listed]
        found[kind] = np.array([np.mean(item) if item else 0.0 for item in of])
    count = np.array([len(network.blocks) for network in listed])
    for low, high in ((1, 3), (4, 5), (6, 7)):
        found[f"{low}-{high} blocks"] = ((count >= low) & (count <= high)).astype(float)
    return found


def with_derived(made: dict[str, Table]) -> dict[str, Table]:
    """And the number of blocks, means of ranks, and the order by accuracy instead of by loss."""
    listed = list(networks().values())
    counted = {
        "number of blocks": [len(network.blocks) for network in listed],
    }
    found = dict(made)
    for name, values in counted.items():
        column = -np.array(values, dtype=float)[:, None]
        found[name] = Table(column, np.full_like(column, np.nan), 0.0)
    for parts in TOGETHER:
        if all(name in found for name in parts):
            ranks = np.sum([_ranks(found[name]) for name in parts], axis=0)
            seconds = sum(found[name].seconds for name in parts)
            found[" + ".join(parts)] = Table(ranks, np.full_like(ranks, np.nan), seconds)
    for name in [name for name in made if name in BY_ACCURACY]:
        table = made[name]
        found[f"{name}, by accuracy"] = replace(table, loss=-table.accuracy)
    return found


def _ranks(table: Table) -> np.ndarray:
    """Of the mean over seeds, (n, 1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(table.loss, axis=1)
    return np.where(np.isnan(means), np.nan, rankdata(means))[:, None]


@dataclass(frozen=True)
class Finding:
    """How a method agrees with full training, and what it costs of one."""

    method: str
    share: float
    networks: int
    agreement: Agreement
    bias: dict[str, Bias]


def findings(made: dict[str, Table], quality: np.ndarray) -> list[Finding]:
    """quality: (networks, seeds) of full training."""
    whole = ~np.isnan(quality).all(axis=1)
    found = []
    for method, table in with_derived(made).items():
        rows = whole & ~np.isnan(table.loss).all(axis=1)
        if method == REFERENCE or rows.sum() < 8:
            continue
        groups = {name: share[rows] for name, share in shares().items()}
        found.append(
            Finding(
                method,
                table.seconds / made[REFERENCE].seconds,
                int(rows.sum()),
                agreement(-table.loss[rows], quality[rows]),
                bias(-table.loss[rows], quality[rows], groups),
            )
        )
    return found


def report(arguments: argparse.Namespace) -> None:
    made = tables(arguments.rows)
    full = made[REFERENCE]
    truth = full.accuracy
    print(
        f"{int((~np.isnan(truth)).any(axis=1).sum())} networks, {truth.shape[1]} seeds of the "
        f"reference, {full.seconds:.0f} s each; accuracy {np.nanmean(truth):.1%}, between networks "
        f"±{np.nanmean(truth, axis=1).std():.2%}, between seeds ±{paired_noise(truth):.2%}; loss "
        f"{np.nanmean(full.loss):.4f}, ±{np.nanmean(full.loss, axis=1).std():.4f}, "
        f"±{paired_noise(full.loss):.4f}"
    )
    for quality, reference in (("accuracy", truth), ("loss", -full.loss)):
        print(f"\nAgainst {quality} of full training:")
        for item in findings(made, reference):
            found = item.agreement
            print(
                f"{item.method:26} {item.share:6.1%} of the cost, {item.networks} networks: "
                f"Spearman {found.spearman} of {found.ceiling:.2f}, Kendall {found.kendall}, "
                f"best quarter {found.best_kendall} of {found.best_ceiling:.2f}"
            )
            print("    bias " + ", ".join(f"{name} {it.error}" for name, it in item.bias.items()))
    if arguments.picture:
        draw(made, arguments.picture)


def draw(made: dict[str, Table], path: Path) -> None:
    """Rank correlations of all methods, and the default proxy beside the reference."""
    full = made[REFERENCE]
    found = sorted(findings(made, -full.loss), key=lambda item: item.agreement.spearman.value)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, max(5.5, 0.19 * len(found))), width_ratios=(1.3, 1)
    )
    places = np.arange(len(found))
    values = np.array([item.agreement.spearman.value for item in found])
    low = np.array([item.agreement.spearman.low for item in found])
    high = np.array([item.agreement.spearman.high for item in found])
    left.errorbar(values, places, xerr=[values - low, high - values], fmt="o", color="#276d9b")
    left.set_yticks(places, [f"{item.method} ({item.share:.1%})" for item in found])
    ceiling = found[0].agreement.ceiling
    left.axvline(ceiling, color="0.5", linestyle="--")
    left.text(ceiling, -0.2, "ceiling ", ha="right", color="0.4")
    left.axvline(0, color="0.8", zorder=0)
    left.set_xlabel("rank correlation with full training, 95 % interval")
    left.set_title("cheap stand-ins, with their cost in full trainings", loc="left")
    kinds = [
        kinds.pop() if len(kinds := {item.block for item in network.blocks}) == 1 else "several"
        for network in networks().values()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        x, y = np.nanmean(made[SHOWN].loss, axis=1), np.nanmean(full.loss, axis=1)
    shapes = {"se": "o", "cbam": "s", "eca": "^", "coord": "D", "several": "x"}
    plain = list(networks()).index("plain")
    for kind, shape in shapes.items():
        rows = [row for row, of in enumerate(kinds) if of == kind and row != plain]
        right.plot(x[rows], y[rows], shape, label=kind)
    right.plot(x[plain], y[plain], "k*", markersize=12, label="plain")
    right.set_xlabel(f"validation loss: {SHOWN}")
    right.set_ylabel("validation loss of full training")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
