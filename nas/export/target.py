"""What every export target can do: write a network, load it again, and tell about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import SpecError
from nas.base.machine import version
from nas.data.dataset import Channels
from nas.spec.architecture import Architecture

__all__ = ["EXACT", "Delegates", "Files", "Images", "Target", "Winner", "WrittenGraph"]

Files = dict[str, bytes]
"""What stands behind `network` or `network-int8` in a file's name -> its content: `.onnx`, or
`.xml` and `.bin`, or `/config.json` of a folder."""

EXACT = 1e-4
"""Of the largest score: how far a graph may be from the network. Over all validation images ONNX
Runtime's rounding came to 1.4e-5 in networks of a few training steps; a wrong operator gives more
than 1e-3.
"""

Images = NDArray[np.float32]
"""(N, 3, H, W), normalised."""


@dataclass(frozen=True)
class Winner:
    """A trained network with what a target may want to know about it.

    mean, std: per channel, on the scale 0 to 255.
    """

    network: nn.Module
    architecture: Architecture
    classes: tuple[str, ...]
    mean: Channels
    std: Channels

    @property
    def side(self) -> int:
        """Of the images that it reads where it is deployed, pixels."""
        return self.architecture.resolution


@dataclass(frozen=True, slots=True)
class Delegates:
    """How much of a graph an accelerator takes.

    inside: operators that it takes. outside: operator -> how many it leaves behind.
    note: in words: what was asked, and what to do.
    """

    accelerator: str
    inside: int
    outside: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class WrittenGraph:
    """delegates: tells how much of the graph the runtime's accelerators take; empty where it
    does not say.
    """

    files: Files
    delegates: Callable[[], tuple[Delegates, ...]] = tuple


@dataclass(frozen=True)
class Target:
    """A way to ship a network.

    runs: packages that run it, all that `verify.py` needs beside numpy; writes: packages that
    write it besides. install: how to get all of them. main: of its files the one that is opened.
    alone: it is the only one, and may be had without a pack. any_batch: it reads any number of
    images; else one. tolerance: how far its scores may be from the network's, as a share of the
    largest, or of 1. runs_here: whether this machine can run it.
    quantise: (winner, training images) -> int8; None: `no_int8` says why.
    """

    name: str
    title: str
    runs: tuple[str, ...]
    writes: tuple[str, ...]
    install: str
    write: Callable[[Winner], WrittenGraph]
    main: str
    alone: bool = False
    any_batch: bool = False
    tolerance: float = EXACT
    runs_here: bool = True
    quantise: Callable[[Winner, Images], WrittenGraph] | None = None
    no_int8: str = ""

    def check_installed(self) -> dict[str, str]:
        """Versions of its packages. Raises SpecError when one is missing."""
        found = {name: version(name) for name in (*self.runs, *self.writes)}
        missing = [name for name, there in found.items() if there is None]
        if missing:
            raise SpecError(
                f"target {self.name} needs {' and '.join(missing)}; run: {self.install}"
            )
        return {name: there for name, there in found.items() if there is not None}
