"""How fast this machine trains a network, told from a few steps on images of noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from nas.data import Split
from nas.models.build import build
from nas.runs.rehearsal import Rehearsal
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.proxies import PROXIES
from nas.training.step_time import images_to_time, seconds_of_step

__all__ = ["seconds_per_image"]


def seconds_per_image(plain: Architecture, task: Task, *, batch_size: int, threads: int) -> float:
    """Return the seconds that a training of the plain network takes for an image.

    A moment for small images, seconds for those of 224 pixels.
    threads: of torch; with one, on a CPU, it is that thread's own time.
    """
    rehearsal = Rehearsal(plain, plain.size, task)
    setting = rehearsal.setting(build(plain, task=task), "scratch")
    few = images_to_time(batch_size, plain.size)
    data = replace(setting.data, train=_repeated(setting.data.train, few))
    update: Mapping[str, object] = {"batch_size": few, "rungs": [1e6]}
    setting = replace(setting, data=data, proxy=setting.proxy.model_copy(update=update))
    return seconds_of_step(PROXIES["scratch"].begin(plain, setting, 0), threads=threads) / few


def _repeated(split: Split, count: int) -> Split:
    return split.only(torch.arange(count) % len(split))
