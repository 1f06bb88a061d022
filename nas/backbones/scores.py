"""The scores that a network gives for images, or for their pixels: one tensor of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from nas.base.size import Resolution, Size

__all__ = [
    "ScoresOf",
    "describe_fault",
    "describe_output",
    "describe_pixel_fault",
    "describe_tensor_fault",
    "find_fault",
    "take_named_scores",
]

ScoresOf = Literal["image", "pixels", "whole"]

_NAMES = ("logits", "scores", "out", "output", "pred", "preds", "prediction", "predictions")
"""The names under which scores are taken from an output of several parts; the first counts."""

_WHOLE = "; a whole detector or segmenter is searched with --task and --head own"


def take_named_scores(_module: object, _inputs: object, given: object) -> Tensor | None:
    """Return the scores among the named parts of what a network gives: a forward hook.

    Parts are the keys of a dictionary or the attributes of a dataclass, a namedtuple or the like.
    None, which leaves the output as it is, where it is a tensor already or no part has such a name.
    """
    if isinstance(given, Tensor):
        return None
    for name in _NAMES:
        part = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
        if isinstance(part, Tensor):
            return part
    return None


def find_fault(
    network: nn.Module,
    resolution: Resolution,
    num_classes: int,
    images: int = 2,
    *,
    of: ScoresOf = "image",
) -> str | None:
    """Return what a network gives in place of scores (N, num_classes); None where it gives them.

    of: `pixels`: of scores (N, num_classes, H, W), for images of this size; `whole`: of one tensor
        (N, ...), of which no part counts alone.
    With what to do about it. Asked on torch's meta device, to which the network is moved: no
    arithmetic, no memory.
    """
    size = Size.of(resolution)
    network = network.to("meta").eval()
    with torch.no_grad():
        read = torch.zeros(images, *size.shape, device="meta")
        given = network.forward(read) if of == "whole" else network(read)
    if of == "whole":
        return describe_tensor_fault(given, images)
    if of == "pixels":
        return describe_pixel_fault(given, images, num_classes, size)
    return describe_fault(given, images, num_classes)


def describe_pixel_fault(given: object, images: int, num_classes: int, size: Size) -> str | None:
    """Say what is wrong with an output; None where it is (images, num_classes, height, width)."""
    if isinstance(given, Tensor) and given.shape == (images, num_classes, size.height, size.width):
        return None
    plural = "image" if images == 1 else "images"
    output = f"{describe_output(given)} for {images} {plural} of {size} and {num_classes} classes"
    wanted = "images x classes x height x width"
    if not isinstance(given, Tensor):
        return (
            f"{output}; allowed: one tensor of scores, {wanted}, alone or named as one of "
            f"{', '.join(_NAMES)}: name it so, or return it alone"
        )
    if given.ndim == 4 and given.shape[:2] == (images, num_classes):
        return (
            f"{output}; allowed: scores of all pixels: let forward interpolate them to the images"
        )
    if given.ndim == 4 and len(given) == images:
        return f"{output}; allowed: {wanted}: let its last layer have num_classes outputs"
    return f"{output}; allowed: one tensor of scores of pixels, {wanted}"


def describe_tensor_fault(given: object, images: int) -> str | None:
    """Say what is wrong with an output; None where it is one tensor (images, ...)."""
    if isinstance(given, Tensor) and given.ndim > 1 and len(given) == images:
        if given.is_floating_point():
            return None
        kind = str(given.dtype).removeprefix("torch.")
        return f"a tensor of {kind}; allowed: one float tensor, images x ..., not suppressed"
    plural = "image" if images == 1 else "images"
    wanted = "allowed: one tensor, images x ..., as it is deployed and not suppressed"
    way = "" if isinstance(given, Tensor) else ": put its parts behind each other (torch.cat)"
    return f"{describe_output(given)} for {images} {plural}; {wanted}{way}"


def describe_fault(given: object, images: int, num_classes: int) -> str | None:
    """Say what is wrong with an output, and what to do; None where it is (images, num_classes)."""
    if isinstance(given, Tensor) and given.shape == (images, num_classes):
        return None
    plural = "image" if images == 1 else "images"
    output = f"{describe_output(given)} for {images} {plural} and {num_classes} classes"
    if not isinstance(given, Tensor):
        names = ", ".join(_NAMES)
        return (
            f"{output}; allowed: one tensor of scores, images x classes, alone or named as one of "
            f"{names}: name it so, or wrap it in a module whose forward returns its logits{_WHOLE}"
        )
    if given.ndim == 2 and len(given) == images:
        return (
            f"{output}; allowed: one score for each class: let its last layer have num_classes "
            "outputs"
        )
    if images == 1 and given.numel() == num_classes:
        return (
            f"{output}; allowed: images x classes: keep the axis of the images, which squeeze() "
            "takes away where there is one"
        )
    return (
        f"{output}; allowed: one tensor of scores, images x classes: wrap it in a module whose "
        f"forward returns its logits{_WHOLE}"
    )


def describe_output(given: object) -> str:
    """Say what a network gives: a tensor of which shape, or which parts."""
    if isinstance(given, Tensor):
        return f"a tensor {'x'.join(map(str, given.shape)) or 'without dimensions'}"
    kind = f"a {type(given).__name__}"
    if isinstance(given, Mapping):
        return f"{kind} of {', '.join(map(repr, given))}"
    if dataclasses.is_dataclass(given):
        return f"{kind} of {', '.join(field.name for field in dataclasses.fields(given))}"
    if isinstance(given, tuple | list):
        fields = getattr(given, "_fields", None)
        return f"{kind} of {', '.join(fields) if fields else len(given)}"
    return kind
