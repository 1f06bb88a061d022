"""How our weights are put into a block of its authors' code."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Shape = tuple[int, int, int]
State = dict[str, Tensor]


def in_order(ours: State, theirs: State) -> State:
    """The authors' names with our weights, both in the order of their registration."""
    sizes = [tensor.numel() for tensor in ours.values()]
    assert sizes == [tensor.numel() for tensor in theirs.values()], (ours.keys(), theirs.keys())
    pairs = zip(theirs.items(), ours.values(), strict=True)
    return {name: tensor.reshape(like.shape) for (name, like), tensor in pairs}


def all_but(prefix: str) -> Callable[[State, State], State]:
    """Ours in their order, for those of theirs whose names do not start so."""

    def load(ours: State, theirs: State) -> State:
        kept = {name: item for name, item in theirs.items() if not name.startswith(prefix)}
        return theirs | in_order(ours, kept)

    return load


def transposed_width_kernel(ours: State, theirs: State) -> State:
    """Triplet attention's authors turn the map that is pooled along its width."""
    kernel = ours["width.conv.weight"].transpose(2, 3)
    return in_order(ours | {"width.conv.weight": kernel}, theirs)


def maximum_first(ours: State, theirs: State) -> State:
    """CBAM's spatial gate reads in timm (mean, maximum), the authors' (maximum, mean)."""
    kernel = ours["spatial.conv.conv.weight"].flip(1)
    return in_order(ours | {"spatial.conv.conv.weight": kernel}, theirs)


def style_weights_by_channel(ours: State, theirs: State) -> State:
    return in_order(ours | {"style": ours["style"][:, :, 0, 0].T}, theirs)


def only(*parts: str) -> Callable[[State, State], State]:
    """Ours in their order, for those of theirs whose names contain one of these."""

    def load(ours: State, theirs: State) -> State:
        kept = {name: item for name, item in theirs.items() if any(part in name for part in parts)}
        return theirs | in_order(ours, kept)

    return load


def non_local_weights(ours: State, theirs: State) -> State:
    """The known port registers g and the output before theta and phi."""
    order = sorted(ours, key=lambda name: "gzntp".index(name[0]))
    return in_order({name: ours[name] for name in order}, theirs)


def without_indices(ours: State, theirs: State) -> State:
    """Axial attention's authors keep the places of their tables in the state."""
    return theirs | in_order(
        ours, {name: item for name, item in theirs.items() if not name.endswith("index")}
    )


def in_their_order(*prefixes: str, unread: str = "none") -> Callable[[State, State], State]:
    """Ours sorted by the first of these that their names start with; the others come last.

    unread: how a weight of theirs starts that has none of ours.
    """

    def place(name: str) -> int:
        return next((i for i, each in enumerate(prefixes) if name.startswith(each)), len(prefixes))

    def load(ours: State, theirs: State) -> State:
        return all_but(unread)({name: ours[name] for name in sorted(ours, key=place)}, theirs)

    return load
