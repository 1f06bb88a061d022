"""Which short training tells what full training would give: the candidates against the truth.

    python -m benchmarks.fidelity.judge [--landscape L1]

A candidate's trainings inform the belief, and its means for the networks of the truth are its
answer. Each is judged over all networks, and given how many blocks of each kind there are and log
multiply-adds; beside it a ridge on those figures, fitted to the same trainings; and the ceilings
that the networks which were trained twice give. Then, without a belief: what shorter trainings of
the very networks tell of their full ones, where a landscape has both; and what each epoch's
training loss of the full trainings themselves tells of their ends, where noise of one training is
on both sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV

from benchmarks.fidelity.candidates import CANDIDATES, Candidate, fresh_networks
from benchmarks.fidelity.candidates import rows_file as candidate_rows
from benchmarks.fidelity.judgement import (
    Judgement,
    advantage,
    ceiling,
    judge,
    reliability,
)
from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape
from benchmarks.fidelity.trainings import rows_of
from benchmarks.fidelity.truth import rows_file as truth_rows
from benchmarks.fidelity.untrained import rows_file as untrained_rows
from benchmarks.shared.report import print_table
from nas.belief.belief import Belief
from nas.belief.evidence import EPOCH, Evidence
from nas.belief.grid import Floats
from nas.models.cost import cost
from nas.spec.architecture import Architecture
from nas.study.seen_space import SeenSpace

TRAIN_IMAGES, CLASSES = 40_000, 10
_LEAST, _LEAST_TWICE, _PARTS = 6, 5, 6
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Truth:
    """What full training gave.

    names: of the n networks, in the landscape's order.
    loss: (n,) mean judge loss of their trainings.
    """

    landscape: Landscape
    rows: Rows
    length: int

    @classmethod
    def of(cls, landscape: Landscape) -> Truth:
        """Return that of a landscape: its trainings of the full length."""
        length = landscape.lengths[0]
        rows = [row for row in rows_of(truth_rows(landscape)) if row["epochs"] == length]
        return cls(landscape, rows, length)

    @cached_property
    def names(self) -> list[str]:
        trained = {row["network"] for row in self.rows}
        return [name for name in self.landscape.networks if name in trained]

    def losses(self, repeat: int | None = None, key: str = "loss") -> dict[str, float]:
        """Return network -> mean loss, of one repeat or of all."""
        kept = [row for row in self.rows if repeat in (None, row["repeat"])]
        of = {
            row["network"]: [r[key] for r in kept if r["network"] == row["network"]] for row in kept
        }
        return {name: float(np.mean(values)) for name, values in of.items()}

    @cached_property
    def loss(self) -> Floats:
        return np.array([self.losses()[name] for name in self.names])

    @cached_property
    def known(self) -> tuple[Floats, Floats]:
        """Counts of kinds (n, k), log multiply-adds (n,)."""
        return known_figures([self.landscape.networks[name] for name in self.names])

    @property
    def noise(self) -> float:
        """The standard deviation of one training's loss, by networks with two; NaN without any."""
        once, again = self.losses(repeat=0), self.losses(repeat=1)
        squares = [(once[name] - again[name]) ** 2 / 2 for name in again]
        return float(np.sqrt(np.mean(squares))) if squares else float("nan")

    @property
    def ceilings(self) -> dict[str, Judgement]:
        """What the truth agrees with itself, by name; none while too few are trained twice.

        By the rank correlation of two trainings, and by the share of its variance that is no
        noise, to which all networks contribute.
        """
        once, again = self.losses(repeat=0), self.losses(repeat=1)
        names = [name for name in self.names if name in again]
        if len(names) < _LEAST_TWICE:
            return {}
        first, second = (np.array([of[name] for name in names]) for of in (once, again))
        figures = known_figures([self.landscape.networks[name] for name in names])
        counts = np.array(
            [sum(row["network"] == name for row in self.rows) for name in self.names], dtype=float
        )
        length = float(counts.mean())
        return {
            "the truth, trained again": ceiling(first, second, *figures, length=length),
            "the truth's share that is no noise": reliability(
                self.loss, counts, first, second, *self.known
            ),
        }


