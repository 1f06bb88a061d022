"""The type of an export target: how it writes a network, and what runs its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.machine import version
from nas.export.winner import Winner
from nas.latency.device import Clock
from nas.spec.task import OWN, Task

__all__ = ["EXACT", "Delegates", "Files", "Images", "Target", "WrittenGraph"]

Files = dict[str, bytes]
"""The files of a graph: what stands behind `network` or `network-int8` in a file's name -> its
content. `.onnx`, or `.xml` and `.bin`, or `/config.json` of a folder."""

EXACT = 1e-4
"""The most that a graph may differ from the network, as a share of the largest score.

Over all validation images ONNX Runtime's rounding came to 1.4e-5 in networks of a few training
steps; a wrong operator gives more than 1e-3.
"""

Images = NDArray[np.float32]
"""Images as a network reads them: (N, 3, H, W), normalised."""


@dataclass(frozen=True, slots=True)
class Delegates:
    """The part of a graph that an accelerator takes.

    inside: number of operators that it takes.
    outside: operator -> how many it leaves behind.
    note: what was asked, and what to do, in words.
    """

    accelerator: str
    inside: int
    outside: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class WrittenGraph:
    """A graph that a target has written.

    delegates: works out how much of it the runtime's accelerators take; empty: it does not say.
    source: what it was built of, which goes along: no part of what runs.
    """

    files: Files
    delegates: Callable[[], tuple[Delegates, ...]] = tuple
    source: Files = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A way to ship a network.

    runs: packages that run it, all that `verify.py` needs beside numpy.
    writes: packages that write it besides.
    install: how to get all of them.
    write: writes the graph of a network.
    main: of its files the one that is opened.
    alone: whether it is the only one, and may be had without a pack.
    any_batch: whether it reads any number of images; else one.
    tolerance: how far its scores may be from the network's, as a share of the largest score.
    runs_here: whether this machine can run it.
    clock: what tells the time of its graphs; `device`: sessions keep it, as `device_ms`.
    obstacle: says what keeps this machine from writing it, and what to do; None: nothing does.
    quantise: writes the graph in int8, with the ranges seen on training images; None: it cannot.
    no_int8: why it cannot.
    int8_suppresses: whether its graphs in int8 can suppress boxes, which has to stay in fp32.
    classifies: whether it takes networks of classification alone.
    note: what who uses its graphs has to know, in Markdown.
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
    clock: Clock = "thread"
    obstacle: Callable[[], str | None] = lambda: None
    quantise: Callable[[Winner, Images], WrittenGraph] | None = None
    no_int8: str = ""
    int8_suppresses: bool = False
    classifies: bool = False
    note: str = ""

    def check_task(self, task: Task) -> None:
        """Raise SpecError where it does not take networks of a task."""
        if self.classifies and not task.is_classification:
            raise SpecError(
                f"target {self.name} takes networks of classification alone, and this one is for "
                f"{task.name}; onnx and openvino take any, and the weights are in every pack"
            )

    def check_suppresses(self, task: Task, *, int8: bool) -> None:
        """Raise SpecError where its graphs cannot suppress boxes of networks of a task."""
        if task.kind.annotated != "boxes":
            raise SpecError(
                f"--nms graph suppresses boxes, and networks for {task.name} give none; leave it "
                "out"
            )
        if task.head == OWN:
            raise SpecError(
                "--nms graph suppresses the boxes of heads that are known, and this network's own "
                "code makes them of what its graph gives; leave it out"
            )
        if int8 and not self.int8_suppresses:
            raise SpecError(
                f"{self.name} would quantise the suppression of boxes, too; leave out --int8 or "
                "--nms graph, or take onnx or openvino, which have both"
            )

    def check_installed(self) -> dict[str, str]:
        """Return the versions of its packages.

        Raises SpecError when one is missing, or this machine cannot write it.
        """
        obstacle = self.obstacle()
        if obstacle is not None:
            raise SpecError(f"target {self.name} {obstacle}")
        versions = {name: version(name) for name in (*self.runs, *self.writes)}
        missing = [name for name, installed in versions.items() if installed is None]
        if missing:
            raise SpecError(
                f"target {self.name} needs {' and '.join(missing)}; run: {self.install}"
            )
        return {name: installed for name, installed in versions.items() if installed is not None}
