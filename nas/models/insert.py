"""Blocks in anybody's network: its sites, and the network with blocks that change nothing yet."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from nas.backbones import Site
from nas.backbones.own_module import copied, refuse_unwalkable
from nas.backbones.scores import describe_output
from nas.backbones.sites.trace import WITHOUT_VALUES, first_weight
from nas.backbones.sites.walk import outputs, walk
from nas.backbones.torchvision_detectors import adapted
from nas.base.errors import SpecError, first_line
from nas.base.size import Resolution, Size
from nas.blocks import block_named
from nas.spec.architecture import parse_label

__all__ = ["insert", "sites"]

_SAME = 1e-5  # of the largest score: batched and single arithmetic round differently
_BATCH = 2
_USUAL = 224


def sites(network: nn.Module, size: Resolution | tuple[int, int] | None = None) -> tuple[Site, ...]:
    """Return the places of a network where a block may go, in the order of the forward pass.

    size: of the images: 224, or height and width, (224, 160) or "224x160"; None: of the network's
        `example_input`, where it has one (see `nas.OwnNetwork`), else 224.

    They are found by sending one image through a copy, without arithmetic, and lie behind depthwise
    convolutions, projections and shortcuts. Any other module that returns a feature map takes a
    block, too, by its path (see `insert`).
    Raises SpecError when the network cannot read such an image.
    """
    images = _size(network, size)
    refuse_unwalkable(network, type(network).__name__)
    with _reading(network, images):
        return walk(adapted(copied(network)), images.written)


def insert(
    network: nn.Module,
    blocks: Mapping[str, str],
    size: Resolution | tuple[int, int] | None = None,
    *,
    start: str = "identity",
    seed: int = 0,
) -> nn.Module:
    """Return a copy of a network with blocks in it; the network itself stays as it is.

    blocks: place -> block: `{"layer3.1": "coord/r32", "blocks.2.1/after_depthwise": "se"}`. A place
        is the name of a site (see `sites`), or the path of a module, on whose output the block
        works.
    size: of the images, as for `sites`; some blocks need to know it.
    start: `identity`: the network computes what it computed before, which is checked; or `paper`.
    seed: of the blocks' initial weights.

    The network's own weights keep their names: `load_state_dict(..., strict=False)` loads its
    checkpoints, and misses only the weights of the blocks.
    Raises SpecError for an unknown place or block, a block that does not fit, and a network whose
    output changes although blocks start as identities.
    """
    if start not in {"identity", "paper"}:
        raise SpecError(f"start {start!r}; allowed: identity, paper")
    images = _size(network, size)
    refuse_unwalkable(network, type(network).__name__)
    grown = copied(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        by_name = {site.name: site for site in sites(network, images.written)} if blocks else {}
        for where, label in blocks.items():
            site = _find_site(network, where, images, by_name)
            kind, options = parse_label(label)
            block = block_named(kind)
            reason = block.applies(site, options)
            if reason:
                raise SpecError(f"{label} does not fit {where}: {reason}")
            taken = {path for path, _ in grown.named_modules()}
            if site.slot.way != "in" and site.slot.path in taken:
                raise SpecError(f"{where} holds a block already; one at a place")
            module = block.assemble(site.channels, site.height, site.width, start, options)
            site.slot.fill(grown, module.to(first_weight(network)).train(network.training))
    if start == "identity":
        _check_same(network, grown, blocks, images)
    return grown


def _find_site(network: nn.Module, where: str, size: Size, by_name: Mapping[str, Site]) -> Site:
    """Return a site by its name, of `by_name`, or the one behind a module."""
    if where in by_name:
        site = by_name[where]
        if site.filled:
            raise SpecError(
                f"{where} holds a block already; replace it by its own path, if need be"
            )
        return site
    with _reading(network, size):
        path = where.removesuffix("/output")
        there = outputs(adapted(copied(network)), size.written, path)
        matching = [site for site in there if site.slot.module == path]
    if matching:
        return matching[0]
    paths = [path for path, _ in network.named_modules() if path]
    if where in paths:
        raise SpecError(f"{where}: gives no feature map (N, C, H, W), so no block works on it")
    near = difflib.get_close_matches(where, [*by_name, *paths], n=4) or [*by_name, *paths][:4]
    raise SpecError(f"the network has no {where!r}; it has: {', '.join(near)}, ...")


def _size(network: nn.Module, size: Resolution | tuple[int, int] | None) -> Size:
    if size is not None:
        return Size.of(size)
    example = getattr(network, "example_input", None)
    if example is None:
        return Size.of(_USUAL)
    if not isinstance(example, torch.Tensor) or example.ndim != 4 or example.shape[1] != 3:
        raise SpecError(
            f"{type(network).__name__}.example_input: found {describe_output(example)}; allowed: "
            "images (1, 3, H, W)"
        )
    return Size(example.shape[2], example.shape[3])


@contextmanager
def _reading(network: nn.Module, size: Size) -> Iterator[None]:
    """Turn what a network says of a wrong image into one line."""
    try:
        yield
    except SpecError:
        raise
    except Exception as error:  # whatever the user's code provokes
        reason = first_line(error)
        without = f": {WITHOUT_VALUES}" if "meta" in reason.lower() else ""
        raise SpecError(
            f"{type(network).__name__} cannot read {(1, *size.shape)}: {reason}{without}"
        ) from None


def _check_same(
    network: nn.Module, grown: nn.Module, blocks: Mapping[str, str], size: Size
) -> None:
    """Raise SpecError where identity blocks change what a network gives."""
    before, after = (_scores(adapted(copied(each)), size) for each in (network, grown))
    rounding = torch.finfo(first_weight(network).dtype).eps
    limit = max(_SAME, rounding) * max(1.0, float(before.abs().max()))
    largest = float((before - after).abs().max())
    if not largest <= limit:
        there = ", ".join(f"{label} at {where}" for where, label in blocks.items())
        raise SpecError(
            f"with {there} the network gives other scores (by {largest:.2g}), though blocks start "
            "as identities: is it random in evaluation mode, too?"
        )


def _scores(network: nn.Module, size: Size) -> torch.Tensor:
    training = {module: module.training for module in network.modules()}
    images = torch.randn(_BATCH, *size.shape, generator=torch.Generator().manual_seed(0))
    images = images.to(first_weight(network))
    try:
        with torch.no_grad():
            given = network.eval()(images)
    finally:
        for module, was in training.items():
            module.training = was
    while not isinstance(given, torch.Tensor):
        values = list(given.values()) if isinstance(given, Mapping) else list(given)
        given = values[0]
    return given.float()
