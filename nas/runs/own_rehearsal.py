"""A rehearsal of the loss and the predictions that a network of one's own brings.

What does not fit is said in one line, before anything is trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from nas.backbones.own_module import copied
from nas.base.errors import SpecError
from nas.models.own_network import (
    describe_loss_fault,
    describe_objects_fault,
    has_loss,
    missing_methods,
    targets_for,
)
from nas.runs.rehearsal import IMAGES, Rehearsal, reason_of
from nas.spec.task import Task

__all__ = ["rehearse_own"]

_SAME = 1e-3
_SHAPES = "images (N, 3, H, W) with what is known of them, see nas.OwnNetwork"


def rehearse_own(rehearsal: Rehearsal, network: nn.Module, *, classes: int | None) -> list[str]:
    """Check what a network brings, on images of noise, as trainings and judgements will ask for it.

    network: in evaluation mode; it is left as it is.
    classes: that its labels go up to; None: not known, so that those of objects are all 0.
    Returns what is to be said. Raises SpecError.
    """
    task, name = rehearsal.task, rehearsal.name
    if task.name == "detection":
        lacks = missing_methods(network)
        if lacks is not None:
            raise SpecError(f"{name}: {lacks}")
    if not has_loss(network):
        return _passed_over(network, name)
    own = _Own(rehearsal, copied(network), _known(rehearsal, classes), classes)
    own.train_loss()
    own.judged_losses()
    if task.name == "detection":
        own.predictions()
    return []


def _passed_over(network: nn.Module, name: str) -> list[str]:
    """Return what is to be said of a method `loss` that is not the one of the protocol."""
    if not callable(getattr(type(network), "loss", None)):
        return []
    return [
        f"{name}: its loss takes more than a batch, so that it is trained by the loss of its task; "
        "loss(batch) would be taken (see nas.OwnNetwork)"
    ]


def _known(rehearsal: Rehearsal, classes: int | None) -> Tensor:
    """Return what is known of images of noise: of boxes, also an image without any object."""
    size, task = rehearsal.size, rehearsal.task
    generator = torch.Generator().manual_seed(0)
    if task.name == "detection":
        high, wide = float(size.height), float(size.width)
        last = 0.0 if classes is None else float(classes - 1)
        nothing = [0.0, 0.0, 0.0, 0.0, -1.0, 0.0]
        shown = [
            [0.0, 0.0, wide, high, 0.0, 0.0],
            [wide / 4, high / 4, wide / 2, high / 2, last, 0.0],
        ]
        return torch.tensor([shown, [nothing, nothing]])
    if task.name == "segmentation":
        shape = IMAGES, size.height, size.width
        return torch.randint(0, task.outputs, shape, generator=generator).to(torch.uint8)
    return torch.arange(IMAGES) % (IMAGES if task.name == "retrieval" else task.outputs)


class _Own:
    """The steps with a copy of a network, on two images.

    targets: (2, ...), as `nas.data.Split` has them.
    """

    def __init__(
        self, rehearsal: Rehearsal, network: nn.Module, targets: Tensor, classes: int | None
    ) -> None:
        self._network, self._targets, self._classes = network, targets, classes
        self._task: Task = rehearsal.task
        self._images = rehearsal.images()
        self._name = rehearsal.name

    def train_loss(self) -> None:
        """Ask for the loss in training mode, of which gradients have to come."""
        network = copied(self._network).train()
        with self._saying("loss", "training"):
            given = self._checked(_call(network, "loss", (self._images, self._told())), "training")
            if not given.requires_grad:
                raise SpecError(
                    f"{self._name}: its loss in training mode has no gradient; compute it from "
                    "what its layers give, without detach, no_grad, item() or numpy()"
                )
            given.mean().backward()  # type: ignore[no-untyped-call]

    def judged_losses(self) -> None:
        """Ask for the loss in evaluation mode, of images by themselves and together."""
        network = self._network.eval()
        ones: list[Tensor] = []
        with self._saying("loss", "evaluation"), torch.no_grad(), self._unmoved("loss"):
            together = self._checked(
                _call(network, "loss", (self._images, self._told())), "evaluation"
            )
            again = self._checked(
                _call(network, "loss", (self._images, self._told())), "evaluation"
            )
            if not _near(together, again):
                raise SpecError(
                    f"{self._name}: its loss in evaluation mode is random: it gives another for "
                    "the same images; F.dropout is random there unless it gets "
                    "training=self.training"
                )
            if self._task.name == "retrieval":  # of one image there is none
                return
            for row in range(IMAGES):
                one = slice(row, row + 1)
                batch = self._images[one], self._told(one)
                ones.append(self._checked(_call(network, "loss", batch), "evaluation", 1).mean())
            twice = torch.zeros(IMAGES, dtype=torch.long)
            batch = self._images[twice], targets_for(self._targets[twice], self._task)
            doubled = self._checked(_call(network, "loss", batch), "evaluation")
        if together.ndim and not _near(together, torch.stack(ones)):
            raise SpecError(
                f"{self._name}: its loss gives one for each image, and an image's own depends on "
                "the others in the batch; let each be of its image alone, or give the mean"
            )
        if not _near(doubled.mean(), ones[0]):
            raise SpecError(
                f"{self._name}: its loss of one image given twice is {float(doubled.mean()):.4g}, "
                f"and of the image alone {float(ones[0]):.4g}: a mean over the images is allowed, "
                "not a sum"
            )

    def predictions(self) -> None:
        """Ask for objects in evaluation mode, and whether they are made of what forward gives."""
        network = self._network.eval()
        with self._saying("predict", "evaluation"), torch.no_grad(), self._unmoved("predict"):
            with _counted(network) as asked:
                together = _call(network, "predict", self._images)
            alone = _call(network, "predict", self._images[:1])
        for given, count in ((together, IMAGES), (alone, 1)):
            fault = describe_objects_fault(given, count, self._classes)
            if fault is not None:
                raise SpecError(f"{self._name}: its predict gives {fault}")
        if asked != [IMAGES]:
            often = "not at all" if not asked else f"for {', '.join(map(str, asked))} images"
            raise SpecError(
                f"{self._name}: its predict asks its forward {often}, where it got {IMAGES}; "
                "allowed: self(images) once, for all of them: forward is what is deployed, and the "
                "figures are to be of that"
            )

    def _told(self, rows: slice = slice(None)) -> object:
        return targets_for(self._targets[rows], self._task)

    def _checked(self, given: object, mode: str, images: int = IMAGES) -> Tensor:
        fault = describe_loss_fault(given, images)
        if fault is not None:
            raise SpecError(f"{self._name}: its loss in {mode} mode gives {fault}")
        assert isinstance(given, Tensor)
        if not given.isfinite().all():
            raise SpecError(
                f"{self._name}: its loss in {mode} mode is not finite (NaN or infinite) with its "
                "first weights, on noise and on an image without objects; look for a division or "
                "logarithm of zero"
            )
        return given

    @contextmanager
    def _unmoved(self, method: str) -> Iterator[None]:
        """Check that a network is as it was, and in evaluation mode."""
        before = {name: value.clone() for name, value in self._network.state_dict().items()}
        yield
        after = self._network.state_dict()
        moved = [name for name, value in before.items() if not _equal(value, after[name])]
        trains = [path for path, module in self._network.named_modules() if module.training]
        if moved or trains:
            what = f"changes {moved[0]}" if moved else "leaves the network in training mode"
            raise SpecError(
                f"{self._name}: its {method} in evaluation mode {what}; nothing may change there, "
                "as running means of batch norm do where it calls self.train()"
            )

    @contextmanager
    def _saying(self, method: str, mode: str) -> Iterator[None]:
        """Turn whatever a network raises into one line."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except SpecError:
                raise
            except Exception as error:  # somebody's own code, and what it calls
                of = f"a batch, {_SHAPES}" if method == "loss" else "images (N, 3, H, W)"
                if method == "loss" and self._task.name != "retrieval" and self._classes:
                    of += f"; labels go from 0 to {self._classes - 1} here"
                raise SpecError(
                    f"{self._name}: its {method} fails in {mode} mode: {reason_of(error)}; it is "
                    f"given {of}"
                ) from None


def _call(network: nn.Module, method: str, given: object) -> object:
    return getattr(network, method)(given)


@contextmanager
def _counted(network: nn.Module) -> Iterator[list[int]]:
    """Note for how many images a network's forward is asked each time."""
    asked: list[int] = []
    own: Callable[[Tensor], object] = network.forward

    def forward(images: Tensor) -> object:
        asked.append(len(images))
        return own(images)

    had = network.__dict__.get("forward")
    network.__dict__["forward"] = forward
    try:
        yield asked
    finally:
        with suppress(KeyError):
            del network.__dict__["forward"]
        if had is not None:
            network.__dict__["forward"] = had


def _near(one: Tensor, other: Tensor) -> bool:
    return bool(((one - other).abs() <= _SAME * other.abs().clamp(min=1e-3)).all())


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())
