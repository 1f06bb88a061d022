"""The rival: Efficient Attention Network's way to find where to plug attention, on L1.

    python -m benchmarks.fidelity.ean run DATA --kind coord --rows OUT.jsonl --work DIR
        [--epochs 15] [--steps 300] [--seed 0]
    python -m benchmarks.fidelity.ean shared DATA --kind coord --rows OUT.jsonl --work DIR
    python -m benchmarks.fidelity.ean table OUT.jsonl
    python -m benchmarks.fidelity.ean cost DATA [--epochs 15] [--steps 300]

DATA: `folder:PATH` of CIFAR-10; its test part is not opened. One network with a block of one kind
at every site is trained while each block is on or off by chance in every batch. Then a policy
(`ean_policy.py`) learns which schemes of blocks are worth most, by the accuracy that they have with
those weights on the images that short trainings are read on; the judges are not seen. Its proposals
are rows of OUT, beside one row for each of its steps: the scheme that the policy draws most often,
and the one with the highest reward of all that it drew. What is stopped goes on, and repeats
nothing. `shared` reads the networks of the truth that hold that kind alone with the shared weights,
as the policy does, and `table` says how far that orders them as the truth does. `cost` measures
some steps and prints the commands with the CPU time that they would take.
Source: Huang, Liang, Liang, He and Yang, arXiv:2011.14058, and the authors' program.

Where this departs from the paper, and why:
- A site has a block of its own. The paper shares one among the blocks of a stage, whose widths are
  equal in its residual networks; ours differ from site to site, and shared blocks would be other
  networks than those of the space.
- The backbone is `mobilenetv2_cifar`, with its seven sites behind depthwise convolutions, instead
  of ResNet-50, with sixteen at the ends of residual branches. Kinds are coordinate attention and
  SE, r = 8, one at a time, as the paper takes one.
- Shared weights are trained by the recipe of the landscape's full trainings (one cosine, Nesterov,
  batches of 128), over as many epochs as are asked for. The authors' program lowers the rate in
  steps, and takes the weights of epoch 40 of 50. Blocks start as identities, as in all trainings
  here.
- Schemes are judged on 5,000 held images. A scheme's accuracy is computed once: weights do not
  change any more, and seven sites have 128 schemes. Batch norm keeps the statistics of training,
  over all schemes, as in the authors' program; it is not estimated again for each.
- The authors' program gives all three schemes of a step the sum of their novelties, which tells
  none of them apart; here each has its own. It takes a constant from all rewards, as the running
  baseline does anyhow, and has a bound for its scores that it never applies: both are left out.
- The authors' program writes down what it draws, and not which scheme is to be trained in the end:
  hence two proposals.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.fidelity.ean_policy import SCHEMES, Policy, Scheme
from benchmarks.fidelity.judge import Truth
from benchmarks.fidelity.judgement import spearman
from benchmarks.fidelity.landscapes import LANDSCAPES, Landscape
from benchmarks.fidelity.trainings import Images, append, rows_of
from benchmarks.shared.command import carry_out
from benchmarks.shared.report import print_machine, print_table
from nas.backbones import sites_by_name
from nas.base.errors import StorageError
from nas.base.seeds import derive
from nas.data import Dataset
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe, steps_in

__all__ = ["KINDS", "Rival", "Supernet", "Switch"]

KINDS = ("coord", "se")
_CPU = torch.device("cpu")
_SAVE_EVERY = 200  # steps of shared weights that may be lost, about a minute
_MEASURED = 20  # steps, and evaluations, that tell what all would take


class Switch(nn.Module):
    """A block that may be off, and then lets everything through."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.on = block, True

    def forward(self, features: Tensor) -> Tensor:
        if not self.on:
            return features
        attended: Tensor = self.block(features)
        return attended


class Supernet:
    """One network with a block at every site, each of which may be on or off.

    everywhere: the architecture with all of them.
    """

    def __init__(self, everywhere: Architecture, classes: int, seed: int) -> None:
        self.everywhere, self._seed = everywhere, seed
        self.network = build(everywhere, num_classes=classes, start="identity", seed=seed)
        names = tuple(insertion.site for insertion in everywhere.insertions)
        sites = sites_by_name(
            everywhere.backbone, everywhere.resolution, everywhere.total_stride, names
        )
        self.switches = [Switch(sites[name].slot.block(self.network)) for name in names]
        for name, switch in zip(names, self.switches, strict=True):
            sites[name].slot.fill(self.network, switch)

    def choose(self, scheme: Scheme) -> None:
        """Put on the blocks of a scheme, and off all others."""
        for switch, on in zip(self.switches, scheme, strict=True):
            switch.on = bool(on)

    def choose_by_chance(self, step: int) -> None:
        """Put each block on with probability 1/2, by the number of the step."""
        generator = torch.Generator().manual_seed(derive(self._seed, "connections", step))
        self.choose(tuple(torch.randint(2, (len(self.switches),), generator=generator).tolist()))

    def architecture(self, scheme: Scheme) -> Architecture:
        """Return the network with the blocks of a scheme alone."""
        blocks = zip(self.everywhere.insertions, scheme, strict=True)
        return replace(self.everywhere, insertions=tuple(block for block, on in blocks if on))


