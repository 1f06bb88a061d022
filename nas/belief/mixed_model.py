"""Trainings as sums: what a network is worth, what a seed does to all networks, and luck.

    loss = terms of the network + the network's own + the seed's + noise

The network's own part and the seed's are random with variances of their own, which are not picked
but averaged over. So a network that was chosen for its luck is not taken at its word, nor is a
seed with which only chosen networks were trained: all trainings take part, and what was not chosen
says what luck makes. (Laird and Ware, Biometrics 1982; Gelman, Bayesian Analysis 2006, for the
prior of the variances.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["MixedModel", "Trainings"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

# Deviations of networks and seeds in units of one training's noise.
_NETWORKS = np.concatenate([[1e-3], np.geomspace(0.05, 5000.0, 40)])
_SEEDS = np.concatenate([[1e-3], np.geomspace(0.05, 500.0, 18)])
_MOST_SEEDS = 64  # that are told apart, those of most networks
_MOST_FLAGS = 50_000_000
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Trainings:
    """One figure of t trainings.

    network, seed: (t,) numbers of networks, and any labels of seeds.
    values: (t,).
    """

    network: Whole
    seed: Whole
    values: Floats

    @classmethod
    def joined(cls, parts: list[Trainings], sizes: list[int]) -> Trainings:
        """Put studies of so many networks together; what is trained elsewhere shares no seed."""
        first = np.cumsum([0, *sizes])
        codes = [np.unique(part.seed, return_inverse=True)[1] for part in parts]
        seeds = np.cumsum([0, *(len(np.unique(part.seed)) for part in parts)])
        return cls(
            np.concatenate(
                [part.network + start for part, start in zip(parts, first, strict=False)]
            ),
            np.concatenate([code + start for code, start in zip(codes, seeds, strict=False)]),
            np.concatenate([part.values for part in parts]),
        )

    def of(self, networks: NDArray[np.bool_]) -> Trainings:
        """Return those of the networks that are marked, (n,); their numbers stay."""
        kept = networks[self.network]
        return Trainings(self.network[kept], self.seed[kept], self.values[kept])


@dataclass(frozen=True, eq=False)
class MixedModel:
    """The posterior of networks and seeds, given trainings.

    terms: (n, p) of all networks, whose weights have flat priors.
    trainings: of some of them; of a network without any its terms alone are known.
    spread: (n,) how far networks lie from their terms, relative to each other; None: alike. A few
        distinct values, since networks that are alike are fitted together.
    apart: (n,) by how much more a network may lie from its terms, in units of the noise of one
        training; None: not at all.

    Seeds with which one network was trained are no effects of their own, but part of the noise.
    """

    terms: Floats
    trainings: Trainings
    spread: Floats | None = None
    apart: Floats | None = None

    @cached_property
    def _apart(self) -> Floats:
        return np.zeros(len(self.terms)) if self.apart is None else self.apart

    @cached_property
    def _spread(self) -> Floats:
        return np.ones(len(self.terms)) if self.spread is None else self.spread

    @cached_property
    def shared_seeds(self) -> Whole:
        """(j,) labels of the seeds that several networks have in common."""
        seeds, which = np.unique(self.trainings.seed, return_inverse=True)
        if len(seeds) * len(self.terms) <= _MOST_FLAGS:
            once = np.zeros(len(seeds) * len(self.terms), dtype=bool)
            once[which * len(self.terms) + self.trainings.network] = True
            networks = once.reshape(len(seeds), -1).sum(axis=1)
        else:
            pairs = np.unique(which * len(self.terms) + self.trainings.network)
            networks = np.bincount(pairs // len(self.terms), minlength=len(seeds))
        most = np.argsort(-networks, kind="stable")[:_MOST_SEEDS]
        return np.sort(seeds[most[networks[most] > 1]])

    @cached_property
    def freedom(self) -> int:
        """Degrees of freedom that the noise is known to, networks and seeds aside."""
        repeats = len(self.trainings.network) - int((self._counts > 0).sum())
        several = self._counts[self.trainings.network] > 1
        shared = np.isin(self.shared_seeds, self.trainings.seed[several]).sum()
        return max(0, repeats - max(0, int(shared) - 1))

    @cached_property
    def _counts(self) -> Whole:
        return np.bincount(self.trainings.network, minlength=len(self.terms))

    @cached_property
    def _alike(self) -> list[Whole]:
        """Numbers of networks with as many trainings that lie as far from their terms."""
        key = self._counts
        for column in (self.spread, self.apart):
            if column is not None:
                values, which = np.unique(column, return_inverse=True)
                key = key * len(values) + np.where(self._counts > 0, which, 0)
        key = np.where(self._counts > 0, key, 0)
        numbers = np.flatnonzero(np.bincount(key))
        return [np.flatnonzero(key == number) for number in numbers if number > 0]

    @cached_property
    def _mean_values(self) -> Floats:
        total = np.bincount(
            self.trainings.network, weights=self.trainings.values - self._centre,
            minlength=len(self.terms),
        )  # fmt: skip
        return np.asarray(total / np.maximum(self._counts, 1))

    @cached_property
    def _centre(self) -> float:
        return float(self.trainings.values.mean())

    @cached_property
    def _mean_rows(self) -> Floats:
        """(n, p + j) mean of each network's rows: its terms, and the share of each seed."""
        where = np.searchsorted(self.shared_seeds, self.trainings.seed)
        where = np.minimum(where, max(len(self.shared_seeds) - 1, 0))
        rows = [self.terms]
        for number, seed in enumerate(self.shared_seeds):
            hit = (where == number) & (self.trainings.seed == seed)
            count = np.bincount(self.trainings.network[hit], minlength=len(self.terms))
            rows.append((count / np.maximum(self._counts, 1))[:, None])
        return np.concatenate(rows, axis=1)

    @cached_property
    def _grid(self) -> tuple[Floats, Floats]:
        """(g,) each: deviations of networks and of seeds, in units of the noise."""
        seeds = _SEEDS if len(self.shared_seeds) else _SEEDS[:1]
        networks, seeds = np.meshgrid(_NETWORKS, seeds, indexing="ij")
        return networks.ravel(), seeds.ravel()

    @cached_property
    def _solved(self) -> _Solved:
        return self._solve()

    def _solve(self) -> _Solved:
        """The normal equations at every point of the grid; networks with as many trainings have
        the same weight, so their sums are made once.
        """
        own, of_seed = self._grid
        rows, means, counts = self._mean_rows, self._mean_values, self._counts
        values = self.trainings.values - self._centre
        terms, width = self.terms.shape[1], rows.shape[1]
        # Sums over trainings: within a network rows differ in their seeds alone.
        gram = np.zeros((width, width))
        gram[:terms, :terms] = (self.terms * counts[:, None]).T @ self.terms
        cross = (self.terms * counts[:, None]).T @ rows[:, terms:]
        gram[:terms, terms:], gram[terms:, :terms] = cross, cross.T
        seed_sums = [self.trainings.seed == seed for seed in self.shared_seeds]
        gram[range(terms, width), range(terms, width)] = [hit.sum() for hit in seed_sums]
        moment = np.zeros(width)
        moment[:terms] = self.terms.T @ (counts * means)
        moment[terms:] = [values[hit].sum() for hit in seed_sums]
        grams = np.broadcast_to(gram, (len(own), width, width)).copy()
        moments = np.broadcast_to(moment, (len(own), width)).copy()
        squares = np.full(len(own), float(values @ values))
        log_det = np.zeros(len(own))
        for mine in self._alike:
            count = float(counts[mine[0]])
            excess = count * ((own * self._spread[mine[0]]) ** 2 + self._apart[mine[0]] ** 2)
            weight = excess / (1 + excess) * count
            grams -= weight[:, None, None] * (rows[mine].T @ rows[mine])
            moments -= weight[:, None] * (rows[mine].T @ means[mine])
            squares -= weight * float(means[mine] @ means[mine])
            log_det += len(mine) * np.log1p(excess)
        precision = np.zeros(width)
        precision[terms:] = 1.0
        grams += precision[None, :, None] * np.eye(width) / of_seed[:, None, None] ** 2
        # Terms that no training tells apart share what is told: the least change that solves.
        grams += _NEGLIGIBLE * np.trace(gram) * np.eye(width)
        weights: Floats = np.asarray(
            np.linalg.solve(grams, moments[:, :, None])[:, :, 0], dtype=np.float64
        )
        residual = np.maximum(squares - (weights * moments).sum(axis=1), 1e-300)
        freedom = max(len(values) - terms, 1)
        log_det += np.linalg.slogdet(grams)[1] + (width - terms) * 2 * np.log(of_seed)
        log_posterior = -0.5 * log_det - 0.5 * freedom * np.log(residual)
        log_posterior += _log_prior(own, _NETWORKS) + _log_prior(of_seed, _SEEDS)
        chance = np.exp(log_posterior - log_posterior.max())
        variance: Floats = np.asarray(residual / freedom, dtype=np.float64)
        chance = np.asarray(chance / chance.sum())
        return _Solved(weights, grams, variance, freedom, chance)

    def seed_effects(self) -> dict[int, float]:
        """Return what each shared seed does to all networks, as expected; without it, nothing."""
        terms = self.terms.shape[1]
        expected = self._solved.chance @ self._solved.weights[:, terms:]
        return dict(zip(self.shared_seeds.tolist(), expected.tolist(), strict=True))

    def draws(self, networks: Whole, count: int, rng: np.random.Generator) -> Floats:
        """Return what networks may be worth, (count, k), jointly.

        networks: (k,) numbers.
        """
        solved, terms = self._solved, self.terms.shape[1]
        points = rng.choice(len(solved.chance), size=count, p=solved.chance)
        noise = np.sqrt(
            solved.variance[points] * solved.freedom / rng.chisquare(solved.freedom, count)
        )
        own = np.hypot(
            self._grid[0][points][:, None] * self._spread[networks], self._apart[networks]
        )
        weights = np.empty((count, solved.weights.shape[1]))
        for point in np.unique(points):
            mine = points == point
            root = np.linalg.cholesky(np.linalg.inv(solved.grams[point]))
            usual = rng.standard_normal((int(mine.sum()), root.shape[0]))
            weights[mine] = solved.weights[point] + (usual @ root.T) * noise[mine, None]
        counts = self._counts[networks]
        share = counts * own**2
        share = share / (1 + share)
        missed = self._mean_values[networks] - weights @ self._mean_rows[networks].T
        luck = noise[:, None] * own * np.sqrt(1 - share)
        drawn = weights[:, :terms] @ self.terms[networks].T + share * missed
        return np.asarray(self._centre + drawn + luck * rng.standard_normal((count, len(networks))))


@dataclass(frozen=True, eq=False)
class _Solved:
    """At g points of the grid: weights (g, p + j) and their precision in units of the noise,
    the variance of the noise (g,), its degrees of freedom, and how probable the point is.
    """

    weights: Floats
    grams: Floats
    variance: Floats
    freedom: int
    chance: Floats


def _log_prior(ratios: Floats, grid: Floats) -> Floats:
    """Half a Cauchy distribution over a deviation, times the width of its cell of the grid."""
    ends = np.concatenate([[0.0], (grid[1:] + grid[:-1]) / 2, [grid[-1]]])
    return np.asarray(np.interp(ratios, grid, np.log(np.diff(ends) / (1 + grid**2))))
