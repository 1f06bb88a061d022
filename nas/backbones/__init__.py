"""Backbones: the networks that blocks are inserted into, by name.

A bare name is timm's (`mobilenetv2_100`) or our own (`mobilenext_100`); `torchvision/NAME` is
torchvision's; `module:name` or `path/to/file.py:name` is the user's, and `object:...` a network
that was given in memory. `NAME@1.25` is one of them with a quarter more channels, where it has a
width.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from types import ModuleType

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from nas.backbones import (
    held_networks,
    own_networks,
    timm_networks,
    torchvision_networks,
    user_networks,
)
from nas.backbones.feature_maps import FeatureMap, Maps, maps_of, read_maps
from nas.backbones.line_up import LINE_UP
from nas.backbones.scores import ScoresOf, find_fault
from nas.backbones.sites.slot import Site, Slot, usual_positions
from nas.backbones.sites.trace import WITHOUT_VALUES
from nas.backbones.sites.walk import outputs, walk
from nas.backbones.stride import (
    TRACED_SIDE,
    Dilation,
    layers_to_dilate,
    layers_to_unstride,
    unstride,
)
from nas.backbones.torchvision_detectors import transform_normalisation
from nas.base.errors import SpecError, first_line
from nas.base.size import Resolution, Size
from nas.spec.own_backbone import is_held
from nas.spec.weight_places import WEIGHT_PLACES
from nas.spec.width import MOST_WIDTH, split_width, with_width

__all__ = [
    "FAMILIES",
    "LINE_UP",
    "FeatureMap",
    "Maps",
    "Site",
    "Slot",
    "check_backbone",
    "check_scores",
    "find_maps",
    "find_sites",
    "has_width",
    "known_backbones",
    "normalisation_of",
    "plain_network",
    "read_maps",
    "shapes",
    "sites_by_name",
    "widened",
    "widths",
]

FAMILIES: tuple[ModuleType, ...] = (
    timm_networks,
    torchvision_networks,
    own_networks,
    held_networks,
    user_networks,
)
"""The makers of networks, of which the first that knows a name counts.

Each has names, exists, has_width and create.
"""

_WIDEST = 4.0
_CLASSES = 10  # of a network that is only looked at
_OF_IMAGENET = ("torchvision", "segmentation_models_pytorch")
_USUAL_SIDES = (32, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)
_OF_FORWARD = (RuntimeError, AssertionError, ValueError, TypeError, AttributeError, LookupError)
"""The errors that the forward pass of somebody's own network may raise."""


def _family(backbone: str) -> ModuleType:
    if backbone.startswith(WEIGHT_PLACES):
        raise SpecError(
            f"backbone {backbone!r}: names weights; give them as --weights {backbone}, and as the "
            "backbone the name of their network"
        )
    family = next((family for family in FAMILIES if family.exists(backbone)), None)
    if family is None:
        known = [name for family in FAMILIES for name in family.names()]
        plain, dot, _ = backbone.partition(".")
        if dot and timm_networks.exists(plain):
            known = [name for name in timm_networks.tagged_names() if name.startswith(f"{plain}.")]
            raise SpecError(
                f"unknown backbone {backbone!r}; timm has {plain} with the weights: "
                f"{', '.join(known) or 'none'}"
            )
        near = difflib.get_close_matches(backbone, known, n=3) or ["mobilenetv2_100"]
        raise SpecError(
            f"unknown backbone {backbone!r}; a name of timm, torchvision/NAME, one of "
            "`nas backbones` or one's own (module:name, path/to/file.py:name) is allowed, such as: "
            + ", ".join(near)
        )
    return family


def check_backbone(backbone: str) -> None:
    """Check that there is such a backbone, of such a width.

    Raises SpecError when there is none.
    """
    name, factor = split_width(backbone)
    if factor != 1 and not _family(name).has_width(name):
        raise SpecError(f"backbone {backbone!r}: {name} has no width here; take it as it comes")
    _family(name)


