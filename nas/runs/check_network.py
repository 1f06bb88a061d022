"""The check of networks before anything is trained, by all that a run does with them.

A backbone, by itself and with a block, is trained for a step, copied, saved, loaded, counted and
converted for the device, on two images of noise. What does not fit is said in one line.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from nas.backbones.own_module import copied
from nas.base.errors import MeasurementError, NasError, SpecError
from nas.base.size import Resolution, Size
from nas.latency.device import Device
from nas.latency.runtime import RUNTIMES
from nas.latency.source import convert_deployed
from nas.models.build import build
from nas.models.candidates import Candidates
from nas.models.cost import cost
from nas.models.own_network import has_loss
from nas.runs.own_rehearsal import rehearse_own
from nas.runs.rehearsal import IMAGES, Rehearsal, reason_of
from nas.spec.architecture import EMPTY, KEEP, Architecture, Insertion
from nas.spec.own_backbone import is_held
from nas.spec.runner import Proxy
from nas.spec.task import Task
from nas.training.proxies import PROXIES
from nas.training.supernet.supernet import SHARES_NO_LOSS, check_no_sharing

__all__ = ["CLASSES", "check_networks", "check_own_network", "check_training"]

CLASSES = 10
"""As many as networks are checked with before images are read: as sites are found with."""
_TO_TORCH = "--set device=torch, which runs whatever torch runs"


def check_networks(
    candidates: Candidates, proxy: Proxy, device: Device | None, task: Task
) -> tuple[str, ...]:
    """Check every backbone of a space, at its smallest resolution, by itself and with a block.

    proxy: that candidates will be trained by.
    device: that latencies will be measured on; None: a profile predicts them, whose networks were
        converted when it was measured.
    task: what networks are for, on images of whatever number of classes.
    Returns what a user should hear of them, in sentences.
    Raises SpecError for one that cannot be searched.
    """
    if PROXIES[proxy.kind].shared:
        check_no_sharing(candidates.space)
    smallest: dict[str, Architecture] = {}
    for plain, _ in candidates.plains():
        known = smallest.setdefault(plain.backbone, plain)
        if plain.size.pixels < known.size.pixels:
            smallest[plain.backbone] = plain
    notes: list[str] = []
    for plain in smallest.values():
        grown = _with_a_block(candidates, plain)
        kind = PROXIES[proxy.kind]
        if kind.shared and task.is_whole and has_loss(build(plain, task=task)):
            raise SpecError(SHARES_NO_LOSS.format(backbone=plain.backbone))
        notes += _check_training(plain, grown, proxy.resolution, kind.frozen, task)
        _check_cost(plain, task)
        _check_cost(grown, task)
        if device is not None:
            _check_conversion(plain, grown, device, task)
    return tuple(notes)


def check_training(
    plains: Iterable[Architecture], task: Task, resolution: Resolution | None = None
) -> None:
    """Check that the plain networks of a run can be trained fully.

    task: what they are for.
    resolution: of the images that they are trained on; None: their own.
    Raises SpecError for one that cannot.
    """
    for plain in plains:
        _check_training(plain, plain, resolution, False, task)


def _with_a_block(candidates: Candidates, plain: Architecture) -> Architecture:
    """Return a plain network with the first block of its space where it first fits."""
    for decision in candidates.decisions(plain):
        labels = [label for label in decision.choices if label not in {KEEP, EMPTY}]
        if labels:
            return replace(plain, insertions=(Insertion.of(decision.sites[0].name, labels[0]),))
    return plain


# Training.


@lru_cache(maxsize=256)
def _check_training(
    plain: Architecture,
    grown: Architecture,
    resolution: Resolution | None,
    frozen: bool,
    task: Task,
) -> tuple[str, ...]:
    """Check that a network trains, and gives the same after it was saved and loaded.

    resolution: of the images that it trains on; None: what it is deployed at.
    frozen: whether the blocks alone are trained, beside the whole network.
    Returns what a user should hear.
    Raises SpecError.
    """
    size = plain.size if resolution is None else Size.of(resolution)
    if task.is_whole:
        task = replace(task, outputs=_num_classes(plain, task))
    alone, together = Rehearsal(plain, size, task), Rehearsal(grown, size, task)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of a network, it says in the run
        torch.manual_seed(0)
        network = build(plain, task=task)
        notes = alone.weights(network)
        if task.is_whole:
            known = task.name != "detection" or not is_held(plain.backbone)
            notes += rehearse_own(alone, network, classes=task.outputs if known else None)
        notes += alone.outputs(network)
        alone.scores(network)
        notes += alone.training(network, "scratch")
        if grown.insertions:
            together.training(network, "scratch")
            if frozen:
                together.training(network, "probe")
    return tuple(notes)


def check_own_network(plain: Architecture, task: Task) -> None:
    """Check what a network of one's own brings, for as many classes as the images have.

    Raises SpecError.
    """
    if not task.is_whole:
        return
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        network = build(plain, task=task)
        rehearse_own(Rehearsal(plain, plain.size, task), network, classes=task.outputs)


def _num_classes(plain: Architecture, task: Task) -> int:
    """Return how many classes a backbone is tried with: one given in memory has its own head."""
    if not is_held(plain.backbone):
        return CLASSES
    network, images = build(plain), torch.zeros(IMAGES, *plain.size.shape)
    if task.name == "detection":  # of torchvision's it is known, of others nothing tells it
        most = getattr(network, "most_classes", None)
        return CLASSES if most is None else int(most(images))
    with torch.no_grad():
        given = network(images)
    return given.shape[1] if isinstance(given, Tensor) and given.ndim in {2, 4} else CLASSES


# Counting and converting.


def _check_cost(architecture: Architecture, task: Task) -> None:
    """Raise SpecError for a network that cannot be counted."""
    try:
        cost(architecture, task=task)
    except NasError:
        raise
    except Exception as error:  # torch.jit.trace raises whatever a network provokes
        raise SpecError(
            f"backbone {architecture.backbone!r} cannot be counted, since torch.jit.trace cannot "
            f"follow it: {reason_of(error)}; leave out of its evaluation mode what is for training "
            "alone, such as torch.utils.checkpoint with use_reentrant=True"
        ) from None


def _check_conversion(plain: Architecture, grown: Architecture, device: Device, task: Task) -> None:
    """Raise SpecError for a network that the device's runtime cannot take."""
    try:
        convert_deployed(grown, task, device)  # which holds the plain network
        return
    except MeasurementError as error:
        fault = str(error)
    offer = "" if device.runtime == "torch" else f", or measure with {_TO_TORCH}"
    try:
        convert_deployed(plain, task, device)
    except MeasurementError as error:
        network = build(plain, task=task)
        where = _unconverted(network, plain.size, device, str(error))
        raise SpecError(
            f"backbone {plain.backbone!r}: {error}; {where}; put another layer there{offer}"
        ) from None
    label = grown.insertions[0].label
    raise SpecError(
        f"block {label}: {fault}, though the plain {plain.backbone} can be converted; leave the "
        f"block out of the space{offer}"
    )


