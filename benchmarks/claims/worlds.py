"""Worlds in which the truth is known, and searches in them. NumPy alone; gains are of loss.

No world is kind to a sum of effects: blocks saturate, places and kinds interact, effects and noise
have heavy tails, a short training shows the gain through a crooked glass, seeds do alike things to
networks that are alike, and the images that judge are the same for all. In some nothing pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAMILIES", "NULL", "Study", "Trainer", "World", "make_world", "search"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

UNIT = 0.03
"""The standard deviation of the truth over the networks of a space, in loss."""

NULL = ("null", "harm", "worse")
"""Families in which nothing beats what it is compared with."""

FAMILIES = (*NULL, "additive", "saturated", "interacting", "heavy", "rugged")
"""What the truth is like.

null: every network is worth the same. harm: every block harms a little. worse: searched networks
are half a standard deviation of a training worse than the plain and the hand-placed ones, which
are equal. The others: a sum of effects; one that saturates; with pairs that help or spoil each
other; with few large effects; with a part of its own for each network.
"""

_TURNS = 8
_WAVES = 60  # of the part that is rugged


@dataclass(frozen=True, eq=False)
class World:
    """What networks are worth, and what one training shows of it.

    A network is a row of codes (s,): 0 leaves a site as it is, 1 to k are kinds of block.

    effects, times: (s, k + 1), of each code at each site on the gain and on the latency in ms.
    cap: gain that a sum of effects never exceeds; infinite where nothing saturates.
    pairs: (s, s), what two blocks are worth together beyond their sum.
    waves, phases: (w, s, k + 1) and (w,) of the rugged part; rugged: its weight.
    scale: what makes the standard deviation of the truth `UNIT`.
    bent: how crooked a short training is, 0 for one that shows the truth.
    kind_bias: (k + 1,) what it adds for a block of each kind.
    noise: standard deviation of one training; tails: degrees of freedom of its Student's t.
    seed_effect: standard deviation of what a seed does to all networks alike.
    alike: share of the noise that networks with the same block at the same site have in common.
    images: standard deviation of what the choice of images does to a full network's gain.
    by_images: (s, k + 1) what these images do to it, by site and code, in units of that.
    own_seeds: every network is trained with seeds of its own.
    exact_plain: training does not change the plain network, as under a probe.
    """

    family: str
    effects: Floats
    times: Floats
    cap: float
    pairs: Floats
    waves: Floats
    phases: Floats
    rugged: float
    scale: float
    bent: float
    kind_bias: Floats
    noise: float
    tails: float
    seed_effect: float
    alike: float
    images: float
    by_images: Floats
    own_seeds: bool
    exact_plain: bool

    @property
    def sites(self) -> int:
        return int(self.effects.shape[0])

    @property
    def kinds(self) -> int:
        return int(self.effects.shape[1]) - 1

    def gain(self, codes: Codes) -> Floats:
        """Return the loss by full training that networks save against the plain one, (n,)."""
        if self.family == "null":
            return np.zeros(len(codes))
        if self.family == "worse":
            placed = (codes == codes[:, :1]).all(axis=1)
            return np.where(placed, 0.0, -0.5 * self.noise)
        if self.family == "harm":
            return np.asarray(-np.abs(_at(self.effects, codes)).sum(axis=1) * self.scale)
        return np.asarray(self.scale * _raw(self, codes))

    def shown_gain(self, codes: Codes) -> Floats:
        """Return the gain that a short training would show if it had no noise, (n,)."""
        gain = self.gain(codes)
        if self.bent == 0 or self.family in NULL:
            return gain
        wide = 1.5 * UNIT
        blocks = (codes > 0).mean(axis=1)
        slow = self.kind_bias[codes].mean(axis=1) - blocks**2
        crooked = wide * np.tanh(gain / wide) + UNIT * slow
        return np.asarray((1 - self.bent) * gain + self.bent * crooked)

    def latency_ms(self, codes: Codes) -> Floats:
        """Return latencies, (n,); the plain network takes 1 ms."""
        return np.asarray(1.0 + _at(self.times, codes).sum(axis=1))

    def placed(self) -> tuple[Codes, tuple[str, ...]]:
        """Return the plain network and those with one kind everywhere, and their names."""
        codes = np.repeat(np.arange(self.kinds + 1)[:, None], self.sites, axis=1)
        return codes, ("plain", *(f"kind{kind}" for kind in range(1, self.kinds + 1)))

    def random(self, count: int, rng: np.random.Generator) -> Codes:
        """Return networks with none to all of their sites taken, (count, s)."""
        share = rng.uniform(0, 1, (count, 1))
        taken = rng.uniform(0, 1, (count, self.sites)) < share
        return np.where(taken, rng.integers(1, self.kinds + 1, taken.shape), 0)


def _at(table: Floats, codes: Codes) -> Floats:
    """(n, s): what a table of sites and codes holds for each site of each network."""
    return np.asarray(table[np.arange(table.shape[0]), codes])


def _raw(world: World, codes: Codes) -> Floats:
    total = _at(world.effects, codes).sum(axis=1)
    if np.isfinite(world.cap):
        total = np.where(total > 0, world.cap * (1 - np.exp(-total / world.cap)), total)
    taken = (codes > 0).astype(np.float64)
    same = sum(
        (codes == kind) @ world.pairs * (codes == kind) for kind in range(1, world.kinds + 1)
    )
    total = total + ((taken @ world.pairs) * taken).sum(axis=1) + np.asarray(same).sum(axis=1)
    if world.rugged:
        total = total + world.rugged * (_rugged(world, codes) - _rugged(world, 0 * codes))
    return np.asarray(total)


def _rugged(world: World, codes: Codes) -> Floats:
    angles = world.phases + sum(
        world.waves[:, site][:, codes[:, site]].T for site in range(world.sites)
    )
    return np.asarray(np.cos(angles).mean(axis=1) * np.sqrt(2 * len(world.phases)))


def make_world(rng: np.random.Generator, family: str | None = None) -> World:
    """Draw a world; family: one of `FAMILIES`, None draws that too."""
    family = family or str(rng.choice(FAMILIES))
    sites, kinds = int(rng.integers(7, 18)), int(rng.integers(2, 6))
    shape = (sites, kinds + 1)
    level = rng.normal(0, 0.6, kinds + 1)
    effects = level + rng.normal(0, 0.5, (sites, 1)) + rng.normal(0, 0.6, shape)
    if family == "heavy":
        effects = 0.2 * effects + rng.standard_t(2, shape) * (rng.uniform(size=shape) < 0.2)
    effects[:, 0] = 0.0
    usual_sum = float(np.abs(effects).sum()) / 4
    pairs = np.triu(rng.normal(0, 0.35, (sites, sites)), 1) if family == "interacting" else 0.0
    draft = World(
        family=family,
        effects=effects,
        times=_times(rng, shape),
        cap=rng.uniform(0.2, 0.6) * usual_sum if family == "saturated" else np.inf,
        pairs=np.zeros((sites, sites)) + pairs,
        waves=rng.normal(0, 0.9, (_WAVES, *shape)),
        phases=rng.uniform(0, 2 * np.pi, _WAVES),
        rugged=float(np.abs(effects).mean() * np.sqrt(sites)) if family == "rugged" else 0.0,
        scale=1.0,
        bent=float(rng.choice([0.0, rng.uniform(0.3, 1.0)])),
        kind_bias=np.append(0.0, rng.normal(0, 1.0, kinds)),
        noise=UNIT * float(np.exp(rng.uniform(np.log(0.2), np.log(2.0)))),
        tails=float(rng.choice([3.0, 30.0])),
        seed_effect=0.0,
        alike=float(rng.choice([0.0, rng.uniform(0.0, 0.5)])),
        images=0.0,
        by_images=np.where(np.arange(kinds + 1) > 0, rng.standard_normal(shape), 0.0),
        own_seeds=bool(rng.uniform() < 0.3),
        exact_plain=bool(rng.uniform() < 0.15),
    )
    spread = float(np.std(_raw(draft, draft.random(400, rng))))
    harm = draft.noise / float(np.abs(effects).sum()) if family == "harm" else UNIT / spread
    return _with(
        draft,
        scale=harm,
        seed_effect=float(draft.noise * rng.uniform(0, 1.5)),
        images=float(draft.noise * rng.uniform(0, 0.7)),
    )


def _times(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    times = rng.lognormal(-2.5, 0.4, (1, shape[1])) * rng.lognormal(0, 0.5, shape)
    times[:, 0] = 0.0
    return np.asarray(times)


def _with(world: World, **changes: float) -> World:
    values = {name: getattr(world, name) for name in world.__dataclass_fields__}
    return World(**(values | changes))


@dataclass(frozen=True, eq=False)
class Study:
    """What a search has trained, and the truth that it does not see.

    codes: (n, s); the plain network is the first, the hand-placed ones follow.
    names: of these, the others have None.
    truth: (n,) mean loss of a training on all images there are.
    latency_ms: (n,).
    image_noise: (n,) standard error of the difference from the plain network by images.
    network, seed, repeat: (t,) of each training; loss: (t,) that it showed.
    seed_effects: what each seed truly does to all networks alike.
    """

    world: World
    codes: Codes
    names: tuple[str | None, ...]
    truth: Floats
    latency_ms: Floats
    image_noise: Floats
    network: Codes
    seed: Codes
    repeat: Codes
    loss: Floats
    seed_effects: Mapping[int, float]

    def mean_loss(self) -> Floats:
        """Return the plain mean of each network's trainings, (n,)."""
        return np.bincount(self.network, weights=self.loss) / np.bincount(self.network)


