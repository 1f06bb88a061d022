"""The supernet: a plain network with every candidate block of a space at each of its sites.

Any network of the space is a path through it, and is judged in seconds by the weights that it
inherits. They rank networks roughly (FACTS, section 7) and never have the last word; without
batch norm estimated again they rank nothing, and loss ranks better than accuracy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.architecture import EMPTY, KEEP, Architecture, Insertion, parse_label
from nas.backbones import Site
from nas.blocks import block_named
from nas.candidates import Candidates, Place
from nas.data import Dataset, Split
from nas.errors import SpecError, StorageError
from nas.networks import build, inserted_modules
from nas.proxies.checkpoint import load_weights, save_weights
from nas.proxies.training import Recipe, Trainer, Training, evaluate
from nas.seeds import derive
from nas.task import Classification, Score

__all__ = [
    "Paths",
    "Supernet",
    "inherit",
    "load_supernet",
    "recalibrate",
    "score",
    "train_supernet",
]

_EVERY = 100
"""Steps between two checkpoints of a training."""

_BATCH = 128
"""Images at once when batch norm is estimated."""

_OWN = "network."
"""Begins the names of weights among what goes on a training."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Which paths a step trains; by default one, drawn uniformly.

    A path's share of sites with a block is uniform between none and all, and then each choice
    is as likely as any other. The space's own way of drawing is even over kinds of blocks, and
    would train a choice the less the more options its kind has.

    plain: share of the steps that take the plain path instead.
    sandwich: above 0, a step takes the plain path, a dense one (one kind of block wherever it
    fits) and so many drawn ones. The batch is shared out among them and their gradients add up:
    no more arithmetic than one path, though four shares of 16 images took a CPU twice the time
    of 64. Universally slimmable networks, arXiv:1903.05134, where each path has the whole batch.
    A frozen backbone learns nothing on its plain path: a share of it is refused, and a sandwich
    is without it. Raises SpecError.
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
        """Raises SpecError for a share of plain paths on a frozen backbone."""
        if frozen and self.plain:
            raise SpecError(
                f"share of plain paths {self.plain}: a frozen backbone learns nothing on them; "
                "train it too, or leave 0"
            )