def _unconverted(network: nn.Module, size: Size, device: Device, fault: str) -> str:
    """Say which module of a network a runtime cannot convert: alone, it fails in the same way."""
    tried: set[tuple[object, ...]] = set()
    for path, (module, shape) in _innermost(network, size).items():
        kind = (repr(module), shape)
        if kind in tried:
            continue
        tried.add(kind)
        try:
            RUNTIMES[device.runtime].convert(module, shape, device.batch, device.precision)
        except MeasurementError as error:
            if str(error) == fault:
                maps = "x".join(map(str, shape))
                return f"it is in its module {path}, {type(module).__name__} on maps {maps}"
    return "it is in none of its modules alone, so in what its forward itself computes"


def _innermost(network: nn.Module, size: Size) -> dict[str, tuple[nn.Module, tuple[int, int, int]]]:
    """Return the modules that read maps, by path, with the shape of those; the innermost first."""
    network = copied(network).eval()
    modules: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {}

    def noting(path: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[object, ...]) -> None:
            if len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
                _, channels, height, width = inputs[0].shape
                modules[path] = module, (channels, height, width)

        return note

    handles = [
        module.register_forward_pre_hook(noting(path))
        for path, module in network.named_modules()
        if path and ".parametrizations" not in path  # those read weights
    ]
    with torch.no_grad():
        network(torch.zeros(1, *size.shape))
    for handle in handles:
        handle.remove()
    return dict(sorted(modules.items(), key=lambda item: -item[0].count(".")))
