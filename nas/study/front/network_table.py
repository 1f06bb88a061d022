"""All architectures of a study, each with its complete trials taken together, as columns."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.belief.mixed_model import Trainings
from nas.belief.noise import SeedNoise, mean_over_seeds
from nas.belief.terms import stage_of
from nas.spec.architecture import EMPTY, PLAIN, Architecture, parse_label
from nas.study.front.image_noise import image_noises
from nas.study.full_training import (
    average_full_trainings,
    read_full_trainings,
    select_main_recipe,
)
from nas.study.text_columns import Texts
from nas.study.trials import Trials

__all__ = ["NetworkTable"]

_LIMITED = (
    "loss", "loss_saved", "accuracy", "latency_ms", "params", "macs", "seeds", "blocks",
    # Not test figures: what is chosen by them has none left.
    "retrained_accuracy", "retrained_seeds",
)  # fmt: skip
_TEXTS = ("reference", "run", "regime", "backbone", "digest")
# What is chosen by test figures has none left; `retrained` is JSON, `uncounted` names.
_NOT_TO_FILTER_BY = {
    "retrained",
    "retrained_test_accuracy",
    "retrained_test_spread",
    "uncounted",
}
_SIZES: dict[str, Callable[[Size], float]] = {
    "height": lambda size: size.height,
    "width": lambda size: size.width,
    "resolution": lambda size: size.height if size.height == size.width else math.nan,
}
"""Figures of the images that a network is deployed for; a resolution is of squares alone."""
_LEAST_REPEATS = 3
"""Further seeds that claims need: without any, noise passes for what networks differ by, and 9 % of
searches in which nothing pays claim something (`benchmarks/claims/rates.py --seeds 1`)."""
_MEANS = ("seconds", "train_seconds", "latency_wall_ms")
_LOOKED_AT = 500  # architectures, when an error lists what there is


@dataclass(frozen=True, eq=False)
class NetworkTable:
    """All architectures of a study as rows, each with its complete trials taken together.

    columns: name -> (n,); figures of the first trial, means over seeds, and `paired_loss` and
        `paired_accuracy`: the standard deviation of one training beside another with the same seed.
    architectures: canonical JSON of each.
    digests: of each.
    loss: the noise of losses between seeds.
    accuracy: the noise of accuracies.
    kinds: names of the blocks that the space knows.
    """

    columns: Mapping[str, NDArray[Any]]
    architectures: Texts
    digests: Texts
    loss: SeedNoise
    accuracy: SeedNoise
    kinds: tuple[str, ...] = ()
    _read_before: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, repr=False)
    _known: dict[int, Architecture] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls, trials: Trials, kinds: Sequence[str] = (), regime: str | None = None
    ) -> NetworkTable:
        """Take the complete trials of each architecture together.

        regime: that they are evidence of.
        """
        known = np.isfinite(trials["loss"]) & np.isfinite(trials["accuracy"])
        rows = np.flatnonzero(trials.complete & known)
        digests = trials.text("digest").take(rows)
        group = digests.codes()
        seeds = np.bincount(group)
        _, first = np.unique(group, return_index=True)
        columns: dict[str, NDArray[Any]] = {"seeds": seeds.astype(np.int64)}
        exact = np.zeros(len(seeds), dtype=bool)
        exact[group] = trials["trained"][rows] == 0
        seed = trials["seed"][rows]
        loss = mean_over_seeds(trials["loss"][rows], group, seed, exact)
        accuracy = mean_over_seeds(trials["accuracy"][rows], group, seed, exact)
        # What is taken off for an easy seed may be more than a collapsed network has.
        columns["loss"], columns["accuracy"] = loss.means, np.clip(accuracy.means, 0.0, 1.0)
        for name in ("trial", "params", "macs", "uncounted", "images", "eligible", "retrained"):
            columns[name] = trials[name][rows][first]
        columns |= average_full_trainings(columns["retrained"])
        columns |= _confirmed(trials, rows, group, loss)
        for name in _MEANS:
            columns[name] = np.bincount(group, weights=trials[name][rows]) / seeds
        columns |= _latencies(trials, rows, group, len(seeds))
        columns["reference"] = np.full(len(seeds), None, dtype=object)
        reference = trials["reference"][rows]
        named = np.flatnonzero(reference != None)  # noqa: E711
        columns["reference"][group[named]] = reference[named]
        columns |= image_noises(trials, rows, group, columns)
        columns["run"] = np.full(len(seeds), None, dtype=object)
        columns["regime"] = np.full(len(seeds), regime, dtype=object)
        columns["exact"] = loss.exact
        columns["loss_noise"] = np.where(loss.exact, 0.0, loss.alone / np.sqrt(seeds))
        columns["paired_loss"] = np.where(loss.exact, 0.0, loss.paired)
        columns["paired_accuracy"] = np.where(loss.exact, 0.0, accuracy.paired)
        plain = np.flatnonzero(columns["reference"] == PLAIN)
        baseline = columns["loss"][plain[0]] if plain.size else math.nan
        columns["loss_saved"] = baseline - columns["loss"]
        return cls(
            columns,
            trials.text("architecture").take(rows[first]),
            digests.take(first),
            loss,
            accuracy,
            tuple(kinds),
        )

    @classmethod
    def joined(cls, parts: Mapping[str, NetworkTable]) -> NetworkTable:
        """Return several studies as one; their names become the column `run`.

        Noise is pooled, and that of differences is the whole noise: what is trained elsewhere
        shares no seed.
        """
        columns = {
            name: np.concatenate([part.columns[name] for part in parts.values()])
            for name in next(iter(parts.values())).columns
        }
        sizes = [len(part) for part in parts.values()]
        columns["run"] = np.repeat(np.array(list(parts), dtype=object), sizes)
        for name, noises in (
            ("paired_loss", [part.loss for part in parts.values()]),
            ("paired_accuracy", [part.accuracy for part in parts.values()]),
        ):
            alone = np.repeat([noise.alone for noise in noises], sizes)
            columns[name] = np.where(columns["exact"], 0.0, alone)
        return cls(
            columns,
            Texts.joined([part.architectures for part in parts.values()]),
            Texts.joined([part.digests for part in parts.values()]),
            _pooled([part.loss for part in parts.values()]),
            _pooled([part.accuracy for part in parts.values()]),
            tuple(dict.fromkeys(kind for part in parts.values() for kind in part.kinds)),
        )

    def narrowed(self, *, latency_limit: float | None = None, least_seeds: int = 1) -> NetworkTable:
        """Return the table with fewer networks that may be members of a front.

        latency_limit: ms; what is slower may not.
        least_seeds: that members have, once some searched network has them, or a full training.
        """
        eligible = self.columns["eligible"]
        if latency_limit is not None:
            eligible = eligible * (self.columns["latency_ms"] <= latency_limit)
        # Among many networks with one seed there are always some that were lucky. Once the first
        # searched ones are confirmed, only confirmed ones are members.
        confirmed = self.columns["seeds"] >= least_seeds
        confirmed |= self.columns["retrained_seeds"] > 0
        if (confirmed & (self.columns["reference"] == None)).any():  # noqa: E711
            eligible = eligible * confirmed
        return replace(self, columns={**self.columns, "eligible": eligible})

    @property
    def knows_noise(self) -> bool:
        """True where enough networks had another seed, at whichever length, for any claim."""
        short = np.where(self.columns["exact"], 0, self.columns["seeds"] - 1).sum()
        full = np.maximum(self.columns["retrained_seeds"] - 1, 0).sum()
        return bool(short + full >= _LEAST_REPEATS)

    def __len__(self) -> int:
        return len(self.columns["trial"])

    @cached_property
    def noises(self) -> Mapping[str, SeedNoise]:
        """What the choice of seed does to each figure that is trained, by its name."""
        return {"loss": self.loss, "accuracy": self.accuracy, "retrained_accuracy": self._full()}

    def _full(self) -> SeedNoise:
        """Full trainings of the recipe that is shown; those of different runs share no seed."""
        texts = self.columns["retrained"]
        by_row = {row: read_full_trainings(texts[row]) for row in np.flatnonzero(texts != None)}  # noqa: E711
        main = {
            item.name
            for item in select_main_recipe([one for mine in by_row.values() for one in mine])
            if item.accuracy is not None
        }
        runs = list(dict.fromkeys(self.columns["run"].tolist()))
        used = [
            (row, len(runs) * item.seed + runs.index(self.columns["run"][row]), item.accuracy)
            for row, mine in by_row.items()
            for item in mine
            if item.name in main and item.complete
        ]
        network, seed, values = np.array(used, dtype=np.float64).reshape(-1, 3).T
        trainings = Trainings(network.astype(np.int64), seed.astype(np.int64), values)
        means = self.columns["retrained_accuracy"]
        exact = np.zeros(len(means), dtype=bool)
        return SeedNoise(means, exact, math.nan, math.nan, trainings=trainings)

    def architecture(self, row: int) -> Architecture:
        """Return the architecture of a row."""
        (architecture,) = self.architectures_of([row])
        return architecture

    def architectures_of(self, rows: Sequence[int] | NDArray[np.int64]) -> list[Architecture]:
        """Return the architectures of rows, each read once."""
        wanted = [int(row) for row in rows]
        missing = sorted(set(wanted) - set(self._known))
        if missing:
            # One alone is cheaper than all of its column.
            texts = (
                [self.architectures[missing[0]]]
                if len(missing) == 1
                else self.architectures.take(np.array(missing, dtype=np.int64)).objects()
            )
            for row, text in zip(missing, texts, strict=True):
                self._known[row] = Architecture.from_json(str(text))
        return [self._known[row] for row in wanted]

    # As a table to filter.

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of columns of numbers, the most asked for first."""
        first = ("loss", "loss_saved", "accuracy", "latency_ms", "params", "macs", "seeds")
        rest = sorted(set(self.columns) - set(first) - set(_TEXTS) - _NOT_TO_FILTER_BY)
        return (*first, "blocks", *(name for name in rest if name != "blocks"), *_SIZES)

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of columns of text."""
        return _TEXTS

    @property
    def limited(self) -> tuple[str, ...]:
        """The names of columns that limits by name may be of."""
        return _LIMITED

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, (n,); one of the architectures is read when it is asked for."""
        if name in self.columns:
            return self.columns[name]
        if name not in self._read_before:
            self._read_before[name] = self._read(name)
        return self._read_before[name]

    def _read(self, name: str) -> NDArray[Any]:
        if name == "blocks":
            return self.architectures.count(_pattern(None, None)) - self.architectures.count(
                _pattern(EMPTY, None)
            )
        if name == "digest":
            return self.digests.objects()
        data = [json.loads(text) for text in self.architectures.objects()]
        if name == "backbone":
            return np.array([item[name] for item in data], dtype=object)
        sizes = [Size.of(item["resolution"]) for item in data]
        return np.array([_SIZES[name](size) for size in sizes], dtype=np.float64)

    def sites(self, kind: str | None, stage: str | None) -> NDArray[np.float64]:
        """Count the blocks of a kind (`coord`, `coord/r32`) in a stage (`blocks.3`), (n,).

        kind, stage: None: any.

        Raises SpecError for a kind or a stage that none has and the space does not know.
        """
        counts = self.architectures.count(_pattern(kind, stage))
        if kind is None:
            counts -= self.architectures.count(_pattern(EMPTY, stage))
        if not counts.any() and len(self):
            self._check(kind, stage)
        return counts.astype(np.float64)

    def _check(self, kind: str | None, stage: str | None) -> None:
        shown = [self.architecture(row) for row in range(min(len(self), _LOOKED_AT))]
        every = [item for architecture in shown for item in architecture.insertions]
        kinds = {*self.kinds, *(item.block for item in every)}
        if kind is not None and parse_label(kind)[0] not in kinds:
            raise SpecError(f"unknown kind {kind!r}; there are: {', '.join(sorted(kinds))}")
        stages = {stage_of(item.site) for item in every} - {""}
        if stage is None:
            return
        if not any(re.match(_of_stage(stage), item.site) for item in every):
            raise SpecError(f"unknown stage {stage!r}; there are: {', '.join(sorted(stages))}")


