"""The search for sites: send one image through a network, and see what reads what.

Nothing is known of any network by its name. A residual block (the host of a site) is what
holds a depthwise and a pointwise convolution. Where it keeps a slot `se` for attention, as
timm's do, that is the place behind the depthwise convolution; otherwise it is found.
Blocks of full convolutions are hosts by the sum that they end in (see residual_blocks.py); without
any block, each full convolution is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from torch import Tensor, nn

from nas.backbones.sites.residual_blocks import (
    adds,
    full_convolutions,
    is_spatial,
    last_convolution,
    residual_blocks,
    side_by_side,
)
from nas.backbones.sites.slot import Site, Slot, keeper_within
from nas.backbones.sites.trace import Call, Trace, holds, is_convolution
from nas.base.size import Resolution
from nas.spec.positions import Part

__all__ = ["block_paths", "end_of_layer", "outputs", "walk", "walk_part"]

_MOST_DEPTHWISE = 3
"""The depthwise convolutions in one residual block: universal inverted residuals have up to 3."""


def walk(network: nn.Module, resolution: Resolution) -> tuple[Site, ...]:
    """Find every site of a network that reads images of a size, in call order."""
    trace = Trace.of(network, resolution).without_shortcuts()
    return _with_stages(_sites(_slots_of(network, trace), trace))


def walk_part(
    network: nn.Module, resolution: Resolution, part: Part, is_inside: Callable[[str], bool]
) -> tuple[Site, ...]:
    """Find every site of a part of a network, in call order.

    What no convolution follows is no site: it is what the network answers.

    is_inside: says of the path of a module whether it is in the part.
    """
    trace = Trace.of(network, resolution).without_shortcuts()
    trace = trace.where(lambda call: is_inside(call.path))
    slots = [
        (replace(slot, part=part), call)
        for slot, call in _slots_of(network, trace)
        if not _is_answer(slot, call, trace)
    ]
    return _with_stages(_sites(slots, trace))


def _is_answer(slot: Slot, call: Call, trace: Trace) -> bool:
    """Say whether no convolution follows a slot."""
    through = call.read if slot.way == "before" else call.gave
    return max(trace.depths(through).values()) == 0


def _slots_of(network: nn.Module, trace: Trace) -> list[tuple[Slot, Call]]:
    """Return every slot with the call whose map passes through it, in call order."""
    beside = _side_by_side(network, trace)
    depthwise = _hosts(network, trace, beside)
    full = residual_blocks(trace, depthwise)
    hosts = [*depthwise, *full]
    slots: list[tuple[Slot, Call]] = []
    for host in depthwise:
        slots += _slots(host, _block(host, trace, hosts), trace, beside)
    for host in full:
        slots += _full_slots(host, _block(host, trace, hosts), trace)
    if not depthwise:
        for host, convolution in full_convolutions(network, trace, full):
            slots.append(_behind_alone(host, convolution, trace))
    return sorted(slots, key=lambda pair: trace.calls.index(pair[1]))


def block_paths(network: nn.Module, trace: Trace) -> list[str]:
    """Return the paths of the residual blocks of a network that was traced without shortcuts."""
    depthwise = _hosts(network, trace, _side_by_side(network, trace))
    return [*depthwise, *residual_blocks(trace, depthwise)]


def outputs(network: nn.Module, resolution: Resolution, pattern: str) -> tuple[Site, ...]:
    """Return a site behind every module whose path matches and that gives a feature map."""
    trace = Trace.of(network, resolution)
    slots = [
        (Slot(call.path, "output", call.path, "after"), call)
        for call in trace.calls
        if call.path and fnmatchcase(call.path, pattern)
    ]
    return _with_stages(_sites(slots, trace))


def _sites(slots: Iterable[tuple[Slot, Call]], trace: Trace) -> Iterator[Site]:
    """Yield the sites of slots, each with the maps of all the calls that pass through it."""
    for slot, call in slots:
        shapes = [_map(slot, each).shape for each in trace.calls if each.path == call.path]
        if any(len(shape) != 4 or shape[1] != shapes[0][1] for shape in shapes):
            continue  # tokens, or an activation that several layers share
        if slot.way == "after":
            slot = replace(slot, keeper=keeper_within(call.module))
        maps = tuple((height, width) for _, _, height, width in shapes)
        largest = max(maps, key=math.prod)
        yield Site(shapes[0][1], *largest, slot, maps if len(maps) > 1 else ())


def _map(slot: Slot, call: Call) -> Tensor:
    """Return what passes through a slot: of some transformers tokens, which no block reads."""
    return call.read if slot.way == "before" else call.gave


def _with_stages(sites: Iterable[Site]) -> tuple[Site, ...]:
    """Name the stages: the modules that hold the hosts, or the map where one holds them all."""
    distinct = list({site.name: site for site in sites}.values())
    parents = [site.slot.host.rpartition(".")[0] for site in distinct]
    if len(set(parents)) < 2:
        parents = [_map_name(site) for site in distinct]
    return tuple(
        replace(site, slot=replace(site.slot, stage=parent))
        for site, parent in zip(distinct, parents, strict=True)
    )


def _map_name(site: Site) -> str:
    size = f"{site.height}x{site.width}"
    return size if site.part == "backbone" else f"{site.part}.{size}"  # backbones have them, too


# What a module is.


def _is_depthwise(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == module.in_channels > 1
        and math.prod(module.kernel_size) > 1
    )


def _is_like_depthwise(block: nn.Module) -> bool:
    """Say whether a block of timm has a slot behind another convolution than a depthwise one.

    That is a full one that expands as well, or one of small groups.
    """
    fused = ("EdgeResidual", "InvertedResidual", "DepthwiseSeparableConv")
    return type(block).__name__ in fused and hasattr(block, "se")


def _mixes_channels(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return math.prod(module.kernel_size) == 1 == module.groups
    return isinstance(module, nn.Linear)


def _is_attention(call: Call, host: str) -> bool:
    """Say whether a call is of attention.

    That is what is in the slot `se`, or squeezes a map to one number per channel and gives it back.
    """
    if call.path == f"{host}.se":
        return True
    if call.path == host or not call.keeps_shape:
        return False
    layers = list(call.module.modules())
    squeezes = any(
        isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1))
        for layer in layers
    )
    return squeezes and not any(map(_is_depthwise, layers))


def _is_elementwise(call: Call) -> bool:
    """Say whether a call is of a norm or an activation; not of a pooling, dropout or identity."""
    name = type(call.module).__name__
    return (
        call.keeps_shape
        and not any(word in name for word in ("Identity", "Drop", "Pool"))
        and not any(isinstance(layer, nn.Conv2d | nn.Linear) for layer in call.module.modules())
    )


# Residual blocks.


def _side_by_side(network: nn.Module, trace: Trace) -> dict[str, str]:
    """Return the path of each convolution beside others -> the module that they are a layer of.

    That is what ends in their sum and mixes no channels elsewhere; empty where there is none.
    """
    return {
        path: "" if any(map(_mixes_channels, network.get_submodule(whole).modules())) else whole
        for path, whole in side_by_side(trace).items()
    }


def _hosts(network: nn.Module, trace: Trace, beside: Mapping[str, str]) -> list[str]:
    """Return the paths of the residual blocks, in call order.

    beside: as `_side_by_side` returns them.
    """
    hosts: dict[str, None] = {}
    for call in trace.calls:
        if _is_depthwise(call.module):
            host = _host_of(network, call.path, trace, beside)
        elif _is_like_depthwise(call.module):
            host = call.path
        else:
            continue
        hosts.setdefault(host)
    return list(hosts)


def _host_of(network: nn.Module, path: str, trace: Trace, beside: Mapping[str, str]) -> str:
    """Return the module above that holds a slot `se`; else the nearest that mixes channels, too.

    In a flat network that one is no block but half of everything; then what holds the
    depthwise convolution and no other layer, nor another of its kind, stands for the block.
    """
    for ancestor in _ancestors(path):
        if "se" in dict(network.get_submodule(ancestor).named_children()):
            return ancestor
    alone = beside.get(path) or path
    for ancestor in _ancestors(alone):
        layers = list(network.get_submodule(ancestor).modules())
        if any(map(_mixes_channels, layers)):
            is_block = sum(map(_is_depthwise, layers)) <= _MOST_DEPTHWISE
            is_block = is_block and not _is_sequence(ancestor, trace)
            return _up_to_shortcut(network, ancestor, trace) if is_block else alone
        if sum(map(_is_depthwise, layers)) == 1:
            alone = ancestor
    return alone


def _is_sequence(path: str, trace: Trace) -> bool:
    """Say whether modules that each add a shortcut to a depthwise convolution are in a module."""
    inside = [call for call in trace.within(path).calls if call.path != path]
    adding = [call.path for call in inside if adds(call, trace)]
    depthwise = [call.path for call in inside if _is_depthwise(call.module)]
    blocks = [host for host in adding if any(holds(host, each) for each in depthwise)]
    return any(
        not holds(one, other) and not holds(other, one) for one in blocks for other in blocks
    )


def _ancestors(path: str) -> Iterator[str]:
    """Yield paths from the parent up to just below the network itself."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _up_to_shortcut(network: nn.Module, path: str, trace: Trace) -> str:
    """Go up from the convolutions to the module that adds the shortcut.

    That is for as long as no other convolution joins in, and not into a sequence of blocks.
    """
    weights = trace.weighted(path)
    for ancestor in _ancestors(path):
        parent = network.get_submodule(ancestor)
        if isinstance(parent, nn.Sequential | nn.ModuleList):
            break
        if trace.weighted(ancestor) != weights or trace.times(path) > 1:
            break
        path = ancestor
    return path


