"""Networks as people have them: odd outputs, odd weights, odd layers.

Each is a backbone by name: `support.odd_networks:of_logits`. Images are of 32 x 32.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

__all__ = ["SIDE", "Network"]

SIDE = 32


class Block(nn.Module):
    """A residual block with a depthwise convolution."""

    def __init__(self, width: int = 16, project: nn.Module | None = None) -> None:
        super().__init__()
        self.filter = nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.project = project or nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(F.relu(self.norm(self.filter(x))))


class Network(nn.Module):
    """A stem, two blocks, a head, and what it gives: (scores, maps) -> anything."""

    def __init__(self, num_classes: int, gives: Callable[..., object] | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(16, num_classes)
        self.gives = gives

    def maps(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images))

    def forward(self, images: Tensor) -> Any:
        maps = self.maps(images)
        scores = self.head(maps.mean((2, 3)))
        return scores if self.gives is None else self.gives(self, scores, maps)


Maker = Callable[..., nn.Module]


def _giving(gives: Callable[..., object]) -> Maker:
    return lambda num_classes: Network(num_classes, gives)


# Outputs.


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


class ModelOutput(OrderedDict[str, Tensor]):
    """As Hugging Face's: a dictionary whose values are attributes, too."""

    def __getattr__(self, name: str) -> Tensor:
        return self[name]


class Auxiliary(NamedTuple):
    """As GoogLeNet and Inception give in training alone."""

    logits: Tensor
    aux_logits: Tensor


class WithAuxiliary(Network):
    """An auxiliary head that speaks in training alone."""

    def __init__(self, num_classes: int, named: bool) -> None:
        super().__init__(num_classes)
        self.named, self.aux = named, nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Any:
        first = self.blocks[0](self.stem(images))
        scores = self.head(self.blocks[1](first).mean((2, 3)))
        if not self.training:
            return scores
        aux = self.aux(first.mean((2, 3)))
        return Auxiliary(scores, aux) if self.named else (scores, aux)


of_dict = _giving(lambda _, scores, maps: {"features": maps, "out": scores})
of_dataclass = _giving(lambda _, scores, maps: Output(scores, maps))
of_model_output = _giving(lambda _, scores, maps: ModelOutput(hidden_states=maps, logits=scores))
of_namedtuple = _giving(lambda _, scores, maps: Auxiliary(scores, maps))
of_pair = _giving(lambda _, scores, maps: (scores, maps))
of_unknown_key = _giving(lambda _, scores, maps: {"species": scores, "maps": maps})
of_list = _giving(lambda _, scores, maps: [scores])


def auxiliary_named(num_classes: int) -> nn.Module:
    return WithAuxiliary(num_classes, named=True)


def auxiliary_tuple(num_classes: int) -> nn.Module:
    return WithAuxiliary(num_classes, named=False)


# Scores.


def fixed_head(num_classes: int) -> nn.Module:
    return Network(10)


def more_scores(num_classes: int) -> nn.Module:
    return Network(num_classes + 1)


not_finite = _giving(lambda _, scores, maps: scores / 0.0)
random_always = _giving(lambda _, scores, maps: F.dropout(scores, 0.5))
of_the_batch = _giving(lambda _, scores, maps: scores - scores.mean(0))


class Squeezed(Network):
    """A squeeze that takes a batch of one away."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.maps(images), 1).squeeze())


squeezed = Squeezed


explosive = _giving(lambda network, _, maps: network.head(torch.exp(20 * maps.mean((2, 3)))))
"""One step of training leads to scores that are not finite, as two images do to batch norms of 1x1
maps."""


# Weights.


def bfloat16(num_classes: int) -> nn.Module:
    return Network(num_classes).bfloat16()


def half(num_classes: int) -> nn.Module:
    return Network(num_classes).half()


def double(num_classes: int) -> nn.Module:
    return Network(num_classes).double()


def frozen(num_classes: int) -> nn.Module:
    return Network(num_classes).requires_grad_(False)


def frozen_stem(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.stem.requires_grad_(False)
    return network


def elsewhere(num_classes: int) -> nn.Module:
    with torch.device("meta"):
        return Network(num_classes)


def tied(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.blocks[1].project.weight = network.blocks[0].project.weight
    return network


def used_twice(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.blocks[1].project = network.blocks[0].project
    return network


def block_used_twice(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.blocks = nn.Sequential(block := Block(), block)
    return network


def _normed(norm: Callable[[nn.Module], nn.Module]) -> Maker:
    def make(num_classes: int) -> nn.Module:
        network = Network(num_classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather have the newer one
            for block in network.blocks:
                block.project = norm(block.project)
        return network

    return make


older_weight_norm = _normed(weight_norm)
older_spectral_norm = _normed(spectral_norm)
newer_weight_norm = _normed(nn.utils.parametrizations.weight_norm)
newer_spectral_norm = _normed(nn.utils.parametrizations.spectral_norm)


def weight_norm_after_use(num_classes: int) -> nn.Module:
    """Its computed weights belong to a graph of gradients already."""
    network = older_weight_norm(num_classes)
    network(torch.zeros(2, 3, SIDE, SIDE))
    return network


class Extra(nn.Conv2d):
    """A layer that saves more than tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


