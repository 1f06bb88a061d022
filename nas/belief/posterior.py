"""Joint draws of what true figures may be, given the noisy ones.

Of many networks that were trained once, the best was mostly lucky. So each is held against what
networks of its latency are worth (a line through all of them, and how far they lie from it), and
the less is known of it, the more it is drawn there. All networks that were trained take part, those
that looked bad with them: they tell how much of looking good is luck (`nas.belief.mixed_model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.belief.mixed_model import MixedModel
from nas.belief.noise import SeedNoise
from nas.spec.architecture import PLAIN
from nas.spec.objective import Objective

__all__ = ["draw_figure", "draws"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_FEW = 8  # networks: no line is drawn through fewer
_APART = 0.7  # of the plain network, in units of the noise: it may lie off what others say
_STEPS = np.array([0.1, 0.25, 0.5, 1.0, 1.5, 2.25, 3.5])  # of the variance of networks' own parts


def draws(
    columns: Mapping[str, NDArray[Any]],
    noises: Mapping[str, SeedNoise],
    objectives: Sequence[Objective],
    rows: Whole,
    *,
    count: int = 4000,
    seed: int = 0,
) -> Floats | None:
    """Draw what the true figures of some networks may be, (count, k, m), minimised.

    columns: (n,) each, of all networks, as in `nas.study.front.network_table`.
    noises: of the figures that are trained, by name.
    rows: (k,) networks that are drawn.
    None where the noise of training is not known. Parameters and multiply-adds are exact, latencies
    known to their spread.
    """
    costs = []
    for number, item in enumerate(objectives):
        rng = np.random.default_rng([seed, number])
        drawn = draw_figure(item.name, columns, noises, rows, count, rng)
        if drawn is None:
            return None
        costs.append(item.sign * drawn)
    return np.stack(costs, axis=2)


def draw_figure(
    name: str,
    columns: Mapping[str, NDArray[Any]],
    noises: Mapping[str, SeedNoise],
    rows: Whole,
    count: int,
    rng: np.random.Generator,
) -> Floats | None:
    """Draw one figure of networks, (count, k), jointly; the arguments are those of `draws`."""
    values = np.asarray(columns[name], dtype=np.float64)
    if name == "latency_ms":
        usual = rng.standard_normal((count, len(rows)))
        return np.asarray(values[rows] * (1 + columns["latency_spread"][rows] * usual))
    if name not in noises:
        return np.broadcast_to(values[rows], (count, len(rows)))
    noise = noises[name]
    drawn = _trained(columns, noise, rows, count, rng)
    if drawn is None:
        return None
    deviation = np.sqrt(_of_images(name, columns, noise)[rows])
    return np.asarray(drawn + deviation * rng.standard_normal(drawn.shape))


def _trained(
    columns: Mapping[str, NDArray[Any]],
    noise: SeedNoise,
    rows: Whole,
    count: int,
    rng: np.random.Generator,
) -> Floats | None:
    """(count, k) of what a figure would be over all seeds, on these images."""
    if noise.trainings is None:
        return None
    trainings = noise.trainings.of(~noise.exact)
    drawn = np.broadcast_to(noise.means[rows], (count, len(rows)))
    if not len(trainings.values):
        return drawn
    spread = _spread(columns, trainings.network)
    apart = np.where(columns["reference"] == PLAIN, _APART, 0.0)
    terms = _terms(columns, noise, trainings.network)
    model = MixedModel(terms, trainings, spread, apart)
    if model.freedom < 1:
        return None
    return np.where(noise.exact[rows], drawn, model.draws(rows, count, rng))


def _terms(columns: Mapping[str, NDArray[Any]], noise: SeedNoise, trained: Whole) -> Floats:
    """(n, p): a line over the logarithm of the latency, and one over the order of the search."""
    is_trained = np.zeros(len(noise.means), dtype=bool)
    is_trained[trained] = True
    terms = [np.ones(len(is_trained))]
    latency_ms = np.asarray(columns["latency_ms"], dtype=np.float64)
    if is_trained.sum() >= _FEW and (latency_ms > 0).all():
        line = np.log(latency_ms)
        terms.append(line - line[is_trained].mean())
        # A search proposes what looks good: later networks are better than earlier ones.
        order = np.argsort(np.argsort(columns["trial"], kind="stable")) / len(is_trained)
        terms.append(np.where(columns["reference"] == None, order - 0.5, 0.0))  # noqa: E711
    return np.stack(terms, axis=1)


def _spread(columns: Mapping[str, NDArray[Any]], trained: Whole) -> Floats | None:
    """(n,) how far networks lie from the line, relative to each other.

    What a network is beyond its latency is a sum over its blocks, so its variance grows with what
    they take; in a few steps, since networks of one step are fitted together.
    """
    latency_ms = np.asarray(columns["latency_ms"], dtype=np.float64)
    plain = np.flatnonzero(columns["reference"] == PLAIN)
    if not plain.size or not (latency_ms > 0).all():
        return None
    taken = np.maximum(latency_ms - latency_ms[plain].min(), 0.0)
    usual = float(taken[trained].mean())
    if usual <= 0:
        return None
    steps = np.abs(taken[:, None] / usual - _STEPS).argmin(axis=1)
    return np.asarray(np.sqrt(_STEPS[steps]))


def _of_images(name: str, columns: Mapping[str, NDArray[Any]], noise: SeedNoise) -> Floats:
    """(n,) variance of a figure by which images there are, as it bears on differences.

    Figures are known by their difference from the plain network, image by image: half of its
    variance is the plain network's, which every other difference from it has in common. Where
    that of accuracy was not measured, images are taken as independent, which is too wide.
    """
    column = "image_noise" if name == "loss" else "accuracy_image_noise"
    variance = np.asarray(columns[column], dtype=np.float64) ** 2 / 2
    plain = np.asarray(columns["reference"] == PLAIN)
    if plain.any() and (~plain).any():
        variance = np.where(plain, variance[~plain].mean(), variance)
    if name == "loss":
        return np.asarray(np.nan_to_num(variance))
    shares = np.clip(noise.means, 0.0, 1.0)
    independent = shares * (1 - shares) / np.maximum(columns["images"], 1)
    return np.asarray(np.where(np.isnan(variance), independent, variance))