@dataclass(frozen=True)
class Rival:
    """One search of the rival: for one kind of block, on some images.

    everywhere: the network with a block of that kind at every site. data: what shared weights are
    trained on, and what schemes are judged by. key: what it is called in its rows. prepared: called
    with the supernet before anything else, for tests.
    """

    everywhere: Architecture
    data: Dataset
    recipe: Recipe
    steps: int
    seed: int
    key: dict[str, Any]
    prepared: Callable[[Supernet], object] = lambda supernet: None

    def run(self, rows: Path, work: Path, *, until: int | None = None) -> list[dict[str, Any]]:
        """Search to the end, from where an earlier process stopped; return the proposals.

        until: steps of the policy, to stop before the end; there is no proposal then.
        """
        supernet, kept = self._supernet(), self._kept(work)
        spent = self._train(supernet, kept.with_suffix(".supernet.safetensors"))
        search = _Search(self, supernet, rows, kept.with_suffix(".policy.safetensors"), spent)
        search.go_on(self.steps if until is None else until)
        return search.propose() if search.policy.step >= self.steps else []

    def read(self, networks: Mapping[str, Architecture], rows: Path, work: Path) -> None:
        """Judge networks that hold this kind alone with the shared weights; add a row for each.

        Those that have a row, or hold another kind, are passed over.
        """
        supernet = self._supernet()
        self._train(supernet, self._kept(work).with_suffix(".supernet.safetensors"))
        there = {row.get("network") for row in rows_of(rows) if self.row_key.items() <= row.items()}
        blocks = self.everywhere.insertions
        for name, network in networks.items():
            if name in there or not set(network.insertions) <= set(blocks):
                continue
            scheme = tuple(int(block in network.insertions) for block in blocks)
            read = {"scheme": _text(scheme), "shared_accuracy": self.accuracy(supernet, scheme)}
            append(rows, self.row_key | {"network": name} | read)

    def _supernet(self) -> Supernet:
        supernet = Supernet(self.everywhere, len(self.data.classes), self.seed)
        self.prepared(supernet)
        return supernet

    @cached_property
    def row_key(self) -> dict[str, Any]:
        """What names its rows: those of other images or another recipe are not mixed with them."""
        images = [self.data.train.images[:100], self.data.validation.images[:100]]
        seen = hashlib.sha256(b"".join(part.numpy().tobytes() for part in images)).hexdigest()
        text = json.dumps([asdict(self.recipe), self.everywhere.digest, self.seed, seen])
        return self.key | {"made_of": hashlib.sha256(text.encode()).hexdigest()[:12]}

    def _kept(self, work: Path) -> Path:
        text = json.dumps(self.row_key, sort_keys=True)
        return work / hashlib.sha256(text.encode()).hexdigest()[:16]

    def _training(self, supernet: Supernet) -> Training:
        return Training(
            supernet.network,
            self.data,
            Task(outputs=len(self.data.classes)),
            self.recipe,
            parameters=supernet.network.parameters(),
            seed=self.seed,
            device=_CPU,
            before_step=supernet.choose_by_chance,
        )

    def _train(self, supernet: Supernet, kept: Path) -> float:
        """Train the shared weights, and return the CPU seconds that they took."""
        training, spent = self._training(supernet), 0.0
        with suppress(StorageError):
            state = load_weights(kept)
            spent = float(state.pop("seconds"))
            training.load(state)
        while training.spent < self.recipe.length:
            begun = time.process_time()
            training.run(min(training.spent + _SAVE_EVERY, self.recipe.length))
            spent += time.process_time() - begun
            save_weights(kept, training.state() | {"seconds": torch.tensor(spent).double()})
        supernet.network.eval()
        return spent

    def accuracy(self, supernet: Supernet, scheme: Scheme) -> float:
        """Return the accuracy of a scheme with the shared weights, in points."""
        supernet.choose(scheme)
        task = Task(outputs=len(self.data.classes))
        return (
            100 * evaluate(supernet.network, self.data, task, device=_CPU, batch_size=250).accuracy
        )

    def measured(self) -> tuple[float, float]:
        """Return CPU seconds of a step of the shared weights, and of judging a scheme."""
        supernet = self._supernet()
        training = self._training(supernet)
        training.run(2)  # the first are slower
        begun = time.process_time()
        training.run(2 + _MEASURED)
        middle = time.process_time()
        self.accuracy(supernet, (1,) * len(supernet.switches))
        self.accuracy(supernet, (0,) * len(supernet.switches))
        return (middle - begun) / _MEASURED, (time.process_time() - middle) / 2