def _pattern(label: str | None, stage: str | None) -> str:
    """Return what finds insertions in canonical JSON, without parsing a million architectures."""
    block, options = r'[^"]*', r"[^{}]*"
    if label is not None:
        name, values = parse_label(label)
        block = re.escape(name)
        if values:
            options = re.escape(json.dumps(values, sort_keys=True, separators=(",", ":"))[1:-1])
    site = _of_stage(stage) if stage is not None else ""
    return f'"block":"{block}","options":\\{{{options}\\}},"site":"{site}'


def _of_stage(stage: str) -> str:
    return re.escape(stage) + "[./]"


def _pooled(noises: Sequence[SeedNoise]) -> SeedNoise:
    """Return the noise of several studies; those that do not know theirs do not count."""
    known = [item for item in noises if item.freedom > 0 and not math.isnan(item.alone)]
    freedom = sum(item.freedom for item in known)
    alone = math.nan
    if known:
        alone = math.sqrt(sum(item.freedom * item.alone**2 for item in known) / freedom)
    means = np.concatenate([item.means for item in noises])
    exact = np.concatenate([item.exact for item in noises])
    trainings = Trainings.joined(
        [item.trainings for item in noises if item.trainings is not None],
        [len(item.means) for item in noises if item.trainings is not None],
    )
    return SeedNoise(means, exact, alone, alone, freedom, trainings=trainings)


