"""A user's own weights at the start of a run: read and matched before its folder is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.backbones import normalisation_of, plain_network, timm_networks
from nas.backbones.torchvision_detectors import transform_normalisation
from nas.base.errors import SpecError
from nas.base.files import read_text
from nas.models.named_weights import CONFIG, NamedWeights, find_weights, read_config
from nas.models.weights_file import not_a_file
from nas.runs.run_file import RunFile
from nas.spec.architecture import Architecture
from nas.spec.runner import Normalisation, Proxy
from nas.spec.task import OWN, Task
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
        file, notes = _as_its_transform(file, plains[0].backbone)
        return file, [*notes, *_tags_not_taken(plains)]
    if backbone.file is not None:
        names = list(dict.fromkeys(plain.backbone for plain in plains))
        if len(names) > 1:
            raise SpecError(
                f"weights {backbone.file} are of one network, and the space has "
                f"{', '.join(names)}; name one with --backbone"
            )
        named = find_weights(backbone.weights)
        if named is not None:
            _check_is_of(named, backbone.weights, names[0])
        path = backbone.file if named is None else named.file
        file = file.model_copy(update={"proxy": _with_digest(file.proxy, path)})
    if file.normalisation is not None:
        return file, []
    normalisation, told_by = _find_normalisation(file, plains[0].backbone)
    if normalisation is None:
        return file, [
            "images are normalised by their own mean and deviation, since nothing tells how these "
            "weights were trained; if otherwise, give --set normalisation='{mean: [...], std: "
            "[...]}'"
        ]
    return file.model_copy(update={"normalisation": normalisation}), [_told(normalisation, told_by)]


def _as_its_transform(file: RunFile, backbone: str) -> tuple[RunFile, list[str]]:
    """Normalise images as a detector of torchvision does within, whatever its weights.

    Its transform is left out here, and is there again wherever its weights are loaded.
    """
    if file.head != OWN or file.normalisation is not None:
        return file, []
    within = transform_normalisation(plain_network(backbone, num_classes=2))
    if within is None:
        return file, []
    mean, std = within
    normalisation = Normalisation(mean=list(mean), std=list(std))
    return file.model_copy(update={"normalisation": normalisation}), [
        _told(normalisation, f"the transform of {backbone}")
    ]


def _told(normalisation: Normalisation, by: str) -> str:
    mean, std = (
        ", ".join(f"{value:.3g}" for value in values)
        for values in (normalisation.mean, normalisation.std)
    )
    return f"images are normalised as {by} says: mean {mean}, deviation {std}"


def match_given_weights(file: RunFile, plains: Sequence[Architecture], task: Task) -> list[str]:
    """Match the file of weights with each plain network, and say what was decided.

    Raises SpecError where they do not fit, and for a random head that nothing would train.
    """
    backbone, notes = file.proxy.backbone, list[str]()
    if backbone.file is None or not PROXIES[file.proxy.kind].warm:
        return notes
    for plain in plains:
        _, matched = given_network(plain, backbone, task)
        fresh = matched.replaced or not task.is_whole
        if fresh and not backbone.epochs and file.proxy.kind != "finetune":
            of = "another number of classes" if matched.replaced else "classification"
            raise SpecError(
                f"weights {backbone.file}: their head is of {of}, and proxy "
                f"{file.proxy.kind} trains blocks alone; train a new head first, as with --set "
                "proxy.backbone.epochs=2"
            )
        notes += [note for note in matched.notes if note not in notes]
    return notes


def _tags_not_taken(plains: Sequence[Architecture]) -> list[str]:
    """Say of backbones whose names tell pretrained weights that those are not taken."""
    names = {plain.backbone: None for plain in plains if plain.backbone.count(".") == 1}
    tagged = [name for name in names if timm_networks.exists(name)]
    return [
        f"the weights that {name} names are not taken; --regime finetune --set "
        "proxy.backbone.weights=pretrained begins from them"
        for name in tagged
    ]


def _check_is_of(named: NamedWeights, weights: str, backbone: str) -> None:
    """Raise SpecError where weights say that they are of another network of timm's."""
    own = backbone.partition(".")[0]
    if named.architecture not in (None, own) and timm_networks.exists(str(named.architecture)):
        raise SpecError(
            f"weights {weights!r} are of {named.architecture}, and the space has {backbone}; name "
            f"it with --backbone {named.architecture}"
        )


def _with_digest(proxy: Proxy, path: Path) -> Proxy:
    """Return the proxy with the file's place, whole, and its digest."""
    state, digest = not_a_file(path), ""
    if state is None:
        try:
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError:  # as on a disk that fails
            state = "a file that cannot be read to its end"
    if state is not None:
        raise SpecError(
            f"weights {str(path)!r}: {state}; allowed: a .safetensors file or a PyTorch "
            "checkpoint, local-dir:PATH, hf-hub:OWNER/NAME, train or pretrained"
        )
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
    if given is not None and (kept := _of_config(given.parent)) is not None:
        return kept, str(given.parent / CONFIG)
    channels = normalisation_of(plain_network(backbone, num_classes=2), backbone)
    if channels is None:
        return None, ""
    mean, std = channels
    return Normalisation(mean=list(mean), std=list(std)), f"the configuration of {backbone}"


def _of_config(folder: Path) -> Normalisation | None:
    """Return what timm's configuration beside weights says of images; None where it does not."""
    about: Any = read_config(folder).get("pretrained_cfg")
    try:
        channels = {key: [float(value) for value in about[key]] for key in ("mean", "std")}
        return Normalisation(**channels)
    except (ValueError, KeyError, TypeError):  # of another program, or silent
        return None