class _Search:
    """The search by the policy, with rows as they come."""

    def __init__(
        self, rival: Rival, supernet: Supernet, rows: Path, kept: Path, spent: float
    ) -> None:
        self.policy = Policy(len(supernet.switches), rival.seed)
        self._rival, self._supernet, self._rows, self._kept = rival, supernet, rows, kept
        self._spent = spent
        mine = [row for row in rows_of(rows) if rival.row_key.items() <= row.items()]
        self._there = {row["step"] for row in mine if "step" in row}
        self._proposed = {row["proposal"] for row in mine if "proposal" in row}
        self._known: dict[Scheme, float] = {}
        self._best: list[tuple[float, int, Scheme]] = []
        for row in mine:
            for draw in row.get("draws", ()):
                self._note(_scheme(draw["scheme"]), draw["accuracy"], draw["reward"])
        with suppress(StorageError):
            state = load_weights(kept)
            self._spent = float(state.pop("seconds"))
            self.policy.load(state)

    def go_on(self, until: int) -> None:
        while self.policy.step < until:
            begun, step = time.process_time(), self.policy.step
            draws = self.policy.learn(self._accuracy)
            self._spent += time.process_time() - begun
            for draw in draws:
                self._note(draw.scheme, draw.accuracy, draw.reward)
            if step not in self._there:
                told = [
                    {
                        "scheme": _text(draw.scheme),
                        "accuracy": draw.accuracy,
                        "reward": round(draw.reward, 4),
                        "novelty": round(draw.novelty, 4),
                    }
                    for draw in draws
                ]
                shares = [round(share, 4) for share in self.policy.probabilities]
                row = {"step": step, "draws": told, "probabilities": shares}
                append(self._rows, self._rival.row_key | row | {"seconds": round(self._spent, 1)})
            # After its row: what is killed in between repeats the step, and not the row.
            seconds = {"seconds": torch.tensor(self._spent).double()}
            save_weights(self._kept, self.policy.state() | seconds)

    def propose(self) -> list[dict[str, Any]]:
        best = max(self._best)[2]
        found = []
        for name, scheme in (
            ("most probable", self.policy.most_probable),
            ("highest reward", best),
        ):
            row = self._rival.row_key | {
                "proposal": name,
                "scheme": _text(scheme),
                "shared_accuracy": self._accuracy(scheme),
                "probabilities": [round(share, 4) for share in self.policy.probabilities],
                "schemes_judged": len(self._known),
                "seconds": round(self._spent, 1),
                "architecture": json.loads(self._supernet.architecture(scheme).to_json()),
            }
            if name not in self._proposed:
                append(self._rows, row)
            found.append(row)
        return found

    def _accuracy(self, scheme: Scheme) -> float:
        if scheme not in self._known:
            self._known[scheme] = self._rival.accuracy(self._supernet, scheme)
        return self._known[scheme]

    def _note(self, scheme: Scheme, accuracy: float, reward: float) -> None:
        self._known[scheme] = accuracy
        self._best.append((reward, -sum(scheme), scheme))


def _text(scheme: Scheme) -> str:
    return "".join(map(str, scheme))


def _scheme(text: str) -> Scheme:
    return tuple(int(on) for on in text)


def rival_of(
    landscape: Landscape, data: Dataset, kind: str, epochs: float, steps: int, seed: int
) -> Rival:
    """Return the rival's search of a landscape for one kind of block."""
    recipe = Recipe(
        length=steps_in(epochs, len(data.train), landscape.batch_size),
        batch_size=landscape.batch_size,
        learning_rate=landscape.learning_rate,
        warm_up=landscape.warm_up_share(epochs),
    )
    key = {
        "landscape": landscape.name,
        "kind": kind,
        "epochs": epochs,
        "steps": steps,
        "seed": seed,
    }
    return Rival(
        landscape.networks[f"{kind} everywhere"],
        data,
        recipe,
        steps,
        # A seed of its own: none of the truth is used again.
        derive(seed, "fidelity ean", landscape.name, kind) % 2**31,
        key,
    )


