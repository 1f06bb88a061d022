from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.data import Dataset, load_data
from nas.errors import StorageError, TrainingError
from nas.networks import build, deploy, inserted_modules, uniform
from nas.proxies import PROXIES, Setting
from nas.proxies.checkpoint import (
    checkpoint_path,
    load_weights,
    restore,
    save_trained,
    save_weights,
)
from nas.proxies.training import Recipe, Trainer, evaluate, train
from nas.runner import Proxy
from nas.task import Classification

CPU = torch.device("cpu")
TASK = Classification(10)
COORD = uniform("mobilenetv2_035", "coord", resolution=32, total_stride=16)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("digits", 32, validation=0.2, seed=0)


@pytest.fixture(scope="module")
def setting(data: Dataset) -> Setting:
    plain = build(COORD.plain, num_classes=10)
    proxy = Proxy.model_validate({"rungs": [3.0], "unit": "steps", "batch_size": 16})
    return Setting(data, TASK, proxy, CPU, {COORD.plain.digest: plain.state_dict()})


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


def test_training_learns_and_repeats_exactly(data: Dataset) -> None:
    results = []
    for _ in range(2):
        network = small()
        network(torch.zeros(1, 3, 32, 32))
        before = evaluate(network, data, TASK, device=CPU)
        torch.manual_seed(1)
        train(
            network,
            data,
            TASK,
            Recipe(steps=60, batch_size=32, learning_rate=0.05),
            parameters=network.parameters(),
            seed=3,
            device=CPU,
        )
        after = evaluate(network, data, TASK, device=CPU)
        assert after.loss < before.loss - 0.5
        results.append(after.losses)
    assert torch.equal(*results)


def test_divergence_names_the_step(data: Dataset) -> None:
    network = small()
    network(torch.zeros(1, 3, 32, 32))
    recipe = Recipe(steps=20, batch_size=32, learning_rate=1e12)
    with pytest.raises(TrainingError, match=r"diverged: the loss is \w+ at step \d+"):
        train(
            network,
            data,
            TASK,
            recipe,
            parameters=network.parameters(),
            seed=0,
            device=CPU,
        )


def test_batches_are_normalised_and_channels_last(data: Dataset) -> None:
    trainer = Trainer(data, CPU)
    images = trainer.plain(data.train, slice(0, 1000))
    assert images.shape[1:] == (3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert abs(float(images.mean())) < 0.05
    assert abs(float(images.std()) - 1) < 0.05


def test_augmentation_shifts_by_an_eighth_and_mirrors_only_where_it_may(data: Dataset) -> None:
    """Every image is a column ramp, so its first row tells shift and direction."""
    ramp = torch.arange(32, dtype=torch.uint8).repeat(64, 32, 1)[..., None].expand(64, 32, 32, 3)
    split = replace(data.train, images=ramp.contiguous(), labels=torch.zeros(64, dtype=torch.long))
    generator = torch.Generator().manual_seed(0)
    plain = replace(data, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for mirror in (False, True):
        trainer = Trainer(replace(plain, mirror=mirror), CPU)
        middle = trainer.augmented(split, torch.arange(64), generator)[:, 0, 0, 8:24]
        steps = middle.diff(dim=1)
        rising, falling = (steps == 1).all(dim=1), (steps == -1).all(dim=1)
        assert (rising | falling).all()
        assert bool(falling.any()) == mirror
        assert (middle[rising][:, 0] - 8).abs().max() == 4


def test_a_probe_trains_its_blocks_and_nothing_else(setting: Setting) -> None:
    network = PROXIES["probe"].train(COORD, setting, 1)
    plain = setting.weights[COORD.plain.digest]
    for name, tensor in plain.items():
        assert torch.equal(network.state_dict()[name], tensor), name
    images = torch.randn(2, 3, 32, 32)
    start = build(COORD, num_classes=10, start="identity", weights=plain, seed=1)
    assert not torch.equal(network(images), start(images))
    assert not network.training


def test_a_probe_of_the_plain_network_is_the_plain_network(setting: Setting) -> None:
    network = PROXIES["probe"].train(COORD.plain, setting, 1)
    plain = setting.weights[COORD.plain.digest]
    assert all(torch.equal(network.state_dict()[name], plain[name]) for name in plain)


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_other_proxies_train_everything(setting: Setting, kind: str) -> None:
    network = PROXIES[kind].train(COORD, setting, 1)
    start = build(COORD, num_classes=10, weights=setting.weights[COORD.plain.digest])
    changed = [
        not torch.equal(one, two)
        for one, two in zip(network.parameters(), start.parameters(), strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize("kind", sorted(PROXIES))
def test_checkpoints_give_the_trained_network_back(
    setting: Setting, kind: str, tmp_path: Path
) -> None:
    plain = setting.weights[COORD.plain.digest]
    save_weights(checkpoint_path(tmp_path, COORD.plain.digest), plain)
    network = PROXIES[kind].train(COORD, setting, 5)
    path = checkpoint_path(tmp_path, COORD.digest, 5)
    save_trained(path, network, COORD, kind)
    images = torch.randn(2, 3, 32, 32)
    restored = restore(tmp_path, COORD, kind, 5, 10)
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
    proxy = setting.proxy.model_copy(update={"unit": unit})
    assert replace(setting, proxy=proxy).steps(budget) == steps  # 1,151 images in batches of 16
