"""The expectation of attention from published comparisons, before anything was trained here.

The numbers are in `published.json`, which a person can read; `benchmarks/prior/published.py` fits
them from the comparisons and tests them by leaving one study out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from nas.base.errors import SpecError
from nas.base.files import parse, read_json
from nas.belief.space_codes import CodedSpace, Codes
from nas.spec.architecture import KEEP

__all__ = ["PublishedPrior", "PublishedTerms", "amount", "lateness"]

Floats = NDArray[np.float64]
Regime = Literal["scratch", "finetune"]
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_FILE = Path(__file__).with_name("published.json")
_OWN = "as it comes"
"""The kind of the blocks that a backbone comes with."""
_LEAST_ERROR, _MOST_ERROR = 0.02, 1.0


class Figure(BaseModel):
    """A fitted number with its deviation, and what it was read from.

    mean, deviation: accuracy points (of 100) unless the name says otherwise.
    rows, studies: how many comparisons speak of it.
    sources: the studies.
    """

    model_config = _STRICT

    mean: float
    deviation: Annotated[float, Field(gt=0)]
    rows: Annotated[int, Field(ge=1)]
    studies: Annotated[int, Field(ge=1)]
    sources: list[str]


class _Content(BaseModel):
    """The file.

    reference_error: share of images that the plain network gets wrong, at which the gains hold.
    uniform: the gain of one block at every site, by somebody who did not invent it.
    late: what is added to it times 2 x depth - 1, the mean over the blocks.
    after_projection: what is added to it for blocks there.
    finetune: what is added to it where training goes on from a finished plain network.
    proposers: what inventors find above it; it is taken off.
    kind: how far kinds are spread; the mean is that of a kind that is not known.
    share_exponent: of the share of sites that hold a block.
    error_exponent: of the plain network's error, as a ratio to the reference.
    kinds: what was read of single kinds; it predicts no new study and is not used.
    """

    model_config = _STRICT

    version: Literal[1]
    about: str
    rows: Annotated[int, Field(ge=1)]
    studies: Annotated[int, Field(ge=1)]
    reference_error: Annotated[float, Field(gt=0, lt=1)]
    uniform: Figure
    late: Figure
    after_projection: Figure
    finetune: Figure
    proposers: Figure
    kind: Figure
    share_exponent: Figure
    error_exponent: Figure
    kinds: dict[str, Figure]


def amount(share: ArrayLike, exponent: float) -> Floats:
    """Return how much of the gain of all sites a share of them brings, 0 to 1.

    share: blocks by sites, 0 to 1.
    exponent: below 1 where returns diminish.
    """
    return np.power(np.clip(np.asarray(share, dtype=np.float64), 0.0, 1.0), exponent)


def lateness(depth: ArrayLike) -> Floats:
    """Return -1 at the input to 1 at the output of depths 0 to 1."""
    return 2 * np.asarray(depth, dtype=np.float64) - 1


@dataclass(frozen=True, eq=False)
class PublishedPrior:
    """The gain of attention over the same plain network, by published results.

    A network's gain is `features(codes) @ weights`, with independent Gaussian weights of
    `PublishedTerms.mean` and `deviation`, in accuracy as a share, 0 to 1.

    regime: `scratch`, or `finetune` where training goes on from a finished plain network.
    """

    content: _Content
    regime: Regime = "scratch"

    @classmethod
    def load(cls, path: str | Path | None = None, *, regime: Regime = "scratch") -> PublishedPrior:
        """Read the prior; without a path, that of the package.

        Raises SpecError when the file cannot be read or is wrong.
        """
        path = _FILE if path is None else Path(path)
        advice = "python -m benchmarks.prior.published fit writes one"
        data = read_json(path, "the published prior", advice)
        if regime not in ("scratch", "finetune"):
            raise SpecError(f"regime {regime!r}; allowed: scratch, finetune")
        return cls(parse(_Content, data, str(path)), regime)

    def of_kind(self, name: str) -> Figure | None:
        """Return the published gain of a kind of block at every site of another network, in points.

        That of any kind, and what its own studies add to it; the deviation holds how far studies
        and kinds are spread. None where no study speaks of it. What single kinds add predicts no
        new study, so a search is not told of it.

        name: `se`.
        """
        named = {kind.lower(): figure for kind, figure in self.content.kinds.items()}
        added, any_kind = named.get(name), self.content.uniform
        if added is None:
            return None
        deviation = float(np.hypot(any_kind.deviation, added.deviation))
        mean = any_kind.mean + added.mean
        return added.model_copy(update={"mean": mean, "deviation": deviation})

    def terms(self, space: CodedSpace, *, plain_accuracy: float | None = None) -> PublishedTerms:
        """Return the prior for the networks of one space.

        plain_accuracy: share of images that the fully trained plain network gets right, where it
            is known: a network that gets less wrong has less to gain. None: that of the published
            plain networks, about three quarters.
        Raises SpecError when it is not between 0 and 1.
        """
        content, scale = self.content, self._scale(plain_accuracy)
        uniform = content.uniform.mean, content.uniform.deviation
        if self.regime == "finetune":
            added = content.finetune
            uniform = uniform[0] + added.mean, float(np.hypot(uniform[1], added.deviation))
        kind = content.kind.mean, content.kind.deviation
        pairs = [
            ("uniform", *uniform),
            ("late", content.late.mean, content.late.deviation),
            ("after_projection", content.after_projection.mean, content.after_projection.deviation),
            *((f"kind {name}", *kind) for name in _kinds(space)),
        ]
        return PublishedTerms(
            space=space,
            names=tuple(name for name, _, _ in pairs),
            mean=scale * np.array([mean for _, mean, _ in pairs]),
            deviation=scale * np.array([deviation for _, _, deviation in pairs]),
            share_exponent=content.share_exponent.mean,
        )

    def _scale(self, plain_accuracy: float | None) -> float:
        """Return what turns points at the reference error into a share of images here."""
        if plain_accuracy is None:
            return 0.01
        if not 0 <= plain_accuracy <= 1:
            raise SpecError(f"plain accuracy {plain_accuracy}; a share from 0 to 1 is needed")
        error = float(np.clip(1 - plain_accuracy, _LEAST_ERROR, _MOST_ERROR))
        ratio = error / self.content.reference_error
        return 0.01 * float(ratio**self.content.error_exponent.mean)


@dataclass(frozen=True, eq=False)
class PublishedTerms:
    """The terms of the prior for one space; the gain of a network is linear in them.

    names: (f,) of the terms.
    mean, deviation: (f,) of their independent Gaussian weights, accuracy as a share.
    share_exponent: of the share of sites that hold a block.
    """

    space: CodedSpace
    names: tuple[str, ...]
    mean: Floats
    deviation: Floats
    share_exponent: float

    def without(self, *names: str) -> PublishedTerms:
        """Return the prior with the weights of some terms known to be zero."""
        kept = np.array([name not in names for name in self.names])
        return replace(self, mean=self.mean * kept, deviation=self.deviation * kept)

    def features(self, codes: ArrayLike) -> Floats:
        """Return the features (k, f) of networks.

        They are those of the network minus those of the plain one, so all are zero for it: what
        takes the place of a block that the backbone comes with gains what the two differ by.

        codes: (k, d).
        Raises SpecError for codes that stand for nothing.
        """
        return self._held(self.space.checked(codes)) - self._held(self.space.plain[None])

    def _held(self, codes: Codes) -> Floats:
        """Return the features (k, f) of all blocks that networks hold, their own and inserted."""
        sums = self.space.summed(self._tables, codes)
        blocks = np.maximum(sums[:, :1], 1.0)
        sites = max(1.0, float(self.space.sites.sum()))
        # A mean over the blocks, times what so many of them bring.
        scaled: Floats = sums / blocks * amount(sums[:, :1] / sites, self.share_exponent)
        return scaled

    def gain(self, codes: ArrayLike) -> tuple[Floats, Floats]:
        """Return mean and deviation of the gain of networks, (k,) each, accuracy as a share."""
        features = self.features(codes)
        return features @ self.mean, np.sqrt(features**2 @ self.deviation**2)

    def covariance(self, codes: ArrayLike) -> Floats:
        """Return the covariance (k, k) of the gains of networks."""
        factors = self.features(codes) * self.deviation
        product: Floats = factors @ factors.T
        return product

    @cached_property
    def _tables(self) -> list[Floats]:
        """The terms of each choice's blocks, summed over these: for each decision, (choices, f).

        The columns are those of `names`: the number of blocks, then that number times how late the
        decision is (-1 to 1), that of blocks after a projection, and that of each kind. A choice
        that leaves the backbone as it comes holds blocks of the backbone's own, as many as the
        decision could insert; one without blocks has zeros.
        """
        space, names = self.space, _kinds(self.space)
        late = lateness(space.depth)
        positions = space.positions or ("",) * len(space)
        tables = []
        for number, labels in enumerate(space.labels):
            kinds = [
                _OWN if label == KEEP else kind
                for label, kind in zip(labels, space.kind_of[number], strict=True)
            ]
            first = [1.0, late[number], float(positions[number] == "after_projection")]
            own = np.array([[float(kind == name) for name in names] for kind in kinds])
            table = np.hstack([np.tile(first, (len(kinds), 1)), own.reshape(len(kinds), -1)])
            held = [
                space.sites[number] if kind == _OWN else blocks
                for kind, blocks in zip(kinds, space.blocks[number], strict=True)
            ]
            tables.append(table * np.array(held)[:, None])
        return tables


def _kinds(space: CodedSpace) -> tuple[str, ...]:
    """Return the kinds of blocks that networks hold, that of a backbone's own among them."""
    comes_with = any(KEEP in labels for labels in space.labels)
    return (*space.kinds, _OWN) if comes_with else space.kinds
