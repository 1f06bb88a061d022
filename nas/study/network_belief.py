"""What a study's trainings say of its networks: one belief, from every rung, seed and recipe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.base.natural_order import natural_key
from nas.belief.belief import Belief, Gain
from nas.belief.evidence import CURVE, EPOCH, Evidence
from nas.belief.grid import Grid
from nas.belief.points import PointSpace
from nas.belief.published_prior import Regime
from nas.belief.terms import Place, SharedTerms
from nas.spec.architecture import KEEP, PLAIN, Architecture
from nas.spec.runner import Runner
from nas.spec.width import is_widened
from nas.study.full_training import FullTraining
from nas.study.record import PRUNED, RungResult, read_epoch_losses, read_rungs
from nas.study.trials import Trials
from nas.study.width_belief import WidthBelief

__all__ = ["Budgets", "NetworkBelief", "SeenSpace", "collect_evidence"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_NETWORK = "network"
_LEAST = 2  # networks
_MOST = 600  # rows that a belief is fitted to; 1,200 take five seconds
FULL, START = CURVE


@dataclass(frozen=True, slots=True)
class Budgets:
    """What the short trainings of a run are, as evidence of its full trainings.

    source: `start` where they begin as full trainings do; else the kind of proxy.
    images: that a training has seen at each rung, from the lowest.
    train_images: in one epoch.
    full_images: that a full training sees.
    annealed: the rungs below the top are read after a cooldown of their own, as the top is.
    published: the regime whose published comparisons guide the search beside trainings; None: none
        do.
    """

    source: str
    images: tuple[float, ...]
    train_images: float
    full_images: float
    annealed: bool = False
    published: Regime | None = None

    @classmethod
    def of(cls, runner: Runner, train_images: int) -> Budgets:
        """Return what a runner's proxy is evidence of, with so many training images.

        A budget in seconds is of no known number of images, and then a source of its own.
        """
        proxy = runner.proxy.settled(train_images)
        full = runner.retrain.resolved(train_images)
        whole = proxy.subset is None and proxy.resolution is None and proxy.unit != "seconds"
        source = START if proxy.kind == "scratch" and whole else proxy.kind
        images = tuple(
            budget
            if proxy.unit == "seconds"
            else proxy.steps(budget, train_images) * proxy.batch_size
            for budget in proxy.budgets
        )
        return cls(
            source,
            images,
            train_images=float(train_images),
            full_images=float(full.epochs * train_images),
            annealed=proxy.schedule != "whole",
            published=proxy.regime if runner.search.published_prior else None,
        )


@dataclass(frozen=True, eq=False)
class SeenSpace:
    """The networks of a study as points: of the sites and labels that stand in any of them.

    architectures: distinct, the plain network of each backbone among them or not.
    macs: (n,) of each.
    """

    architectures: tuple[Architecture, ...]
    macs: Floats

    @cached_property
    def _networks(self) -> tuple[str, ...]:
        """The backbones, that of most networks first: gains are against it as it comes."""
        counts = Counter(_network(item) for item in self.architectures)
        return tuple(sorted(counts, key=lambda name: (-counts[name], name)))

    @cached_property
    def _labels(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Backbone and site -> labels that were seen there, behind that of an idle site."""
        seen: dict[tuple[str, str], set[str]] = {}
        for architecture in self.architectures:
            for item in architecture.insertions:
                seen.setdefault((architecture.backbone, item.site), set()).add(item.label)
        keys = sorted(seen, key=lambda key: (key[0], natural_key(key[1])))
        return {key: (KEEP, *sorted(seen[key], key=natural_key)) for key in keys}

    @cached_property
    def grid(self) -> Grid:
        """The network as one parameter, then each site."""
        sites = {f"{backbone}:{site}": labels for (backbone, site), labels in self._labels.items()}
        return Grid({_NETWORK: self._networks, **sites})

    @cached_property
    def _columns(self) -> dict[tuple[str, str], int]:
        return {key: column for column, key in enumerate(self._labels, start=1)}

    def codes(self, architectures: Sequence[Architecture]) -> Codes:
        """Return codes (n, d). Raises KeyError, ValueError for a site or label never seen."""
        codes = np.zeros((len(architectures), 1 + len(self._labels)), dtype=np.int64)
        for row, item in enumerate(architectures):
            codes[row, 0] = self._networks.index(_network(item))
            for insertion in item.insertions:
                key = item.backbone, insertion.site
                codes[row, self._columns[key]] = self._labels[key].index(insertion.label)
        return codes

    def knows(self, architecture: Architecture) -> bool:
        """Return whether a network is of the backbones, sites and labels that were seen."""
        if _network(architecture) not in self._networks:
            return False
        return all(
            item.label in self._labels.get((architecture.backbone, item.site), ())
            for item in architecture.insertions
        )

    @property
    def sites(self) -> int:
        """The number of sites at which a block was seen."""
        return len(self._labels)

    @property
    def choices(self) -> float:
        """The number of networks that can be made of what was seen."""
        return len(self._networks) * math.prod(float(len(item)) for item in self._labels.values())

    def space(self) -> PointSpace:
        """Return the space of points; gains are against the first backbone as it comes."""
        keys = list(self._labels)
        places = [Place("", 0.0, 0)]
        for backbone, site in keys:
            own = [other for other, _ in keys if other == backbone]
            number = [other for of, other in keys if of == backbone].index(site)
            places.append(Place(_stage(site), number / max(1, len(own) - 1), 1))
        terms = SharedTerms(self.grid, places)
        return PointSpace(
            self.grid,
            features=self._features,
            terms=terms,
            groups=terms.groups,
            load=terms.load,
            reference=np.zeros(1 + len(keys), dtype=np.int64),
        )

    def _features(self, codes: Codes) -> Floats:
        macs = np.maximum(self._macs_of(codes), 1.0)
        return ((np.log(macs) - self._centre) / self._spread)[:, None]

    @cached_property
    def _centre(self) -> float:
        return float(np.log(np.maximum(self.macs, 1.0)).mean())

    @cached_property
    def _spread(self) -> float:
        return max(float(np.log(np.maximum(self.macs, 1.0)).std()), 1e-3)

    def _macs_of(self, codes: Codes) -> Floats:
        """Return multiply-adds (n,): they add up over sites, so those seen tell every choice's."""
        return _one_hot(self.grid, codes) @ self._added_macs

    @cached_property
    def _added_macs(self) -> Floats:
        rows = _one_hot(self.grid, self.codes(self.architectures))
        return np.asarray(np.linalg.lstsq(rows, self.macs, rcond=None)[0])


