"""The steps that a run takes with a network, gone through once before any of it is trained.

What does not fit is said in one line.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.backbones.own_module import copied
from nas.backbones.scores import (
    describe_fault,
    describe_output,
    describe_pixel_fault,
    describe_tensor_fault,
)
from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data import Dataset, Split
from nas.models.build import inserted_modules
from nas.models.own_network import has_loss
from nas.models.task_network import backbone_of
from nas.spec.architecture import Architecture
from nas.spec.proxy import Proxy
from nas.spec.task import Task
from nas.training.candidate_checkpoint import restore, save_trained
from nas.training.checkpoint import checkpoint_path, save_weights
from nas.training.device import best_device
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting

__all__ = ["IMAGES", "Rehearsal", "reason_of"]

IMAGES = 2
_SAME = 1e-3  # of the largest score: batches of one and two are computed by other kernels
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The steps of a run with one network, plain or with a block, on images of noise.

    size: of the images that it trains on.
    task: what it is for.
    """

    network: Architecture
    size: Size
    task: Task

    @property
    def name(self) -> str:
        """The network in errors."""
        blocks = " and ".join(f"{item.label} at {item.site}" for item in self.network.insertions)
        return f"backbone {self.network.backbone!r}" + (f" with {blocks}" if blocks else "")

    def weights(self, network: nn.Module) -> list[str]:
        """Return what is to be said of weights that are not trained."""
        network = backbone_of(network)  # what a task puts around it is known
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
        if has_loss(network):  # which is asked in training, and not for an output
            return []
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
                first = self.checked(self._given(network.eval(), images), "evaluation", images)
                again, alone = network(images), network(images[:1])
            self.checked(alone, "evaluation", images[:1])
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
        if has_loss(network):
            return
        with self.saying("in training mode"), torch.no_grad():
            images = self.images()
            self.checked(copied(network).train()(images), "training", images)

    def _given(self, network: nn.Module, images: Tensor) -> object:
        """Return what a network gives; a detector all of it, though a part has a usual name."""
        whole = self.task.name == "detection" and self.task.is_whole
        return network.forward(images) if whole else network(images)

    def checked(self, given: object, mode: str, images: Tensor) -> Tensor:
        """Return finite scores. Raises SpecError for anything else."""
        fault = self._fault(given, images)
        if fault is not None:
            raise SpecError(f"{self.name} in {mode} mode gives {fault}")
        assert isinstance(given, Tensor)
        if not given.isfinite().all():
            raise SpecError(
                f"{self.name} in {mode} mode gives scores that are not finite (NaN or "
                "infinite) with its first weights; look for a division or logarithm of zero"
            )
        return given

    def _fault(self, given: object, images: Tensor) -> str | None:
        """Say what is wrong with an output; of a task's own network it has the right shape."""
        count, wanted = len(images), self.task.outputs
        if self.task.is_classification or (self.task.is_whole and self.task.name == "retrieval"):
            return describe_fault(given, count, wanted)
        if self.task.is_whole and self.task.name == "detection":
            return describe_tensor_fault(given, count)
        if self.task.is_whole:
            size = Size(images.shape[2], images.shape[3])
            return describe_pixel_fault(given, count, wanted, size)
        assert isinstance(given, Tensor) and len(given) == count
        assert self.task.name == "detection" or given.shape[1] == wanted
        return None

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
                loaded = restore(place, own, setting.proxy, 0, self.task)
            images = self.images(self.network.size)
            wanted, copy, restored = (each(images) for each in (network, copied(network), loaded))
        for given, how in ((copy, "copied"), (restored, "saved and loaded")):
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
        shape = IMAGES, self.size.height, self.size.width, 3
        pixels = torch.randint(0, 256, shape, generator=_generator(), dtype=torch.uint8)
        split = Split(pixels, *self._known())
        classes = tuple(map(str, range(self.task.outputs)))
        annotated = self.task.kind.annotated
        grey = 128.0, 128.0, 128.0
        data = Dataset(split, split, classes, grey, (64.0, 64.0, 64.0), False, "noise", annotated)
        proxy = Proxy.model_validate({"kind": kind, "rungs": [1], "unit": "steps", "batch_size": 2})
        weights = {self.network.plain.digest: dict(plain.state_dict())}
        return Setting(data, self.task, proxy, best_device(), weights)

    def _known(self) -> tuple[Tensor, Tensor | None]:
        """Return what is known of two images of noise: labels, and annotations where it has any."""
        shape = IMAGES, self.size.height, self.size.width
        labels = torch.arange(IMAGES)
        match self.task.kind.annotated:
            case "labels":
                return labels, None
            case "masks":
                classes = torch.randint(0, self.task.outputs, shape, generator=_generator())
                return labels, classes.to(torch.uint8)
            case "identities":
                return torch.zeros_like(labels), torch.tensor([[0, 1], [1, 0]])
            case "boxes":
                whole = [0.0, 0.0, self.size.width, self.size.height, 0.0, 0.0]
                return labels, torch.tensor([[whole]]).expand(IMAGES, 1, 6)

    def images(self, size: Size | None = None) -> Tensor:
        """Return two images of noise."""
        return torch.randn(IMAGES, *(size or self.size).shape, generator=_generator())

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
                f"{self.name} fails {when}: {reason_of(error)}; mend its forward, which "
                f"here reads a float32 tensor {IMAGES}x3x{self.size} in channels_last "
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


def reason_of(error: Exception) -> str:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
