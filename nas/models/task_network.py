"""The network of a task: what stands around a backbone, which keeps its names within.

The walked backbone is its module `backbone`, so that sites and trained weights are called as they
are for classification, where the backbone as it comes is the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas.backbones import (
    FeatureMap,
    Maps,
    Slot,
    find_maps,
    plain_network,
    read_maps,
)
from nas.backbones.last_layer import give_outputs
from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.models.heads import HEADS, Embedding
from nas.spec.architecture import Architecture
from nas.spec.own_backbone import is_held
from nas.spec.positions import Part
from nas.spec.task import OWN, Task

__all__ = [
    "AROUND",
    "TaskNetwork",
    "backbone_of",
    "check_read",
    "holder_of",
    "is_read",
    "part_of",
    "path_of",
    "plain_network_of",
    "task_network",
    "task_of",
]

_NECKS = frozenset({"neck", "decoder", "fpn", "pyramid", "extra"})
_HEADS = ("head", "heads", "classifier", "detect", "predictor")
"""The names of modules of a neck in public code, and the ends of the names of heads."""

_BACKBONE = "backbone."
_TASK = "_nas_task"  # an attribute of one's own network, whose own names stay free
AROUND = "head."
"""The beginning of the paths of modules of a neck and head, and so of the names of their sites."""


class TaskNetwork(nn.Module):
    """A backbone with what a task puts around it: NCHW images to what the task is judged by.

    backbone: changed by its task, such as cut off behind the maps that a head reads.
    head: what reads it.
    task: what it is for.
    reads: paths in the backbone of the modules whose maps the head reads, from the finest to the
        coarsest; empty where it reads what the backbone gives.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, task: Task, reads: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.task = task
        self.reads = tuple(reads)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to what the head gives."""
        given: Tensor
        if self.reads:
            size = (images.shape[-2], images.shape[-1])
            given = self.head(read_maps(self.backbone, images, self.reads), size)
        else:
            given = self.head(self.backbone(images))
        return given


def backbone_of(network: nn.Module) -> nn.Module:
    """Return the backbone within a network; or the network, if it is one."""
    return network.backbone if isinstance(network, TaskNetwork) else network


def task_of(network: nn.Module) -> Task:
    """Return what a network was built for; classification where nothing says it."""
    if isinstance(network, TaskNetwork):
        return network.task
    task = network.__dict__.get(_TASK, Task())
    assert isinstance(task, Task)
    return task


def holder_of(network: nn.Module, slot: Slot) -> nn.Module:
    """Return the module that the paths of a slot are within: the backbone, or the network."""
    return backbone_of(network) if slot.part == "backbone" else network


def path_of(network: nn.Module, slot: Slot) -> str:
    """Return the path of a slot's block within the network."""
    inner = isinstance(network, TaskNetwork) and slot.part == "backbone"
    return f"{_BACKBONE}{slot.path}" if inner else slot.path


def part_of(path: str, task: Task) -> Part:
    """Return the part of a task's network that a module is in; of one's own by usual names."""
    if task.head == OWN:
        return _own_part(path)
    if not path.startswith(AROUND):
        return "backbone"
    neck = HEADS[task.head].neck if task.head in HEADS else ()
    return "neck" if f"{path}.".startswith(tuple(f"{AROUND}{each}." for each in neck)) else "head"


def _own_part(path: str) -> Part:
    named = path.split(".")
    if any(name in _NECKS for name in named):
        return "neck"
    return "head" if any(name.endswith(_HEADS) for name in named) else "backbone"


def plain_network_of(
    plain: Architecture, task: Task, *, pretrained: bool = False, seed: int = 0
) -> nn.Module:
    """Make the network of a task around a backbone as it comes.

    pretrained, seed: as of `plain_network`; the seed is of the head's weights, too.
    Raises SpecError where the backbone gives no maps that the head could read.
    """
    backbone = plain_network(
        plain.backbone,
        num_classes=task.outputs,
        total_stride=plain.total_stride,
        output_stride=plain.output_stride,
        pretrained=pretrained,
        seed=seed,
    )
    return task_network(backbone, plain, task, seed=seed)


def task_network(backbone: nn.Module, plain: Architecture, task: Task, *, seed: int) -> nn.Module:
    """Put around a backbone, in place, what a task needs; for classification that is nothing.

    What runs only behind the last map that a head reads is taken out: it costs nothing.

    plain: what the backbone is.
    seed: of random weights: a head's are the same in all architectures of a backbone.
    Raises SpecError where the backbone gives no maps that the head could read.
    """
    if task.is_classification:
        return backbone
    if task.is_whole:
        backbone.__dict__[_TASK] = task
        return backbone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, f"head {task.head}"))
        if task.head not in HEADS:
            if is_held(plain.backbone):  # all others were made with as many outputs
                give_outputs(backbone, plain.size.shape, task.outputs, plain.backbone)
            return TaskNetwork(backbone, Embedding(task.outputs), task).eval()
        maps, read = _maps_read(plain, task)
        head = HEADS[task.head](read, task.outputs)
    maps.cut(backbone, read)
    return TaskNetwork(backbone, head, task, [one.path for one in read]).eval()


def is_read(plain: Architecture, task: Task, slot: Slot) -> bool:
    """Say whether a task's network reads what is at a slot: not behind the last map of its head."""
    if task.head not in HEADS or slot.part != "backbone":
        return True
    maps, read = _maps_read(plain, task)
    return not maps.runs_behind(slot.module, read)


def check_read(plain: Architecture, task: Task, name: str, slot: Slot) -> None:
    """Check that a task's network reads what is at a site. Raises SpecError."""
    if not is_read(plain, task, slot):
        _, read = _maps_read(plain, task)
        raise SpecError(
            f"site {name!r} is behind the last map that head {task.head!r} reads, "
            f"{read[-1].path!r}, so that nothing reads it; leave it out (sites: exclude)"
        )


def _maps_read(plain: Architecture, task: Task) -> tuple[Maps, tuple[FeatureMap, ...]]:
    maps = find_maps(plain.backbone, plain.resolution, plain.total_stride, plain.output_stride)
    read = HEADS[task.head].read(maps.all)
    if not read:
        (only,) = maps.all
        other = "head deeplabv3" if task.name == "segmentation" else "a backbone with more of them"
        raise SpecError(
            f"head {task.head!r} reads a map finer than the last, and {plain.backbone!r} has one "
            f"map alone, of stride {only.stride}; take {other}"
        )
    return maps, read
