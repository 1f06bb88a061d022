"""The supernet: a plain network with every candidate block of a space at each of its sites.

Any network of the space is a path through it, and is judged in seconds by the weights that it
inherits. They rank networks roughly and never have the last word; without
batch norm estimated again they rank nothing, and loss ranks better than accuracy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas.backbones import Site
from nas.base.errors import SpecError
from nas.blocks import block_named
from nas.models.build import build
from nas.models.candidates import Candidates
from nas.models.decisions import Decision
from nas.models.own_network import has_loss
from nas.models.task_network import holder_of, path_of
from nas.spec.architecture import EMPTY, KEEP, Architecture, Insertion, parse_label
from nas.spec.space import SearchSpace
from nas.spec.task import Task

__all__ = ["SHARES_NO_LOSS", "Paths", "Supernet", "check_no_sharing"]

SHARES_NO_LOSS = (
    "backbone {backbone!r} brings its own loss, which a supernet cannot share out among paths; "
    "take proxy.kind finetune, probe or scratch"
)


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths that a step trains; by default one, drawn uniformly.

    A path's share of sites with a block is uniform between none and all, and then each choice
    is as likely as any other. The space's own way of drawing is even over kinds of blocks, and
    would train a choice the less the more options its kind has.

    In a sandwich, the batch is shared out among the paths and their gradients add up: no more
    arithmetic than one path, though four shares of 16 images took a CPU twice the time of 64.
    A frozen backbone learns nothing on its plain path: a share of it is refused, and a sandwich
    is without it.

    plain: share of the steps that take the plain path instead.
    sandwich: 0 for none; above, a step takes the plain path, a dense one (one kind of block
        wherever it fits) and so many drawn ones.
    Raises SpecError when a number is out of range, or both are given.
    Universally slimmable networks, arXiv:1903.05134, where each path has the whole batch.
    """

    plain: float = 0.0
    sandwich: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.plain < 1:
            raise SpecError(f"share of plain paths {self.plain}; allowed: from 0 to below 1")
        if self.sandwich < 0:
            raise SpecError(f"{self.sandwich} drawn paths; allowed: 0 (no sandwich) or more")
        if self.plain and self.sandwich:
            raise SpecError("a sandwich has the plain path in every step; leave its share at 0")

    def check(self, *, frozen: bool) -> None:
        """Check the paths for a backbone.

        Raises SpecError for a share of plain paths on a frozen backbone.
        """
        if frozen and self.plain:
            raise SpecError(
                f"share of plain paths {self.plain}: a frozen backbone learns nothing on them; "
                "train it too, or leave 0"
            )


