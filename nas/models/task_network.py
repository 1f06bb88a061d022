"""The network of a task: what stands around a backbone, which keeps its names within.

The walked backbone is its module `backbone`, so that sites and trained weights are called as they
are for classification, where the backbone as it comes is the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas.backbones import FeatureMap, Maps, find_maps, read_maps
from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.models.heads import HEADS, Embedding
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = ["TaskNetwork", "backbone_of", "backbone_prefix", "check_read", "task_network"]

_BACKBONE = "backbone"


class TaskNetwork(nn.Module):
    """A backbone with what a task puts around it: NCHW images to what the task is judged by.

    backbone: changed by its task, such as cut off behind the maps that a head reads.
    head: what reads it.
    reads: paths in the backbone of the modules whose maps the head reads, from the finest to the
        coarsest; empty where it reads what the backbone gives.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, reads: Sequence[str] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
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
    """Return the backbone within a network, to which sites belong; or the network, if it is one."""
    return network.backbone if isinstance(network, TaskNetwork) else network


def backbone_prefix(network: nn.Module) -> str:
    """Return what the names of a backbone's weights begin with in the state of its network."""
    return f"{_BACKBONE}." if isinstance(network, TaskNetwork) else ""


def task_network(backbone: nn.Module, plain: Architecture, task: Task, *, seed: int) -> nn.Module:
    """Put around a backbone, in place, what a task needs; for classification that is nothing.

    What runs only behind the last map that a head reads is taken out: it costs nothing.

    plain: what the backbone is.
    seed: of random weights: a head's are the same in all architectures of a backbone.
    Raises SpecError where the backbone gives no maps that the head could read.
    """
    if task.is_classification:
        return backbone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, f"head {task.head}"))
        if task.head not in HEADS:
            return TaskNetwork(backbone, Embedding(task.outputs)).eval()
        maps, read = _maps_read(plain, task)
        head = HEADS[task.head](read, task.outputs)
    maps.cut(backbone, read)
    return TaskNetwork(backbone, head, [one.path for one in read]).eval()


def check_read(plain: Architecture, task: Task, site: str, module: str) -> None:
    """Check that a site at a module of the backbone is not behind what a head reads.

    Raises SpecError.
    """
    if task.head in HEADS:
        maps, read = _maps_read(plain, task)
        if maps.runs_behind(module, read):
            raise SpecError(
                f"site {site!r} is behind the last map that head {task.head!r} reads, "
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
