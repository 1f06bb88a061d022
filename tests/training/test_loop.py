from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.base.errors import StorageError, TrainingError
from nas.data import Dataset, load_data
from nas.models.build import build, deploy, inserted_modules, uniform
from nas.spec.architecture import Architecture
from nas.spec.runner import Proxy
from nas.spec.task import Task
from nas.training.candidate_checkpoint import restore, save_trained
from nas.training.checkpoint import checkpoint_path, load_weights, save_weights
from nas.training.loop import Training, evaluate
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting
from nas.training.recipe import Recipe, steps_in
from nas.training.tasks import Score

CPU = torch.device("cpu")
TASK = Task(outputs=10)
COORD = uniform("mobilenetv2_035", "coord", resolution=32, total_stride=16)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("digits", 32, validation=0.2, seed=0)


@pytest.fixture(scope="module")
def setting(data: Dataset) -> Setting:
    plain = build(COORD.plain, num_classes=10)
    proxy = Proxy.model_validate({"rungs": [3.0], "unit": "steps", "batch_size": 16})
    return Setting(data, TASK, proxy, CPU, {COORD.plain.digest: plain.state_dict()})


def begin(network: nn.Module, data: Dataset, recipe: Recipe) -> Training:
    return Training(
        network, data, TASK, recipe, parameters=network.parameters(), seed=3, device=CPU
    )


def trained(network: nn.Module, data: Dataset, recipe: Recipe) -> Training:
    training = begin(network, data, recipe)
    training.run()
    return training


def proxied(kind: str, architecture: Architecture, setting: Setting, seed: int) -> nn.Module:
    training = PROXIES[kind].begin(architecture, setting, seed)
    training.run()
    return training.network


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    return nn.Sequential(*layers)


def test_training_learns_and_repeats_exactly(data: Dataset) -> None:
    results = []
    for _ in range(2):
        network = small()
        before = evaluate(network, data, TASK, device=CPU)
        torch.manual_seed(1)
        trained(network, data, Recipe(60, batch_size=32, learning_rate=0.05))
        after = evaluate(network, data, TASK, device=CPU)
        assert after.loss < before.loss - 0.5
        results.append(after.losses)
    assert torch.equal(*results)


def test_divergence_names_the_step(data: Dataset) -> None:
    network = small()
    with pytest.raises(TrainingError, match=r"diverged: the loss is \w+ at step \d+"):
        trained(network, data, Recipe(20, batch_size=32, learning_rate=1e12))


def test_what_loses_far_more_than_guessing_has_diverged(data: Dataset) -> None:
    """Finite losses, in the thousands: nothing but the weights' size is left of the network."""
    network = build(COORD.plain, num_classes=10)
    training = trained(network, data, Recipe(length=24, batch_size=64, learning_rate=30.0))
    score = evaluate(network, data, TASK, device=CPU)
    assert training.recent_loss > 100 and score.loss > 100
    with pytest.raises(TrainingError, match=r"diverged: .* where guessing has 2\.30; a smaller"):
        training.check(score)


@pytest.mark.parametrize(("steps", "rates"), [(1, (0.5,)), (4, (0.05, 0.5)), (12, (0.1, 0.5))])
def test_short_honest_trainings_may_be_judged_worse_than_guessing(
    data: Dataset, steps: int, rates: tuple[float, ...]
) -> None:
    """Running means lag behind: with four steps of ten times the usual rate as well."""
    for rate in rates:
        network = build(COORD, num_classes=10)
        training = trained(network, data, Recipe(length=steps, batch_size=64, learning_rate=rate))
        training.check(evaluate(network, data, TASK, device=CPU))
    assert steps < 12 or evaluate(network, data, TASK, device=CPU).loss > 2.31


