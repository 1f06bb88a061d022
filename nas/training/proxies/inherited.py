"""Weights out of a supernet, as a proxy: nothing is trained for one candidate alone."""

from __future__ import annotations

from nas.models.build import inserted_modules
from nas.spec.architecture import Architecture
from nas.training.loop import Training
from nas.training.proxies.setting import Setting

__all__ = ["inherited"]


def inherited(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """A training with nothing left to train: the network has its weights already, and the batch
    norms, of its blocks where the backbone is frozen, have seen training images.
    """
    # A supernet keeps checkpoints, and those know the kinds of proxies, of which this is one.
    from nas.training.supernet.weights import inherit, recalibrate

    supernet = setting.supernets[architecture.plain.digest]
    network = inherit(supernet, architecture)
    within = inserted_modules(network, architecture) if supernet.frozen else [network]
    recalibrate(network, setting.data, device=setting.device, within=within)
    return Training(
        network,
        setting.data,
        setting.task,
        setting.recipe(0.0),
        parameters=[],
        seed=seed,
        device=setting.device,
    )
