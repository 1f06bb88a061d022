from __future__ import annotations

import numpy as np

from nas.belief.posterior import draws
from nas.spec.objective import objectives_named

LOSS = objectives_named(["loss", "params"])[:1]


def columns(losses: list[float], seeds: list[int], noise: float = 0.1) -> dict[str, np.ndarray]:
    count = len(losses)
    return {
        "loss": np.array(losses),
        "latency_ms": np.linspace(1, 2, count),
        "latency_spread": np.full(count, 0.01),
        "params": np.arange(count),
        "seeds": np.array(seeds),
        "paired_loss": np.full(count, noise),
        "image_noise": np.full(count, np.nan),
    }


def test_a_few_are_drawn_about_what_was_found_more_closely_the_more_seeds() -> None:
    drawn = draws(columns([1.0, 2.0], [1, 4]), LOSS, 1000)
    assert drawn is not None and drawn.shape == (4000, 2, 1)
    assert np.allclose(drawn[:, :, 0].mean(axis=0), [1.0, 2.0], atol=0.01)
    assert np.allclose(drawn[:, :, 0].std(axis=0), [0.1, 0.05], rtol=0.1)


def test_noise_known_from_few_repeats_is_wider() -> None:
    few, many = (draws(columns([1.0, 2.0], [1, 1]), LOSS, freedom) for freedom in (3, 1000))
    assert few is not None and many is not None
    ends = [np.subtract(*np.quantile(drawn[:, 0, 0], [0.975, 0.025])) for drawn in (few, many)]
    assert ends[0] > 1.4 * ends[1]


def test_of_many_that_were_trained_once_the_luckiest_is_held_against_the_others() -> None:
    rng = np.random.default_rng(0)
    losses = rng.normal(1.0, 0.1, 60)  # nothing but noise
    drawn = draws(columns(losses.tolist(), [1] * 60), LOSS, 1000)
    assert drawn is not None
    best = int(losses.argmin())
    assert drawn[:, best, 0].mean() > losses[best] + 0.7 * (losses.mean() - losses[best])


def test_what_the_images_make_pulls_no_networks_together() -> None:
    """Sixty that differ, known exactly but for the images that all were judged on."""
    losses = np.linspace(1.0, 1.1, 60)[np.random.default_rng(0).permutation(60)]
    found = columns(losses.tolist(), [3] * 60, noise=0.001)
    found["image_noise"] = np.full(60, 0.2)
    drawn = draws(found, LOSS, 1000)
    assert drawn is not None
    assert np.corrcoef(drawn[:, :, 0].mean(axis=0), losses)[0, 1] > 0.95
    assert np.allclose(drawn[:, :, 0].std(axis=0), 0.2, rtol=0.1)


def test_unknown_noise_allows_no_belief() -> None:
    assert draws(columns([1.0, 2.0], [1, 1], noise=np.nan), LOSS, 5) is None
    assert draws(columns([1.0, 2.0], [1, 1]), LOSS, 0) is None


def test_accuracy_is_maximised_and_parameters_are_exact() -> None:
    found = columns([1.0, 2.0], [1, 1])
    found |= {
        "accuracy": np.array([0.5, 0.9]),
        "paired_accuracy": np.zeros(2),
        "images": np.full(2, 100),
    }
    drawn = draws(found, objectives_named(["accuracy", "params"]), 10)
    assert drawn is not None
    assert np.allclose(drawn[:, :, 0].mean(axis=0), [-0.5, -0.9], atol=0.01)
    assert np.allclose(drawn[:, 0, 0].std(), 0.05, rtol=0.1)
    assert (drawn[:, :, 1] == [0, 1]).all()


def test_full_trainings_are_as_sure_as_all_their_seeds_and_images_allow() -> None:
    """Of three seeds that agree by chance nothing follows: the others tell how seeds differ."""
    known = {
        "retrained_accuracy": np.full(40, 0.5),
        "retrained_spread": np.array([0.0, *np.full(39, 0.03)]),
        "retrained_seeds": np.full(40, 3.0),
        "images": np.full(40, 100.0),
    }
    objectives = objectives_named(["retrained_accuracy", "params"])[:1]
    drawn = draws(known, objectives, 0)
    assert drawn is not None
    expected = np.sqrt(0.03**2 * 39 / 40 / 3 + 0.25 / 100)
    assert np.allclose(drawn[:, :, 0].std(axis=0), expected, rtol=0.1)
    alone = known | {"retrained_seeds": np.ones(40), "retrained_spread": np.full(40, np.nan)}
    assert draws(alone, objectives, 0) is None
