"""What judging images do to networks: known by groups of them, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nas.runs.calibrate.agreement import agreement, resolution
from nas.runs.calibrate.judging_images import Compared, group_images
from nas.runs.calibrate.sides import Sides

NETWORKS, SEEDS, GROUPS = 400, 3, 20


def by_groups(own: float, common: float, truth: float, seed: int = 0) -> Compared:
    """Full training shows the truth and the proxy nothing, but the same images judge both.

    own: noise of a training by one group of images. common: what a group does to a network.
    """
    rng = np.random.default_rng(seed)
    images = rng.normal(0, common, (NETWORKS, 1, GROUPS))
    shape = (NETWORKS, SEEDS, GROUPS)
    worth = rng.normal(0, truth, (NETWORKS, 1, 1))
    easy = rng.normal(0, 3.0, (1, 1, GROUPS))  # groups of easy images are so for all
    full = worth + images + easy + rng.normal(0, own, shape)
    return Compared(images + easy + rng.normal(0, own, shape), full)


def test_images_are_dealt_out_once_and_always_alike() -> None:
    groups = group_images(101)
    assert len(groups) == GROUPS
    assert sorted(np.concatenate(groups).tolist()) == list(range(101))
    assert {len(group) for group in groups} <= {5, 6}
    again = group_images(101)
    assert all((one == other).all() for one, other in zip(groups, again, strict=True))
    assert len(group_images(9)) == 4 and len(group_images(2)) == 2


def test_the_noise_of_images_is_without_that_of_trainings() -> None:
    found = by_groups(own=2.0, common=1.0, truth=5.0)
    wanted = 1.0 / np.sqrt(GROUPS)
    assert found.noise == pytest.approx((wanted, wanted), rel=0.1)
    assert found.half_noise == pytest.approx((np.sqrt(2) * wanted,) * 2, rel=0.1)
    assert np.prod(found.common) == pytest.approx(wanted**2, rel=0.15)


def test_halves_are_of_images_that_the_other_side_does_not_see() -> None:
    """By hand: one network differs by one group alone, which both sides see."""
    values = np.zeros((3, 2, 4))
    values[0, :, 1] = 4.0
    proxies, fulls = Compared(values, values).halves()
    assert proxies.shape == fulls.shape == (4, 3, 2)
    for proxy, full in zip(proxies, fulls, strict=True):
        assert sorted([proxy[0, 0], full[0, 0]]) == [0.0, 2.0]


def test_a_proxy_that_shows_nothing_agrees_by_the_same_images_alone() -> None:
    groups = by_groups(own=0.5, common=2.0, truth=0.3)
    whole = Sides(groups.proxy.mean(axis=2), groups.full.mean(axis=2))
    assert agreement(whole.proxy, whole.full).spearman.low > 0.4
    assert np.isfinite(resolution(whole.proxy, whole.full, difference=0.5).apart)
    apart = Sides(whole.proxy, whole.full, groups)
    assert abs(apart.agreement().spearman.value) < 0.1
    below = Sides(whole.proxy, whole.full, groups, own=False)
    assert abs(below.agreement().spearman.value) < 0.1


def test_a_network_without_a_seed_says_nothing_of_images() -> None:
    groups = by_groups(own=2.0, common=1.0, truth=5.0)
    groups.full[::2, 1] = np.nan
    assert groups.noise[1] == pytest.approx(1 / np.sqrt(GROUPS), rel=0.15)
    groups.full[:, 1] = np.nan
    assert groups.noise[1] == 0.0
    kept = groups.only(np.arange(NETWORKS) < 7)
    assert kept.proxy.shape == (7, SEEDS, GROUPS)
