"""The probe: a frozen plain network, whose inserted blocks alone are trained.

It says what blocks add to a network that is finished, and nothing of one that is trained with them
from random weights. Blocks start as identities, so that no gate slows it down.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nas.models.build import inserted_modules
from nas.spec.architecture import Architecture
from nas.training.loop import Training
from nas.training.proxies.setting import Setting

__all__ = ["probe"]


def probe(architecture: Architecture, setting: Setting, seed: int) -> Training:
    """Return a training of the inserted blocks of an architecture on its frozen backbone.

    Below the first block nothing needs a gradient, and autograd keeps nothing there.
    """
    network = setting.grown(architecture, seed)
    network.requires_grad_(False)
    blocks = inserted_modules(network, architecture)
    for block in blocks:
        block.requires_grad_(True)

    def train_blocks_only(network: nn.Module) -> None:
        network.eval()
        for block in blocks:
            block.train()

    return Training(
        network,
        setting.data,
        setting.task,
        setting.schedule.recipe(0.003, optimiser="adamw"),
        parameters=_parameters(blocks),
        seed=seed,
        device=setting.device,
        precision=setting.proxy.computed_in,
        halves=setting.halves,
        launch=setting.proxy.launch,
        set_mode=train_blocks_only,
    )


def _parameters(blocks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Return each parameter once: blocks may share them."""
    return list(nn.ModuleList(blocks).parameters())
