"""Zero-cost scores: figures of an untrained network on a batch or two, of which more is better.

They are features and a coarse screen, not verdicts: none is known to beat `params` everywhere
(arXiv:2301.11300 says so of all before its own), and none has been shown to place attention
blocks. grad_norm, snip, synflow and zico are sums over layers: any block adds to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import torch
from timm.layers import activations as timm_activations
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from nas.backbones.own_module import copied
from nas.base.errors import MeasurementError, SpecError
from nas.base.seeds import derive
from nas.base.size import Resolution, Size
from nas.data import Dataset, Split
from nas.models.build import build
from nas.models.cost import cost_of_module
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.batches import Batches
from nas.training.layout import memory_format
from nas.training.tasks import training_task

__all__ = ["ZERO_COST", "ScoredNetwork", "ZeroCost", "zero_cost_scores"]

Batch = tuple[Tensor, Tensor]

_CPU = torch.device("cpu")

# Positive exactly where their input is, in place or not: so the output tells the code.
_ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.Hardswish,
    nn.SiLU,
    nn.GELU,
    nn.Mish,
    timm_activations.GELU,
    timm_activations.GELUTanh,
    timm_activations.QuickGELU,
)


@dataclass(frozen=True, eq=False)
class ScoredNetwork:
    """A network with the images that it is scored on; no score changes any of it.

    batches: images (N, C, H, W) with labels (N,).
    resolution: of the input at deployment, which `macs` is for.
    """

    network: nn.Module
    batches: Sequence[Batch]
    task: Task
    resolution: Resolution

    @cached_property
    def gradients(self) -> list[tuple[Tensor, Tensor]]:
        """The weight and the loss's gradients of each convolution and linear layer.

        Gradients are (batches, *weight.shape). Three scores read them.
        """
        network = _with_batch_statistics(self.network).requires_grad_(True)
        weights = _layer_weights(network)
        with torch.enable_grad():
            task = training_task(self.task)
            losses = (task.loss(network(images), labels) for images, labels in self.batches)
            by_batch = [
                torch.autograd.grad(loss, weights, materialize_grads=True) for loss in losses
            ]
        layers = zip(*by_batch, strict=True)
        return [
            (weight.detach(), torch.stack(layer))
            for weight, layer in zip(weights, layers, strict=True)
        ]


def _with_batch_statistics(network: nn.Module) -> nn.Module:
    """Return a copy that normalises by the batch, as the authors' networks do.

    Untrained ones give next to nothing by their running statistics. Dropout stays off: it would
    be noise.
    """
    network = copied(network).eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return network


def _layer_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights of convolutions (the 1-D ones of blocks too) and linear layers.

    Norms, biases and free parameters are left out, as in the suite of arXiv:2101.08134.
    """
    layers = network.modules()
    return [layer.weight for layer in layers if isinstance(layer, _ConvNd | nn.Linear)]


def params(subject: ScoredNetwork) -> float:
    """Count trainable parameters: the score to beat."""
    return float(sum(parameter.numel() for parameter in subject.network.parameters()))


def macs(subject: ScoredNetwork) -> float:
    """Count the multiply-adds of one image at deployment."""
    network, size = copied(subject.network).to(_CPU), Size.of(subject.resolution)
    return float(cost_of_module(network, torch.zeros(1, *size.shape)).macs)


def grad_norm(subject: ScoredNetwork) -> float:
    """Sum the length of the loss's gradient over the layers.

    Abdelfattah et al., arXiv:2101.08134.
    """
    return sum(float(gradient.mean(0).norm()) for _, gradient in subject.gradients)


def snip(subject: ScoredNetwork) -> float:
    """Sum |weight x gradient|: what losing each weight would do to the loss.

    Lee et al., arXiv:1810.02340, summed over the network as in arXiv:2101.08134.
    """
    return sum(
        float((weight * gradient.mean(0)).abs().sum()) for weight, gradient in subject.gradients
    )