def extra_state(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.blocks[0].project = Extra(16, 16, 1)
    return network


_ONE: dict[int, nn.Module] = {}


def always_the_same(num_classes: int) -> nn.Module:
    """One network for all who ask."""
    return _ONE.setdefault(num_classes, Network(num_classes))


# Layers and wrappers.


def compiled(num_classes: int) -> nn.Module:
    return torch.compile(Network(num_classes))


def compiled_inside(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.blocks[1] = torch.compile(network.blocks[1])
    return network


def compiled_in_place(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.compile()
    network.blocks[0].compile()
    return network


def _scripted(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


class Plain(nn.Sequential):
    """A network that torch.jit can script."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 16, 1)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, num_classes),
        )


def scripted(num_classes: int) -> nn.Module:
    return _scripted(Plain(num_classes))


def scripted_inside(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.stem = _scripted(network.stem)
    return network


def traced_by_fx(num_classes: int) -> nn.Module:
    return torch.fx.symbolic_trace(Network(num_classes))


def data_parallel(num_classes: int) -> nn.Module:
    return nn.DataParallel(Network(num_classes))


class Checkpointed(Network):
    """Blocks are computed again on the way back."""

    def __init__(self, num_classes: int, reentrant: bool) -> None:
        super().__init__(num_classes)
        self.reentrant = reentrant

    def maps(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant) if self.training else block(x)
        return x


def checkpointed(num_classes: int) -> nn.Module:
    return Checkpointed(num_classes, reentrant=False)


def reentrant(num_classes: int) -> nn.Module:
    return Checkpointed(num_classes, reentrant=True)


class ReentrantAlways(Network):
    """As `reentrant`, in evaluation mode as well."""

    def maps(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=True)
        return x


reentrant_always = ReentrantAlways


class Fixed(Network):
    """A network with embedded positions, which reads 64 x 64 alone."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.positions = nn.Parameter(torch.zeros(1, 16, 32, 32))

    def maps(self, images: Tensor) -> Tensor:
        return super().maps(images) + self.positions


fixed_size = Fixed


class NormedAtOnePixel(Network):
    """A batch norm at 1 x 1."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.norm = nn.BatchNorm2d(16)

    def maps(self, images: Tensor) -> Tensor:
        maps = super().maps(images)
        return maps + self.norm(F.adaptive_avg_pool2d(maps, 1))


normed_at_one_pixel = NormedAtOnePixel


def lazy(num_classes: int) -> nn.Module:
    network = Network(num_classes)
    network.head = nn.LazyLinear(num_classes)
    return network


class Viewed(Network):
    """A view of maps whose memory must be laid out channel by channel."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.head = nn.Linear(16 * 256, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(images)
        return self.head(maps.view(len(maps), -1))


viewed = Viewed


class Pooled(Network):
    """A pooling of 16 x 16 to 7 x 7, which ONNX's exporter does not know."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.pool = nn.AdaptiveAvgPool2d(7)

    def maps(self, images: Tensor) -> Tensor:
        return self.pool(super().maps(images))


pooled = Pooled


class Asserting(Network):
    """It reads images of the data alone: it asserts their range."""

    def forward(self, images: Tensor) -> Tensor:
        assert float(images.detach().min()) >= -100
        return super().forward(images)


asserting = Asserting


class OwnInit(Network):
    """First weights by another library's random numbers."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        generator = torch.Generator()
        generator.seed()
        nn.init.normal_(self.head.weight, generator=generator)


own_init = OwnInit


class Remembering(Network):
    """It keeps the maps that it gave last."""

    def maps(self, images: Tensor) -> Tensor:
        self.last = [super().maps(images)]
        return self.last[0]


remembering = Remembering


class Counting(Network):
    """What it gives changes with a number that is in no buffer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.scale = 1.0

    def forward(self, images: Tensor) -> Tensor:
        self.scale += 0.1 * self.training
        return super().forward(images) * self.scale


counting = Counting


def exported(num_classes: int) -> nn.Module:
    """A program of torch.export, whose modules are gone."""
    images, batch = (torch.zeros(2, 3, SIDE, SIDE),), ({0: torch.export.Dim("batch")},)
    program = torch.export.export(Network(num_classes).eval(), images, dynamic_shapes=batch)
    return program.module()


class InPairs(Network):
    """It reads images two by two."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.reshape(-1, 2, *images.shape[1:]).flatten(0, 1))


in_pairs = InPairs


def raising(num_classes: int) -> nn.Module:
    raise FileNotFoundError("weights.pth is not here")