class Switch(nn.Module):
    """The blocks that may stand at one site; the active one alone is computed."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(dict(blocks))
        self.active = next(iter(self.blocks))

    def forward(self, features: Tensor) -> Tensor:
        attended: Tensor = self.blocks[self.active](features)
        return attended


class Supernet(nn.Module):
    """One backbone at one resolution, with a block for every distinct choice at each site.

    plain: one of `candidates.plains()`; a space of several needs a supernet for each.
    weights: of the trained plain network. seed: blocks start as identities with the weights
    that `build` gives them, so that a path equals the network by itself until it is trained.
    frozen: the backbone, with the blocks that it came with, keeps its weights and its batch
    norm statistics. Raises SpecError.
    """

    def __init__(
        self,
        candidates: Candidates,
        plain: Architecture,
        *,
        num_classes: int,
        weights: Mapping[str, Tensor] | None = None,
        seed: int = 0,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        self.candidates = candidates
        self.plain = plain
        self.num_classes = num_classes
        self.seed = seed
        self.frozen = frozen
        places = candidates.places(plain)
        self._sites = {site.name: site for place in places for site in place.sites}
        _check_apart(self._sites)
        self.network = build(plain, num_classes=num_classes, weights=weights, seed=seed)
        self._names: dict[str, dict[object, str]] = {name: {} for name in self._sites}
        self._switches = self._filled(places)
        self.choose(plain)
        if frozen:
            self.network.requires_grad_(False)
            for block in self.blocks():
                block.requires_grad_(True)

    def _filled(self, places: Sequence[Place]) -> dict[str, Switch]:
        """Put a switch into every site, with blocks out of networks that `build` made."""
        found: dict[str, dict[str, nn.Module]] = {name: {} for name in self._sites}
        for number in range(max(len(place.choices) for place in places)):
            labels = {
                site.name: place.choices[min(number, len(place.choices) - 1)]
                for place in places
                for site in place.sites
            }
            network = self._built(labels)
            for name, label in labels.items():
                site, kind = self._sites[name], _kind(self._sites[name], label)
                if kind not in self._names[name]:
                    self._names[name][kind] = key = label.replace(".", "_")
                    holder = self.network if kind == KEEP else network
                    found[name][key] = nn.Identity() if kind == EMPTY else site.slot.block(holder)
        switches = {name: Switch(blocks) for name, blocks in found.items()}
        for name, switch in switches.items():
            self._sites[name].slot.fill(self.network, switch)
        return switches

    def _built(self, labels: Mapping[str, str]) -> nn.Module:
        insertions = tuple(
            Insertion.of(name, label)
            for name, label in labels.items()
            if _kind(self._sites[name], label) not in {KEEP, EMPTY}
        )
        architecture = Architecture(
            self.plain.backbone, self.plain.resolution, insertions, self.plain.total_stride
        )
        return build(architecture, num_classes=self.num_classes, start="identity", seed=self.seed)

    # Paths.

    def choose(self, *architectures: Architecture) -> None:
        """Make these the active paths; images are shared out among them in order.

        Raises SpecError when the supernet does not hold one of them.
        """
        self._active = [self._path(architecture) for architecture in architectures]

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes), a share of the images through each active path."""
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
        """Whether it is one of the supernet's paths."""
        try:
            self._path(architecture)
        except SpecError:
            return False
        return True

    def _path(self, architecture: Architecture) -> dict[str, str]:
        """Site -> which of its switch's blocks. Raises SpecError."""
        if architecture.plain != self.plain:
            raise SpecError(
                f"{architecture.backbone} at {architecture.resolution} is no path of a supernet of "
                f"{self.plain.backbone} at {self.plain.resolution}; each has its own"
            )
        labels = {item.site: item.label for item in architecture.insertions}
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
        """Architectures for one step. With a frozen backbone each has a block, and with it
        something to train: an identity start has a parameter.
        """
        paths = paths or Paths()
        if paths.sandwich:
            ends = [] if self.frozen else [self.plain]
            dense = self._drawn(rng, self._dense)
            return (*ends, dense, *(self._drawn(rng, self._any) for _ in range(paths.sandwich)))
        if paths.plain and rng.random() < paths.plain:
            return (self.plain,)
        return (self._drawn(rng, self._any),)

    def _drawn(
        self, rng: random.Random, draw: Callable[[random.Random], Architecture]
    ) -> Architecture:
        while True:
            architecture = draw(rng)
            if architecture.blocks or not self.frozen:
                return architecture

    def _any(self, rng: random.Random) -> Architecture:
        share = rng.random()

        def some(choices: Sequence[str]) -> Sequence[str]:
            taken = rng.random() < share
            return [label for label in choices if (label not in {KEEP, EMPTY}) == taken]

        return self._with(some, rng)

    def _dense(self, rng: random.Random) -> Architecture:
        """A block of one kind wherever it fits, with options drawn at each place."""
        kind = rng.choice(sorted(self.candidates.space.blocks))
        return self._with(
            lambda choices: [label for label in choices if label.partition("/")[0] == kind], rng
        )

    def _with(
        self, some: Callable[[Sequence[str]], Sequence[str]], rng: random.Random
    ) -> Architecture:
        """One of some choices at each place, as it comes where there are none; of too many
        blocks, the space's limit.
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
        """Every inserted block; not those that the backbone came with."""
        for switch in self._switches.values():
            yield from (block for key, block in switch.blocks.items() if key != KEEP)

    def trained(self) -> list[nn.Parameter]:
        """What training changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def set_training(self) -> None:
        """Training mode for what is trained, evaluation mode for a frozen backbone."""
        self.train(not self.frozen)
        for block in self.blocks():
            block.train()

    def weights_of(self, architecture: Architecture) -> dict[str, Tensor]:
        """The weights on a path, by their names in the network by itself. Raises SpecError."""
        switched = tuple(f"{site.slot.path}." for site in self._sites.values())
        weights = {
            name: tensor
            for name, tensor in self.network.state_dict().items()
            if not name.startswith(switched)
        }
        for name, key in self._path(architecture).items():
            prefix = f"{self._sites[name].slot.path}."
            weights |= self._switches[name].blocks[key].state_dict(prefix=prefix)
        return weights


def _check_apart(sites: Mapping[str, Site]) -> None:
    """Raises SpecError for a site inside what may be replaced at another."""
    for name, site in sites.items():
        for other, inner in sites.items():
            inside = f"{inner.slot.module}.".startswith(f"{site.slot.module}.")
            if site.slot.way == "in" and inside and other != name:
                raise SpecError(
                    f"site {other} lies inside {name}, where blocks are exchanged; leave one of "
                    "them out (sites.exclude) for a supernet"
                )


def _kind(site: Site, label: str) -> object:
    """Equal for labels that build the same network at a site."""
    if label in {KEEP, EMPTY}:
        return label if site.filled else EMPTY
    name, options = parse_label(label)
    block = block_named(name)
    return block.same_network(site.channels, block.complete(options))