def zico(subject: ScoredNetwork) -> float:
    """Sum over layers the log of the sum of mean |gradient| / its deviation over batches.

    Li et al., arXiv:2301.11300: their code, where weights that do not vary and dead layers count
    nothing; but it adds each batch's gradient to the last one's, which the paper does not, nor we.
    """
    total = 0.0
    for _, gradient in subject.gradients:
        deviation = gradient.double().std(0, unbiased=False)
        varies = deviation > 0
        ratio = float((gradient.double().abs().mean(0)[varies] / deviation[varies]).sum())
        total += math.log(ratio) if ratio > 0 else 0.0
    return total


def synflow(subject: ScoredNetwork) -> float:
    """Sum |weight x gradient| of the scores that an image of ones has by absolute weights.

    In double precision and evaluation mode (untrained batch norms are identities there). It
    spans tens of powers of ten: as a feature, take its logarithm. ReLU6 loses its ceiling, or
    no gradient would pass it. Gates stay, and the flow holds them wide open: MobileNetV2 with
    SE, CBAM, ECA or coordinate attention scores as without, to 0.1 %. Blocks that multiply
    without a gate (LKA, lambda) make it overflow.
    Tanaka et al., arXiv:2006.05467, summed as in arXiv:2101.08134.
    """
    network = copied(subject.network).double().eval().requires_grad_(True)
    _lift_ceilings(network)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.abs_()
    weights = _layer_weights(network)
    image = torch.ones_like(subject.batches[0][0][:1], dtype=torch.float64)
    with torch.enable_grad():
        flows = torch.autograd.grad(network(image).sum(), weights, materialize_grads=True)
    return sum(
        float((weight.detach() * flow).abs().sum())
        for weight, flow in zip(weights, flows, strict=True)
    )


def _lift_ceilings(network: nn.Module) -> None:
    for owner in list(network.modules()):
        for name, child in owner.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(owner, name, nn.ReLU())


def jacob_cov(subject: ScoredNetwork) -> float:
    """Score how little the gradients by different images correlate; mean over the batches.

    -sum(log(v + k) + 1 / (v + k)) over the eigenvalues v, k = 1e-5.
    Mellor et al., arXiv:2006.04647v1.
    """
    network = _with_batch_statistics(subject.network).requires_grad_(False)
    return fmean(_jacob_cov(network, images) for images, _ in subject.batches)


def _jacob_cov(network: nn.Module, images: Tensor) -> float:
    with torch.enable_grad():
        images = images.detach().clone().requires_grad_(True)
        (rows,) = torch.autograd.grad(network(images).sum(), images, materialize_grads=True)
    correlation = torch.corrcoef(rows.flatten(1).double())
    if not correlation.isfinite().all():
        return math.nan  # an image that nothing of reaches the scores
    shifted = torch.linalg.eigvalsh(correlation).clamp(min=0) + 1e-5
    return -float((shifted.log() + 1 / shifted).sum())


def nwot(subject: ScoredNetwork) -> float:
    """Score how differently images switch the activations on; mean over the batches.

    log |det K|, K[i, j] = in how many units images i and j agree. Mellor et al.,
    arXiv:2006.04647v3.

    Theirs are ReLUs alone. Here every activation counts that is positive where its input is
    (Hardswish, SiLU, GELU, Mish), or MobileNetV3 and EfficientNet would have few or none.
    """
    network = _with_batch_statistics(subject.network)
    return fmean(_nwot(network, images) for images, _ in subject.batches)