def known_figures(architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
    """Return counts of kinds (n, k) and log multiply-adds (n,) of networks."""
    kinds = ("coord", "se", "eca", "cbam")
    counts = [
        [sum(i.block == kind for i in item.insertions) for kind in kinds] for item in architectures
    ]
    macs = [cost(item, num_classes=CLASSES).macs for item in architectures]
    return np.array(counts, dtype=np.float64), np.log(np.array(macs, dtype=np.float64))


def answers(
    truth: Truth, candidate: Candidate, rows: Rows
) -> Iterator[tuple[str, Floats, Floats, float]]:
    """Give (reading, expected loss (n,) by the belief, by a ridge, CPU seconds) of a candidate.

    Of each rung: its validation loss; the training loss of the epoch before it; and both.
    """
    epochs = [rung["epochs"] for rung in rows[0]["rungs"]]
    for number, length in enumerate(epochs):
        seconds = sum(row["rungs"][number]["seconds"] for row in rows)
        validation = [row["rungs"][number]["loss"] for row in rows]
        curve = [row["curve"][int(length) - 1] for row in rows]
        whole = candidate.stop is None
        readings: dict[str, list[tuple[str, list[float]]]] = {}
        if whole:
            readings["validation"] = [("start", validation)]
        readings["training loss"] = [(EPOCH["start"], curve)]
        if whole and number == len(epochs) - 1:
            readings["both"] = [*readings["validation"], *readings["training loss"]]
        for name, parts in readings.items():
            believed = by_belief(truth, rows, parts, length)
            yield (
                f"{name}, {length:g} epochs",
                believed,
                by_ridge(truth, rows, parts[0][1]),
                seconds,
            )


def _architectures(truth: Truth, rows: Rows) -> list[Architecture]:
    fresh = fresh_networks(truth.landscape)
    named = {**fresh, "plain": truth.landscape.networks["plain"]}
    return [named[row["network"]] for row in rows]


def by_belief(
    truth: Truth, rows: Rows, parts: list[tuple[str, list[float]]], epochs: float
) -> Floats:
    """Return the expected loss (n,) of the truth's networks, but for a constant."""
    trained = _architectures(truth, rows)
    judged = [truth.landscape.networks[name] for name in truth.names]
    return _expect(truth, rows, trained, judged, parts, epochs)


def by_others(truth: Truth) -> tuple[Floats, Floats]:
    """Return the expected loss (n,) of each network by full trainings of others alone.

    By the belief, and by a ridge. The networks are cut into six parts at random; each is told from
    the five others and the plain network, whose trainings are always known. A part's answers are
    gains over it, so that parts can be held against each other.
    """
    named = truth.landscape.networks
    believed, ridge = (np.zeros(len(truth.names)) for _ in range(2))
    part_of = np.random.default_rng(0).permutation(np.arange(len(truth.names)) % _PARTS)
    plain = truth.names.index("plain")
    for part in range(_PARTS):
        asked = [truth.names[place] for place in np.flatnonzero(part_of == part)]
        rows = [
            row for row in truth.rows if row["network"] not in asked or row["network"] == "plain"
        ]
        trained = [named[row["network"]] for row in rows]
        losses = [row["loss"] for row in rows]
        judged = [named[name] for name in asked]
        parts = [("start", losses)]
        believed[part_of == part] = _expect(truth, rows, trained, judged, parts, truth.length)
        # Against the plain network as this ridge sees it.
        told = _told_by_ridge(trained, [*judged, named["plain"]], losses)
        ridge[part_of == part] = told[:-1] - told[-1]
    believed[plain] = ridge[plain] = 0.0
    return believed, ridge


def _expect(
    truth: Truth,
    rows: Rows,
    trained: Sequence[Architecture],
    judged: Sequence[Architecture],
    parts: list[tuple[str, list[float]]],
    epochs: float,
) -> Floats:
    """Return what networks lose on the plain one by the belief that trainings inform."""
    every = tuple(dict.fromkeys([*judged, *trained]))
    macs = np.array([cost(item, num_classes=CLASSES).macs for item in every], dtype=np.float64)
    seen, number = SeenSpace(every, macs), np.arange(len(rows))
    count = len(parts) * len(rows)
    evidence = Evidence(
        np.concatenate([seen.codes(trained)] * len(parts)),
        [name for name, _ in parts for _ in rows],
        np.full(count, epochs * TRAIN_IMAGES),
        np.tile([row["seed"] for row in rows], len(parts)),
        np.tile(number, len(parts)),
        np.concatenate([losses for _, losses in parts]),
        np.full(count, np.nan),
    )
    target = float(truth.length * TRAIN_IMAGES)
    belief = Belief.fit(seen.space(), evidence, target_images=target)
    return -belief.gain(seen.codes(judged)).mean


def by_ridge(truth: Truth, rows: Rows, losses: list[float]) -> Floats:
    """Return the expected loss (n,) by counts of kinds and log multiply-adds alone."""
    judged = [truth.landscape.networks[name] for name in truth.names]
    return _told_by_ridge(_architectures(truth, rows), judged, losses)


def _told_by_ridge(
    trained: Sequence[Architecture], judged: Sequence[Architecture], losses: list[float]
) -> Floats:
    known, asked = (np.column_stack(known_figures(items)) for items in (trained, judged))
    centre, spread = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-9)
    model = RidgeCV(np.logspace(-3, 3, 25)).fit((known - centre) / spread, losses)
    return np.asarray(model.predict((asked - centre) / spread))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--landscape", choices=tuple(LANDSCAPES), default="L1")
    landscape = LANDSCAPES[parser.parse_args().landscape]
    truth = Truth.of(landscape)
    if len(truth.names) < _LEAST:
        parser.exit(
            2,
            f"{landscape.name} has {len(truth.names)} networks; {_LEAST} are judged: truth run\n",
        )
    rows, length = truth.rows, truth.length
    print(f"{landscape.name}: {len(truth.names)} networks of {len(landscape.networks)}, ", end="")
    print(f"{len(rows)} trainings of {length} epochs\n")
    print(
        f"{truth.noise:.4f} deviation of a training, {np.std(truth.loss, ddof=1):.4f} of networks\n"
    )
    print_table(
        ["candidate", "networks", "overall", "placement", "over a ridge", "cost"], _lines(truth)
    )


