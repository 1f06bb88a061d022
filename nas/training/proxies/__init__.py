"""Proxies: cheap stand-ins for full training. One function each, one line each in `PROXIES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.spec.architecture import Architecture
from nas.training.loop import Training
from nas.training.proxies.inheritance import inheritance
from nas.training.proxies.probe import probe
from nas.training.proxies.setting import Setting
from nas.training.proxies.whole_network import finetune, scratch

__all__ = ["PROXIES", "ProxyKind"]


@dataclass(frozen=True, slots=True)
class ProxyKind:
    """A kind of proxy.

    begin: (architecture, setting, seed) -> the training of its network, at its start.
    warm: whether it starts from the trained plain network, which is then needed first.
    frozen: whether it changes the inserted blocks alone, whose weights are then all to keep.
    shared: whether candidates inherit the weights of one training; a seed then changes nothing.
    """

    begin: Callable[[Architecture, Setting, int], Training]
    warm: bool
    frozen: bool = False
    shared: bool = False


PROXIES = {
    "probe": ProxyKind(probe, warm=True, frozen=True),
    "finetune": ProxyKind(finetune, warm=True),
    "scratch": ProxyKind(scratch, warm=False),
    "supernet": ProxyKind(inheritance, warm=True, frozen=True, shared=True),
    "supernet-whole": ProxyKind(inheritance, warm=True, shared=True),
}
