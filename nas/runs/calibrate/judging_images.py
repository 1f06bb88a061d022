"""The effect of the judging images on networks, where each is judged by groups of images.

A calibration has one set of validation images for its proxy and for full training. Networks that
these images happen to favour are favoured by both, which is no agreement. So the two are compared
by halves of the images that the other does not see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "Compared", "group_images"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

GROUPS = 20
"""The groups that images are dealt out to: halves are made of them, and their spread is known."""

_HALVINGS = 2  # each counts twice: what judged one side judges the other, too


def group_images(images: int, groups: int = GROUPS) -> list[Whole]:
    """Deal out images at random, but always in the same way, to groups of equal size.

    images: how many. Few of them make fewer groups, of two images at least.
    """
    order = np.random.default_rng(0).permutation(images)
    return [np.sort(group) for group in np.array_split(order, max(2, min(groups, images // 2)))]


@dataclass(frozen=True, slots=True)
class Compared:
    """The qualities of n networks by a proxy and by full training, by each of k groups of images.

    proxy: (n, t, k); full: (n, s, k); NaN where a seed is missing.
    """

    proxy: Floats
    full: Floats

    @property
    def noise(self) -> tuple[float, float]:
        """Standard deviations that the choice of all images gives to a network beside the others.

        By the proxy and by full training, each in its unit.
        """
        return _noise(self.proxy), _noise(self.full)

    @property
    def half_noise(self) -> tuple[float, float]:
        """The same of half of the images."""
        proxy, full = self.noise
        return math.sqrt(2) * proxy, math.sqrt(2) * full

    @property
    def common(self) -> tuple[float, float]:
        """Two standard deviations whose product is what the same images do to both sides.

        The second is that of full training. For figures of which there are no groups.
        """
        full = self.noise[1]
        there = ~(np.isnan(self.proxy).any(axis=(1, 2)) | np.isnan(self.full).any(axis=(1, 2)))
        sides = [_centred(side[there]).mean(axis=1) for side in (self.proxy, self.full)]
        return (max(0.0, _covariance(*sides)) / full if full > 0 else 0.0), full

    def halves(self) -> tuple[Floats, Floats]:
        """Return (h, n, t) of the proxy and (h, n, s) of full training, by the other images."""
        groups = self.full.shape[2]
        rng = np.random.default_rng(0)
        proxies, fulls = [], []
        for _ in range(_HALVINGS):
            order = rng.permutation(groups)
            parts = order[: groups // 2], order[groups // 2 :]
            for one, other in (parts, parts[::-1]):
                proxies.append(_mean_of(self.proxy, one))
                fulls.append(_mean_of(self.full, other))
        return np.stack(proxies), np.stack(fulls)

    def only(self, rows: NDArray[np.bool_]) -> Compared:
        """Keep some networks."""
        return Compared(self.proxy[rows], self.full[rows])


def _mean_of(values: Floats, groups: Sequence[int] | Whole) -> Floats:
    return np.asarray(values[:, :, groups].mean(axis=2))


def _centred(values: Floats) -> Floats:
    """Take out what a group of images does to all networks, of those that have every seed."""
    whole = values[~np.isnan(values).any(axis=(1, 2))]
    return np.asarray(whole - whole.mean(axis=0)) if len(whole) else whole


def _covariance(one: Floats, two: Floats) -> float:
    """Return the covariance of means over all images, by that of groups: (n, k) of both sides."""
    networks, groups = one.shape
    if networks < 2 or groups < 2:
        return 0.0
    one, two = (side - side.mean(axis=1, keepdims=True) for side in (one, two))
    # The networks' mean was taken out, and with it a share of what is their own.
    return float((one * two).sum() / ((networks - 1) * (groups - 1) * groups))


def _noise(values: Floats) -> float:
    """Return what images do to the mean over seeds, without what each training does to them.

    That differs from seed to seed and is counted there; so different seeds are multiplied.
    """
    centred = _centred(values)
    seeds = centred.shape[1]
    both = _covariance(centred.mean(axis=1), centred.mean(axis=1))
    if seeds < 2:
        return math.sqrt(max(0.0, both))
    same = np.mean([_covariance(centred[:, seed], centred[:, seed]) for seed in range(seeds)])
    return math.sqrt(max(0.0, (both * seeds - float(same)) / (seeds - 1)))
