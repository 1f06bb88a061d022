"""The networks of the proxy study, and the methods that are compared on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import matplotlib

matplotlib.use("Agg")
import torch

from nas.backbones import find_sites
from nas.base.seeds import derive
from nas.blocks import block_named
from nas.spec.architecture import Architecture, Insertion, Option
from nas.spec.space import SearchSpace
from nas.training.proxies.zero_cost import ZERO_COST

BACKBONE, SIDE, STRIDE = "mobilenetv2_cifar", 16, None
CPU = torch.device("cpu")
FULL = 120_000  # images of one full training
WARM = FULL // 2  # of one warm training
CHEAP = WARM // 10
BATCH = 64
JUDGES = 10_000  # validation images that full training is judged by, and no proxy


KINDS: dict[str, dict[str, int]] = {
    "se": {"reduction": 8},
    "cbam": {"reduction": 8, "kernel_size": 7},
    "eca": {},
    "coord": {"reduction": 8},
}
MIXED = 17
CLASSES = 10
SUPERNET_RATE = 0.001
REFERENCE = "warm"


Scorer = Callable[[Architecture], tuple[float, float]]


# The networks.


def networks() -> dict[str, Architecture]:
    """By name; the same thirty wherever this runs."""
    sites = [site.name for site in find_sites(BACKBONE, SIDE, STRIDE, (), ())]
    half = (len(sites) + 1) // 2
    found = {"plain": _placed({})}
    for kind in KINDS:
        for name, where in (("all", sites), ("early", sites[:half]), ("late", sites[half:])):
            found[f"{kind} {name}"] = _placed(dict.fromkeys(where, kind))
    for number in range(MIXED):
        rng = random.Random(derive(0, "mixed", number))
        # From a little attention to much of it, and of few kinds or of all.
        count = round(2 + (len(sites) - 2) * number / (MIXED - 1))
        kinds = rng.sample(sorted(KINDS), rng.choice([1, 2, 4]))
        found[f"mixed {number}"] = _placed(
            {site: rng.choice(kinds) for site in rng.sample(sites, count)}
        )
    return found


def _placed(blocks: dict[str, str]) -> Architecture:
    insertions = tuple(
        Insertion(site, kind, tuple(block_named(kind).complete(KINDS[kind]).items()))
        for site, kind in sorted(blocks.items())
    )
    return Architecture(BACKBONE, SIDE, insertions, STRIDE)


# The methods.


@dataclass(frozen=True)
class Method:
    """train: `all` or `blocks`. backbone: images that the plain network was trained on before
    (0: none). images: of this training, `batch` a step. teacher: share of the labels that is what
    the plain network says. ema: decay of the running mean of the weights that is judged; None: the
    weights themselves. seeds: how many.
    """

    name: str
    images: int
    learning_rate: float
    train: str = "all"
    start: str = "identity"
    backbone: int = 0
    optimiser: str = "sgd"
    teacher: float = 0.0
    batch: int = BATCH
    ema: float | None = None
    seeds: int = 2


@dataclass(frozen=True)
class Inherited:
    """Scores by a supernet. images: that it is trained on. frozen: its backbone. recalibration:
    images by which batch norms are estimated again for each network; 0: they are not.
    """

    name: str
    images: int
    frozen: bool = True
    recalibration: int = 1024
    seeds: int = 2


@dataclass(frozen=True)
class Untrained:
    """A zero-cost score, on another draw of images for each seed."""

    name: str
    seeds: int = 2


AnyMethod = Method | Inherited | Untrained
BEFORE = Method("plain", FULL, 0.05, start="paper")  # the plain network's own training


def methods() -> list[AnyMethod]:
    """In the order of what an interrupted study should hold first. The learning rates are the
    project's defaults, and factors around them.
    """
    probe = Method("probe", CHEAP, 0.003, train="blocks", backbone=FULL, optimiser="adamw")
    finetune = Method("finetune", CHEAP, 0.01, backbone=FULL)
    scratch = Method("scratch", CHEAP, 0.05, start="paper")
    warm = Method("warm", WARM, 0.05, backbone=FULL, seeds=1)
    supernet = Inherited("supernet", WARM)
    long = replace(probe, name="probe, 3x as long", images=3 * CHEAP)
    full_rate = replace(finetune, name="finetune, full rate", learning_rate=0.05)
    return [
        warm,
        probe,
        replace(warm, seeds=2),
        replace(long, name="probe, SGD, 3x as long", learning_rate=0.1, optimiser="sgd"),
        long,
        supernet,
        replace(finetune, name="finetune, 3x as long", images=3 * CHEAP, seeds=1),
        *(Untrained(name) for name in ZERO_COST),
        full_rate,
        replace(full_rate, name="finetune, full rate, 3x", images=3 * CHEAP, seeds=1),
        replace(supernet, name="supernet, not recalibrated", recalibration=0),
        replace(supernet, name="supernet, backbone too", frozen=False),
        replace(probe, name="probe, SGD", learning_rate=0.1, optimiser="sgd"),
        replace(scratch, name="scratch, 3x as long", images=3 * CHEAP, seeds=1),
        replace(warm, seeds=3),
        # As many steps as the longer probe, for the cost of the shorter.
        replace(probe, name="probe, batch 16", batch=16),
        replace(probe, name="probe, batch 16, rate /2", batch=16, learning_rate=0.0015, seeds=1),
        replace(long, name="probe, 10x as long", images=10 * CHEAP, seeds=1),
        replace(long, name="probe, 3x, distilled", teacher=0.5, seeds=1),
        replace(supernet, name="supernet, 4x as long", images=4 * WARM),
        replace(
            supernet,
            name="supernet, 4x, recalibrated 4x",
            images=4 * WARM,
            recalibration=4096,
            seeds=1,
        ),
        replace(supernet, name="supernet, 16x as long", images=16 * WARM, seeds=1),
        replace(
            supernet, name="supernet, backbone too, 4x", images=4 * WARM, frozen=False, seeds=1
        ),
        replace(
            supernet, name="supernet, backbone too, 16x", images=16 * WARM, frozen=False, seeds=1
        ),
        replace(long, name="probe, 3x, averaged weights", ema=0.98, seeds=1),
        replace(long, name="probe, 3x, rate /3", learning_rate=0.001, seeds=1),
        replace(probe, name="probe, rate /3", learning_rate=0.001, seeds=1),
        replace(probe, name="probe, rate /10", learning_rate=0.0003, seeds=1),
        replace(long, name="probe, 3x, rate /10", learning_rate=0.0003, seeds=1),
        replace(long, name="probe, 3x, backbone 1/8", backbone=FULL // 8, seeds=1),
        replace(
            scratch, name="scratch, identity start, 3x", start="identity", images=3 * CHEAP, seeds=1
        ),
    ]


def space() -> SearchSpace:
    blocks: dict[str, dict[str, list[Option]]] = {
        kind: {name: [value] for name, value in options.items()} for kind, options in KINDS.items()
    }
    return SearchSpace(
        name="study", backbones=[BACKBONE], resolutions=[SIDE], total_stride=STRIDE, blocks=blocks
    )
