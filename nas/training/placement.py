"""The place of images while networks are trained: all on the device, or batch by batch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nas.data import Dataset, Split

__all__ = ["free_memory", "gathered", "placed", "sent"]

_OF_ALL, _OF_FREE = 1 / 10, 1 / 2
"""The share of a device's memory, and of what is free of it, that images may take: several
trainings share it, each a process with images of its own, and networks need most of it."""


def placed(
    data: Dataset, device: torch.device, *, memory: tuple[int, int] | None = None
) -> Dataset:
    """Return the data with its images on the device, as far as they fit: they are sent once.

    Training images come first. They may take a tenth of all memory and half of what is free; what
    does not fit stays where it is, and is sent batch by batch. Annotations stay, too.
    memory: of the device, (free, all), bytes; None: as the device says.
    """
    if device.type == "cpu":
        return data
    memory = memory or free_memory(device)
    if memory is None:
        return data
    free, total = memory
    room, splits = min(_OF_ALL * total, _OF_FREE * free), []
    for split in (data.train, data.validation):
        fits = split.images.nbytes <= room
        room -= split.images.nbytes if fits else 0
        splits.append(replace(split, images=split.images.to(device)) if fits else split)
    train, validation = splits
    return replace(data, train=train, validation=validation)


def free_memory(device: torch.device) -> tuple[int, int] | None:
    """Return what is free of a device's memory, and all of it, bytes; None: it does not say."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free, total
    return None


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; nothing waits until it is there.

    From memory that pages cannot leave, since else the copy would wait for all that the GPU does.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def gathered(split: Split, rows: Tensor, device: torch.device) -> Tensor:
    """Return some of a split's images on a device: (B, H, W, 3). rows: (B,), on the CPU."""
    images = split.images
    if device.type != "cuda" or images.device.type != "cpu":
        return images[rows.to(images.device)].to(device)
    pinned = torch.empty((len(rows), *images.shape[1:]), dtype=images.dtype, pin_memory=True)
    torch.index_select(images, 0, rows, out=pinned)
    return pinned.to(device, non_blocking=True)
