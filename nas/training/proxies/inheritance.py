"""Weights out of a supernet, as a proxy: nothing is trained for one candidate alone."""

from __future__ import annotations

from nas.spec.architecture import Architecture
from nas.training.loop import Training
from nas.training.proxies.setting import Setting
from nas.training.supernet.weights import inherit_recalibrated

__all__ = ["inheritance"]


def inheritance(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """Return a training with nothing left to train.

    The network has its weights already, and its batch norms have seen training images.
    """
    supernet = setting.supernets[architecture.plain.digest]
    network = inherit_recalibrated(
        supernet,
        architecture,
        setting.data,
        device=setting.device,
        precision=setting.proxy.computed_in,
    )
    return Training(
        network,
        setting.data,
        setting.task,
        setting.schedule.recipe(0.0),
        parameters=[],
        seed=seed,
        device=setting.device,
        precision=setting.proxy.computed_in,
    )