def test_what_is_good_at_either_has_not_diverged(data: Dataset) -> None:
    training = begin(build(COORD, num_classes=10), data, Recipe(1, 64, 0.1))
    good, bad = torch.tensor([0.1, 0.2]), torch.tensor([1e6, 1e6])
    told = torch.tensor([False, False])
    training.check(Score(bad, told, {}))  # not trained at all
    training.step = 1
    training._note(torch.tensor(1e6))
    assert training.recent_loss == 1e6
    training.check(Score(good, told, {}))
    with pytest.raises(TrainingError, match="diverged"):
        training.check(Score(bad, told, {}))


def test_recent_losses_are_of_the_last_epoch_and_what_came_after(data: Dataset) -> None:
    training = begin(build(COORD, num_classes=10), data, Recipe(1, 64, 0.1))
    epoch = len(data.train) // 64
    for step in range(2 * epoch + 3):
        training.step += 1
        training._note(torch.tensor(float(step >= epoch) + float(step >= 2 * epoch)))
    assert training.recent_loss == pytest.approx((epoch * 1 + 3 * 2) / (epoch + 3))


def test_a_rate_rises_and_falls_in_each_cycle() -> None:
    one = Recipe(100, batch_size=32, learning_rate=1.0)
    assert [one.rate(at) for at in (0, 20, 60, 100)] == pytest.approx([0.1, 1.0, 0.5, 0.0])
    two = replace(one, cycles=(20, 100))
    assert [two.rate(at) for at in (4, 12, 20, 36, 68)] == pytest.approx([1.0, 0.5, 0.1, 1.0, 0.5])


@pytest.mark.parametrize("cycles", [(), (5, 11)])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_stopping_and_going_on_changes_not_one_bit(
    data: Dataset, optimiser: str, cycles: tuple[float, ...], tmp_path: Path
) -> None:
    """Also with what draws at random in the forward pass, in new objects, through a file."""
    recipe = Recipe(11, 32, 0.01, optimiser=optimiser, cycles=cycles)

    def begun() -> Training:
        return begin(nn.Sequential(small(), nn.Dropout(0.5)), data, recipe)

    whole = begun()
    whole.run()
    first = begun()
    first.run(5)
    evaluate(first.network, data, TASK, device=CPU)
    save_weights(tmp_path / "state", first.state())
    torch.manual_seed(99)
    second = begun()
    second.load(load_weights(tmp_path / "state"))
    second.run()
    assert second.step == 11
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


def test_training_leaves_the_random_stream_of_its_caller_alone(data: Dataset) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    network = small()
    torch.manual_seed(7)
    trained(network, data, Recipe(2, batch_size=32, learning_rate=0.01))
    assert torch.equal(torch.rand(3), expected)


def test_a_network_with_three_dimensional_convolutions_is_trained_and_judged(
    data: Dataset,
) -> None:
    """The lambda block has one, and channels_last is for two dimensions."""
    network = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 3), nn.Flatten())
    network.append(nn.Linear(1800, 10))
    trained(network, data, Recipe(1, batch_size=8, learning_rate=0.01))
    evaluate(network, data, TASK, device=CPU)


