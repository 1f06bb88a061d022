"""What published comparisons say of hand-placed networks, as rows of evidence beside trainings.

They are one more source, which is related to full training here by a slope, a bias of the network
and a noise, as a probe is: how far the literature agrees with these images is not known before
trainings tell it. They guide what a search proposes. What is said of its networks rests on its own
trainings: in simulated worlds where attention harms a little, "no worse but for a margin" was false
in 8 % of fronts with them and in 3 % without (benchmarks/claims/rates.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas.base.natural_order import natural_key
from nas.belief.evidence import Evidence
from nas.belief.published_prior import PublishedPrior, Regime
from nas.belief.space_codes import CodedSpace
from nas.belief.terms import stage_of
from nas.spec.architecture import EMPTY, Architecture, Insertion

__all__ = ["PUBLISHED", "published_evidence"]

Codes = NDArray[np.int64]

PUBLISHED = "published"
_LOSS_PER_ACCURACY = 2.5  # about, on CIFAR-10; the slope of the source learns what it is here
_APART = -1_000_000  # numbers that no training and no seed has


def published_evidence(
    architectures: Sequence[Architecture],
    regime: Regime,
    code: Callable[[Architecture], Codes | None],
) -> Evidence | None:
    """Return what is published of each kind everywhere, early and late, and of the plain network.

    architectures: of a study, whose sites and labels are taken, of the backbone with most of them.
    code: gives the codes (d,) of a network; None where it has none.
    Returns None where nothing can be said: without blocks, or where the backbone comes with blocks
    that are taken out, of which a study does not tell where they stand.
    """
    placed = _hand_placed(architectures)
    space = _space(placed)
    if space is None:
        return None
    terms = PublishedPrior.load(regime=regime).terms(space)
    labels = [{item.site: item.label for item in network.insertions} for network in placed]
    rows = np.array(
        [
            [
                own.index(each.get(site, EMPTY))
                for site, own in zip(space.decisions, space.labels, strict=True)
            ]
            for each in labels
        ],
        dtype=np.int64,
    )
    gain, _ = terms.gain(rows)
    known = [(code(network), value) for network, value in zip(placed, gain.tolist(), strict=True)]
    coded = [(codes, value) for codes, value in known if codes is not None]
    if len(coded) < 2:
        return None
    numbers = _APART - np.arange(len(coded))
    none = np.full(len(coded), np.nan)
    loss = np.array([-_LOSS_PER_ACCURACY * value for _, value in coded])
    codes = np.array([row for row, _ in coded], dtype=np.int64)
    return Evidence(codes, [PUBLISHED] * len(coded), none, numbers, numbers, loss, none)


def _hand_placed(architectures: Sequence[Architecture]) -> list[Architecture]:
    """Return the plain network, and each kind that was seen: everywhere, early and late."""
    counts = Counter(item.plain for item in architectures)
    if not counts:
        return []
    plain = counts.most_common(1)[0][0]
    seen: dict[str, set[Insertion]] = {}
    for item in architectures:
        if item.plain == plain:
            for insertion in item.insertions:
                seen.setdefault(insertion.site, set()).add(insertion)
    sites = sorted(seen, key=natural_key)
    if any(item.label == EMPTY for insertions in seen.values() for item in insertions):
        return []
    kinds = sorted({item.block for insertions in seen.values() for item in insertions})
    networks = [plain]
    for kind in kinds:
        of_kind = {
            site: min(own, key=lambda item: natural_key(item.label))
            for site in sites
            if (own := [item for item in seen[site] if item.block == kind])
        }
        half = len(sites) / 2
        for part in (sites, sites[: round(half)], sites[round(half) :]):
            insertions = tuple(of_kind[site] for site in part if site in of_kind)
            if insertions:
                networks.append(replace(plain, insertions=insertions))
    return list(dict.fromkeys(networks))


def _space(networks: Sequence[Architecture]) -> CodedSpace | None:
    """Return the space of the blocks that hand-placed networks hold; None without any."""
    labels: dict[str, list[str]] = {}
    for network in networks:
        for item in network.insertions:
            labels.setdefault(item.site, [EMPTY])
            if item.label not in labels[item.site]:
                labels[item.site].append(item.label)
    sites = sorted(labels, key=natural_key)
    if not sites:
        return None
    blocks = tuple(np.array([0.0, *[1.0] * (len(labels[site]) - 1)]) for site in sites)
    return CodedSpace(
        decisions=tuple(sites),
        labels=tuple(tuple(labels[site]) for site in sites),
        idle=np.zeros(len(sites), dtype=np.int64),
        stages=tuple(stage_of(site) for site in sites),
        depth=np.linspace(0.0, 1.0, len(sites)) if len(sites) > 1 else np.full(1, 0.5),
        blocks=blocks,
        log_macs=tuple(0.0 * item for item in blocks),
        positions=tuple(site.rpartition("/")[2] for site in sites),
    )