# Places in a residual block.


def _block(host: str, trace: Trace, hosts: list[str]) -> Trace:
    """Return the calls of a block and inside it, but not inside other blocks or attention."""
    inside = trace.within(host).before_again(host)
    nested = [other for other in hosts if other.startswith(f"{host}.")]
    attention = [call.path for call in inside.calls if _is_attention(call, host)]
    closed = tuple(f"{path}." for path in (*nested, *attention))
    return inside.where(lambda call: not call.path.startswith(closed))


def _slots(
    host: str, trace: Trace, whole: Trace, beside: Mapping[str, str]
) -> Iterator[tuple[Slot, Call]]:
    """Yield the slots of one residual block, each with the call whose map passes through it."""
    own = next((call for call in trace.calls if call.path == host), None)
    held = next((call for call in trace.calls if call.path == f"{host}.se"), None)
    firsts = {call.path: call for call in reversed(trace.calls) if is_convolution(call.module)}
    convolutions = [call for call in trace.calls if firsts.get(call.path) is call]
    depthwise = _depthwise_layers(convolutions, trace, beside)
    if own and not any(map(_mixes_channels, own.module.modules())):
        if beside.get(host) != "":
            yield _behind(host, "after_depthwise", own, whole)
        return
    if held:
        yield _in_place(host, "after_depthwise", held, trace)
    else:
        yield from _behind_depthwise(host, convolutions, depthwise, trace)
    if own is None or not convolutions:
        return
    last = next((call for call in reversed(convolutions) if _is_as_large(call, own)), None)
    if last and _mixes_channels(last.module) and last.path not in beside:
        end = end_of_layer(last, trace)
        yield _after(host, "after_projection", end, whole), end
    if _is_sum(own.gave, trace, host):
        yield _after(host, "after_residual", own, whole), own


