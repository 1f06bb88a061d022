"""Given weights in a network: which tensor of a file is which of the network's, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.base.errors import SpecError
from nas.base.files import read_text, read_yaml
from nas.base.formats import one_line
from nas.models.weights_file import GivenWeights

__all__ = ["BY_NAME", "IN_ORDER", "MatchedWeights", "match_weights"]

BY_NAME, IN_ORDER = "name", "order"
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
_COUNTER = "num_batches_tracked"  # that files from before 2018, and many converters, leave out
_VARIANCE = "running_var"
_LEAVES = {"weight", "bias", "running_mean", _VARIANCE}  # as PyTorch calls them
_LONGEST = 120  # signs of a name that a message shows
_NAMED = 6  # tensors of each kind that a message lists


@dataclass(frozen=True, eq=False)
class MatchedWeights:
    """A network's whole state with given weights in it.

    replaced: the tensors of a head of another number of classes, which stay random.
    notes: what was decided on the way, in sentences.
    head_classes: of the head in the file, where it was not taken.
    """

    state: Mapping[str, Tensor]
    replaced: tuple[str, ...]
    notes: tuple[str, ...]
    head_classes: int | None = None


def match_weights(
    network: nn.Module, given: GivenWeights, how: str, *, num_classes: int
) -> MatchedWeights:
    """Match the weights of a file with those of a network.

    how: `name`: equal names, but for what wrappers put before them; `order`: equal shapes in equal
        order; else a YAML or JSON file of the network's names with the file's, where those differ.
    num_classes: of the network. A head of another number is not taken: the network keeps its own.
    Raises SpecError where a tensor is missing, left over, of another shape or kind, or not finite,
    all of them in one line.
    """
    try:
        return _match(network, given, how, num_classes)
    except SpecError as error:
        raise SpecError(one_line(str(error))) from None


def _match(network: nn.Module, given: GivenWeights, how: str, num_classes: int) -> MatchedWeights:
    own = network.state_dict()
    renamed, notes = _rename(own, given, how)
    replaced = _head(own, renamed, num_classes)
    _check_names(own, renamed, replaced, given, how)
    taken, aside = _sort_out(own, renamed, replaced)
    _check_values(own, taken, given)
    state = {
        name: taken[name].to(tensor.dtype) if name in taken else tensor
        for name, tensor in own.items()
    }
    if given.taken is not None:
        notes.append(f"of {given.path.name} the weights under {given.taken!r} are taken")
    if aside or given.aside:
        notes.append(
            f"{_some([*given.aside, *aside])} in {given.path.name}: no weights, and left aside"
        )
    rounded = [name for name, tensor in taken.items() if not _is_kept(tensor, own[name].dtype)]
    if rounded:
        notes.append(
            f"{given.path.name} has more digits than the network, to which are rounded: "
            f"{_some(rounded)}"
        )
    had = len(renamed[replaced[0]]) if replaced else None
    if replaced:
        notes.append(
            f"{given.path.name} is of {had} classes, the images of {num_classes}: its head is "
            "replaced by a random one"
        )
    return MatchedWeights(state, replaced, tuple(map(one_line, notes)), had)


def _rename(
    own: Mapping[str, Tensor], given: GivenWeights, how: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the file's tensors by the network's names, as far as they have one, and notes."""
    if how == IN_ORDER:
        return _in_order(own, given), []
    tensors, dropped = _without_prefixes(own, given.tensors)
    notes = [f"{''.join(dropped)!r} before the names in {given.path.name} is dropped"]
    if how == BY_NAME:
        return tensors, notes if dropped else []
    pairs = _read_pairs(Path(how), own, {**given.tensors, **tensors})
    before = "".join(dropped)
    sources = {
        ours: theirs if theirs in tensors else theirs.removeprefix(before)
        for ours, theirs in pairs.items()
    }
    unnamed = {name: value for name, value in tensors.items() if name not in sources.values()}
    twice = [name for name in sources if name in unnamed]
    if twice:
        raise SpecError(
            f"{how}: the weights have {_some(twice)}, for which the pairs name another tensor; "
            "name what else they are of"
        )
    renamed = {ours: tensors[theirs] for ours, theirs in sources.items()}
    return {**unnamed, **renamed}, notes if dropped else []


