"""`nas sites`: where blocks may go in a network, and what they would cost there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.base.errors import SpecError
from nas.cli.completion import backbone_names, block_names
from nas.cli.options import Head, ImageSize, Json, OutputStride, TaskOption, TotalStride
from nas.cli.output.console import print_json
from nas.cli.output.site_table import print_sites
from nas.cli.parsing import check_strides

if TYPE_CHECKING:
    from nas.backbones import Site
    from nas.blocks import Block
    from nas.spec.architecture import Architecture, Option
    from nas.spec.task import Task

__all__ = ["sites"]

_BLOCKS = ("se", "cbam", "coord", "eca")
_CLASSES = 1000


def sites(
    network: Annotated[
        str,
        typer.Argument(
            autocompletion=backbone_names,
            help="Of timm, torchvision/NAME, or one's own module:function.",
        ),
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Say whether these weights, as in nas search --weights, fit the network.",
        ),
    ] = None,
    weights_match: Annotated[
        str,
        typer.Option(metavar="HOW", help="How their tensors find their places, as in nas search."),
    ] = "name",
    classes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000_000,
            help="Number of classes of the network, and of its weights.",
        ),
    ] = _CLASSES,
    size: ImageSize = "224",
    total_stride: TotalStride = None,
    output_stride: OutputStride = None,
    task: TaskOption = None,
    head: Head = None,
    block: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=block_names,
            metavar="BLOCK",
            help="Block to count at every site, as in coord/r32; may be repeated.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Show the sites of a network with their maps, and what blocks would cost there.

    With --task, also those in what stands around it.
    Example: nas sites mobilenetv3_small_050 --size 64 --block coord/r32 --block se
    """
    from nas.models.cost import cost
    from nas.models.task_sites import all_task_sites
    from nas.spec.architecture import Architecture
    from nas.spec.resolution import parse_resolution
    from nas.spec.task import Task

    resolution = parse_resolution(size, "--size")
    blocks = _read_blocks(block or _BLOCKS)
    check_strides(total_stride, output_stride)
    if weights is None and weights_match != "name":
        raise SpecError("--weights-match is of --weights FILE; name that file, too")
    purpose = Task.of(task or "classification", classes, head)
    plain = Architecture(
        network, resolution, total_stride=total_stride, output_stride=output_stride
    )
    places = all_task_sites(plain, purpose)
    matched = None if weights is None else _match(network, weights, weights_match, classes)
    counted, rows = cost(plain, task=purpose), _rows(plain, purpose, places, blocks)
    about = {
        "network": network,
        "size": resolution,
        "params": counted.params,
        "macs": counted.macs,
        "unsupported": _uncounted(plain, purpose, rows),
        "sites": rows,
        "weights": matched,
    }
    if json_:
        print_json(about)
    else:
        print_sites(about, list(blocks))


def _read_blocks(labels: Sequence[str]) -> dict[str, tuple[Block, Mapping[str, Option]]]:
    """Return blocks with all their options, by their whole labels. Raises SpecError."""
    from nas.blocks import block_named
    from nas.spec.architecture import block_label, parse_label

    blocks: dict[str, tuple[Block, Mapping[str, Option]]] = {}
    for label in labels:
        name, options = parse_label(label)
        kind = block_named(name)
        blocks[block_label(name, kind.complete(options))] = kind, options
    return blocks


def _rows(
    plain: Architecture,
    task: Task,
    sites: Sequence[Site],
    blocks: Mapping[str, tuple[Block, Mapping[str, Option]]],
) -> list[dict[str, Any]]:
    """Describe each site; a block that does not fit has a reason instead of costs."""
    from nas.models.choice_costs import ChoiceCosts
    from nas.models.decisions import Decision

    costs = ChoiceCosts(task)
    rows = []
    for site in sites:
        held: dict[str, dict[str, Any]] = {}
        for label, (kind, options) in blocks.items():
            reason = kind.applies(site, options)
            if reason is None:
                params, macs, _ = costs.added(plain, Decision(site.name, (site,), (label,)))[0]
                held[label] = {"params": int(params), "macs": int(macs)}
            else:
                held[label] = {"refused": reason}
        rows.append(
            {
                "name": site.name,
                "part": site.part,
                "position": site.position,
                "stage": site.stage,
                "channels": site.channels,
                "height": site.height,
                "width": site.width,
                "filled": site.filled,
                "blocks": held,
            }
        )
    return rows


def _uncounted(plain: Architecture, task: Task, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the operators of the network and of the blocks that multiply-adds leave out."""
    from nas.models.cost import cost
    from nas.spec.architecture import Insertion

    first = {
        label: Insertion.of(row["name"], label)
        for row in reversed(rows)
        for label, costs in row["blocks"].items()
        if "refused" not in costs
    }
    networks = [plain, *(replace(plain, insertions=(one,)) for one in first.values())]
    counted = [cost(network, task=task) for network in networks]
    return sorted({name for each in counted for name in each.unsupported})


def _match(network: str, weights: str, how: str, wanted: int) -> dict[str, Any]:
    """Match a file of weights with the network. Raises SpecError where they do not fit."""
    from nas.backbones import plain_network
    from nas.models.match_weights import match_weights
    from nas.models.named_weights import find_weights
    from nas.models.weights_file import read_weights

    named = find_weights(weights)
    given = read_weights(Path(weights) if named is None else named.file)
    own = plain_network(network, num_classes=wanted)
    matched = match_weights(own, given, how, num_classes=wanted)
    classes = matched.head_classes
    if classes is not None:  # of another number of classes: all of it, with a head of its own
        own = plain_network(network, num_classes=classes)
        matched = match_weights(own, given, how, num_classes=classes)
    return {
        "file": str(given.path),
        "tensors": len(given.tensors),
        "head_classes": classes or wanted,
        "notes": list(matched.notes),
    }
