"""What a network is, found out before anything is trained, by all that a run does with it.

A backbone, by itself and with a block, is trained for a step, copied, saved, loaded, counted and
converted for the device, on two images of noise. What does not fit is said in one line.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.backbones.own_module import copied
from nas.backbones.scores import describe_fault, describe_output
from nas.base.errors import MeasurementError, NasError, SpecError
from nas.base.size import Resolution, Size
from nas.data import Dataset, Split
from nas.latency.device import Device
from nas.latency.runtime import RUNTIMES
from nas.latency.source import convert_deployed
from nas.models.build import build, inserted_modules
from nas.models.candidates import Candidates
from nas.models.cost import cost
from nas.spec.architecture import EMPTY, KEEP, Architecture, Insertion
from nas.spec.own_backbone import is_held
from nas.spec.runner import Proxy
from nas.training.checkpoint import checkpoint_path, restore, save_trained, save_weights
from nas.training.device import best_device
from nas.training.proxies import PROXIES, Setting
from nas.training.task import Classification

__all__ = ["check_networks", "check_training"]

_CLASSES = 10  # as many as sites are found with
_IMAGES = 2
_SAME = 1e-3  # of the largest score: batches of one and two are computed by other kernels
_SHOWN = 3
_TO_TORCH = "--set device=torch, which runs whatever torch runs"


def check_networks(candidates: Candidates, proxy: Proxy, device: Device | None) -> tuple[str, ...]:
    """Check every backbone of a space, at its smallest resolution, by itself and with a block.

    proxy: that candidates will be trained by.
    device: that latencies will be measured on; None: a profile predicts them, whose networks were
        converted when it was measured.
    Returns what a user should hear of them, in sentences.
    Raises SpecError for one that cannot be searched.
    """
    smallest: dict[str, Architecture] = {}
    for plain, _ in candidates.plains():
        known = smallest.setdefault(plain.backbone, plain)
        if plain.size.pixels < known.size.pixels:
            smallest[plain.backbone] = plain
    notes: list[str] = []
    for plain in smallest.values():
        grown = _with_a_block(candidates, plain)
        frozen = PROXIES[proxy.kind].frozen
        notes += _check_training(plain, grown, proxy.resolution, frozen)
        _check_cost(plain)
        _check_cost(grown)
        if device is not None:
            _check_conversion(plain, grown, device)
    return tuple(notes)


def check_training(plains: Iterable[Architecture], resolution: Resolution | None = None) -> None:
    """Check that the plain networks of a run can be trained fully.

    resolution: of the images that they are trained on; None: their own.
    Raises SpecError for one that cannot.
    """
    for plain in plains:
        _check_training(plain, plain, resolution, frozen=False)


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
    plain: Architecture, grown: Architecture, resolution: Resolution | None, frozen: bool
) -> tuple[str, ...]:
    """Check that a network trains, and gives the same after it was saved and loaded.

    resolution: of the images that it trains on; None: what it is deployed at.
    frozen: whether the blocks alone are trained, beside the whole network.
    Returns what a user should hear.
    Raises SpecError.
    """
    size = plain.size if resolution is None else Size.of(resolution)
    classes = _num_classes(plain)
    alone, together = _Trial(plain, size, classes), _Trial(grown, size, classes)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of a network, it says in the run
        torch.manual_seed(0)
        network = build(plain, num_classes=classes)
        notes = [*alone.weights(network), *alone.outputs(network)]
        alone.scores(network)
        notes += alone.training(network, "scratch")
        if grown.insertions:
            together.training(network, "scratch")
            if frozen:
                together.training(network, "probe")
    return tuple(notes)


def _num_classes(plain: Architecture) -> int:
    """Return how many classes a backbone is tried with: one given in memory has its own head."""
    if not is_held(plain.backbone):
        return _CLASSES
    with torch.no_grad():
        given = build(plain)(torch.zeros(_IMAGES, *plain.size.shape))
    return given.shape[1] if isinstance(given, Tensor) and given.ndim == 2 else _CLASSES


@dataclass(frozen=True, slots=True)
class _Trial:
    """The steps of a check of one network, plain or with a block.

    size: of the images that it trains on.
    """

    network: Architecture
    size: Size
    num_classes: int

    @property
    def name(self) -> str:
        """The network in errors."""
        blocks = " and ".join(f"{item.label} at {item.site}" for item in self.network.insertions)
        return f"backbone {self.network.backbone!r}" + (f" with {blocks}" if blocks else "")

    def weights(self, network: nn.Module) -> list[str]:
        """Return what is to be said of weights that are not trained."""
        frozen = [name for name, item in network.named_parameters() if not item.requires_grad]
        if not frozen:
            return []
        if len(frozen) == len(list(network.parameters())):
            raise SpecError(
                f"{self.name}: all its weights are frozen (requires_grad is False), and "
                "the plain network is trained first; return network.requires_grad_(True): a probe "
                "freezes it by itself"
            )
        return [f"{self.name}: {_named(frozen)} are frozen (requires_grad is False), and stay so"]

    def outputs(self, network: nn.Module) -> list[str]:
        """Return what is to be said of an output in training of which a part is taken."""
        with self.saying("in training mode"), torch.no_grad():
            given = copied(network).train().forward(self.images())
        if isinstance(given, Tensor):
            return []
        return [
            f"{self.name} gives {describe_output(given)} in training: its scores are taken by "
            "their name, and what leads to other parts alone is not trained"
        ]

    def scores(self, network: nn.Module) -> None:
        """Check the scores in both modes, of batches of one and two, once and again."""
        # At both resolutions; in training mode at that of training alone.
        for size in sorted({self.size, self.network.size}):
            with self.saying(f"in evaluation mode at {size}"), torch.no_grad():
                images = self.images(size)
                first = self.checked(network.eval()(images), "evaluation", _IMAGES)
                again, alone = network(images), network(images[:1])
            self.checked(alone, "evaluation", 1)
            if not torch.equal(first, again):
                raise SpecError(
                    f"{self.name} gives other scores for the same images in evaluation "
                    "mode, where nothing may be random; F.dropout is random there unless it gets "
                    "training=self.training"
                )
            if not _same(first[:1], alone):
                raise SpecError(
                    f"{self.name}: in evaluation mode the scores of an image depend on "
                    "the others in its batch, and a device reads one; compute each image's alone"
                )
        with self.saying("in training mode"), torch.no_grad():
            self.checked(copied(network).train()(self.images()), "training", _IMAGES)

    def checked(self, given: object, mode: str, images: int) -> Tensor:
        """Return finite scores. Raises SpecError for anything else."""
        fault = describe_fault(given, images, self.num_classes)
        if fault is not None:
            raise SpecError(f"{self.name} in {mode} mode gives {fault}")
        assert isinstance(given, Tensor)
        if not given.isfinite().all():
            raise SpecError(
                f"{self.name} in {mode} mode gives scores that are not finite (NaN or "
                "infinite) with its first weights; look for a division or logarithm of zero"
            )
        return given

    def training(self, plain: nn.Module, kind: str) -> list[str]:
        """Train for one step as a proxy does, save, load and compare.

        plain: the plain network.
        Returns what is to be said.
        """
        setting, own = self.setting(plain, kind), self.network
        with self.saying("in training"):
            training = PROXIES[kind].begin(own, setting, 0)
            notes = self.first_weights(plain, training.network) if kind == "scratch" else []
            first = [weight.detach().clone() for weight in training.network.parameters()]
            training.run()
        network = training.network.to("cpu")
        notes += self.gradients(network, kind)
        self.settle(network, first)
        with self.saying("when it is copied, saved and loaded"), torch.no_grad():
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                save_weights(checkpoint_path(place, own.plain.digest), plain.state_dict())
                save_trained(checkpoint_path(place, own.digest, 0), network, own, kind)
                loaded = restore(place, own, setting.proxy, 0, self.num_classes)
            images = self.images(self.network.size)
            wanted, copy, found = (each(images) for each in (network, copied(network), loaded))
        for given, how in ((copy, "copied"), (found, "saved and loaded")):
            if not _same(wanted, given):
                raise SpecError(
                    f"{self.name} gives other scores when it is {how}: something that "
                    "training changes is not in its state_dict(); keep it in a parameter or buffer"
                )
        return notes

    def settle(self, network: nn.Module, first: list[Tensor]) -> None:
        """Give a network its first weights back where the step has led to no finite scores.

        Two images say nothing of more: through batch norms of maps of 1x1, which see two values
        of each channel, gradients grow without limit. What training changes beside stays.

        first: its parameters before the step.
        """
        with torch.no_grad():
            images = self.images(self.network.size)
            if network(images).isfinite().all():
                return
            for weight, before in zip(network.parameters(), first, strict=True):
                weight.copy_(before)
            if not network(images).isfinite().all():
                raise SpecError(
                    f"{self.name} gives scores that are not finite (NaN or infinite) after a step "
                    "of training, whatever its weights; look for what its forward keeps"
                )

    def first_weights(self, plain: nn.Module, again: nn.Module) -> list[str]:
        """Return what is to be said where a second making gives other weights."""
        one, other = plain.state_dict(), again.state_dict()
        differing = [
            name
            for name, value in one.items()
            if name in other
            and value.shape == other[name].shape
            and not torch.equal(value, other[name].to("cpu"))
        ]
        if not differing:
            return []
        return [
            f"{self.name} has other first weights each time it is made ({_named(differing)}): only "
            "torch's random numbers are seeded here, so that comparisons are noisier"
        ]

    def gradients(self, network: nn.Module, kind: str) -> list[str]:
        """Check that gradients have reached the block; return which other weights they missed."""
        blocks = inserted_modules(network, self.network)
        ours = {id(weight) for block in blocks for weight in block.parameters()}
        missed = {
            name: id(weight) in ours
            for name, weight in network.named_parameters()
            if weight.requires_grad and weight.grad is None
        }
        if ours and sum(missed.values()) == len(ours):
            raise self.unreached()
        unmoved = [name for name, is_block in missed.items() if not is_block]
        if not unmoved or kind == "probe":
            return []
        return [f"{self.name}: {_named(unmoved)} get no gradient in training, and stay as made"]

    def unreached(self) -> SpecError:
        """Say that no gradient reaches the block."""
        return SpecError(
            f"{self.name}: no gradient reaches the block in training; where torch.utils.checkpoint "
            "runs it, give it use_reentrant=False; where the network stops gradients (detach, "
            "no_grad), leave the site out (sites.exclude)"
        )

    def setting(self, plain: nn.Module, kind: str) -> Setting:
        """Return what a proxy trains in, with noise in the place of images."""
        shape = _IMAGES, self.size.height, self.size.width, 3
        pixels = torch.randint(0, 256, shape, generator=_generator(), dtype=torch.uint8)
        split = Split(pixels, torch.arange(_IMAGES))
        classes = tuple(map(str, range(self.num_classes)))
        grey = 128.0, 128.0, 128.0
        data = Dataset(split, split, classes, grey, (64.0, 64.0, 64.0), False, "noise")
        proxy = Proxy.model_validate({"kind": kind, "rungs": [1], "unit": "steps", "batch_size": 2})
        weights = {self.network.plain.digest: dict(plain.state_dict())}
        return Setting(data, Classification(self.num_classes), proxy, best_device(), weights)

    def images(self, size: Size | None = None) -> Tensor:
        """Return two images of noise."""
        return torch.randn(_IMAGES, *(size or self.size).shape, generator=_generator())

    @contextmanager
    def saying(self, when: str) -> Iterator[None]:
        """Turn whatever a network raises into one line."""
        try:
            yield
        except SpecError:
            raise
        except Exception as error:  # somebody's own code, and what it calls
            if "does not require grad" in str(error):
                raise self.unreached() from None
            raise SpecError(
                f"{self.name} fails {when}: {_reason(error)}; mend its forward, which "
                f"here reads a float32 tensor {_IMAGES}x3x{self.size} in channels_last "
                "memory"
            ) from None


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _same(one: Tensor, other: Tensor) -> bool:
    limit = _SAME * float(one.abs().max())
    return bool(((one - other).abs() <= limit).all())


def _named(names: list[str]) -> str:
    shown, more = names[:_SHOWN], len(names) - _SHOWN
    return ", ".join(shown) + (f" and {more} more weights" if more > 0 else "")


def _reason(error: Exception) -> str:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# Counting and converting.


def _check_cost(architecture: Architecture) -> None:
    """Raise SpecError for a network that cannot be counted."""
    try:
        cost(architecture, num_classes=_CLASSES)
    except NasError:
        raise
    except Exception as error:  # torch.jit.trace raises whatever a network provokes
        raise SpecError(
            f"backbone {architecture.backbone!r} cannot be counted, since torch.jit.trace cannot "
            f"follow it: {_reason(error)}; leave out of its evaluation mode what is for training "
            "alone, such as torch.utils.checkpoint with use_reentrant=True"
        ) from None


def _check_conversion(plain: Architecture, grown: Architecture, device: Device) -> None:
    """Raise SpecError for a network that the device's runtime cannot take."""
    try:
        convert_deployed(grown, _CLASSES, device)  # which holds the plain network
        return
    except MeasurementError as error:
        fault = str(error)
    offer = "" if device.runtime == "torch" else f", or measure with {_TO_TORCH}"
    try:
        convert_deployed(plain, _CLASSES, device)
    except MeasurementError as error:
        network = build(plain, num_classes=_CLASSES)
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
    found: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {}

    def noting(path: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[object, ...]) -> None:
            if len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
                _, channels, height, width = inputs[0].shape
                found[path] = module, (channels, height, width)

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
    return dict(sorted(found.items(), key=lambda item: -item[0].count(".")))