def _confirmed(
    trials: Trials, rows: NDArray[Any], group: NDArray[Any], loss: SeedNoise
) -> dict[str, NDArray[Any]]:
    """Return losses by the seeds after the first alone, which did not choose what they confirm."""
    values, repeat = trials["loss"][rows], trials["repeat"][rows]
    seeds, which = np.unique(trials["seed"][rows], return_inverse=True)
    effects = np.array([loss.effects.get(seed, 0.0) for seed in seeds.tolist()])
    fair = values - effects[which]
    later = np.where(loss.exact[group], True, repeat > 0)
    count = np.bincount(group[later], minlength=len(loss.means))
    total = np.bincount(group[later], weights=fair[later], minlength=len(loss.means))
    known = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return {
        "confirmed_loss": np.where(loss.exact, loss.means, known),
        "confirmed_seeds": count.astype(np.int64),
    }


def _latencies(
    trials: Trials, rows: NDArray[Any], group: NDArray[Any], count: int
) -> dict[str, NDArray[Any]]:
    """Return the final measurement where there is one, else the mean of those beside trainings."""
    measured = trials["latency_ms"][rows]
    means = np.bincount(group, weights=measured, minlength=count) / np.bincount(group)
    spread = np.zeros(count)
    apart = np.abs(measured - means[group]) / means[group]
    np.maximum.at(spread, group, np.fmax(trials["latency_spread"][rows], apart))
    final, final_spread = np.full(count, np.nan), np.full(count, np.nan)
    final[group] = trials["final_latency_ms"][rows]
    final_spread[group] = trials["final_latency_spread"][rows]
    known = ~np.isnan(final)
    predicted = np.zeros(count, dtype=bool)
    predicted[group] = trials["latency_predicted"][rows] != 0
    return {
        "latency_ms": np.where(known, final, means),
        "latency_spread": np.where(known, final_spread, spread),
        "latency_final": known,
        "latency_predicted": ~known & predicted,
    }
