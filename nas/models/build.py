"""The network of an architecture: built, hand-placed uniformly, and deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from nas.backbones import Site, Slot
from nas.base.errors import SpecError
from nas.base.files import parse
from nas.base.seeds import derive
from nas.base.size import Resolution, Size
from nas.blocks import block_named
from nas.blocks.gate import drop_single_gates
from nas.models.sharing import sharing_sites, tie
from nas.models.task_network import (
    TaskNetwork,
    check_read,
    holder_of,
    path_of,
    plain_network_of,
    task_of,
)
from nas.models.task_sites import find_task_sites, task_sites_by_name
from nas.spec.architecture import (
    EMPTY,
    KEEP,
    Architecture,
    Insertion,
    Option,
    Share,
    block_label,
    check_architecture,
)
from nas.spec.own_backbone import absolute
from nas.spec.task import Task

__all__ = [
    "build",
    "deploy",
    "inserted_modules",
    "inserted_prefixes",
    "is_excluded",
    "placements_of",
    "selected_sites",
    "uniform",
]

_LONGEST_FAULT = 300  # signs of what is wrong with weights that a message shows


def build(
    architecture: Architecture,
    *,
    num_classes: int = 1000,
    task: Task | None = None,
    start: str = "paper",
    weights: Mapping[str, Tensor] | None = None,
    pretrained: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Build the network of an architecture, in evaluation mode: NCHW images to class scores.

    task: what it is for: scores of images (N, outputs), for segmentation of their pixels
        (N, outputs, H, W), for retrieval vectors (N, outputs) of length 1; None: to classify images
        into `num_classes`.
    start: `paper` or `identity`, the initial weights of the inserted blocks (see make_block). With
        `identity`, a block that replaces a trained one of its kind starts as that one.
    weights: of the plain network, by their names there; blocks keep their own. None: random ones,
        or the backbone's pretrained ones.
    pretrained: whether the backbone comes with its library's weights.
    seed: with one seed, a block gets the same first weights in every architecture that has
        it at that site, which pairs comparisons.
    Raises SpecError for an unknown name, a block that does not fit, and weights that cannot be had
    or are not the plain network's.
    """
    check_architecture(architecture)
    task = task or Task(outputs=num_classes)
    network = plain_network_of(architecture.plain, task, pretrained=pretrained, seed=seed)
    if weights is not None:
        _load(network, weights, architecture.backbone)
    trained = start == "identity" and (weights is not None or pretrained)
    placements = placements_of(architecture, task)
    sharing = sharing_sites(architecture, placements)
    placed: dict[str, nn.Module] = {}
    for site, insertion in placements:
        check_read(architecture.plain, task, site.name, site.slot)
        shared = sharing.get(site.name, ())
        drawn = derive(seed, site.stage if shared else site.name)
        module, holder = _module(insertion, site, start, drawn), holder_of(network, site.slot)
        # Several trained modules have no one set of weights to begin from.
        if trained and site.filled and insertion.block != EMPTY and not shared:
            held = holder.get_submodule(site.slot.module)
            block_named(insertion.block).take_over(module, held, site)
        if shared and shared[0] in placed:
            tie(placed[shared[0]], module)
        placed[site.name] = module
        site.slot.fill(holder, module)
    return network.eval()


def _load(network: nn.Module, weights: Mapping[str, Tensor], backbone: str) -> None:
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        # Its first line says of which class it is, the others what is wrong.
        faults = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise SpecError(
            f"weights do not fit the plain network of {backbone!r}: {faults[:_LONGEST_FAULT]}"
        ) from None


def _module(insertion: Insertion, site: Site, start: str, seed: int) -> nn.Module:
    if insertion.block == EMPTY:
        if not site.filled:
            raise SpecError(f"site {site.name!r} comes empty; {EMPTY!r} is for filled ones")
        return nn.Identity()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        block = block_named(insertion.block)
        options = dict(insertion.options)
        return block.assemble(site.channels, site.height, site.width, start, options).eval()


def placements_of(architecture: Architecture, task: Task) -> list[tuple[Site, Insertion]]:
    """Return the insertions with their sites, in the order of the forward pass."""
    insertions = {insertion.site: insertion for insertion in architecture.insertions}
    sites = task_sites_by_name(architecture, task, tuple(insertions))
    return [(site, insertions[name]) for name, site in sites.items()]


def _block_placements(
    network: nn.Module, architecture: Architecture
) -> list[tuple[Site, Insertion]]:
    """Return the insertions that put a block somewhere into a network, with their sites."""
    return [
        (site, insertion)
        for site, insertion in placements_of(architecture, task_of(network))
        if insertion.block != EMPTY
    ]


def inserted_modules(network: nn.Module, architecture: Architecture) -> list[nn.Module]:
    """Return the inserted blocks of a network, in the order of the forward pass."""
    return [
        site.slot.block(holder_of(network, site.slot))
        for site, _ in _block_placements(network, architecture)
    ]


def inserted_prefixes(network: nn.Module, architecture: Architecture) -> tuple[str, ...]:
    """Return what the names of the inserted blocks' weights begin with in the network's state."""
    return tuple(
        f"{path_of(network, site.slot)}." for site, _ in _block_placements(network, architecture)
    )