def _lines(truth: Truth) -> list[list[str]]:
    lines = []
    for name, found in truth.ceilings.items():
        lines.append([name, "", *_cells(found), "", ""])
    every = rows_of(candidate_rows(truth.landscape))
    each = _seconds_of_truth(truth)
    for name, candidate in CANDIDATES.items():
        rows = [row for row in every if row["candidate"] == name]
        if candidate.plain_only or len(rows) < 8:
            continue
        for reading, believed, ridge, seconds in answers(truth, candidate, rows):
            judged = judge(believed, truth.loss, *truth.known)
            over = advantage(believed, ridge, truth.loss, *truth.known)
            share = seconds / (each * len(truth.names))
            line = [f"{name}: {reading}", str(len(rows)), *_cells(judged)]
            lines.append([*line, str(over.overall), f"{share:.2f}"])
    believed, ridge = by_others(truth)
    judged = judge(believed, truth.loss, *truth.known)
    over = advantage(believed, ridge, truth.loss, *truth.known)
    lines.append(["full trainings of others", "", *_cells(judged), str(over.overall), ""])
    lines += _untrained(truth)
    lines += _shorter(truth)
    for epoch in range(1, truth.length + 1):
        figure = np.array([_epoch(truth, name, epoch) for name in truth.names])
        judged = judge(figure, truth.loss, *truth.known)
        lines.append([f"own training loss of epoch {epoch}", "", *_cells(judged), "", ""])
    return lines


def _untrained(truth: Truth) -> list[list[str]]:
    lines = []
    rows = rows_of(untrained_rows(truth.landscape))
    for score in dict.fromkeys(row["score"] for row in rows):
        mine = [row for row in rows if row["score"] == score]
        values = {row["network"]: row["value"] for row in mine}
        # More is predicted better: a lower loss.
        figure = -np.array([values[name] for name in truth.names])
        judged = judge(figure, truth.loss, *truth.known)
        lines.append([f"untrained: {score}", "", *_cells(judged), "", "0"])
    return lines


def _shorter(truth: Truth) -> list[list[str]]:
    """Judge shorter trainings of the very networks, where each of them has one."""
    every = rows_of(truth_rows(truth.landscape))
    lines = []
    for length in sorted({row["epochs"] for row in every if row["epochs"] < truth.length}):
        rows = {row["network"]: row for row in every if row["epochs"] == length}
        if not set(truth.names) <= set(rows):
            continue
        chosen = [rows[name] for name in truth.names]
        for reading, values in (
            ("validation", [row["proxy_loss"] for row in chosen]),
            ("training loss", [row["curve"][-1] for row in chosen]),
        ):
            judged = judge(np.array(values), truth.loss, *truth.known)
            name = f"own training of {length} epochs: {reading}"
            lines.append([name, "", *_cells(judged), "", f"{length / truth.length:.2f}"])
    return lines


def _epoch(truth: Truth, name: str, epoch: int) -> float:
    return float(np.mean([r["curve"][epoch - 1] for r in truth.rows if r["network"] == name]))


def _seconds_of_truth(truth: Truth) -> float:
    """Return CPU seconds of one full training: as an epoch of short ones took."""
    rows = rows_of(candidate_rows(truth.landscape))
    paces = [row["rungs"][-1]["seconds"] / row["rungs"][-1]["epochs"] for row in rows]
    return truth.length * float(np.median(paces)) if paces else float("nan")


def _cells(judged: Judgement) -> list[str]:
    return [str(judged.overall), str(judged.placement)]


if __name__ == "__main__":
    main()