class Switch(nn.Module):
    """The blocks that may be at one site, of which the active one alone is computed."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(dict(blocks))
        self.active = next(iter(self.blocks))

    def forward(self, features: Tensor) -> Tensor:
        attended: Tensor = self.blocks[self.active](features)
        return attended


class Supernet(nn.Module):
    """One backbone at one resolution, with a block for every distinct choice at each site.

    Blocks start as identities with the weights that `build` gives them, so that a path equals
    the network by itself until it is trained.

    plain: one of `candidates.plains()`; a space of several needs a supernet for each.
    weights: of the trained plain network; None means random ones.
    seed: of all first weights.
    frozen: whether the backbone, with the blocks that it came with, keeps its weights and its
        batch norm statistics.
    Raises SpecError when a site lies inside what may be replaced at another, or blocks share
    weights.
    """

    def __init__(
        self,
        candidates: Candidates,
        plain: Architecture,
        *,
        task: Task,
        weights: Mapping[str, Tensor] | None = None,
        seed: int = 0,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        self.candidates = candidates
        self.plain = plain
        self.task = task
        self.seed = seed
        self.frozen = frozen
        check_no_sharing(candidates.space)
        decisions = candidates.decisions(plain)
        self._sites = {site.name: site for decision in decisions for site in decision.sites}
        _check_apart(self._sites)
        self.network = build(plain, task=task, weights=weights, seed=seed)
        if has_loss(self.network):
            raise SpecError(SHARES_NO_LOSS.format(backbone=plain.backbone))
        self._names: dict[str, dict[object, str]] = {name: {} for name in self._sites}
        self._switches = self._install_switches(decisions)
        self.choose(plain)
        if frozen:
            self.network.requires_grad_(False)
            for block in self.blocks():
                block.requires_grad_(True)

    def _install_switches(self, decisions: Sequence[Decision]) -> dict[str, Switch]:
        """Put a switch into every site, with blocks out of networks that `build` made."""
        blocks_at: dict[str, dict[str, nn.Module]] = {name: {} for name in self._sites}
        for number in range(max(len(decision.choices) for decision in decisions)):
            labels = {
                site.name: decision.choices[min(number, len(decision.choices) - 1)]
                for decision in decisions
                for site in decision.sites
            }
            network = self._build(labels)
            for name, label in labels.items():
                site, kind = self._sites[name], _kind(self._sites[name], label)
                if kind not in self._names[name]:
                    self._names[name][kind] = key = label.replace(".", "_")
                    holder = holder_of(self.network if kind == KEEP else network, site.slot)
                    blocks_at[name][key] = (
                        nn.Identity() if kind == EMPTY else site.slot.block(holder)
                    )
        switches = {name: Switch(blocks) for name, blocks in blocks_at.items()}
        for name, switch in switches.items():
            slot = self._sites[name].slot
            slot.fill(holder_of(self.network, slot), switch)
        return switches

    def _build(self, labels: Mapping[str, str]) -> nn.Module:
        insertions = tuple(
            Insertion.of(name, label)
            for name, label in labels.items()
            if _kind(self._sites[name], label) not in {KEEP, EMPTY}
        )
        architecture = replace(self.plain, insertions=insertions)
        return build(architecture, task=self.task, start="identity", seed=self.seed)

    # Paths.

    def choose(self, *architectures: Architecture) -> None:
        """Make these the active paths; images are shared out among them in order.

        Raises SpecError when the supernet does not hold one of them.
        """
        self._active = [self._path(architecture) for architecture in architectures]

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, ...), a share of the images through each active path."""
        shares = images.tensor_split(len(self._active))
        return torch.cat(
            [
                self._along(path, share)
                for path, share in zip(self._active, shares, strict=True)
                if len(share)
            ]
        )

    def _along(self, path: Mapping[str, str], images: Tensor) -> Tensor:
        for name, key in path.items():
            self._switches[name].active = key
        scores: Tensor = self.network(images)
        return scores

    def holds(self, architecture: Architecture) -> bool:
        """Say whether an architecture is one of the supernet's paths."""
        try:
            self._path(architecture)
        except SpecError:
            return False
        return True

    def _path(self, architecture: Architecture) -> dict[str, str]:
        """Return the key of the active block at each site.

        Raises SpecError when the supernet does not hold the architecture.
        """
        if architecture.plain != self.plain:
            raise SpecError(
                f"{architecture.backbone} at {architecture.resolution} is no path of a supernet of "
                f"{self.plain.backbone} at {self.plain.resolution}; each has its own"
            )
        labels = {insertion.site: insertion.label for insertion in architecture.insertions}
        for name in labels:
            if name not in self._sites:
                raise SpecError(
                    f"the supernet has no site {name!r}; it has: {', '.join(self._sites)}"
                )
        path = {}
        for name, site in self._sites.items():
            label, names = labels.get(name, KEEP), self._names[name]
            kind = _kind(site, label)
            if kind not in names:
                raise SpecError(
                    f"the supernet has no {label!r} at {name}; it has: {', '.join(names.values())}"
                )
            path[name] = names[kind]
        return path

    def draw(self, rng: random.Random, paths: Paths | None = None) -> tuple[Architecture, ...]:
        """Draw the architectures of one step.

        With a frozen backbone each has a block, and with it something to train: an identity
        start has a parameter.

        paths: how many and which; None means the default.
        """
        paths = paths or Paths()
        if paths.sandwich:
            ends = [] if self.frozen else [self.plain]
            dense = self._draw_trainable(rng, self._dense)
            return (
                *ends,
                dense,
                *(self._draw_trainable(rng, self._any) for _ in range(paths.sandwich)),
            )
        if paths.plain and rng.random() < paths.plain:
            return (self.plain,)
        return (self._draw_trainable(rng, self._any),)

    def _draw_trainable(
        self, rng: random.Random, draw: Callable[[random.Random], Architecture]
    ) -> Architecture:
        while True:
            architecture = draw(rng)
            if architecture.blocks or not self.frozen:
                return architecture

    def _any(self, rng: random.Random) -> Architecture:
        share = rng.random()

        def some(choices: Sequence[str]) -> Sequence[str]:
            inserts = rng.random() < share
            return [label for label in choices if (label not in {KEEP, EMPTY}) == inserts]

        return self._with(some, rng)

    def _dense(self, rng: random.Random) -> Architecture:
        """Draw blocks of one kind, one wherever it fits, with options drawn at each."""
        kind = rng.choice(sorted(self.candidates.space.blocks))
        return self._with(
            lambda choices: [label for label in choices if label.partition("/")[0] == kind], rng
        )

    def _with(
        self, some: Callable[[Sequence[str]], Sequence[str]], rng: random.Random
    ) -> Architecture:
        """Draw one of some choices in each decision; where there are none, slots stay as they come.

        Of too many blocks, as many are left as the space allows.
        """
        values = self.candidates.values(self.plain)
        assert values is not None, self.plain
        for name, choices in self.candidates.parameters_given(values).items():
            fitting = some(choices)
            if fitting and name not in self.candidates.head:
                values[name] = rng.choice(fitting)
        return self.candidates.architecture(self.candidates.limit_insertions(values, rng))

    # Weights.

    def blocks(self) -> Iterator[nn.Module]:
        """Yield every inserted block, and none that the backbone came with."""
        for switch in self._switches.values():
            yield from (block for key, block in switch.blocks.items() if key != KEEP)

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that training changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def set_training(self) -> None:
        """Set training mode for what is trained, and evaluation mode for a frozen backbone."""
        self.train(not self.frozen)
        for block in self.blocks():
            block.train()

    def weights_of(self, architecture: Architecture) -> dict[str, Tensor]:
        """Return the weights on a path, by their names in the network by itself.

        Raises SpecError when the supernet does not hold the architecture.
        """
        paths = {name: path_of(self.network, site.slot) for name, site in self._sites.items()}
        switched = tuple(f"{path}." for path in paths.values())
        weights = {
            name: tensor
            for name, tensor in self.network.state_dict().items()
            if not name.startswith(switched)
        }
        for name, key in self._path(architecture).items():
            block = self._switches[name].blocks[key]
            weights |= block.state_dict(prefix=f"{paths[name]}.")
        return weights


def check_no_sharing(space: SearchSpace) -> None:
    """Check that each block has weights of its own, as in a supernet. Raises SpecError."""
    if space.share is not None:
        raise SpecError(
            f"space {space.name!r} says share: {space.share}, and a supernet gives each site "
            "blocks of its own; leave that out, or search by probe, finetune or scratch"
        )


def _check_apart(sites: Mapping[str, Site]) -> None:
    """Check that no site lies inside what may be replaced at another. Raises SpecError."""
    for name, site in sites.items():
        for other, inner in sites.items():
            inside = f"{inner.slot.module}.".startswith(f"{site.slot.module}.")
            if site.slot.way == "in" and inside and other != name:
                raise SpecError(
                    f"site {other} lies inside {name}, where blocks are exchanged; leave one of "
                    "them out (sites.exclude) for a supernet"
                )


def _kind(site: Site, label: str) -> object:
    """Return a value that is equal for labels that build the same network at a site."""
    if label in {KEEP, EMPTY}:
        return label if site.filled else EMPTY
    name, options = parse_label(label)
    block = block_named(name)
    return block.same_network(site.channels, block.complete(options))
