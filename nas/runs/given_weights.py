"""A user's own weights at the start of a run: read and matched before its folder is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from nas.backbones import normalisation_of, plain_network
from nas.base.errors import SpecError
from nas.base.files import read_text
from nas.runs.run import RunFile
from nas.spec.architecture import Architecture
from nas.spec.runner import Normalisation, Proxy
from nas.training.plain_backbone import given_network
from nas.training.proxies import PROXIES

__all__ = ["match_given_weights", "settle_weights"]

PREPROCESSING = "preprocessing.json"
"""What a pack says of its images, beside its weights."""


def settle_weights(file: RunFile, plains: Sequence[Architecture]) -> tuple[RunFile, list[str]]:
    """Write down which weights a run starts from, and how images are normalised for them.

    plains: the plain networks of the space.
    Returns the file, and what was decided, in sentences.
    Raises SpecError for weights that are not there, or that several backbones would share.
    """
    backbone = file.proxy.backbone
    if backbone.weights == "train":
        return file, []
    if backbone.file is not None:
        names = list(dict.fromkeys(plain.backbone for plain in plains))
        if len(names) > 1:
            raise SpecError(
                f"weights {backbone.file} are of one network, and the space has "
                f"{', '.join(names)}; name one with --backbone"
            )
        file = file.model_copy(update={"proxy": _with_digest(file.proxy, backbone.file)})
    if file.normalisation is not None:
        return file, []
    found, told_by = _find_normalisation(file, plains[0].backbone)
    if found is None:
        return file, [
            "images are normalised by their own mean and deviation, since nothing tells how these "
            "weights were trained; if otherwise, give --set normalisation='{mean: [...], std: "
            "[...]}'"
        ]
    mean, std = (
        ", ".join(f"{value:.3g}" for value in values) for values in (found.mean, found.std)
    )
    note = f"images are normalised as {told_by} says: mean {mean}, deviation {std}"
    return file.model_copy(update={"normalisation": found}), [note]


def match_given_weights(
    file: RunFile, plains: Sequence[Architecture], num_classes: int
) -> list[str]:
    """Match the file of weights with each plain network, and say what was decided.

    Raises SpecError where they do not fit, and for a random head that nothing would train.
    """
    backbone, notes = file.proxy.backbone, list[str]()
    if backbone.file is None or not PROXIES[file.proxy.kind].warm:
        return notes
    for plain in plains:
        _, matched = given_network(plain, backbone, num_classes)
        if matched.replaced and not backbone.epochs and file.proxy.kind != "finetune":
            raise SpecError(
                f"weights {backbone.file}: their head is of another number of classes, and proxy "
                f"{file.proxy.kind} trains blocks alone; train a new head first, as with --set "
                "proxy.backbone.epochs=2"
            )
        notes += [note for note in matched.notes if note not in notes]
    return notes


def _with_digest(proxy: Proxy, path: Path) -> Proxy:
    """Return the proxy with the file's place, whole, and its digest."""
    if not path.is_file():
        state = "a folder" if path.is_dir() else "no such file"
        raise SpecError(
            f"weights {str(path)!r}: {state}; allowed: a .safetensors file or a PyTorch "
            "checkpoint, train or pretrained"
        )
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if proxy.backbone.digest not in (None, digest):
        raise SpecError(f"weights {str(path)!r} have changed: proxy.backbone.digest says of others")
    settled = {"weights": str(path.resolve()), "digest": digest}
    return proxy.model_copy(update={"backbone": proxy.backbone.model_copy(update=settled)})


def _find_normalisation(file: RunFile, backbone: str) -> tuple[Normalisation | None, str]:
    """Return how images were normalised for the weights, and what tells it; None: nothing does.

    A file beside the weights does, else the network's own configuration.
    """
    given = file.proxy.backbone.file
    if given is not None and (given.parent / PREPROCESSING).is_file():
        path = given.parent / PREPROCESSING
        try:
            about = json.loads(read_text(path, "the preprocessing"))
            scaled = {key: [value / 255 for value in about[key]] for key in ("mean", "std")}
            return Normalisation(**scaled), str(path)
        except (ValueError, KeyError, TypeError):
            raise SpecError(f"{path}: found no mean and std of three channels; mend it") from None
    channels = normalisation_of(plain_network(backbone, num_classes=2), backbone)
    if channels is None:
        return None, ""
    mean, std = channels
    return Normalisation(mean=list(mean), std=list(std)), f"the configuration of {backbone}"
