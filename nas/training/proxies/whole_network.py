"""Two proxies that train the whole network: from the trained plain one, or from scratch."""

from __future__ import annotations

from torch import nn

from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.training.loop import Training
from nas.training.proxies.setting import Setting

__all__ = ["finetune", "scratch"]


def finetune(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """Start from the trained plain network with identity blocks, and train everything.

    Weights that the run did not train itself get half of the rate: more would spoil them.
    """
    rate = 0.02 if setting.proxy.backbone.weights == "train" else 0.01
    return _train_all(setting.grown(architecture, seed), setting, seed, learning_rate=rate)


def scratch(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """Start from random weights, with blocks as the proxy says, as full training will."""
    network = build(
        architecture,
        task=setting.task,
        start=setting.proxy.block_start,
        seed=seed,
    )
    return _train_all(network, setting, seed, learning_rate=0.1)


def _train_all(
    network: nn.Module, setting: Setting, seed: int, *, learning_rate: float
) -> Training:
    return Training(
        network,
        setting.data,
        setting.task,
        setting.recipe(learning_rate),
        parameters=network.parameters(),
        seed=seed,
        device=setting.device,
    )