def _nwot(network: nn.Module, images: Tensor) -> float:
    count = len(images)
    kernel = torch.zeros(count, count, dtype=torch.float64, device=images.device)

    def add(module: nn.Module, inputs: object, output: Tensor) -> None:
        signs = torch.where(output > 0, 1.0, -1.0).reshape(count, -1)
        kernel.add_((signs.shape[1] + signs @ signs.T) / 2)

    hooks: list[RemovableHandle] = [
        module.register_forward_hook(add)
        for module in network.modules()
        if isinstance(module, _ACTIVATIONS)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return float(torch.linalg.slogdet(kernel).logabsdet)


@dataclass(frozen=True, slots=True)
class ZeroCost:
    """A zero-cost score.

    score: higher is predicted better.
    batches: how many it needs at least.
    """

    title: str
    paper: str
    score: Callable[[ScoredNetwork], float]
    batches: int = 1


def _arxiv(number: str) -> str:
    return f"https://arxiv.org/abs/{number}"


ZERO_COST: Mapping[str, ZeroCost] = {
    "params": ZeroCost("Trainable parameters", "", params),
    "macs": ZeroCost("Multiply-adds of one image", "", macs),
    "grad_norm": ZeroCost("Gradient norm", _arxiv("2101.08134"), grad_norm),
    "snip": ZeroCost("Connection sensitivity", _arxiv("1810.02340"), snip),
    "synflow": ZeroCost("Synaptic flow", _arxiv("2006.05467"), synflow),
    "jacob_cov": ZeroCost("Jacobian covariance", _arxiv("2006.04647v1"), jacob_cov),
    "nwot": ZeroCost("Kernel of activation codes", _arxiv("2006.04647v3"), nwot),
    "zico": ZeroCost("Inverse variation of gradients", _arxiv("2301.11300"), zico, batches=2),
}


def zero_cost_scores(
    architecture: Architecture,
    data: Dataset,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    batch_size: int = 64,
    batches: int = 2,
    device: torch.device = _CPU,
) -> dict[str, float]:
    """Score an architecture with random weights, its blocks as their papers start them.

    names: some of ZERO_COST; None means all. Higher is predicted better for each.
    seed: of the weights and the images, which are of data.train, not augmented, and the same
        for every architecture.
    Raises SpecError for an unknown name, or too few images.
    Raises MeasurementError when a score is not finite.
    """
    wanted = tuple(ZERO_COST) if names is None else tuple(names)
    if data.annotated != "labels":
        raise SpecError(
            f"zero-cost scores are of classification alone, and these images have "
            f"{data.annotated}; leave them out (nas calibrate --no-scores)"
        )
    _check(wanted, len(data.train), batch_size, batches)
    task = Task(outputs=len(data.classes))
    network = build(architecture, task=task, start="paper", seed=seed)
    layout = memory_format(network, device)
    images = [
        (batch.contiguous(memory_format=layout), labels)
        for batch, labels in _batches(data, seed, batch_size, batches, device)
    ]
    subject = ScoredNetwork(network.to(device), images, task, architecture.resolution)
    return {name: _finite(name, ZERO_COST[name].score(subject), architecture) for name in wanted}


def _check(names: Sequence[str], images: int, batch_size: int, batches: int) -> None:
    for name in names:
        if name not in ZERO_COST:
            raise SpecError(f"no zero-cost score {name!r}; there are: {', '.join(ZERO_COST)}")
        if batches < ZERO_COST[name].batches:
            raise SpecError(
                f"batches {batches}; {name} needs at least {ZERO_COST[name].batches}: give more, "
                "or name other scores"
            )
    if batch_size < 2:
        raise SpecError(f"batch size {batch_size}; at least 2, since images are compared")
    if images < batch_size * batches:
        raise SpecError(
            f"{images} training images; {batches} batches of {batch_size} need "
            f"{batch_size * batches}: take a smaller batch size"
        )


def _batches(
    data: Dataset, seed: int, batch_size: int, batches: int, device: torch.device
) -> list[Batch]:
    generator = torch.Generator().manual_seed(derive(seed, "zero-cost images"))
    order = torch.randperm(len(data.train), generator=generator)[: batch_size * batches]
    maker = Batches(data, device)
    splits = [
        Split(data.train.images[rows], data.train.labels[rows])
        for rows in order.reshape(batches, batch_size).unbind()
    ]
    return [(maker.plain(split, slice(None)), split.labels.to(device)) for split in splits]


def _finite(name: str, score: float, architecture: Architecture) -> float:
    if not math.isfinite(score):
        raise MeasurementError(
            f"zero-cost score {name} is {score} for {architecture}; leave it out, or take other "
            "images (another seed)"
        )
    return score
