"""The confirmation of networks: which of a search get further seeds, and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.spec.objective import Objective
from nas.study.front.front import Front
from nas.study.front.pareto import far_apart
from nas.study.record import COMPLETE, RUNNING, Record
from nas.study.trials import Trials

__all__ = ["Confirmation", "most_confirmed"]

_SHARE, _LEAST = 0.2, 8  # of all networks: searched ones that are confirmed, at most
_SPARE = 2  # repeats beyond the wanted ones, when some fail


def most_confirmed(networks: int) -> int:
    """Return how many searched networks are confirmed at most, of so many networks in all."""
    return max(_LEAST, int(networks * _SHARE))


class Confirmation:
    """The rule by which the hand-placed networks and the front get further seeds.

    They get as many as are needed to report them. Where every network gets several, those that
    are reported get theirs first.

    references: digests of the hand-placed networks.
    seeds_each: number of seeds of every network.
    confirm_seeds: number of seeds of those that are reported.
    begun: number of trials at the beginning that came from elsewhere, with their seeds; they use
        up nothing of what this search may confirm.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        references: Sequence[str],
        *,
        seeds_each: int,
        confirm_seeds: int,
        begun: int = 0,
    ) -> None:
        self._objectives = tuple(objectives)
        self._references = dict.fromkeys(references)  # a set that keeps their order
        self._seeds_each = seeds_each
        self._confirm_seeds = max(seeds_each, confirm_seeds)
        self._begun = begun

    def add_reference(self, digest: str) -> None:
        """Count a network among the hand-placed ones."""
        self._references[digest] = None

    def reference_seeds(self) -> dict[str, int]:
        """Return digest -> seeds of those that get theirs whatever the search finds."""
        return dict.fromkeys(self._references, self._confirm_seeds)

    def wanted_seeds(
        self, records: Sequence[Record], by_digest: Mapping[str, Sequence[int]], *, front: bool
    ) -> dict[str, int]:
        """Return digest -> seeds, the most important first.

        records: by number.
        by_digest: the trials of each network, the first of them first.
        front: whether it stands, and can be confirmed.
        """
        wanted = self.reference_seeds()
        if front:
            members = Front.of(Trials.of(records), self._objectives).members
            chosen = self._chosen(
                [point.architecture.digest for point in members],
                [[item.sign * getattr(point, item.name) for item in self._objectives]
                 for point in members],
                records, by_digest,
            )  # fmt: skip
            for digest in chosen:
                wanted.setdefault(digest, self._confirm_seeds)
            for point in members:
                wanted.setdefault(point.architecture.digest, self._seeds_each)
        if self._seeds_each > 1:
            for digest in by_digest:
                wanted.setdefault(digest, self._seeds_each)
        return wanted

    def missing_seeds(self, tried: Sequence[Record], wanted: int) -> int:
        """Return how many seeds a network should still be trained with.

        tried: its trials so far, the first of them first.
        wanted: number of its seeds in the end.
        Returns 0 when its first trial is not complete, or too many of them fail.
        """
        if not tried or tried[0].state != COMPLETE:
            return 0
        hopeful = sum(record.state in {COMPLETE, RUNNING} for record in tried)
        return max(0, min(wanted - hopeful, wanted + _SPARE - len(tried)))

    def _chosen(
        self,
        digests: list[str],
        costs: list[list[float]],
        records: Sequence[Record],
        by_digest: Mapping[str, Sequence[int]],
    ) -> list[str]:
        """Choose members of the front as it looks now, up to a share of all networks.

        digests, costs: of the members; costs are (n, m), minimised.

        Those with one seed that look best were partly lucky: when their further seeds are in,
        others take their places, and so on. The share bounds that, and the front that is
        reported holds confirmed networks alone: its ends first, and then where it is widest.
        """
        references = set(self._references)
        begun = {
            digest
            for digest, trials in by_digest.items()
            if digest not in references
            # Seeds that every network gets confirm none.
            and any(
                number >= self._begun and records[number].repeat >= self._seeds_each
                for number in trials[1:]
            )
        }
        done = {
            digest
            for digest in digests
            if not self.missing_seeds(
                [records[number] for number in by_digest[digest]], self._confirm_seeds
            )
        }
        room = most_confirmed(len(by_digest)) - len(begun)
        taken = np.array([digest in begun | done | references for digest in digests], dtype=bool)
        table = np.array(costs).reshape(-1, len(self._objectives))
        new = far_apart(table, taken, max(0, room))
        return [digest for digest in digests if digest in begun] + [digests[row] for row in new]
