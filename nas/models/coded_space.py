"""A search space as codes: rows of numbers for models that know nothing of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.space_codes import CodedSpace, Codes
from nas.models.candidates import Candidates
from nas.models.choice_costs import COUNTED, ChoiceCosts
from nas.models.decisions import Decision
from nas.models.site_locations import site_locations
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = ["CodedCandidates"]

Floats = NDArray[np.float64]
_PARAMS, _MACS, _BLOCKS = (COUNTED.index(name) for name in ("params", "macs", "blocks"))


@dataclass(frozen=True, eq=False)
class CodedCandidates:
    """The candidates of one plain network, and the codes of each.

    keys: (d,) parameters of the candidates, one for each decision.
    head: values that choose the plain network among several.
    plain_costs: (3,) parameters, multiply-adds and blocks of the plain network.
    added_costs: for each decision, (k, 3) the same, of what each choice adds.
    """

    candidates: Candidates
    plain: Architecture
    keys: tuple[str, ...]
    head: dict[str, str]
    space: CodedSpace
    plain_costs: Floats
    added_costs: tuple[Floats, ...]

    @classmethod
    def of(
        cls,
        candidates: Candidates,
        plain: Architecture | None = None,
        *,
        task: Task | None = None,
    ) -> CodedCandidates:
        """Return the codes of one backbone at one resolution.

        plain: one of `candidates.plains()`; None is the first.
        task: whose head counts among the multiply-adds; None: to classify 1,000 classes.
        Raises SpecError when the space does not hold it.
        """
        plains = [network for network, _ in candidates.plains()]
        plain = plains[0] if plain is None else plain
        if plain not in plains:
            raise SpecError(
                f"{plain.backbone} at {plain.resolution} is not in space "
                f"{candidates.space.name!r}; it holds "
                + ", ".join(f"{network.backbone} at {network.resolution}" for network in plains)
            )
        head, decisions = candidates.parameters_of(plain)
        costs = ChoiceCosts(task or Task())
        whole = costs.plain(plain)
        added = tuple(costs.added(plain, decision) for decision in decisions.values())
        space = _coded(candidates, plain, tuple(decisions.values()), whole, added)
        return cls(
            candidates,
            plain,
            keys=tuple(decisions),
            head=head,
            space=space,
            plain_costs=whole,
            added_costs=added,
        )

    def codes(self, architecture: Architecture) -> Codes | None:
        """Return codes (d,); None for an architecture that is not among these."""
        if architecture.plain != self.plain:
            return None
        values = self.candidates.values(architecture)
        if values is None:
            return None
        pairs = zip(self.keys, self.space.labels, strict=True)
        return np.array([labels.index(values[key]) for key, labels in pairs], dtype=np.int64)

    def rows(self, architectures: Sequence[Architecture]) -> Codes:
        """Return codes (n, d). Raises SpecError for an architecture that is not among these."""
        rows = np.zeros((len(architectures), len(self.space)), dtype=np.int64)
        for row, architecture in enumerate(architectures):
            codes = self.codes(architecture)
            if codes is None:
                raise SpecError(
                    f"{architecture} at {architecture.resolution} is not in space "
                    f"{self.candidates.space.name!r} of {self.plain.backbone} at "
                    f"{self.plain.resolution}; leave it out"
                )
            rows[row] = codes
        return rows

    def costs(self, codes: Codes) -> Floats:
        """Return parameters, multiply-adds and inserted blocks, (n, 3), of codes (n, d)."""
        costs = self.plain_costs + self.space.summed(self.added_costs, codes)
        if self.candidates.space.share is not None:
            columns = dict(zip(self.keys, np.asarray(codes).T, strict=True))
            decisions = self.candidates.parameters_of(self.plain)[1]
            costs[:, _PARAMS] -= ChoiceCosts.shared(decisions, columns)
        return costs

    def architecture(self, codes: Codes) -> Architecture:
        """Return the architecture that codes (d,) stand for. Raises SpecError."""
        (row,) = self.space.checked(codes)
        chosen = zip(self.keys, self.space.labels, row.tolist(), strict=True)
        return self.candidates.architecture(
            self.head | {key: labels[code] for key, labels, code in chosen}
        )


def _coded(
    candidates: Candidates,
    plain: Architecture,
    decisions: Sequence[Decision],
    whole: Floats,
    added: Sequence[Floats],
) -> CodedSpace:
    located = site_locations(candidates, plain)
    return CodedSpace(
        decisions=tuple(decision.name for decision in decisions),
        labels=tuple(decision.choices for decision in decisions),
        idle=np.array([item.choices.index(item.idle) for item in decisions], dtype=np.int64),
        stages=tuple(decision.sites[0].stage for decision in decisions),
        depth=np.array(
            [np.mean([located[site.name].depth for site in item.sites]) for item in decisions]
        ),
        blocks=tuple(table[:, _BLOCKS] for table in added),
        log_macs=tuple(np.log1p(table[:, _MACS] / whole[_MACS]) for table in added),
        positions=tuple(decision.sites[0].position for decision in decisions),
    )
