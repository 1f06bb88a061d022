"""What full training allows one to say: of searched networks beside hand-placed ones, and of the
proxy that had chosen them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.belief.noise import NORMAL, student_quantile
from nas.spec.architecture import PLAIN
from nas.study.front.front import Front
from nas.study.full_training import (
    FullTraining,
    read_full_trainings,
    select_main_recipe,
    unpack_flags,
)

__all__ = ["judge_retrained"]

_LEAST = 4  # networks, of which an order can be told

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Network:
    """loss: the proxy's. validation, accuracy: (s,) by seed; accuracy is what counts, on test
    images where there are any. correct: (N,) share of the seeds that got an image right, or None.
    """

    name: str
    reference: str | None
    latency_ms: float
    loss: float
    validation: Floats
    accuracy: Floats
    correct: Floats | None


@dataclass(frozen=True, slots=True)
class _Noise:
    """seeds: standard deviation of a network between seeds, beside others with the same seeds,
    known to `freedom`; NaN with fewer than two networks or seeds.
    """

    seeds: float
    freedom: int


def judge_retrained(front: Front) -> list[str]:
    """Sentences; none where nothing was retrained.

    Searched networks are chosen by validation and compared by test images. Differences are
    paired by seed, and count when they exceed what seeds and the choice of images make in 95 %
    of cases, each comparison by itself.
    """
    cloud = front.cloud
    rows = [row for row, text in enumerate(cloud["retrained"]) if text is not None]
    found = [read_full_trainings(cloud["retrained"][row]) for row in rows]
    kept = select_main_recipe([item for items in found for item in items])
    if not kept:
        return []
    seeds, short = _common(kept)
    if not seeds:
        return [
            "Retrained networks have no seed in common, so they are not compared (nas retrain "
            "--seeds 3 gives them the same ones)."
        ]
    tested = all(item.test_accuracy is not None for item in kept)
    networks = [
        _network(cloud["reference"][row], float(cloud["latency_ms"][row]),
                 float(cloud["loss"][row]), mine, seeds, tested)
        for row, items in zip(rows, found, strict=True)
        if items[0].digest not in short
        and (mine := [item for item in kept if item.digest == items[0].digest])
    ]  # fmt: skip
    images = kept[0].test_images if tested else kept[0].images
    lines = [
        f"Full training ({kept[0].description}; {_counted(len(networks), 'network')}, "
        f"{_counted(len(seeds), 'seed')} each) is judged on {images:,} "
        f"{'test images, looked at once' if tested else 'validation images: there are no others'}."
    ]
    recipes = {item.key for items in found for item in items if item.complete}
    if len(recipes) > 1:
        choose = (
            "Choose between recipes by validation accuracy: each look at the test images makes "
            "them worth less."
            if tested
            else "What was chosen by these images is judged too well by them."
        )
        lines.append(
            f"{len(recipes)} recipes were tried; the one of most networks is shown. {choose}"
        )
    if short:
        trials = {item.digest: item.reference or f"trial {item.trial}" for item in kept}
        names = ", ".join(trials[digest] for digest in short)
        lines.append(
            f"Not compared, since the others' seeds are missing or failed: {names} (nas retrain "
            f"--trial N --seeds {max(seeds) + 1})."
        )
    if any(not item.searched for item in front.objectives):
        missing = len(cloud["trial"]) - len(networks) - len(short)
        if missing:
            were = "1 network was" if missing == 1 else f"{missing} networks were"
            them = "it" if missing == 1 else "them"
            lines.append(f"{were} not retrained: this front is without {them}.")
    lines += _ordered(networks)
    return lines + _compared(networks, _noise(networks), images or 0)


def _common(kept: Sequence[FullTraining]) -> tuple[list[int], list[str]]:
    """Seeds that networks are compared by, and the digests of those that lack one of them: as many
    seeds of as many networks as can be had. No seeds where no two networks share one.
    """
    by_network: dict[str, frozenset[int]] = {}
    for item in kept:
        by_network[item.digest] = by_network.get(item.digest, frozenset()) | {item.seed}
    sets = set(by_network.values())

    def worth(seeds: frozenset[int]) -> tuple[int, int, list[int]]:
        having = sum(seeds <= found for found in by_network.values())
        return (having - 1) * (len(seeds) - 1), having * len(seeds), [-seed for seed in seeds]

    best = max({one & two for one in sets for two in sets} - {frozenset()}, key=worth)
    short = [digest for digest, found in by_network.items() if not best <= found]
    if len(by_network) > 1 and len(short) == len(by_network) - 1:
        return [], []
    return sorted(best), short


def _network(
    reference: str | None,
    latency_ms: float,
    loss: float,
    items: Sequence[FullTraining],
    seeds: Sequence[int],
    tested: bool,
) -> _Network:
    used = sorted((item for item in items if item.seed in seeds), key=lambda item: item.seed)
    validation = np.array([item.accuracy for item in used], dtype=np.float64)
    tests = [item.test_accuracy for item in used]
    correct = None
    if tested and all(item.test_correct for item in used):
        flags = [unpack_flags(item.test_correct or "", item.test_images or 0) for item in used]
        correct = np.mean(flags, axis=0)
    return _Network(
        name=reference or f"trial {items[0].trial}",
        reference=reference,
        latency_ms=latency_ms,
        loss=loss,
        validation=validation,
        accuracy=np.array(tests, dtype=np.float64) if tested else validation,
        correct=correct,
    )


def _noise(networks: Sequence[_Network]) -> _Noise:
    """Of what is left when networks and seeds have been taken out, by analysis of variance."""
    counts = {len(item.accuracy) for item in networks}
    if len(networks) < 2 or len(counts) > 1 or counts == {1}:
        return _Noise(math.nan, 0)
    table = np.array([item.accuracy for item in networks])
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return _Noise(math.sqrt(float((rest**2).sum()) / freedom), freedom)


def _compared(networks: Sequence[_Network], noise: _Noise, images: int) -> list[str]:
    searched = [item for item in networks if item.reference is None]
    placed = [item for item in networks if item.reference is not None]
    if not searched or not placed:
        what = "hand-placed" if searched else "searched"
        return [f"No {what} network was retrained, so there is nothing to compare with."]
    if math.isnan(noise.seeds):
        return [
            "Networks were retrained with one seed in common at most, so the noise between seeds "
            "is unknown: no difference is claimed (nas retrain --seeds 3)."
        ]
    lines, better, worse, rivals = [], [], [], 0
    for rival in placed:
        hand = rival.reference != PLAIN
        # Nothing with attention is as fast as the plain network; that comparison is of its worth.
        fast = [item for item in searched if not hand or item.latency_ms <= rival.latency_ms]
        if not fast:
            lines.append(f"No retrained network of the search is as fast as {rival.name}.")
            continue
        best = max(fast, key=lambda item: float(item.validation.mean()))
        difference = float(best.accuracy.mean() - rival.accuracy.mean()) * 100
        margin = _margin(best, rival, noise, images) * 100
        rivals += hand
        if difference > margin:
            said = "better beyond the noise"
            better += [rival.name] if hand else []
        elif difference < -margin:
            said = "worse beyond the noise"
            worse += [rival.name] if hand else []
        else:
            said = "inside the noise"
        beside = f"no slower than {rival.name}"
        if not hand:
            share = best.latency_ms / rival.latency_ms - 1
            beside = f"against the plain network at {share:+.0%} latency"
        lines.append(
            f"{best.name}, {beside}: {difference:+.2f} points, 95 % interval "
            f"[{difference - margin:+.2f}, {difference + margin:+.2f}]: {said}."
        )
    if rivals:
        lines.append(_summary(better, worse, rivals))
    return lines


def _margin(one: _Network, other: _Network, noise: _Noise, images: int) -> float:
    """Half of the 95 % interval of a difference, as a share.

    Where it is not known which images a network got right, images are taken as independent of
    each other, which they are not: that is too wide.
    """
    between = noise.seeds * math.sqrt(1 / len(one.accuracy) + 1 / len(other.accuracy))
    if one.correct is not None and other.correct is not None:
        chosen = float(np.std(one.correct - other.correct)) / math.sqrt(max(images, 1))
    else:
        shares = [float(item.accuracy.mean()) for item in (one, other)]
        chosen = math.sqrt(sum(share * (1 - share) for share in shares) / max(images, 1))
    return math.hypot(student_quantile(noise.freedom) * between, NORMAL * chosen)


def _summary(better: Sequence[str], worse: Sequence[str], rivals: int) -> str:
    if better:
        text = (
            f"At equal training the search beats {len(better)} of {rivals} hand-placed networks "
            f"beyond the noise ({', '.join(better)}; 95 %, each by itself)"
        )
    else:
        text = (
            f"At equal training the search beats NONE of {rivals} hand-placed networks beyond the "
            "noise"
        )
    return text + (f", and is worse than {', '.join(worse)}." if worse else ".")


def _ordered(networks: Sequence[_Network]) -> list[str]:
    """Whether the proxy had put them in the order of full training."""
    if len(networks) < _LEAST:
        return []
    proxy = np.array([-item.loss for item in networks])
    full = np.array([item.accuracy.mean() for item in networks])
    found = _spearman(proxy, full)
    if math.isnan(found):
        return []
    # Fisher's transformation, with the variance of Bonett and Wright (2000).
    centre = math.atanh(max(-0.999, min(0.999, found)))
    reach = NORMAL * math.sqrt((1 + found**2 / 2) / (len(networks) - 3))
    low, high = math.tanh(centre - reach), math.tanh(centre + reach)
    said = (
        "better than chance would have it"
        if low > 0
        else "the proxy's order is the reverse"
        if high < 0
        else "whether the proxy's order means anything cannot be told from so few"
    )
    return [
        f"The proxy's order of these {len(networks)} networks against full training: rank "
        f"correlation {found:.2f} [{low:.2f}, {high:.2f}]; {said}."
    ]


def _spearman(one: Floats, two: Floats) -> float:
    first, second = _ranks(one), _ranks(two)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ties share the mean of their places."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    means: Floats = (ends - (count - 1) / 2)[group]
    return means


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