def _without_prefixes(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Drop what wrappers put before every name, as long as more names of the network appear."""
    current, dropped = dict(tensors), list[str]()
    while True:
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in current):
                shorter = {name.removeprefix(prefix): value for name, value in current.items()}
                if _common(own, shorter) >= _common(own, current):
                    current, dropped = shorter, [*dropped, prefix]
                    break
        else:
            return current, dropped


def _common(own: Mapping[str, Tensor], tensors: Iterable[str]) -> int:
    return len(own.keys() & set(tensors))


def _in_order(own: Mapping[str, Tensor], given: GivenWeights) -> dict[str, Tensor]:
    """Return the file's tensors by the network's names at the same place.

    Counters of batch norms are passed over on both sides. A shape does not tell the four tensors of
    a batch norm apart: what both sides call by PyTorch's names must have the same.
    Raises SpecError where there is no order, or it is another.
    """
    if not given.ordered:
        raise SpecError(
            f"weights {given.path}: a safetensors file holds tensors by name, so that {IN_ORDER!r} "
            "cannot tell which is which; name a PyTorch checkpoint, or a file of pairs"
        )
    ours, theirs = (
        [name for name, tensor in tensors.items() if not _is_counter(name, tensor)]
        for tensors in (own, given.tensors)
    )
    if len(ours) != len(theirs):
        raise SpecError(
            f"weights {given.path}: {len(theirs)} tensors, and the network has {len(ours)}, so "
            f"that {IN_ORDER!r} cannot tell which is which; name them in a file of pairs"
        )
    pairs = dict(zip(ours, theirs, strict=True))
    exchanged = [
        f"{_short(other)} for {_short(mine)}"
        for mine, other in pairs.items()
        if {_leaf(mine), _leaf(other)} <= _LEAVES and _leaf(mine) != _leaf(other)
    ]
    if exchanged:
        raise SpecError(
            f"weights {given.path} are in another order: {_some(exchanged)}; name them in a file "
            "of pairs"
        )
    return {mine: given.tensors[other] for mine, other in pairs.items()}


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _read_pairs(
    path: Path, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[str, str]:
    """Read a file of pairs: a name in the network, and the name of the same tensor in the file."""
    pairs = read_yaml(read_text(path, "the pairs of weights"), str(path))
    texts = isinstance(pairs, dict) and all(
        isinstance(text, str) for pair in pairs.items() for text in pair
    )
    if not texts:
        raise SpecError(f"{path}: write a name of the network, a colon and one of the weights")
    for side, names, known in (
        ("the network", pairs.keys(), own),
        ("the weights", pairs.values(), tensors),
    ):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise SpecError(f"{path}: {side} has no {_some(unknown)}")
    return {str(ours): str(theirs) for ours, theirs in pairs.items()}


def _head(
    own: Mapping[str, Tensor], renamed: Mapping[str, Tensor], num_classes: int
) -> tuple[str, ...]:
    """Return the tensors of the head, where only the number of classes is another.

    They are all that one module has, and differ from the file's in the first dimension alone.
    """
    differing = [name for name in own if name in renamed and own[name].shape != renamed[name].shape]
    if not differing:
        return ()
    module = differing[0].rpartition(".")[0]
    whole = [name for name in own if name.rpartition(".")[0] == module]
    had = renamed[differing[0]].shape[:1]
    alike = (
        len(had) == 1
        and had[0] > 0
        and all(
            own[name].shape[:1] == (num_classes,)
            and renamed[name].shape[:1] == had
            and own[name].shape[1:] == renamed[name].shape[1:]
            for name in differing
        )
    )
    return tuple(differing) if alike and differing == whole and len(whole) <= 2 else ()


def _sort_out(
    own: Mapping[str, Tensor], renamed: Mapping[str, Tensor], replaced: Sequence[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return what the network takes, and the names of single whole numbers that it has no use for.

    Counters of batches are of no consequence: where they are not whole, as those that became halves
    with all else, the network keeps its own.
    """
    taken: dict[str, Tensor] = {}
    aside: list[str] = []
    for name, tensor in renamed.items():
        if name in own and name not in replaced:
            if name.endswith(_COUNTER) and not _is_kept(tensor, own[name].dtype):
                aside.append(name)
            else:
                taken[name] = tensor
        elif name not in own and not name.endswith(_COUNTER):
            aside.append(name)
    return taken, aside


def _check_names(
    own: Mapping[str, Tensor],
    renamed: Mapping[str, Tensor],
    replaced: Sequence[str],
    given: GivenWeights,
    how: str,
) -> None:
    # By order, no single whole number is told from a counter of batches.
    passed_over = {
        name
        for name, tensor in own.items()
        if name.endswith(_COUNTER) or (how == IN_ORDER and _is_counter(name, tensor))
    }
    missing = [name for name in own if name not in renamed and name not in passed_over]
    left_over = [
        name for name in renamed if name not in own and not _is_counter(name, renamed[name])
    ]
    other = [
        f"{_short(name)} {_shape(renamed[name])} for {_shape(own[name])}"
        for name in own
        if name in renamed and name not in replaced and own[name].shape != renamed[name].shape
    ]
    faults = [
        f"{what}: {_some(names)}"
        for what, names in (
            ("missing", missing),
            ("left over", left_over),
            ("of another shape", other),
            ("no tensor", given.aside if missing else ()),
        )
        if names
    ]
    if faults:
        way = {
            BY_NAME: "--weights-match order takes them by their order, or a file of pairs by name",
            IN_ORDER: "Name them in a file of pairs",
        }.get(how, "Add what is missing to the pairs")
        if not missing and not left_over:
            way = "They are of a network of another width or kind: name it with --backbone"
        raise SpecError(f"weights {given.path} do not fit the network: {'; '.join(faults)}. {way}")


def _check_values(
    own: Mapping[str, Tensor], taken: Mapping[str, Tensor], given: GivenWeights
) -> None:
    """Raise SpecError where a network would compute with other values than those of the file."""
    odd = [
        f"{_short(name)} {_kind(tensor)} for {_kind(own[name])}"
        for name, tensor in taken.items()
        if own[name].is_floating_point()
        and not tensor.is_floating_point()
        or not own[name].is_floating_point()
        and not _is_kept(tensor, own[name].dtype)
    ]
    if odd:
        raise SpecError(
            f"weights {given.path}: of another kind: {_some(odd)}; give them as the network was "
            "trained, before they were quantised"
        )
    broken = [name for name, tensor in taken.items() if not _is_finite(tensor, own[name].dtype)]
    if broken:
        raise SpecError(f"weights {given.path}: not finite: {_some(broken)}; take an earlier one")
    below = [
        name for name, tensor in taken.items() if name.endswith(_VARIANCE) and (tensor < 0).any()
    ]
    if below:
        raise SpecError(
            f"weights {given.path}: variances below 0: {_some(below)}; take an earlier one"
        )


def _is_finite(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Say whether all numbers are, and can be told in a type, as not every double can."""
    return bool(torch.isfinite(tensor.to(dtype)).all())


def _is_kept(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Say whether a type tells all numbers of a tensor exactly."""
    return tensor.dtype == dtype or torch.equal(tensor.to(dtype).to(tensor.dtype), tensor)


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_counter(name: str, tensor: Tensor) -> bool:
    """Say whether a tensor counts batches, as the one whole number of a batch norm does."""
    return name.endswith(_COUNTER) or (tensor.dim() == 0 and not tensor.is_floating_point())


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(_short, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
