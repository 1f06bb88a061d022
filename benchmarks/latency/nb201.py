"""Latency from few measurements and two other devices: the NAS-Bench-201 space.

The file is CSV (or .csv.xz): `arch` (the cell, as NAS-Bench-201 writes it), `uniq` (functional
duplicates share it), and one column lat_<device> per device, in ms. The table of HELP (Lee and
others, arXiv:2106.08630; github HayeonLee/HELP) has all 15,625 cells. With 20 samples, the
literature reports mean Spearman 0.932 (HELP) and 0.959 (NASFLAT).

Each device is the target in turn; the sources, whose latencies are known for all cells, are the
first two of the other devices (fewer where the file has fewer), or those of --sources. Of
functional duplicates one, drawn by the seed, may be sampled; all cells not sampled are
predicted, since duplicates differ in time where a runtime does not remove what has no effect.
Most phone latencies near zero are no fault of the clock: a compiler leaves nothing of a cell
whose output hangs on no input.

The features, and how much each group is expected to matter, were settled on 1080ti_1 and
pixel3 as targets. Peers, in the same run: the same predictor without sources, the same on random
cells, and the rank of the better source as it is.

Run: python -m benchmarks.latency.nb201 PATH
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.latency.scores import Guess, Score, draw_guesses, judge, print_scores, read_devices
from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import NasError, SpecError
from nas.latency.design import choose
from nas.latency.features import join, source_columns, standardise
from nas.latency.predictor import fit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NODES = 4
CELL = re.compile(r"\|{}~0\|\+\|{}~0\|{}~1\|\+\|{}~0\|{}~1\|{}~2\|".replace("{}", "(\\w+)"))

Parts = list[tuple[Floats, float]]


def parse(cells: list[str]) -> Whole:
    """(n, 6), the number in OPS of what stands on each of EDGES."""
    found = []
    for cell in cells:
        match = CELL.fullmatch(cell)
        if match is None or not set(match.groups()) <= set(OPS):
            raise SpecError(f"cell {cell!r}; write |op~0|+|op~0|op~1|+|op~0|op~1|op~2| with {OPS}")
        found.append([OPS.index(op) for op in match.groups()])
    return np.array(found)


def describe(ops: Whole) -> Parts:
    """Feature tables of cells (n, 6), each with its share.

    All edges of a cell see maps of one shape, so only the number of each operator counts, and
    of the additions where edges meet. Counted twice: all there are, for runtimes that run what is
    written; and those on a way to the output, for compilers that remove the rest.
    """
    everything = ops > 0
    return [(count(ops, everything), 1.0), (count(ops, everything & leads_out(ops)), 1.0)]


def leads_out(ops: Whole) -> NDArray[np.bool_]:
    """(n, 6) edges from whose end a way leads to the output."""
    used = np.zeros((len(ops), NODES), bool)
    used[:, NODES - 1] = True
    for edge, (start, end) in reversed(list(enumerate(EDGES))):
        used[:, start] |= used[:, end] & (ops[:, edge] > 0)
    return used[:, [end for _, end in EDGES]]


def count(ops: Whole, present: NDArray[np.bool_]) -> Floats:
    """(n, 5), standardised: how many of each operator but `none`, and how many additions."""
    operators = [((ops == op) & present).sum(axis=1) for op in range(1, len(OPS))]
    entering = [
        present[:, [edge for edge, (_, end) in enumerate(EDGES) if end == node]].sum(axis=1)
        for node in range(1, NODES)
    ]
    additions = sum(np.maximum(number - 1, 0) for number in entering)
    return standardise(np.stack([*operators, additions], axis=1).astype(float))


def once(kinds: pd.Series[str], seed: int) -> Whole:
    """Row numbers of one cell of each kind, drawn at random."""
    return np.sort(kinds.sample(frac=1.0, random_state=seed).drop_duplicates().index.to_numpy())


# Judging.


def predict(features: Floats, groups: Whole, sampled: Whole, measured: Floats) -> Guess:
    predictor = fit(features[sampled], measured[sampled], groups=groups)
    predicted, half_width = predictor.predict(features)
    judged = np.ones(len(measured), bool)
    judged[sampled] = False
    return Guess(predicted, half_width, measured, judged, len(predictor.dropped))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="the table: CSV, or .csv.xz")
    parser.add_argument("--sources", nargs=2, metavar="DEVICE", help="never targets then")
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--picture", type=Path, help="draw predicted against measured (PNG)")
    given = parser.parse_args()
    try:
        run(given.path, given.sources, given.samples, given.seeds, given.picture)
    except NasError as error:
        parser.error(str(error))


def run(
    path: Path, sources: list[str] | None, counts: list[int], seeds: int, picture: Path | None
) -> None:
    table, devices = read_devices(path, "lat_", ["arch", "uniq"])
    unknown = sorted(set(sources or []) - set(devices))
    if unknown:
        raise SpecError(f"no device {unknown[0]} in {path}; there are {', '.join(devices)}")
    parts = describe(parse(list(table["arch"])))
    print_machine("attention-nas", "numpy", "scikit-learn")
    drawn: dict[str, Guess] = {}
    for count_ in counts:
        scores: dict[str, list[Score]] = {}
        peers: dict[str, list[float]] = {}
        for target in devices:
            if target in (sources or []):
                continue
            known = sources or [device for device in devices if device != target][:2]
            measured = table[f"lat_{target}"].to_numpy(float)
            before = table[[f"lat_{device}" for device in known]].to_numpy(float)
            alone = join(parts)
            full = join([(source_columns(before, alone[0]), 1.0), *parts]) if known else alone
            for seed in range(seeds):
                pool = once(table["uniq"], seed)
                sampled = pool[choose(full[0][pool], count_, seed=seed)]
                guess = predict(*full, sampled, measured)
                scores.setdefault(target, []).append(judge(guess))
                if seed == 0:
                    drawn[target] = guess
                random = np.random.default_rng(seed).choice(pool, count_, replace=False)
                sampled = pool[choose(alone[0][pool], count_, seed=seed)]
                for name, peer in (
                    ("the same, random cells", predict(*full, random, measured)),
                    ("the same, no sources", predict(*alone, sampled, measured)),
                ):
                    peers.setdefault(name, []).append(judge(peer).spearman)
            if known:
                ranks = pd.DataFrame(before).corrwith(table[f"lat_{target}"], method="spearman")
                peers.setdefault("the better source as it is", []).append(float(ranks.max()))
        print(f"\n{count_} samples, {seeds} seeds, {len(table) - count_:,} cells predicted\n")
        print_scores(scores)
        print()
        print_table(
            ("peer", "Spearman"), [[name, f"{np.mean(each):.3f}"] for name, each in peers.items()]
        )
    if picture is not None:
        title = f"Latency predicted from {counts[-1]} cells and two other devices (Spearman)"
        draw_guesses(drawn, picture, title=title)


if __name__ == "__main__":
    main()
