"""What a training tells on its way: the mean loss of each epoch, and schedules that share a way."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from nas.data import Dataset, load_data
from nas.spec.task import Task
from nas.training.loop import Training
from nas.training.recipe import Recipe


@cache
def digits_at(resolution: int) -> Dataset:
    return load_data("digits", resolution, validation=0.2, seed=0)


def _training(recipe: Recipe) -> Training:
    torch.manual_seed(0)
    data = digits_at(8)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10))
    return Training(
        network,
        data,
        Task(outputs=10),
        recipe,
        parameters=network.parameters(),
        seed=0,
        device=torch.device("cpu"),
    )


def test_the_loss_of_an_epoch_is_the_mean_over_its_steps() -> None:
    training = _training(Recipe(1000, 64, 0.1))
    steps = len(digits_at(8).train) // 64
    losses: list[float] = []
    objective = training._objective

    def listening(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        losses.append(float((loss := objective(images, labels)).detach()))
        return loss

    training._objective = listening  # type: ignore[assignment]
    training.run(2 * steps + 1)
    assert training.epoch_losses == pytest.approx(
        [sum(losses[:steps]) / steps, sum(losses[steps : 2 * steps]) / steps]
    )


def test_an_interrupted_training_has_the_losses_of_an_uninterrupted_one() -> None:
    recipe = Recipe(120, 64, 0.1)
    whole, begun, gone_on = (_training(recipe) for _ in range(3))
    whole.run()
    begun.run(37)
    gone_on.load(begun.state())
    gone_on.run()
    assert gone_on.epoch_losses == whole.epoch_losses
    assert len(whole.epoch_losses) == 120 // (len(digits_at(8).train) // 64)


def test_trapezoids_go_one_way_until_the_shorter_cools_down() -> None:
    short = Recipe(100, 64, 1.0, warm_up=0.2, schedule="trapezoid", cooldown=0.3)
    long = replace(short, length=400, warm_up=0.05, cooldown=0.1)
    together = range(0, 70)
    assert [short.rate(at) for at in together] == pytest.approx([long.rate(at) for at in together])
    assert short.rate(85) == pytest.approx(0.5)
    assert long.rate(85) == 1.0
    assert short.rate(100) == long.rate(400) == 0.0
