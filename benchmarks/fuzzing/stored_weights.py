"""Weights of a small network, written in all the forms that `nas search --weights` takes."""

from __future__ import annotations

import argparse
import io
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from nas.models.match_weights import BY_NAME
from nas.models.weights_file import NESTED

__all__ = [
    "BACKBONE",
    "CLASSES",
    "Case",
    "Maker",
    "State",
    "bytes_of",
    "tiny",
    "trained",
    "write",
    "write_unchanged",
]

CLASSES = 5
BACKBONE = "benchmarks.fuzzing.stored_weights:tiny"
_PREFIXES = ("", "", "module.", "_orig_mod.", "model.", "module._orig_mod.")


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.project = nn.Conv2d(8, 8, 1)

    def forward(self, maps: Tensor) -> Tensor:
        mapped: Tensor = self.project(self.norm(self.filter(maps)).relu())
        return maps + mapped


def tiny(num_classes: int) -> nn.Module:
    """Return the network that the weights are of."""
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
            block=_Block(),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(8, num_classes),
        )
    )


State = dict[str, Any]


def trained(rng: random.Random, classes: int = CLASSES) -> State:
    """Return weights of the network that are not those of any new one."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    return {
        name: torch.rand(tensor.shape, generator=generator) + 0.1
        if tensor.is_floating_point()
        else torch.tensor(rng.randrange(1, 2000))
        for name, tensor in tiny(classes).state_dict().items()
    }


@dataclass(frozen=True, slots=True)
class Case:
    """A changed file of weights.

    kind: how it was changed.
    stored: what it holds, by the network's names; None: it is to be refused. Those of a head of
        other classes are left out.
    told: what a note must say, where it is read.
    how: --weights-match.
    either: it may be refused as well, as where bytes were changed.
    """

    kind: str
    path: Path
    stored: Mapping[str, Tensor] | None = None
    told: str = ""
    how: str = BY_NAME
    either: bool = False


Maker = Callable[[str, Path, random.Random, Path], Case]
"""(kind, stem of the file, draws, what code in it would make) -> the file that it has written."""


def write_unchanged(path: Path) -> None:
    """Write a checkpoint as it is to be."""
    path.write_bytes(bytes_of(trained(random.Random(0)), "zip"))


def bytes_of(content: Any, form: str) -> bytes:
    """Return what torch.save writes, as an archive (zip) or in the form of before."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    return file.getvalue()


def write(stem: Path, content: State, rng: random.Random, *, form: str | None = None) -> Path:
    """Write weights in one of the forms that are taken."""
    prefix = rng.choice(_PREFIXES)
    named = {f"{prefix}{name}": value for name, value in content.items()}
    form = form or rng.choice(("zip", "zip", "legacy", "safetensors"))
    if form == "safetensors":
        path = stem.with_suffix(
            rng.choice((".safetensors", ".safetensors", ".SAFETENSORS", ".bin"))
        )
        path.write_bytes(save(named))
        return path
    key = rng.choice((None, *NESTED))
    whole = named if key is None else {**_beside(rng), key: named}
    path = stem.with_suffix(rng.choice((".pth", ".pt", ".bin", ".tar", "")))
    path.write_bytes(bytes_of(whole, form))
    return path


def _beside(rng: random.Random) -> State:
    """Return what scripts store beside weights."""
    optimiser = {"state": {0: {"exp_avg": torch.rand(3), "step": torch.tensor(7.0)}}}
    held: State = {
        "epoch": 3,
        "arch": "tiny",
        "args": argparse.Namespace(lr=0.1, output=Path("out"), opt=["a", None]),
        "metric": np.float64(0.7),
        "optimizer": {**optimiser, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "rng": torch.arange(8, dtype=torch.uint8),
    }
    return dict(rng.sample(sorted(held.items()), rng.randint(0, len(held))))