@dataclass(frozen=True, eq=False)
class NetworkBelief:
    """The belief about the networks of a study: their gain by full training over the plain one.

    seen: its networks.
    belief: about all that can be made of their sites and labels.
    evidence: what it is fitted to.
    wider: about the plain network widened, which `seen` does not hold; None where none was trained.
    """

    seen: SeenSpace
    belief: Belief
    evidence: Evidence
    wider: WidthBelief | None = None

    @classmethod
    def of(cls, trials: Trials, budgets: Budgets) -> NetworkBelief | None:
        """Return the belief of a study; None where fewer than two networks have come to a value.

        Of very many trainings, the latest and those nearest to the best are read.
        """
        rows = _rows_to_read(trials)
        references = trials["reference"][rows]
        widened = np.array([is_widened(name) for name in references.tolist()], dtype=np.bool_)
        belief = cls._of_rows(trials, rows[~widened], budgets)
        if belief is None or not widened.any():
            return belief
        return replace(belief, wider=belief._of_wider(trials, rows, budgets))

    @classmethod
    def _of_rows(cls, trials: Trials, rows: Codes, budgets: Budgets) -> NetworkBelief | None:
        """Return the belief about the networks of some rows; None of fewer than two."""
        texts = [str(text) for text in trials.text("architecture").take(rows).objects()]
        architectures = {text: Architecture.from_json(text) for text in dict.fromkeys(texts)}
        if len(architectures) < _LEAST:
            return None
        macs = {
            text: value
            for text, value in zip(texts, trials["macs"][rows].tolist(), strict=True)
            if math.isfinite(value)
        }
        seen = SeenSpace(
            tuple(architectures.values()),
            np.array([macs.get(text, 1.0) for text in architectures]),
        )
        codes = dict(
            zip(
                (item.digest for item in seen.architectures),
                seen.codes(seen.architectures),
                strict=True,
            )
        )
        evidence = collect_evidence(trials, codes, budgets)
        return cls(
            seen,
            Belief.fit(seen.space(), evidence, target_images=budgets.full_images),
            evidence,
        )

    def _of_wider(self, trials: Trials, rows: Codes, budgets: Budgets) -> WidthBelief | None:
        """Return what is believed of the widened networks among some rows, by their own trainings.

        None where the plain network was not trained beside them.
        """
        digests = [str(digest) for digest in trials.text("digest").take(rows).objects()]
        references = trials["reference"][rows].tolist()
        number = {digest: place for place, digest in enumerate(dict.fromkeys(digests))}
        plain = [
            number[digest]
            for digest, name in zip(digests, references, strict=True)
            if name == PLAIN
        ]
        if not plain:
            return None
        codes = {digest: np.array([place], dtype=np.int64) for digest, place in number.items()}
        gain = self.belief.gain(self.seen.codes(self.seen.architectures))
        usual = float(np.sqrt((gain.mean**2 + gain.deviation**2).mean()))
        return WidthBelief.of(
            collect_evidence(trials, codes, budgets),
            {
                digest: number[digest]
                for digest, name in zip(digests, references, strict=True)
                if is_widened(name)
            },
            plain[0],
            full_images=budgets.full_images,
            usual=usual,
            usual_metric=usual * abs(self.belief.metric_per_loss),
        )

    def knows(self, architecture: Architecture) -> bool:
        """Return whether a gain can be told of a network."""
        return self._is_wider(architecture) or self.seen.knows(architecture)

    def gain(self, architectures: Sequence[Architecture]) -> Gain:
        """Return the gain in loss."""
        narrow, wide, wider = self._split(architectures)
        gain = self.belief.gain(self.seen.codes(narrow))
        if self.wider is None or not wide.any():
            return gain
        return _put_together(wide, gain, self.wider.chosen(wider, self.wider.loss))

    def joint(self, architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Return mean (n,) and covariance (n, n) of the gains in loss, of no widened ones."""
        return self.belief.joint(self.seen.codes(architectures))

    def metric_gain(self, architectures: Sequence[Architecture]) -> Gain:
        """Return the gain in accuracy, as a share."""
        narrow, wide, wider = self._split(architectures)
        gain = self.belief.metric_gain(self.seen.codes(narrow))
        if self.wider is None or not wide.any():
            return gain
        return _put_together(wide, gain, self.wider.chosen(wider, self.wider.metric))

    def draws(self, architectures: Sequence[Architecture], count: int, seed: int = 0) -> Floats:
        """Return joint draws (count, n) of the gains in loss."""
        narrow, wide, wider = self._split(architectures)
        drawn = self.belief.draws(self.seen.codes(narrow), count, seed)
        if self.wider is None or not wide.any():
            return drawn
        return _put_beside(wide, drawn, self.wider.draws(wider, self.wider.loss, count, seed))

    def metric_draws(
        self, architectures: Sequence[Architecture], count: int, seed: int = 0
    ) -> Floats:
        """Return joint draws (count, n) of the gains in accuracy, of the worlds of `draws`."""
        narrow, wide, wider = self._split(architectures)
        drawn = self.belief.metric_draws(self.seen.codes(narrow), count, seed)
        if self.wider is None or not wide.any():
            return drawn
        return _put_beside(wide, drawn, self.wider.draws(wider, self.wider.metric, count, seed))

    def _is_wider(self, architecture: Architecture) -> bool:
        return self.wider is not None and architecture.digest in self.wider.rows

    def _split(
        self, architectures: Sequence[Architecture]
    ) -> tuple[list[Architecture], NDArray[np.bool_], list[str]]:
        """Return networks of `seen`, (n,) which of all are wider, and the digests of those."""
        wide = np.array([self._is_wider(item) for item in architectures], dtype=np.bool_)
        narrow = [item for item in architectures if not self._is_wider(item)]
        return narrow, wide, [item.digest for item in architectures if self._is_wider(item)]


def collect_evidence(trials: Trials, codes: Mapping[str, Codes], budgets: Budgets) -> Evidence:
    """Return every training of a study as rows of evidence, at each rung that it came to.

    codes: digest -> (d,) of the networks to take; others are left out.
    """
    collected = _Collected()
    rows = _rows_to_read(trials)
    digests = trials.text("digest").take(rows).objects()
    for row, digest in zip(rows.tolist(), digests, strict=True):
        known = codes.get(str(digest))
        if known is not None:
            collected.add_trial(trials, row, known, budgets)
    for training in trials.full_trainings():
        if training.complete and training.digest in codes:
            collected.add_full_training(training, codes[training.digest], budgets)
    return collected.evidence()


class _Collected:
    """Rows of evidence as they are read."""

    def __init__(self) -> None:
        self._codes: list[Codes] = []
        self._rows: list[tuple[str, float, int, int, float, float]] = []

    def add_trial(self, trials: Trials, row: int, codes: Codes, budgets: Budgets) -> None:
        """Add what a trial came to at each rung."""
        scores = [
            *read_rungs(trials["rungs"][row]),
            RungResult(
                0.0,
                float(trials["loss"][row]),
                float(trials["accuracy"][row]),
                0.0,
                epoch_losses=read_epoch_losses(trials["epoch_losses"][row]),
            ),
        ]
        seed, number = int(trials["seed"][row]), int(trials["trial"][row])
        for rung, score in enumerate(scores):
            images = budgets.images[min(rung, len(budgets.images) - 1)]
            # Read at the full rate, a rung below the top has a scale of its own.
            alike = budgets.annealed or rung >= len(budgets.images) - 1
            source = budgets.source if alike else f"{budgets.source} on its way"
            self._add(codes, (source, images, seed, number, score.loss, score.accuracy))
            self._add_last_epoch(codes, budgets.source, (seed, number), score.epoch_losses, budgets)

    def add_full_training(self, training: FullTraining, codes: Codes, budgets: Budgets) -> None:
        """Add a full training; one of another length is another point of the curve."""
        assert training.loss is not None and training.accuracy is not None
        epochs = training.recipe.get("epochs")
        images = budgets.train_images * epochs if epochs else budgets.full_images
        # Numbered apart from those of the search.
        number = -1 - len(self._rows)
        self._add(
            codes,
            (FULL, images, -1 - training.seed, number, training.loss, training.accuracy),
        )
        own = -1 - training.seed, number
        self._add_last_epoch(codes, FULL, own, training.epoch_losses or (), budgets)

    def _add_last_epoch(
        self,
        codes: Codes,
        source: str,
        seed_and_training: tuple[int, int],
        losses: Sequence[float],
        budgets: Budgets,
    ) -> None:
        """Add the mean training loss of a training's last whole epoch.

        That of a probe would be as biased as the probe, which one more source is not told.
        """
        if source in CURVE and losses:
            images = budgets.train_images * len(losses)
            own = *seed_and_training, losses[-1], math.nan
            self._add(codes, (EPOCH[source], images, *own))

    def _add(self, codes: Codes, row: tuple[str, float, int, int, float, float]) -> None:
        self._codes.append(codes)
        self._rows.append(row)

    def evidence(self) -> Evidence:
        """Return the rows."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        source, images, seed, training, loss, metric = columns
        return Evidence(
            np.array(self._codes, dtype=np.int64).reshape(len(self._rows), -1),
            [str(name) for name in source],
            np.array(images, dtype=np.float64),
            np.array(seed, dtype=np.int64),
            np.array(training, dtype=np.int64),
            np.array(loss, dtype=np.float64),
            np.array(metric, dtype=np.float64),
        )


def _rows_to_read(trials: Trials) -> Codes:
    """Return the rows with a value: references, those nearest to the best, and the latest."""
    ended = trials.complete | trials.text("state").equal(PRUNED)
    rows = np.flatnonzero(ended & np.isfinite(trials["loss"]))
    if len(rows) <= _MOST:
        return rows
    losses = trials["loss"][rows]
    named = trials["reference"][rows] != None  # noqa: E711
    order = np.lexsort((losses, ~named))
    best = rows[order[: _MOST // 2]]
    rest = np.setdiff1d(rows, best)
    return np.sort(np.concatenate([best, rest[-(_MOST - len(best)) :]]))


def _put_together(wide: NDArray[np.bool_], narrow: Gain, wider: Gain) -> Gain:
    """Return the gains of networks (n,) of which two beliefs tell. wide: (n,) of the second."""
    mean, deviation = np.empty(len(wide)), np.empty(len(wide))
    mean[~wide], mean[wide] = narrow.mean, wider.mean
    deviation[~wide], deviation[wide] = narrow.deviation, wider.deviation
    return Gain(mean, deviation)


def _put_beside(wide: NDArray[np.bool_], narrow: Floats, wider: Floats) -> Floats:
    """Return draws (count, n) of two beliefs, by themselves.

    Both hold the noise of the plain network's trainings, so that what a widened network has over
    another is told a little too widely.
    """
    drawn = np.empty((len(narrow), len(wide)))
    drawn[:, ~wide], drawn[:, wide] = narrow, wider
    return drawn


def _network(architecture: Architecture) -> str:
    return f"{architecture.backbone} {architecture.resolution}"


def _stage(site: str) -> str:
    """Return the modules that hold a site's residual block."""
    return site.rpartition("/")[0].rpartition(".")[0] or "network"


def _one_hot(grid: Grid, codes: Codes) -> Floats:
    rows = np.zeros((len(codes), int(grid.sizes.sum())))
    rows[np.arange(len(rows))[:, None], codes + grid.first] = 1
    return rows
