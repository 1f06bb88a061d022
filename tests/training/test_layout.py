from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from nas.training.layout import lay_out, memory_format

CPU = torch.device("cpu")


def shortcut(channels: int, kernel: int = 1, stride: int = 2, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 32, kernel, stride, groups=groups)
    )


@pytest.mark.parametrize(
    ("network", "layout"),
    [
        (shortcut(8), torch.contiguous_format),
        (shortcut(15), torch.contiguous_format),
        (shortcut(16), torch.channels_last),
        (shortcut(8, kernel=3), torch.channels_last),
        (shortcut(8, stride=1), torch.channels_last),
        (shortcut(8, groups=4), torch.channels_last),
    ],
)
def test_layouts_that_corrupt_memory_are_left_alone(
    network: nn.Module, layout: torch.memory_format
) -> None:
    assert memory_format(network, CPU) == layout
    assert memory_format(network, torch.device("cuda")) == torch.channels_last
    lay_out(network, layout)
    assert all(
        weight.is_contiguous(memory_format=layout)
        for weight in network.parameters()
        if weight.dim() == 4
    )


_PROGRAM = """
import torch
from support.narrow_shortcut import make
from nas.data import Dataset, Split
from nas.spec.architecture import Architecture
from nas.spec.proxy import Proxy
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting
from nas.spec.task import Task

split = Split(torch.randint(0, 256, (8, 112, 112, 3), dtype=torch.uint8), torch.arange(8))
grey = (128.0, 128.0, 128.0)
data = Dataset(split, split, tuple("abcdefgh"), grey, grey, False, "noise")
proxy = Proxy.model_validate({"kind": "scratch", "rungs": [8], "unit": "steps", "batch_size": 2})
setting = Setting(data, Task(outputs=8), proxy, torch.device("cpu"), {})
training = PROXIES["scratch"].begin(Architecture("support.narrow_shortcut:make", 112), setting, 0)
training.run()
"""


def test_a_narrow_shortcut_trains_without_an_end_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, cwd="tests"
    )
    assert done.returncode == 0, done.stderr
