from __future__ import annotations

import numpy as np

from nas.belief.noise import SeedNoise, mean_over_seeds
from nas.belief.posterior import draws
from nas.spec.objective import objectives_named

LOSS = objectives_named(["loss", "params"])[:1]
Columns = dict[str, np.ndarray]


def study(
    truth: np.ndarray, seeds: list[int], noise: float = 0.1, draw: int = 0
) -> tuple[Columns, dict[str, SeedNoise]]:
    """Networks of so many seeds; `plain` is none of them."""
    rng = np.random.default_rng(draw)
    group = np.repeat(np.arange(len(truth)), seeds)
    seed = np.concatenate([np.arange(count) for count in seeds])
    found = mean_over_seeds(truth[group] + rng.normal(0, noise, len(group)), group, seed)
    count = len(truth)
    columns: Columns = {
        "loss": found.means,
        "latency_ms": np.linspace(1, 2, count),
        "latency_spread": np.full(count, 0.01),
        "trial": np.arange(count),
        "params": np.arange(count),
        "reference": np.full(count, None, dtype=object),
        "image_noise": np.full(count, np.nan),
        "accuracy_image_noise": np.full(count, np.nan),
        "images": np.full(count, 100.0),
    }
    return columns, {"loss": found, "accuracy": found}


def drawn_losses(columns: Columns, noises: dict[str, SeedNoise], rows: object = None) -> np.ndarray:
    rows = np.arange(len(columns["loss"])) if rows is None else np.asarray(rows)
    drawn = draws(columns, noises, LOSS, rows)
    assert drawn is not None
    return np.asarray(drawn[:, :, 0])


def test_what_lies_far_apart_is_drawn_about_what_was_found_more_closely_the_more_seeds() -> None:
    truth = np.random.default_rng(1).normal(0, 5, 30)
    columns, noises = study(truth, [1, 4] * 15)
    drawn = drawn_losses(columns, noises)
    assert drawn.shape == (4000, 30)
    np.testing.assert_allclose(drawn.mean(axis=0), columns["loss"], atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0)[::2].mean(), 0.1, rtol=0.35)
    np.testing.assert_allclose(drawn.std(axis=0)[1::2].mean(), 0.05, rtol=0.35)


def test_rows_are_drawn_as_they_are_asked_for() -> None:
    columns, noises = study(np.random.default_rng(1).normal(0, 5, 30), [2] * 30)
    some = drawn_losses(columns, noises, [7, 3])
    np.testing.assert_allclose(some.mean(axis=0), columns["loss"][[7, 3]], atol=0.1)


def test_of_many_that_were_trained_once_the_luckiest_is_held_against_the_others() -> None:
    columns, noises = study(np.ones(60), [1] * 50 + [3] * 10)  # nothing but noise
    drawn = drawn_losses(columns, noises)
    losses = columns["loss"]
    best = int(losses.argmin())
    assert drawn[:, best].mean() > losses[best] + 0.5 * (losses.mean() - losses[best])


def test_what_the_images_make_pulls_no_networks_together() -> None:
    """Sixty that differ, known exactly but for the images that all were judged on."""
    truth = np.linspace(1.0, 1.1, 60)[np.random.default_rng(0).permutation(60)]
    columns, noises = study(truth, [3] * 60, noise=0.001)
    columns["image_noise"] = np.full(60, 0.2)
    drawn = drawn_losses(columns, noises)
    assert np.corrcoef(drawn.mean(axis=0), columns["loss"])[0, 1] > 0.95
    # The standard error of a difference is 0.2, half of its variance each network's own.
    difference = (drawn[:, 0] - drawn[:, 1]).std()
    np.testing.assert_allclose(difference, 0.2, rtol=0.1)


def test_unknown_noise_allows_no_belief() -> None:
    columns, noises = study(np.array([1.0, 2.0]), [1, 1])
    assert draws(columns, noises, LOSS, np.arange(2)) is None


def test_a_network_that_training_does_not_change_is_exact() -> None:
    columns, _ = study(np.linspace(1, 2, 5), [3] * 5)
    group, seed = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    values = np.linspace(1, 2, 5)[group] + np.random.default_rng(0).normal(0, 0.1, 15)
    values[:3] = 1.0
    noise = mean_over_seeds(values, group, seed)
    drawn = drawn_losses(columns | {"loss": noise.means}, {"loss": noise})
    assert (drawn[:, 0] == 1.0).all() and drawn[:, 1].std() > 0


def test_accuracy_is_maximised_and_parameters_are_exact() -> None:
    columns, noises = study(np.array([0.5, 0.9] * 10), [3] * 20, noise=0.0001)
    columns["accuracy"] = noises["accuracy"].means
    objectives = objectives_named(["accuracy", "params"])
    drawn = draws(columns, noises, objectives, np.array([0, 1]))
    assert drawn is not None
    np.testing.assert_allclose(drawn[:, :, 0].mean(axis=0), [-0.5, -0.9], atol=0.01)
    np.testing.assert_allclose(drawn[:, 0, 0].std(), 0.05, rtol=0.1)  # of a hundred images
    assert (drawn[:, :, 1] == [0, 1]).all()
