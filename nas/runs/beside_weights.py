"""The images that a user's weights were trained on, as files beside them tell, and a run's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.models.named_weights import read_config
from nas.spec.architecture import Architecture
from nas.spec.proxy import Backbone

__all__ = ["compare_with_images"]

_LABELS, _PREPROCESSING = "labels.txt", "preprocessing.json"
"""The files of a pack that tell classes, in the order of the scores, and the size of images."""
_SHOWN = 3


def compare_with_images(
    backbone: Backbone, plains: Sequence[Architecture], classes: Sequence[str]
) -> list[str]:
    """Say where the classes or the size that weights were trained for are not those of a run.

    A pack tells them (labels.txt, preprocessing.json), and timm (config.json).
    plains: the plain networks of the space.
    classes: of the images, in order.
    Raises SpecError for the same classes in another order: each score would be of another class.
    """
    if backbone.file is None:
        return []
    folder = backbone.file.parent
    config: Any = read_config(folder).get("pretrained_cfg")
    config = config if isinstance(config, dict) else {}
    return [
        *_compare_labels(_labels(folder, config), classes, backbone.file),
        *_compare_size(_size(folder, config), plains),
    ]


def _compare_labels(labels: Sequence[str], classes: Sequence[str], weights: Path) -> list[str]:
    classes = [" ".join(name.split()) for name in classes]  # as packs write them
    if len(labels) != len(classes) or list(labels) == classes:
        return []  # a head of another number of classes is replaced
    if sorted(labels) == sorted(classes):
        raise SpecError(
            f"weights {weights}: their classes are those of the images in another order "
            f"({_listed(labels)}; images: {_listed(classes)}), so that each score would be of "
            "another class; name the folders so that they sort in that order, or put the rows of "
            "the head in the order of the images"
        )
    return [
        f"the weights name other classes ({_listed(labels)}) than the images ({_listed(classes)}): "
        "their head is taken by its order"
    ]


def _compare_size(size: Size | None, plains: Sequence[Architecture]) -> list[str]:
    others = list(dict.fromkeys(str(plain.size) for plain in plains if plain.size != size))
    if size is None or not others:
        return []
    return [
        f"the weights were trained on images of {size}, and networks here read "
        f"{' and '.join(others)}: theirs is `resolutions: [{json.dumps(size.written)}]`"
    ]


def _labels(folder: Path, config: dict[str, Any]) -> list[str]:
    """Return the names of classes; none where nothing tells them."""
    with suppress(OSError, ValueError):
        return (folder / _LABELS).read_text(encoding="utf-8").splitlines()
    names = config.get("label_names")
    return [str(name) for name in names] if isinstance(names, list) else []


def _size(folder: Path, config: dict[str, Any]) -> Size | None:
    """Return the size of images; None where nothing tells it."""
    with suppress(OSError, ValueError, KeyError, TypeError, SpecError):
        about = json.loads((folder / _PREPROCESSING).read_text(encoding="utf-8"))
        height, width = about["size"]
        return Size.of((height, width))
    with suppress(ValueError, KeyError, TypeError, SpecError):
        _, height, width = config["input_size"]
        return Size.of((height, width))
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