class Trainer:
    """Trains networks of a world: the same seed does the same to networks that are alike."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._seeds: dict[int, tuple[float, Floats]] = {}

    @property
    def seed_effects(self) -> dict[int, float]:
        """What each seed did to all networks alike."""
        return {seed: effect for seed, (effect, _) in self._seeds.items()}

    def image_noise(self, codes: Codes) -> Floats:
        """(n,) standard error of gains by the choice of images."""
        return np.asarray(self._world.images * np.sqrt((codes > 0).mean(axis=1)))

    def shift_by_images(self, codes: Codes) -> Floats:
        """(n,) what these images add to the losses of networks."""
        shift = _at(self._world.by_images, codes).sum(axis=1) / np.sqrt(self._world.sites)
        return np.asarray(self._world.images * shift)

    def errors(self, codes: Codes, seeds: Codes) -> Floats:
        """(n,) what one training with each seed adds to the loss of each network."""
        world = self._world
        tails = world.tails
        own = self._rng.standard_t(tails, len(codes)) * np.sqrt((tails - 2) / tails)
        common, alike = np.zeros(len(codes)), np.zeros(len(codes))
        for seed in np.unique(seeds).tolist():
            mine = seeds == seed
            effect, weights = self._seeds.setdefault(seed, self._draw_seed())
            common[mine] = effect
            alike[mine] = _at(weights, codes[mine]).sum(axis=1) / np.sqrt(world.sites)
        share = world.alike
        error = common + world.noise * (np.sqrt(1 - share) * own + np.sqrt(share) * alike)
        untrained = world.exact_plain & (codes == 0).all(axis=1)
        return np.asarray(np.where(untrained, 0.0, error))

    def _draw_seed(self) -> tuple[float, Floats]:
        return (
            float(self._rng.normal(0, self._world.seed_effect)),
            self._rng.standard_normal(self._world.effects.shape),
        )


def search(
    world: World,
    rng: np.random.Generator,
    *,
    networks: int = 60,
    seeds: int = 3,
    best: int = 8,
) -> Study:
    """Search a world as the program does: random networks, then variants of the front, one seed.

    The hand-placed networks and up to `best` that look best get `seeds` trainings.
    """
    trainer = Trainer(world, rng)
    codes, names = world.placed()
    rows = [_trained(trainer, world, codes, np.arange(len(codes)), repeat=0)]
    for part in range(4):
        count, losses = networks // 4, np.concatenate([row[-1] for row in rows])
        new = world.random(count, rng) if part < 2 else _variants(world, codes, losses, count, rng)
        both = np.concatenate([codes, new])
        first = np.unique(both, axis=0, return_index=True)[1]
        new = both[np.sort(first[first >= len(codes)])]
        numbers = np.arange(len(codes), len(codes) + len(new))
        rows.append(_trained(trainer, world, new, numbers, repeat=0))
        codes = np.concatenate([codes, new])
    losses = np.concatenate([row[-1] for row in rows])
    again = _best(world.latency_ms(codes), losses, len(names), best)
    confirmed = np.concatenate([np.arange(len(names)), again])
    for repeat in range(1, seeds):
        rows.append(_trained(trainer, world, codes[confirmed], confirmed, repeat=repeat))
    network, seed, repeated, loss = (np.concatenate(part) for part in zip(*rows, strict=True))
    return Study(
        world=world,
        codes=codes,
        names=(*names, *[None] * (len(codes) - len(names))),
        truth=1.0 - world.shown_gain(codes),
        latency_ms=world.latency_ms(codes),
        image_noise=trainer.image_noise(codes),
        network=network,
        seed=seed,
        repeat=repeated,
        loss=loss,
        seed_effects=trainer.seed_effects,
    )


def _trained(
    trainer: Trainer, world: World, codes: Codes, numbers: Codes, *, repeat: int
) -> tuple[Codes, Codes, Codes, Floats]:
    """Network, seed, repeat and loss of one training of each."""
    # Few seeds serve all networks, which take turns, as in a search.
    seeds = (numbers + repeat) % _TURNS
    if world.own_seeds:
        seeds = 1000 * (repeat + 1) + numbers
    loss = 1.0 - world.shown_gain(codes) + trainer.shift_by_images(codes)
    loss = loss + trainer.errors(codes, seeds)
    return numbers, seeds, np.full(len(codes), repeat), loss


def _front(costs: Floats, latency_ms: Floats) -> Codes:
    order = np.lexsort((costs, latency_ms))
    lowest = np.minimum.accumulate(np.append(np.inf, costs[order]))[:-1]
    return order[costs[order] < lowest]


def _variants(
    world: World, found: Codes, losses: Floats, count: int, rng: np.random.Generator
) -> Codes:
    parents = found[rng.choice(_front(losses, world.latency_ms(found)), count)]
    changed = rng.uniform(size=parents.shape) < 1.5 / world.sites
    changed[np.arange(count), rng.integers(world.sites, size=count)] = True
    other = rng.integers(0, world.kinds + 1, parents.shape)
    return np.asarray(np.where(changed, other, parents), dtype=np.int64)


def _best(latency_ms: Floats, losses: Floats, first: int, count: int) -> Codes:
    """Return up to `count` networks, those before `first` aside: the front, then the next."""
    chosen: list[int] = []
    left = np.arange(first, len(losses))
    while len(chosen) < count and left.size:
        front = left[_front(losses[left], latency_ms[left])]
        chosen += front[: count - len(chosen)].tolist()
        left = np.setdiff1d(left, front)
    return np.sort(np.array(chosen, dtype=np.int64))
