"""Proxies: cheap stand-ins for full training. One function each, one line each in `PROXIES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from nas.architecture import Architecture
from nas.proxies.probe import probe
from nas.proxies.setting import Setting
from nas.proxies.whole import finetune, scratch

__all__ = ["PROXIES", "ProxyKind", "Setting"]


@dataclass(frozen=True, slots=True)
class ProxyKind:
    """train: (architecture, setting, seed) -> the trained network, in evaluation mode.
    warm: starts from the trained plain network, which is then needed first.
    frozen: changes nothing but the inserted blocks, so their weights are all there is to keep.
    """

    train: Callable[[Architecture, Setting, int], nn.Module]
    warm: bool
    frozen: bool = False


PROXIES = {
    "probe": ProxyKind(probe, warm=True, frozen=True),
    "finetune": ProxyKind(finetune, warm=True),
    "scratch": ProxyKind(scratch, warm=False),
}