def _is_as_large(convolution: Call, own: Call) -> bool:
    """Say whether a convolution gives a map as large as its block; those of gates are smaller."""
    if own.gave.ndim != 4:
        return True  # of tokens nothing can be said
    return math.prod(convolution.gave.shape[2:]) >= math.prod(own.gave.shape[2:])


def _depthwise_layers(
    convolutions: list[Call], trace: Trace, beside: Mapping[str, str]
) -> list[Call]:
    """Return the depthwise convolutions; of those side by side the module that adds them."""
    paths = [
        beside.get(call.path, call.path) for call in convolutions if _is_depthwise(call.module)
    ]
    firsts = {call.path: call for call in reversed(trace.calls) if call.path in paths}
    return [call for call in trace.calls if firsts.get(call.path) is call]


def _full_slots(host: str, trace: Trace, whole: Trace) -> Iterator[tuple[Slot, Call]]:
    """Yield the slots of a residual block without depthwise convolutions.

    They are behind its last spatial convolution where a projection follows, as in a bottleneck;
    behind its last convolution, before the sum; and behind the sum. Where convolutions side by side
    are added, as in RepVGG, only behind.
    """
    own = next(call for call in trace.calls if call.path == host)
    last = last_convolution(own, trace)
    if last is not None:
        spatial = [call for call in trace.calls if is_spatial(call.module)]
        if spatial and not is_spatial(last.module):
            merged = _before_merging(host, spatial[-1], last, trace)
            yield merged or _behind(host, "after_convolution", spatial[-1], trace)
        yield _behind(host, "after_projection", last, trace)
    if adds(own, trace):
        yield _after(host, "after_residual", own, whole), own


