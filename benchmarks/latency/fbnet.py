"""Latency from few measurements, without a table of differences: the FBNet space.

The file is CSV (or .csv.xz): columns op0 to op21 in 0..8, the block of each layer in the order of
BLOCKS below, and one column ms_<device> per device. The table of HELP (Lee and others,
arXiv:2106.08630; github HayeonLee/HELP) has 5,000 networks. On its six test tasks, with 20
samples, the literature reports mean Spearman 0.794 (NASFLAT), 0.656 (MultiPredict) and 0.654
(HELP). They learn from other devices first; here nothing is known but the architecture.

For each device some networks are chosen (D-optimal, from 2,000 that the seed draws), their
latencies looked up, and all others predicted. The features, and how much each group of them is
expected to matter, were settled on silver_4114, titanx_32 and pixel3, and are the same for every
device and number of samples. Peers, in the same run: the same predictor on random networks, and
scikit-learn's BayesianRidge on the same physical features of random networks.

Run: python -m benchmarks.latency.fbnet PATH
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import BayesianRidge

from benchmarks.latency.scores import Guess, Score, draw_guesses, judge, print_scores, read_devices
from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import NasError, SpecError
from nas.latency.design import choose
from nas.latency.features import join, standardise
from nas.latency.predictor import fit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

# kernel, expansion, groups of the pointwise convolutions; the last block is the skip.
BLOCKS = (
    *((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1)),
    *((5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1)),
    (0, 0, 1),
)
DEPTH = (1, 4, 4, 4, 4, 4, 1)
CHANNELS = (16, 24, 32, 64, 112, 184, 352)
# On 32 x 32 images the second stage keeps its size (HW-NAS-Bench, whose macro-architecture this
# is). With ImageNet's stride of 2 there, the physical features below explain pixel3 to Spearman
# 0.916 instead of 0.998.
STRIDES = (1, 1, 2, 2, 1, 2, 1)
SIDE, STEM = 32, 16
LAYERS = sum(DEPTH)


# What a block costs, as far as its description says.


def layers() -> list[tuple[int, int, int, int]]:
    """Channels in and out, side of the map that enters, stride: of each layer."""
    found, side, width = [], SIDE, STEM
    for depth, channels, stride in zip(DEPTH, CHANNELS, STRIDES, strict=True):
        for number in range(depth):
            step = stride if number == 0 else 1
            found.append((width, channels, side, step))
            side, width = side // step, channels
    return found


def block_costs() -> pd.DataFrame:
    """A row for every block at every layer, (LAYERS * 9): layer after layer."""
    return pd.DataFrame([costs(*layer, *block) for layer in layers() for block in BLOCKS])


def costs(
    inputs: int, outputs: int, side: int, stride: int, kernel: int, expansion: int, groups: int
) -> dict[str, float]:
    """Multiply-adds, values read and written, weights, launched kernels of one block."""
    before, after, hidden = side**2, (side // stride) ** 2, inputs * expansion
    same = stride == 1 and inputs == outputs
    if kernel == 0:  # the identity, or a 1x1 convolution where the shape changes
        convolutions = 0 if same else 1
        pointwise, depthwise = convolutions * after * inputs * outputs / 1, 0
        traffic = convolutions * (before * inputs + after * outputs)
        weights = convolutions * inputs * outputs / 1
    else:
        pointwise = (before * inputs * hidden + after * hidden * outputs) / groups
        depthwise = after * kernel**2 * hidden
        traffic = before * (inputs + 2 * hidden) + after * (2 * hidden + outputs)
        weights = (inputs * hidden + hidden * outputs) / groups + kernel**2 * hidden
        convolutions = 3
    return {
        "pointwise": pointwise,
        "depthwise": depthwise,
        "depthwise_5x5": depthwise if kernel == 5 else 0,
        "traffic": traffic,
        "depthwise_traffic": (before + after) * hidden,
        "weights": weights,
        "convolutions": convolutions,
        "shuffles": groups == 2,
        "additions": kernel > 0 and same,
        "blocks": kernel > 0,
        # Not summed over layers: what the depthwise convolution meets.
        "hidden": hidden,
        "map": side * (side // stride),
    }


def describe(ops: Whole) -> tuple[Floats, Floats, Whole]:
    """Physical features (n, 10), all features (n, d) and the group (d,) of each.

    ops: (n, 22), the block of each layer. Latency is a sum over layers, so every feature is, too:
    what is unknown is the time of each block at each layer, and the groups are what can be
    expected of these 198 times, from the strongest to the weakest:
    proportional to physical totals; a smooth function of a block's work and traffic, because
    small blocks take the time of their launches and large ones that of their work; apart
    for each width of a depthwise convolution, since kernels differ by how channels fill
    vector registers; and any for each block and shape, equal for layers of one shape.
    """
    costs = block_costs()
    here = (ops[:, :, None] == np.arange(len(BLOCKS))).reshape(len(ops), -1).astype(float)
    physical = here @ costs.drop(columns=["hidden", "map"]).to_numpy(float)

    shapes = {shape: number for number, shape in enumerate(dict.fromkeys(layers()))}
    shape = np.repeat([shapes[layer] for layer in layers()], len(BLOCKS))
    block = np.tile(np.arange(len(BLOCKS)), LAYERS)
    hidden = costs["hidden"].to_numpy(float)
    size = np.sqrt(costs["map"].to_numpy(float)) * (hidden > 0)

    work = np.log1p((costs["pointwise"] + costs["depthwise"]) / 5e5)
    traffic = np.log1p(costs["traffic"] / 2e4)
    away = sum(np.subtract.outer(axis, axis) ** 2 for axis in (work.to_numpy(), traffic.to_numpy()))
    smooth = root(np.exp(-0.5 * away))
    width = (hidden[:, None] == np.unique(hidden)) * size[:, None]
    any_time = shape[:, None] * len(BLOCKS) + block[:, None] == np.arange(len(shapes) * len(BLOCKS))
    features, groups = join(
        [
            (standardise(physical), 1.0),
            (here @ smooth, np.exp(-2)),
            (here @ width, np.exp(-2)),
            (here @ any_time, np.exp(-3)),
        ]
    )
    return standardise(physical), features, groups


def root(covariance: Floats) -> Floats:
    """(n, r) whose product with its transpose is the covariance (n, n)."""
    values, vectors = np.linalg.eigh(covariance)
    large = values > 1e-9 * values.max()
    return np.asarray(vectors[:, large] * np.sqrt(values[large]))


# Judging.


def predict(features: Floats, groups: Whole, sampled: Whole, measured: Floats) -> Guess:
    predictor = fit(features[sampled], measured[sampled], groups=groups)
    predicted, half_width = predictor.predict(features)
    return Guess(predicted, half_width, measured, others(measured, sampled), len(predictor.dropped))


def predict_plainly(physical: Floats, sampled: Whole, measured: Floats) -> Guess:
    model = BayesianRidge().fit(physical[sampled], measured[sampled])
    predicted, spread = model.predict(physical, return_std=True)
    return Guess(predicted, 1.645 * spread, measured, others(measured, sampled))


def others(measured: Floats, sampled: Whole) -> NDArray[np.bool_]:
    judged = np.ones(len(measured), bool)
    judged[sampled] = False
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="the table: CSV, or .csv.xz")
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--picture", type=Path, help="draw predicted against measured (PNG)")
    given = parser.parse_args()
    try:
        run(given.path, given.samples, given.seeds, given.picture)
    except NasError as error:
        parser.error(str(error))


def run(path: Path, counts: list[int], seeds: int, picture: Path | None) -> None:
    columns = [f"op{layer}" for layer in range(LAYERS)]
    table, devices = read_devices(path, "ms_", columns)
    ops = table[columns].to_numpy(np.int64)
    if ops.min() < 0 or ops.max() >= len(BLOCKS):
        raise SpecError(f"{path} holds block {ops.min()} or {ops.max()}; blocks are 0 to 8")
    physical, features, groups = describe(ops)
    print_machine("attention-nas", "numpy", "scikit-learn")
    drawn: dict[str, Guess] = {}
    for count in counts:
        scores: dict[str, list[Score]] = {device: [] for device in devices}
        peers: dict[str, list[float]] = {"the same, random networks": [], "BayesianRidge": []}
        for seed in range(seeds):
            sampled = choose(features, count, seed=seed)
            random = np.random.default_rng(seed).choice(len(ops), count, replace=False)
            for device in devices:
                measured = table[f"ms_{device}"].to_numpy(float)
                guess = predict(features, groups, sampled, measured)
                scores[device].append(judge(guess))
                drawn.setdefault(device, guess)
                if seed == 0:
                    drawn[device] = guess
                same = predict(features, groups, random, measured)
                plain = predict_plainly(physical, random, measured)
                for name, peer in zip(peers, (same, plain), strict=True):
                    peers[name].append(judge(peer).spearman)
        print(f"\n{count} samples, {seeds} seeds, {len(ops) - count:,} networks predicted\n")
        print_scores(scores)
        print()
        print_table(("peer", "Spearman"), [[name, f"{np.mean(peers[name]):.3f}"] for name in peers])
    if picture is not None:
        title = f"Latency predicted from {counts[-1]} measured networks (Spearman)"
        draw_guesses(drawn, picture, title=title)


if __name__ == "__main__":
    main()