def has_width(backbone: str) -> bool:
    """Say whether a backbone can be made wider. Raises SpecError when there is no such backbone."""
    name, _ = split_width(backbone)
    return bool(_family(name).has_width(name))


def widened(backbone: str, factor: float) -> str | None:
    """Return the name of a backbone with so many times its channels; None where it has no width.

    Raises SpecError when there is no such backbone.
    """
    return with_width(backbone, factor) if has_width(backbone) else None


def widths(backbone: str) -> tuple[float, ...]:
    """Return the factors up to 4 that a backbone can be widened by, in steps of a hundredth.

    Channels come in coarser steps, so that several factors make one network: see `shapes`.
    Empty where the backbone has no width. Raises SpecError when there is no such backbone.
    """
    if not has_width(backbone):
        return ()
    _, own = split_width(backbone)
    most = min(_WIDEST * own, MOST_WIDTH)
    hundredths = range(round(100 * own) + 1, round(100 * most) + 1)
    return tuple(number / 100 / own for number in hundredths)


@lru_cache(maxsize=256)
def shapes(backbone: str) -> tuple[torch.Size, ...]:
    """Return the shapes of a backbone's weights: backbones of equal ones are one network.

    Raises SpecError when there is no such backbone.
    """
    with torch.device("meta"):  # without the weights themselves
        network = plain_network(backbone, num_classes=_CLASSES)
    return tuple(item.shape for item in network.parameters())


def known_backbones(pattern: str) -> list[str]:
    """List the names of every family that match a pattern such as `mobilenetv4*`.

    Raises SpecError when there is none.
    """
    names = [name for family in FAMILIES for name in family.names()]
    if "." in pattern:  # of pretrained weights
        names += timm_networks.tagged_names()
    matches = [name for name in names if fnmatchcase(name, pattern)]
    if not matches:
        check_backbone(pattern)
        return [pattern]
    return matches


