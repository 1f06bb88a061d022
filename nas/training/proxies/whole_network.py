"""Two proxies that train the whole network: from the trained plain one, or from scratch."""

from __future__ import annotations

from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.training.fine_tuning import fine_tuned
from nas.training.loop import Training
from nas.training.proxies.setting import Setting

__all__ = ["finetune", "scratch"]


def finetune(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """Start from the trained plain network with identity blocks, and train everything.

    Weights that the run did not train itself get half of the rate: more would spoil them. The
    runner may slow them further, and keep their batch norms (see `Backbone`).
    """
    backbone = setting.proxy.backbone
    network = setting.grown(architecture, seed)
    groups, set_mode = fine_tuned(
        network,
        architecture,
        setting.task,
        rate_share=backbone.rate_share,
        freeze_norms=backbone.freeze_norms,
    )
    return Training(
        network,
        setting.data,
        setting.task,
        setting.schedule.recipe(0.02 if backbone.weights == "train" else 0.01),
        parameters=groups,
        seed=seed,
        device=setting.device,
        precision=setting.proxy.computed_in,
        halves=setting.halves,
        launch=setting.proxy.launch,
        set_mode=set_mode,
    )


def scratch(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """Start from random weights, with blocks as the proxy says, as full training will."""
    network = build(
        architecture,
        task=setting.task,
        start=setting.proxy.block_start,
        seed=seed,
    )
    return Training(
        network,
        setting.data,
        setting.task,
        setting.schedule.recipe(0.1),
        parameters=network.parameters(),
        seed=seed,
        device=setting.device,
        precision=setting.proxy.computed_in,
        halves=setting.halves,
        launch=setting.proxy.launch,
    )