def _asked(arguments: argparse.Namespace) -> Rival:
    """Return the search that a command is about, and make the folder that it works in."""
    landscape = LANDSCAPES[arguments.landscape]
    data = Images(arguments.data, landscape).proxies
    arguments.work.mkdir(parents=True, exist_ok=True)
    return rival_of(
        landscape, data, arguments.kind, arguments.epochs, arguments.steps, arguments.seed
    )


def run(arguments: argparse.Namespace) -> None:
    rival = _asked(arguments)
    for row in rival.run(arguments.rows, arguments.work):
        print(f"{row['kind']}, {row['proposal']}: {row['scheme']}, {row['seconds']:.0f} CPU s")


def shared(arguments: argparse.Namespace) -> None:
    networks = LANDSCAPES[arguments.landscape].networks
    _asked(arguments).read(networks, arguments.rows, arguments.work)


def cost(arguments: argparse.Namespace) -> None:
    landscape = LANDSCAPES[arguments.landscape]
    data = Images(arguments.data, landscape).proxies
    print_machine("torch")
    for kind in KINDS:
        rival = rival_of(landscape, data, kind, arguments.epochs, arguments.steps, 0)
        step, judging = rival.measured()
        schemes = min(2 ** len(landscape.sites), SCHEMES * arguments.steps)
        training, searching = rival.recipe.length * step / 60, schemes * judging / 60
        print(
            f"python -m benchmarks.fidelity.ean run {arguments.data} --kind {kind} "
            f"--epochs {arguments.epochs:g} --steps {arguments.steps} --rows OUT.jsonl --work DIR\n"
            f"  about {training + searching:.0f} CPU minutes: {rival.recipe.length:.0f} steps of "
            f"shared weights {training:.0f} ({1000 * step:.0f} ms each), at most {schemes} schemes "
            f"to judge {searching:.1f} ({judging:.2f} s each)"
        )


def table(arguments: argparse.Namespace) -> None:
    rows = [row for row in rows_of(arguments.rows) if "proposal" in row]
    cells = [
        [
            f"{row['landscape']}, {row['kind']}, seed {row['seed']}: {row['proposal']}",
            row["scheme"],
            f"{row['shared_accuracy']:.2f}",
            " ".join(f"{share:.2f}" for share in row["probabilities"]),
            str(row["schemes_judged"]),
            f"{row['epochs']:g}",
            f"{row['seconds'] / 60:.0f}",
        ]
        for row in rows
    ]
    headings = ["proposal", "scheme", "shared %", "probabilities", "schemes", "epochs", "CPU min"]
    print_table(headings, cells)
    print()
    _print_told(rows_of(arguments.rows))


def _print_told(rows: list[dict[str, Any]]) -> None:
    """Print how far the shared weights order the networks of one kind as the truth does."""
    read: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if "network" in row:
            of = read.setdefault((row["landscape"], row["kind"]), {})
            of[row["network"]] = row["shared_accuracy"]
    cells = []
    for (landscape, kind), accuracies in read.items():
        losses = Truth.of(LANDSCAPES[landscape]).losses()
        names = [name for name in accuracies if name in losses]
        found = np.array([accuracies[name] for name in names])
        wanted = -np.array([losses[name] for name in names])
        cells.append([f"{landscape}, {kind}", str(len(names)), f"{spearman(found, wanted):+.2f}"])
    if cells:
        print_table(["networks of one kind", "number", "rank correlation with the truth"], cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    running, reading, costing = map(commands.add_parser, ("run", "shared", "cost"))
    for command in (running, reading, costing):
        command.add_argument("data")
        command.add_argument("--landscape", choices=tuple(LANDSCAPES), default="L1")
        command.add_argument("--epochs", type=float, default=15.0)
        command.add_argument("--steps", type=int, default=300)
    for command, carried_out in ((running, run), (reading, shared)):
        command.add_argument("--kind", choices=KINDS, required=True)
        command.add_argument("--rows", type=Path, required=True)
        command.add_argument("--work", type=Path, required=True)
        command.add_argument("--seed", type=int, default=0)
        command.set_defaults(run=carried_out)
    costing.set_defaults(run=cost)
    printing = commands.add_parser("table")
    printing.add_argument("rows", type=Path)
    printing.set_defaults(run=table)
    torch.set_num_threads(1)
    carry_out(parser)


if __name__ == "__main__":
    main()
