"""The licences of a pack: whose code a network comes from, and their licences in full."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from nas.backbones import own_networks
from nas.blocks import block_named
from nas.spec.architecture import Architecture
from nas.spec.own_backbone import brief
from nas.spec.width import split_width

__all__ = ["read_licences", "write_notice"]


def _library(backbone: str) -> str | None:
    """Return the package that the backbone's code is of; None for the user's own."""
    backbone, _ = split_width(backbone)
    if own_networks.exists(backbone):
        return "attention-nas"
    if ":" in backbone:  # of one's own, or given in memory
        return None
    return "torchvision" if backbone.startswith("torchvision/") else "timm"


_HEADS: Mapping[str, tuple[str, str]] = {
    "deeplabv3": ("arXiv:1706.05587", "segmentation-models-pytorch"),
    "lraspp": ("arXiv:1905.02244", "torchvision"),
    "unet": ("arXiv:1505.04597", "segmentation-models-pytorch"),
    "fpn": ("arXiv:1901.02446", "torchvision"),
    "ssdlite": ("arXiv:1801.04381", "torchvision"),
    "fcos": ("arXiv:1904.01355", "torchvision"),
    "embedding": ("arXiv:1903.07071", "attention-nas"),
}
"""Heads of `nas.models.heads` -> their paper, and the package whose code is in them."""


def _library_of_head(head: str) -> str | None:
    """Return the package that a head's code is of; None for a backbone's own classifier."""
    return _HEADS[head][1] if head in _HEADS else None


def write_notice(architecture: Architecture, pretrained: bool, head: str = "classifier") -> str:
    """Return the text of NOTICE.

    pretrained: whether its weights began as pretrained ones.
    head: what stands around the backbone.
    """
    library = _library(architecture.backbone)
    lines = ["This network was found and exported with attention-nas (Apache-2.0).", ""]
    if library is None:
        lines.append(f"Backbone {brief(architecture.backbone)}: the user's own code and licence.")
    else:
        lines.append(f"Backbone {architecture.backbone}: from {_described(library)}.")
    if pretrained:
        lines.append(
            "Its weights began as pretrained ones: their licence is with "
            f"{architecture.backbone} on the Hugging Face hub and binds these weights, too."
        )
    for name in sorted({insertion.block for insertion in architecture.blocks}):
        block = block_named(name)
        lines.append(f"Block {name}: {block.title}, {block.paper}; code of attention-nas.")
    if head in _HEADS:
        paper, library = _HEADS[head]
        lines.append(f"Head {head}: {paper}; code of {_described(library)}.")
    lines += ["", "model.py is made of calls to PyTorch (BSD-3-Clause), which it does not contain."]
    return "\n".join(lines) + "\n"


def _described(package: str) -> str:
    """Return a package with its version and licence."""
    about = metadata.metadata(package)
    named = [about[key] for key in ("License-Expression", "License") if key in about]
    return f"{package} {about['Version']} ({named[0] if named else 'see licences/'})"


def read_licences(architecture: Architecture, head: str = "classifier") -> dict[str, bytes]:
    """Return the licences in full, as the packages bring them, by the name of their file.

    head: what stands around the backbone.
    """
    licences = {}
    packages = {"attention-nas", _library(architecture.backbone), _library_of_head(head)}
    for package in packages - {None}:
        assert package is not None
        files = metadata.files(package) or []
        texts = [file for file in files if file.name.upper().startswith(("LICENSE", "LICENCE"))]
        for text in texts[:1]:
            path = Path(str(text.locate()))
            if path.is_file():
                licences[f"{package}.txt"] = path.read_bytes()
    return licences