def train_supernet(
    supernet: Supernet,
    data: Dataset,
    task: Classification,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    paths: Paths | None = None,
    keep: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train a supernet in place, on paths drawn anew for every step.

    Blocks that are not on a step's path have no gradient there and stay as they are: neither
    momentum nor weight decay moves them.
    keep: a file for its weights. A training that was interrupted goes on from there exactly as
    if it had not been; one that had come to its end is read, and nothing is trained again.
    progress: called with (step, steps).
    Raises SpecError, TrainingError when it diverges, StorageError when `keep` cannot be used.
    """
    paths = paths or Paths()
    paths.check(frozen=supernet.frozen)

    def choose(step: int) -> None:
        rng = random.Random(derive(seed, "paths", step))
        supernet.choose(*supernet.draw(rng, paths))

    training = Training(
        supernet,
        data,
        task,
        recipe,
        parameters=supernet.trained(),
        seed=seed,
        device=device,
        set_mode=lambda _: supernet.set_training(),
        before_step=choose,
    )
    if keep is not None and keep.exists():
        _take_up(training, keep)
    while training.spent < recipe.length:
        training.run(min(recipe.length, training.spent + _EVERY), _of_all(recipe, progress))
        if keep is not None:
            save_weights(keep, _to_keep(training))
    supernet.choose(supernet.plain)


def _of_all(
    recipe: Recipe, progress: Callable[[int, int], None] | None
) -> Callable[[int, int], None] | None:
    return progress and (lambda done, _until: progress(done, int(recipe.length)))


def _to_keep(training: Training) -> dict[str, Tensor]:
    """At the end without what the optimiser remembers, which is twice the weights."""
    finished = training.spent >= training.recipe.length
    return {
        name: tensor
        for name, tensor in training.state().items()
        if not (finished and name.startswith("optimiser."))
    }


def _take_up(training: Training, path: Path) -> None:
    state = load_weights(path)
    try:
        training.load(_checked(state, training.network, path))
    except (KeyError, RuntimeError, ValueError):
        raise _foreign(path) from None


def load_supernet(supernet: Supernet, path: Path) -> None:
    """Give a supernet the weights that `train_supernet` kept, in place. Raises StorageError."""
    state = _checked(load_weights(path), supernet, path)
    weights = {
        name.removeprefix(_OWN): kept for name, kept in state.items() if name.startswith(_OWN)
    }
    try:
        supernet.load_state_dict(weights)
    except RuntimeError:
        raise _foreign(path) from None


def _checked(state: Mapping[str, Tensor], supernet: nn.Module, path: Path) -> Mapping[str, Tensor]:
    if {f"{_OWN}{name}" for name in supernet.state_dict()} - state.keys():
        raise _foreign(path)
    return state


def _foreign(path: Path) -> StorageError:
    return StorageError(f"{path} is of another supernet; move it away to train anew")


def inherit(supernet: Supernet, architecture: Architecture) -> nn.Module:
    """A path as the network that `build` makes, with the supernet's weights, in evaluation mode.

    Raises SpecError when the supernet does not hold it.
    """
    weights = supernet.weights_of(architecture)
    network = build(
        architecture, num_classes=supernet.num_classes, start="identity", seed=supernet.seed
    )
    network.load_state_dict(weights)
    return network


def recalibrate(
    network: nn.Module,
    data: Dataset,
    *,
    device: torch.device,
    images: int = 1024,
    seed: int = 0,
    within: Iterable[nn.Module] | None = None,
) -> None:
    """Estimate batch norm statistics again, in place: their mean over batches of training images
    as they are, not augmented. No weight changes.

    images: drawn with the seed; the same for every network. within: modules whose batch norms
    these are; None: the whole network.
    """
    layers = [
        layer
        for module in (within if within is not None else [network])
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    if not layers:
        return
    network.eval().to(device).to(memory_format=torch.channels_last)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of what it sees
        layer.train()
    with torch.no_grad():
        for batch in _batches(data, images, seed, device):
            network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def _batches(data: Dataset, images: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of one size, for each counts the same."""
    generator = torch.Generator().manual_seed(derive(seed, "statistics"))
    rows = torch.randperm(len(data.train), generator=generator)[:images]
    some = Split(data.train.images[rows], data.train.labels[rows])
    size = min(_BATCH, len(rows))
    trainer = Trainer(data, device)
    for start in range(0, len(rows) - size + 1, size):
        yield trainer.plain(some, slice(start, start + size))


def score(
    supernet: Supernet,
    architecture: Architecture,
    data: Dataset,
    task: Classification,
    *,
    device: torch.device,
    images: int = 1024,
    seed: int = 0,
) -> Score:
    """Judge an architecture by inherited weights on all validation images; compare by loss.

    images: that its batch norms see first: those of the blocks alone where the backbone is
    frozen. Raises SpecError, TrainingError when scores are not finite.
    """
    network = inherit(supernet, architecture)
    within = inserted_modules(network, architecture) if supernet.frozen else [network]
    recalibrate(network, data, device=device, images=images, seed=seed, within=within)
    return evaluate(network, data, task, device=device)