def test_seconds_are_a_budget_too(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading of the clock is a second later than the one before."""
    clock = itertools.count()
    monkeypatch.setattr(Training, "_seconds", lambda self: float(next(clock)))
    training = begin(small(), data, Recipe(7.0, 32, 0.01, unit="seconds"))
    training.run(3.5)
    assert (training.step, training.spent) == (4, 4.0)
    training.run()
    assert training.step == 7


def test_when_memory_runs_out_batches_are_halved_once(data: Dataset) -> None:
    """Without batch norm, halves give the same gradients to rounding."""
    whole = trained(small(), data, Recipe(2, batch_size=32, learning_rate=0.01))
    network, sizes = small(), []

    def limited(_module: nn.Module, images: tuple[torch.Tensor]) -> None:
        sizes.append(len(images[0]))
        if sizes[-1] > 16:
            raise torch.OutOfMemoryError("out of memory")

    network.register_forward_pre_hook(limited)
    training = begin(network, data, Recipe(2, batch_size=32, learning_rate=0.01))
    training.run()
    assert sizes == [32, 16, 16, 16, 16]
    assert training.parts == 2
    for one, two in zip(whole.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one, two)

    def none_at_all(_module: nn.Module, images: tuple[torch.Tensor]) -> None:
        raise torch.OutOfMemoryError("out of memory")

    network.register_forward_pre_hook(none_at_all)
    with pytest.raises(torch.OutOfMemoryError):
        begin(network, data, Recipe(2, batch_size=32, learning_rate=0.01)).run()


def test_a_probe_trains_its_blocks_and_nothing_else(setting: Setting) -> None:
    network = proxied("probe", COORD, setting, 1)
    plain = setting.weights[COORD.plain.digest]
    for name, tensor in plain.items():
        assert torch.equal(network.state_dict()[name], tensor), name
    images = torch.randn(2, 3, 32, 32)
    start = build(COORD, num_classes=10, start="identity", weights=plain, seed=1)
    assert not torch.equal(network(images), start(images))
    assert not network.training


def test_a_probe_of_the_plain_network_is_the_plain_network(setting: Setting) -> None:
    network = proxied("probe", COORD.plain, setting, 1)
    plain = setting.weights[COORD.plain.digest]
    assert all(torch.equal(network.state_dict()[name], plain[name]) for name in plain)


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_other_proxies_train_everything(setting: Setting, kind: str) -> None:
    network = proxied(kind, COORD, setting, 1)
    start = build(COORD, num_classes=10, weights=setting.weights[COORD.plain.digest])
    changed = [
        not torch.equal(one, two)
        for one, two in zip(network.parameters(), start.parameters(), strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize("kind", sorted(kind for kind in PROXIES if not PROXIES[kind].shared))
def test_checkpoints_give_the_trained_network_back(
    setting: Setting, kind: str, tmp_path: Path
) -> None:
    plain = setting.weights[COORD.plain.digest]
    save_weights(checkpoint_path(tmp_path, COORD.plain.digest), plain)
    network = proxied(kind, COORD, setting, 5)
    path = checkpoint_path(tmp_path, COORD.digest, 5)
    save_trained(path, network, COORD, kind)
    images = torch.randn(2, 3, 32, 32)
    proxy = setting.proxy.model_copy(update={"kind": kind})
    restored = restore(tmp_path, COORD, proxy, 5, TASK)
    torch.testing.assert_close(restored(images), network(images), atol=1e-4, rtol=1e-4)
    if kind == "probe":
        assert set(load_weights(path)).isdisjoint(plain)
    deployed = deploy(copy.deepcopy(restored), COORD)
    torch.testing.assert_close(deployed(images), network(images), atol=1e-4, rtol=1e-4)
    assert len(inserted_modules(deployed, COORD)) == 17


def test_a_cut_checkpoint_is_said(setting: Setting, tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, COORD.plain.digest)
    save_weights(path, setting.weights[COORD.plain.digest])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StorageError, match="cannot be read"):
        load_weights(path)


@pytest.mark.parametrize(
    ("unit", "budget", "steps"), [("epochs", 2.0, 142), ("steps", 7.0, 7), ("images", 160.0, 10)]
)
def test_budgets_become_steps(setting: Setting, unit: str, budget: float, steps: int) -> None:
    proxy = setting.proxy.model_copy(update={"unit": unit, "rungs": [budget]})
    assert replace(setting, proxy=proxy).schedule.length() == steps  # 1,151 images in batches of 16


@pytest.mark.parametrize(
    ("epochs", "images", "batch_size", "steps"),
    [(2, 100, 32, 6), (0.5, 100, 32, 2), (0.01, 100, 32, 1), (3, 10, 32, 3)],
)
def test_epochs_are_counted_in_full_batches(
    epochs: float, images: int, batch_size: int, steps: int
) -> None:
    assert steps_in(epochs, images, batch_size) == steps