def deploy(network: nn.Module, architecture: Architecture) -> nn.Module:
    """Fold the doubled gates of an identity start into the layers that follow, in place.

    The output stays the same to the last bit (factors are powers of two), and what is left
    is the block as its authors wrote it: the identity start costs nothing after export.
    Where no single convolution reads a slot, or its weights are computed or shared (see
    `Slot.follower`), the doubled gates stay; so they do between residual blocks where a head reads
    maps, and beside blocks at modules that a pattern names, which may stand between a slot and its
    reader; and in blocks that share weights of which some read what is gated within them.
    """
    placements = _block_placements(network, architecture)
    sharing = sharing_sites(architecture, placements)
    for site, _ in placements:
        drop_single_gates(site.slot.block(holder_of(network, site.slot)))
    if any(site.position == "output" for site, _ in placements):
        return network
    for site, insertion in placements:
        holder = holder_of(network, site.slot)
        if site.slot.follower is None or not _alone_reads(network, site.slot):
            continue
        if site.name in sharing and block_named(insertion.block).reads_gated:
            continue
        follower = holder.get_submodule(site.slot.follower)
        assert type(follower) is nn.Conv2d
        with torch.no_grad():
            follower.weight.mul_(block_named(insertion.block).fold(site.slot.block(holder)))
    return network


def _alone_reads(network: nn.Module, slot: Slot) -> bool:
    """Say whether a slot's follower is known to be alone: backbones are walked without heads."""
    if not isinstance(network, TaskNetwork) or not network.reads or slot.part != "backbone":
        return True
    return slot.is_inner


def selected_sites(
    sites: Sequence[Site], exclude: Sequence[str], backbone: str = ""
) -> tuple[Site, ...]:
    """Leave out the sites that match a pattern.

    exclude: patterns such as `blocks.0.*`, or, for some backbones alone,
        `mobilenetv2_*:blocks.0.*`.
    Raises SpecError when nothing is left.
    """
    remaining = tuple(site for site in sites if not is_excluded(site, exclude, backbone))
    if not remaining:
        raise SpecError(f"exclude {list(exclude)} leaves no site of {len(sites)}")
    return remaining


def is_excluded(site: Site, exclude: Sequence[str], backbone: str) -> bool:
    """Say whether a site matches a pattern of those to leave out."""
    names = (site.name, f"{backbone}:{site.name}")
    return any(fnmatchcase(name, pattern) for name in names for pattern in exclude)


def _check_exclude(sites: Sequence[Site], exclude: Sequence[str], backbone: str) -> None:
    for pattern in exclude:
        if not any(is_excluded(site, [pattern], backbone) for site in sites):
            raise SpecError(
                f"exclude {pattern!r} matches no site; there are: "
                f"{', '.join(site.name for site in sites)}"
            )


def uniform(
    backbone: str,
    block: str,
    *,
    resolution: Resolution | tuple[int, int] = 224,
    total_stride: int | None = None,
    output_stride: int | None = None,
    exclude: str | Sequence[str] = (),
    position: str | Sequence[str] = (),
    modules: Sequence[str] = (),
    part: str | Sequence[str] = "backbone",
    task: Task | None = None,
    where_it_fits: bool = False,
    share: Share | None = None,
    **options: Option,
) -> Architecture:
    """Place one block at every site by hand, as the papers do.

    resolution: of the input: 224, or height and width, (224, 160) or "224x160".
    total_stride, output_stride: as of an Architecture.
    block: a name in BLOCKS, `none` (every slot emptied) or `keep` (the backbone as it comes).
    exclude: patterns of sites to leave out.
    position, modules, part: which sites (see `SiteRule`).
    task: that the network is for, which may have blocks in its neck and head; None: they go into
        the backbone alone.
    where_it_fits: whether to leave out the sites that the block does not fit, rather than refuse.
    share: `stage`: equal blocks on equal maps of a stage share their weights (see Architecture).
    options: of the block; those not given are the paper's.
    Raises SpecError for an unknown name, or a block that does not fit.
    """
    backbone = absolute(backbone)
    exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    values = {"part": part, "position": position, "modules": modules}
    from nas.spec.space import SiteRule  # which needs pydantic, as trainings do not

    rule = parse(SiteRule, {key: each if isinstance(each, str) else list(each)
                            for key, each in values.items()}, "uniform")  # fmt: skip
    written = Size.of(resolution).written
    plain = Architecture(backbone, written, (), total_stride, output_stride)
    sites = find_task_sites(plain, rule, task)
    _check_exclude(sites, exclude, backbone)
    sites = selected_sites(sites, exclude, backbone)
    if block in {KEEP, EMPTY} and options:
        raise SpecError(f"{block!r} takes no options; found {', '.join(options)}")
    insertions: list[Insertion] = []
    if block == EMPTY:
        insertions = [Insertion(site.name, EMPTY) for site in sites if site.filled]
    elif block != KEEP:
        kind = block_named(block)
        complete = kind.complete(options)
        for site in sites:
            reason = kind.applies(site, options)
            if reason and where_it_fits:
                continue
            if reason:
                label = block_label(block, options)
                raise SpecError(f"{label} does not fit {site.name}: {reason}")
            insertions.append(Insertion(site.name, block, tuple(complete.items())))
    return replace(plain, insertions=tuple(insertions), share=share)