def plain_network(
    backbone: str,
    *,
    num_classes: int = 1000,
    total_stride: int | None = None,
    output_stride: int | None = None,
    pretrained: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Make the backbone as it comes, in evaluation mode.

    total_stride: input height / height of the last map; None leaves the backbone's own.
    output_stride: the same by a dilated end, where a head reads finer maps; None: not dilated.
    pretrained: whether it has its library's weights, or random ones.
    seed: of random weights.
    Raises SpecError for an unknown name, or weights that cannot be had.
    """
    check_backbone(backbone)
    name, width = split_width(backbone)
    if pretrained and width != 1:
        raise SpecError(
            f"no pretrained weights for {backbone!r}: those of {name} are of its own width; use "
            "weights: train"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: nn.Module = _family(name).create(name, num_classes, pretrained, width)
    except SpecError:
        raise
    except Exception as error:
        # Every library reports an unreachable hub in its own way; without pretrained weights
        # nothing of the kind can happen, and a fault is ours.
        if not pretrained:
            raise
        raise SpecError(
            f"no pretrained weights for {backbone!r} ({first_line(error)}); with a network they "
            "are downloaded, without one use proxy.backbone.weights=train"
        ) from None
    if total_stride is not None:
        unstride(network, _unstrided(backbone, total_stride))
    if output_stride is not None:
        _dilation(backbone, total_stride, output_stride).apply(network)
    return network.eval()


def normalisation_of(
    network: nn.Module, backbone: str
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of pixels from 0 to 1 that a backbone's trained weights expect.

    By the transform within a detector of torchvision's, by its `pretrained_cfg`, as timm's networks
    have one; torchvision's others, and those of segmentation-models-pytorch, expect ImageNet's.
    None where nothing tells them.
    """
    if (within := transform_normalisation(network)) is not None:
        return within
    library = type(network).__module__.partition(".")[0]
    if backbone.startswith("torchvision/") or library in _OF_IMAGENET:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    config = getattr(network, "pretrained_cfg", None)
    if not isinstance(config, Mapping):
        return None
    mean, std = config.get("mean"), config.get("std")
    if mean is None or std is None or len(mean) != 3 or len(std) != 3:
        return None
    return tuple(map(float, mean)), tuple(map(float, std))


@lru_cache(maxsize=64)
def _unstrided(backbone: str, total_stride: int) -> tuple[str, ...]:
    network = plain_network(backbone, num_classes=_CLASSES)
    try:
        return layers_to_unstride(network, total_stride, backbone)
    except _OF_FORWARD as error:
        raise _of_one_size(backbone, "total_stride", total_stride, error) from None


@lru_cache(maxsize=64)
def _dilation(backbone: str, total_stride: int | None, output_stride: int) -> Dilation:
    network = plain_network(backbone, num_classes=_CLASSES, total_stride=total_stride)
    try:
        return layers_to_dilate(network, output_stride, backbone)
    except _OF_FORWARD as error:
        raise _of_one_size(backbone, "output_stride", output_stride, error) from None


def _of_one_size(backbone: str, key: str, stride: int, error: Exception) -> SpecError:
    return SpecError(
        f"backbone {backbone!r}, {key} {stride}: it is asked of a network that reads images of "
        f"any size, and this one cannot read {TRACED_SIDE}x{TRACED_SIDE} "
        f"({first_line(error)}); leave {key} out"
    )


def find_sites(
    backbone: str,
    resolution: Resolution = 224,
    total_stride: int | None = None,
    positions: Sequence[str] = (),
    modules: Sequence[str] = (),
    output_stride: int | None = None,
) -> tuple[Site, ...]:
    """Find the sites of a backbone, in the order of the forward pass.

    resolution: of its input: 224, or "224x160" (height first).
    positions: some of `POSITIONS`; empty means none beside `modules`, else the paper's, behind the
        (first) depthwise convolution of a block; in a network without any, the first that it has
        of after_projection, after_convolution and after_residual.
    modules: patterns of module paths, whose outputs are sites too.
    Raises SpecError when there is no such site, or images are too small for the network.
    """
    walked = _walked(backbone, resolution, total_stride, output_stride)
    wanted = tuple(positions) or (() if modules else usual_positions(walked))
    sites = [site for site in walked if site.position in wanted]
    for pattern in modules:
        matching = _outputs(backbone, resolution, total_stride, pattern, output_stride)
        if not matching:
            raise SpecError(f"backbone {backbone!r}: no module {pattern!r} gives a feature map")
        sites.extend(site for site in matching if site not in sites)
    if not walked and not sites:
        raise SpecError(
            f"backbone {backbone!r} has no site: it has no residual block and no spatial "
            "convolution; patterns of modules make sites anywhere (`sites: {modules: [...]}`)"
        )
    if not sites:
        have = ", ".join(sorted({site.position for site in walked}))
        raise SpecError(f"backbone {backbone!r} has no site {' or '.join(wanted)}; it has: {have}")
    return tuple(sites)


def sites_by_name(
    backbone: str,
    resolution: Resolution,
    total_stride: int | None,
    names: Sequence[str],
    output_stride: int | None = None,
) -> dict[str, Site]:
    """Find the sites with these names, wherever in the network they are.

    Raises SpecError when there is none of a name.
    """
    walked = _walked(backbone, resolution, total_stride, output_stride)
    sites = {site.name: site for site in walked}
    chosen = {}
    for name in names:
        host, _, position = name.rpartition("/")
        if name not in sites and position == "output":
            matching = _outputs(backbone, resolution, total_stride, host, output_stride)
            sites |= {site.name: site for site in matching}
        if name not in sites:
            near = difflib.get_close_matches(name, sites, n=5) or list(sites)[:5]
            raise SpecError(
                f"backbone {backbone!r} has no site {name!r}; it has: {', '.join(near)}, ..."
            )
        chosen[name] = sites[name]
    return chosen


def check_scores(
    backbone: str,
    resolution: Resolution,
    total_stride: int | None,
    num_classes: int,
    *,
    of: ScoresOf = "image",
) -> None:
    """Check that a backbone gives so many scores for an image, or for each of its pixels.

    of: what scores are of; `whole`: one tensor of anything.
    Raises SpecError.
    """
    network = plain_network(backbone, num_classes=num_classes, total_stride=total_stride)
    try:
        fault = find_fault(network, resolution, num_classes, of=of)
    except _OF_FORWARD as error:
        raise _unreadable(backbone, resolution, total_stride, error) from None
    if fault is not None:
        raise SpecError(f"backbone {backbone!r} gives {fault}")


def find_maps(
    backbone: str,
    resolution: Resolution = 224,
    total_stride: int | None = None,
    output_stride: int | None = None,
) -> Maps:
    """Find the maps of a backbone that a head may read, from the finest to the coarsest.

    Raises SpecError where there is none, or images are too small for the network.
    """
    return _mapped(backbone, resolution, total_stride, output_stride)


@lru_cache(maxsize=64)
def _mapped(
    backbone: str, resolution: Resolution, total_stride: int | None, output_stride: int | None
) -> Maps:
    def made() -> nn.Module:
        return plain_network(
            backbone,
            num_classes=_CLASSES,
            total_stride=total_stride,
            output_stride=output_stride,
        )

    try:
        maps = maps_of(made, resolution)
    except _OF_FORWARD as error:
        raise _unreadable(backbone, resolution, total_stride, error) from None
    if not maps.all:
        raise SpecError(
            f"backbone {backbone!r} gives no maps that a head could read: it has no residual block "
            "and no spatial convolution whose output is a feature map"
        )
    if output_stride is not None and maps.all[-1].stride != output_stride:
        raise SpecError(
            f"backbone {backbone!r}: its last map has stride {maps.all[-1].stride}, and not "
            f"output_stride {output_stride}: a pooling, or a convolution of even size, makes it "
            "smaller, which cannot be dilated"
        )
    return maps


@lru_cache(maxsize=64)
def _walked(
    backbone: str, resolution: Resolution, total_stride: int | None, output_stride: int | None
) -> tuple[Site, ...]:
    network = plain_network(
        backbone, num_classes=_CLASSES, total_stride=total_stride, output_stride=output_stride
    )
    try:
        sites = walk(network, resolution)
    except _OF_FORWARD as error:
        raise _unreadable(backbone, resolution, total_stride, error) from None
    if not is_held(backbone):  # one that was given in memory has as many classes as it has
        check_scores(backbone, resolution, total_stride, _CLASSES)
    return sites


@lru_cache(maxsize=256)
def _outputs(
    backbone: str,
    resolution: Resolution,
    total_stride: int | None,
    pattern: str,
    output_stride: int | None,
) -> tuple[Site, ...]:
    network = plain_network(
        backbone, num_classes=_CLASSES, total_stride=total_stride, output_stride=output_stride
    )
    try:
        return outputs(network, resolution, pattern)
    except _OF_FORWARD as error:
        raise _unreadable(backbone, resolution, total_stride, error) from None


def _unreadable(
    backbone: str, resolution: Resolution, total_stride: int | None, error: Exception
) -> SpecError:
    reason = first_line(error)
    unread = f"backbone {backbone!r} cannot read {Size.of(resolution)} images: {reason}"
    if "meta" in reason.lower():
        return SpecError(f"{unread}: {WITHOUT_VALUES}")
    network = plain_network(backbone, num_classes=_CLASSES, total_stride=total_stride)
    if _reads(network, resolution):
        if _reads(network, resolution, images=1):
            return SpecError(unread)  # it reads them, and its sites cannot be found
        return SpecError(f"{unread}; it reads two at once: let its batch be of any size, also one")
    read = ", ".join(f"{side}x{side}" for side in _USUAL_SIDES if _reads(network, side))
    if not read:
        return SpecError(unread)
    return SpecError(f"{unread}; of the usual sizes it reads {read}: give one as the resolution")


def _reads(network: nn.Module, size: Resolution, images: int = 2) -> bool:
    """Say whether a network gives scores for images of this side."""
    try:
        return find_fault(network, size, _CLASSES, images) is None
    except _OF_FORWARD:
        return False