def _before_merging(
    host: str, spatial: Call, projection: Call, trace: Trace
) -> tuple[Slot, Call] | None:
    """Return the slot before a projection that reads more than the last convolution gives.

    As in Res2Net, whose convolutions each see a part of the channels: what is put together of them
    stands for the map of one. None where the projection reads what that gives.
    """
    if projection.read.shape[1] <= spatial.gave.shape[1]:
        return None
    follower = projection.path if trace.takes_factor(projection) else None
    return Slot(host, "after_convolution", projection.path, "before", follower=follower), projection


def _behind_alone(host: str, convolution: Call, trace: Trace) -> tuple[Slot, Call]:
    """Return the slot behind a convolution that is in no block."""
    end = end_of_layer(convolution, trace)
    return _after(host, "after_convolution", end, trace), end


def _behind_depthwise(
    host: str, convolutions: list[Call], depthwise: list[Call], trace: Trace
) -> Iterator[tuple[Slot, Call]]:
    """Yield the slots behind the depthwise convolutions of a block that holds no slot itself."""
    if len(depthwise) == 1:
        # A sandglass without its first depthwise convolution, as those that change the map.
        is_last = len(convolutions) > 1 and depthwise[0] is convolutions[-1]
        position = "after_last_depthwise" if is_last else "after_depthwise"
        yield _behind(host, position, depthwise[0], trace)
    elif depthwise:
        yield _behind(host, "after_first_depthwise", depthwise[0], trace)
        yield _behind(host, "after_last_depthwise", depthwise[-1], trace)


def _after(host: str, position: str, call: Call, whole: Trace) -> Slot:
    follower = _follower(call, whole)
    return Slot(host, position, call.path, "after", follower=follower)


def _follower(call: Call, trace: Trace) -> str | None:
    """Return the convolution into which a factor on what a call gives may go, if there is one."""
    reader = trace.only_reader(call.gave)
    if reader is None or trace.is_changed(call, reader) or not trace.takes_factor(reader):
        return None
    return reader.path


def _in_place(host: str, position: str, call: Call, trace: Trace) -> tuple[Slot, Call]:
    filled = not isinstance(call.module, nn.Identity)
    follower = _follower(call, trace)
    return Slot(host, position, call.path, "in", filled=filled, follower=follower), call


def _behind(host: str, position: str, conv: Call, trace: Trace) -> tuple[Slot, Call]:
    """Return the slot behind a convolution with its norm and activation."""
    end = end_of_layer(conv, trace)
    for call in trace.calls:
        if call.read is end.gave and call is not end and _is_attention(call, host):
            return _in_place(host, position, call, trace)
    reader = trace.only_reader(end.gave) or _next_reader(end, trace)
    if reader:
        follower = reader.path if trace.takes_factor(reader) else None
        return Slot(host, position, reader.path, "before", follower=follower), reader
    return Slot(host, position, end.path, "after"), end


def end_of_layer(conv: Call, trace: Trace) -> Call:
    """Return the last of the norms and activations that follow a convolution one by one.

    One that other layers share is none of them, since a block there would follow those, too; nor
    is the first layer of a branch, as the norm of a block that begins with one.
    """
    end, times = conv, trace.times(conv.path)
    for call in trace.calls[trace.calls.index(conv) + 1 :]:
        follows = call.read is end.gave and _is_elementwise(call)
        if follows and trace.times(call.path) == times and trace.is_alone(call):
            end = call
    return end


def _next_reader(end: Call, trace: Trace) -> Call | None:
    """Return the convolution that reads next where no module gives the map that it reads."""
    # An activation that is a bare function is no module.
    if trace.readers[id(end.gave)] != 1:
        return None
    later = trace.calls[trace.calls.index(end) + 1 :]
    reader = next((call for call in later if is_convolution(call.module)), None)
    if reader is None or reader.read.shape != end.gave.shape:
        return None
    if id(reader.read) not in trace.depths(end.gave):
        return None  # it reads another part of the channels, or what another branch gave
    return reader if trace.only_reader(reader.read) is reader else None


def _is_sum(output: Tensor, trace: Trace, host: str) -> bool:
    """Say whether a block ends in an operation of its own: a shortcut added or concatenated.

    Norms and activations behind it do not count.
    """
    inner = [call for call in trace.calls if call.path != host]
    for call in reversed(inner):
        if call.gave is output and call.read is not output and _is_elementwise(call):
            output = call.read
    return all(call.gave is not output or call.read is output for call in inner)
