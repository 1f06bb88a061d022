"""The runtime that networks run in: it says its version, converts a network, loads a graph."""

from __future__ import annotations

import contextlib
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.backbones.attention_operators import separate_operators
from nas.backbones.own_module import copied
from nas.base.errors import MeasurementError
from nas.base.machine import version
from nas.base.size import Resolution, Size
from nas.latency.device import Clock, Device

__all__ = ["Runtime", "Session", "Shape", "first_line", "full_shape"]

Session = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A loaded graph, as a function of one inference: (N, 3, H, W) to (N, classes), float32."""

Shape = tuple[int, int, int]
"""The shape of one image or feature map: (channels, height, width)."""


@dataclass(frozen=True)
class Runtime:
    """A way to run networks.

    packages: what it runs in, then what writes its graphs.
    install: how to get them.
    write: (network, shape, batch, precision) -> graph.
    read: (graph, device) -> session.
    """

    name: str
    precisions: tuple[str, ...]
    clock: Clock
    packages: tuple[str, ...]
    install: str
    write: Callable[[nn.Module, Shape, int, str], bytes]
    read: Callable[[bytes, Device], Session]

    def version(self) -> str:
        """Return the version of what runs.

        Raises MeasurementError when something is not installed.
        """
        return self._versions()[0]

    def fingerprint(self) -> str:
        """Return everything that a converted graph depends on.

        Raises MeasurementError when something is not installed.
        """
        names = (*self.packages, "torch")
        versions = (*self._versions(), torch.__version__)
        if self.clock == "device":
            names, versions = (*names, "GPU"), (*versions, torch.cuda.get_device_name())
        return " ".join(f"{a} {b}" for a, b in zip(names, versions, strict=True))

    def _versions(self) -> tuple[str, ...]:
        versions = tuple(version(package) for package in self.packages)
        missing = [name for name, there in zip(self.packages, versions, strict=True) if not there]
        if missing:
            raise MeasurementError(
                f"runtime {self.name} needs {' and '.join(missing)}; run: {self.install}"
            )
        if self.clock == "device" and not torch.cuda.is_available():
            raise MeasurementError(
                f"runtime {self.name} needs a GPU, and torch sees none; choose another runtime"
            )
        return tuple(filter(None, versions))

    def convert(
        self, network: nn.Module, shape: Shape | Resolution, batch: int = 1, precision: str = "fp32"
    ) -> bytes:
        """Convert a module, which stays as it is, to one self-contained file.

        shape: (channels, height, width) of what it reads, or the size of images.
        Returns the content of the file.
        Raises MeasurementError when the network holds what this runtime cannot do, or something
        is not installed.
        """
        self._versions()
        shipped = copied(network).eval().to("cpu")
        try:
            with _quiet(), torch.no_grad(), separate_operators():
                return self.write(shipped, full_shape(shape), batch, precision)
        except MeasurementError:
            raise
        except Exception as error:  # converters raise whatever an operator provokes
            raise MeasurementError(
                f"{self.name} cannot convert this network: {first_line(error)}"
            ) from error

    def load(self, graph: bytes, device: Device) -> Session:
        """Make a converted graph ready to run. Raises MeasurementError."""
        self._versions()
        try:
            with _quiet():
                return self.read(graph, device)
        except MeasurementError:
            raise
        except Exception as error:  # each runtime has errors of its own
            raise MeasurementError(
                f"{self.name} cannot load the graph: {first_line(error)}"
            ) from error


def full_shape(shape: Shape | Resolution) -> Shape:
    """Return the shape of one image; a size is that of one with 3 channels."""
    return shape if isinstance(shape, tuple) else Size.of(shape).shape


def first_line(error: Exception) -> str:
    """Return an error's reason in one line, or its kind where it gives none."""
    lines = (line.strip() for line in str(error).splitlines())
    # OpenVINO begins with the places in its own sources.
    telling = (line for line in lines if line and not line.startswith(("Exception from", "Check ")))
    return textwrap.shorten(next(telling, type(error).__name__), 200)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence converters, which tell their progress and their authors' worries."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
