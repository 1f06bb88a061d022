"""How weights that a network comes with are trained on, as people do it: slowly, norms kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.models.build import inserted_modules
from nas.models.task_network import backbone_of, part_of
from nas.spec.architecture import Architecture
from nas.spec.task import OWN, Task
from nas.training.optimiser import Group

__all__ = ["fine_tuned"]

_SLOWED = "backbone"  # the part


def fine_tuned(
    network: nn.Module,
    architecture: Architecture,
    task: Task,
    *,
    rate_share: float,
    freeze_norms: bool,
) -> tuple[list[Group], Callable[[nn.Module], object]]:
    """Return what of a network is trained and how fast, and what sets it into training mode.

    rate_share: of the learning rate, for what the backbone came with; inserted blocks, the head and
        a classifier, which may be new, have all of it. Of a network of one's own, whole, that is
        the part that is its backbone by the names of modules (see `part_of`).
    freeze_norms: batch norms that the backbone came with keep their statistics, and their factors,
        which need no gradient from now on.
    """
    blocks = inserted_modules(network, architecture)
    new = {id(module) for block in blocks for module in block.modules()}
    within = backbone_of(network)
    came = [module for module in within.modules() if id(module) not in new]
    norms = [module for module in came if freeze_norms and isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.requires_grad_(False)

    def set_mode(whole: nn.Module) -> None:
        whole.train()
        for norm in norms:
            norm.eval()

    classifier = _classifier(came, task)
    if task.head == OWN:
        around = {id(one) for path, one in within.named_modules() if part_of(path, task) != _SLOWED}
        came = [module for module in came if id(module) not in around]
        classifier = None if around else classifier  # which a neck or a head of that name holds
    slowed = [module for module in came if module is not classifier]
    return _groups(network, slowed, rate_share), set_mode


def _groups(network: nn.Module, slowed: Sequence[nn.Module], rate_share: float) -> list[Group]:
    if rate_share == 1:
        return [Group(list(network.parameters()))]
    slow = {id(one) for module in slowed for one in module.parameters(recurse=False)}
    slowly = [one for one in network.parameters() if id(one) in slow]
    others = [one for one in network.parameters() if id(one) not in slow]
    return [group for group in (Group(slowly, rate_share), Group(others)) if group.parameters]


def _classifier(came: Sequence[nn.Module], task: Task) -> nn.Module | None:
    """Return the last layer that gives as much as the task wants; None: there is none.

    Heads of segmentation and detection take the place of a backbone's classifier, whose
    convolutions may have as many channels as there are classes.
    """
    if not task.is_whole and task.name != "retrieval":
        return None
    layers = [
        module
        for module in came
        if (isinstance(module, nn.Linear) and module.out_features == task.outputs)
        or (isinstance(module, nn.Conv2d) and module.out_channels == task.outputs)
    ]
    return layers[-1] if layers else None
