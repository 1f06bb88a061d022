"""Weights that a network comes with: how fast they are trained on, and what of them is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from nas.data import Dataset, load_data
from nas.models.build import build, inserted_prefixes, uniform
from nas.spec.proxy import Proxy
from nas.spec.recipe import Retrain
from nas.spec.task import Task
from nas.training.fine_tuning import fine_tuned
from nas.training.full import begin
from nas.training.loop import Training
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting
from nas.training.recipe import Recipe

CPU = torch.device("cpu")
TASKS = {
    "classification": Task(outputs=10),
    "segmentation": Task("segmentation", 10, "lraspp"),
    "as many classes as channels": Task("segmentation", 32, "lraspp"),
    "retrieval": Task.of("retrieval", 10),
}
PLACED = uniform(
    "mobilenetv2_035", "cbam", resolution=32, total_stride=16, exclude="blocks.[0-4].*"
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("digits", 32, validation=0.2, seed=0)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_backbone_is_slowed_and_blocks_heads_and_classifiers_are_not(task: Task) -> None:
    network = build(PLACED, task=task, start="identity")
    groups, _ = fine_tuned(network, PLACED, task, rate_share=0.1, freeze_norms=False)
    shares = {id(one): group.share for group in groups for one in group.parameters}
    assert len(shares) == len(list(network.parameters()))
    blocks = inserted_prefixes(network, PLACED)
    for name, parameter in network.named_parameters():
        whole = name.startswith((*blocks, "head.", "classifier.", "backbone.classifier."))
        assert shares[id(parameter)] == (1.0 if whole else 0.1), name


def test_left_out_it_is_one_group_in_the_order_of_before() -> None:
    network = build(PLACED, num_classes=10)
    groups, _ = fine_tuned(network, PLACED, Task(outputs=10), rate_share=1, freeze_norms=False)
    (group,) = groups
    assert [id(one) for one in group.parameters] == [id(one) for one in network.parameters()]
    assert group.share == 1


def test_norms_that_came_along_are_kept_bit_for_bit_and_those_of_blocks_learn(
    data: Dataset,
) -> None:
    settings = {"rungs": [3.0], "unit": "steps", "batch_size": 16, "kind": "finetune"}
    backbone = {"weights": "train", "freeze_norms": True, "rate_share": 0.5}
    proxy = Proxy.model_validate(settings | {"backbone": backbone})
    task = Task(outputs=10)
    plain = build(PLACED.plain, task=task).state_dict()
    setting = Setting(data, task, proxy, CPU, {PLACED.plain.digest: plain})
    training = PROXIES["finetune"].begin(PLACED, setting, 0)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    training.run()
    after = training.network.state_dict()
    blocks = inserted_prefixes(training.network, PLACED)
    norms = [
        name
        for name, module in training.network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    kept = [name for name in norms if not f"{name}.".startswith(blocks)]
    for name in kept:
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            assert torch.equal(before[f"{name}.{part}"], after[f"{name}.{part}"])
    moved = [name for name in norms if name not in kept]
    assert moved
    assert all(int(after[f"{name}.num_batches_tracked"]) == 3 for name in moved)
    assert not torch.equal(before["conv_stem.weight"], after["conv_stem.weight"])


def test_rates_follow_the_schedule_by_their_share(data: Dataset) -> None:
    task = Task(outputs=10)
    network = build(PLACED.plain, task=task)
    groups, set_mode = fine_tuned(network, PLACED.plain, task, rate_share=0.25, freeze_norms=False)
    recipe = Recipe(4, batch_size=16, learning_rate=0.05, weight_decay=0)
    training = Training(
        network, data, task, recipe, parameters=groups, seed=0, device=CPU, set_mode=set_mode
    )
    state = {name: value.clone() for name, value in network.state_dict().items()}
    training.run(until=1)
    gradients = {name: one.grad for name, one in network.named_parameters()}
    for name, share in (("conv_stem.weight", 0.25), ("classifier.weight", 1.0)):
        gradient = gradients[name]
        assert gradient is not None
        # Nesterov's first step is that of the gradient and of its momentum.
        expected = state[name] - share * recipe.rate(0) * (1 + recipe.momentum) * gradient
        torch.testing.assert_close(network.state_dict()[name], expected)


def test_full_training_goes_by_it_and_on_from_where_it_was(data: Dataset) -> None:
    usual = Retrain(epochs=0.1, batch_size=16).resolved(len(data.train))
    recipe = replace(usual, rate_share=0.1, freeze_norms=True)
    first, again = (
        begin(PLACED, data, recipe, Task(outputs=10), seed=0, device=CPU) for _ in range(2)
    )
    first.run(until=3)
    again.load({name: value.clone() for name, value in first.state().items()})
    first.run(until=5)
    again.run(until=5)
    one, other = first.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
