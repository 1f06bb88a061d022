"""The belief of a study about its networks: one, from every rung, seed and recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.belief.belief import Belief, Gain
from nas.belief.evidence import Evidence
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.width import is_widened
from nas.study.evidence import Budgets, collect_evidence, rows_to_read
from nas.study.seen_space import SeenSpace
from nas.study.trials import Trials
from nas.study.width_belief import WidthBelief

__all__ = ["NetworkBelief"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_LEAST = 2  # networks


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
        rows = rows_to_read(trials)
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
