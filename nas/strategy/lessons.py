"""The lessons that a sampler is told before it proposes: of seeds, trainings and what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.belief.evidence import Evidence
from nas.belief.grid import Codes
from nas.spec.architecture import Architecture
from nas.spec.objective import Objective
from nas.strategy.repeats import summarise_repeats
from nas.strategy.samplers.pareto import TargetedEvidence
from nas.strategy.samplers.proposer import Proposer
from nas.study.evidence import Budgets, collect_evidence
from nas.study.published_evidence import published_evidence
from nas.study.record import COMPLETE, PRUNED, Record
from nas.study.trials import Trials

__all__ = ["Lessons"]


class Lessons:
    """The lessons of a search's trials to its sampler, beside their own values.

    Nothing is told again that has not changed: between two outcomes many workers may ask.

    budgets: what trainings are evidence of, for a sampler that has a belief; None: one value for
        each network is all there is.
    """

    def __init__(
        self, proposer: Proposer, objectives: Sequence[Objective], budgets: Budgets | None
    ) -> None:
        self._proposer = proposer
        self._objectives = tuple(objectives)
        # A belief is of losses.
        by_loss = "loss" in [item.name for item in objectives]
        self._budgets = budgets if by_loss else None
        self._codes: dict[str, Codes] = {}
        self._repeats_changed = False
        self._evidence_changed = False

    def note(self, record: Record) -> None:
        """Take in what a trial has come to, to be told with the next proposal."""
        self._repeats_changed |= record.repeat > 0 and record.state == COMPLETE
        self._evidence_changed |= record.state in {COMPLETE, PRUNED}

    def tell(self, records: Sequence[Record], estimates: Mapping[int, NDArray[np.float64]]) -> None:
        """Tell the sampler all that has changed.

        records: by number, as they were noted.
        estimates: trial -> (m,), minimised, what a network below the top may come to there.
        """
        if self._repeats_changed:
            self._repeats_changed = False
            repeats = summarise_repeats(records, self._objectives)
            self._proposer.learn_noise(repeats.noise)
            for digest, values in repeats.values.items():
                self._proposer.tell(digest, values)
        if self._evidence_changed and self._budgets is not None:
            self._evidence_changed = False
            self._tell_evidence(self._collect(records, self._budgets), self._budgets)
        signs = np.array([item.sign for item in self._objectives])
        for trial, costs in estimates.items():
            record = records[trial]
            if record.state != COMPLETE:
                self._proposer.tell(record.digest, (signs * costs).tolist())

    def _collect(self, records: Sequence[Record], budgets: Budgets) -> Evidence:
        """Return every training as it is, of networks that the space can express."""
        for record in records:
            if record.digest not in self._codes and record.loss is not None:
                codes = self._proposer.codes(Architecture.from_json(record.architecture))
                if codes is not None:
                    self._codes[record.digest] = codes
        evidence = collect_evidence(Trials.of(records), self._codes, budgets)
        if budgets.published is None:
            return evidence
        known = {
            record.digest: Architecture.from_json(record.architecture)
            for record in records
            if record.digest in self._codes
        }
        return evidence + published_evidence(
            tuple(known.values()), budgets.published, self._proposer.codes
        )

    def _tell_evidence(self, rows: Evidence, budgets: Budgets) -> None:
        if len(rows.usable()):
            number = [item.name for item in self._objectives].index("loss")
            evidence = TargetedEvidence(rows, budgets.full_images)
            self._proposer.learn_evidence({number: evidence})
