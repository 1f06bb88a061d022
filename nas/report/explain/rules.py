"""The rules behind a front: linear models that are fitted to its networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.additive_model import AdditiveFit, fit
from nas.belief.additive_terms import INTERACTIONS, TermDesign
from nas.report.explain.explanation import Explanation
from nas.runs.run import open_run
from nas.spec.architecture import Architecture
from nas.spec.width import is_widened
from nas.study.front.front import Front
from nas.study.front.point import Point

__all__ = ["explain", "explain_front", "plain_points"]

Floats = NDArray[np.float64]

_LEAST = 8  # networks, for anything to be said
_MOST = 4000  # networks that are taken
_REPEATED = 1e-3  # noise of a latency, relative, where a profile says the same every time


def explain(path: str | Path, *, device: str | Path | None = None) -> Explanation:
    """Return the rules of a run.

    path: run folder.
    device: a device profile, whose latencies are taken; None takes those of the run.
    Raises SpecError where too few networks are complete, or all are alike.
    """
    return explain_front(open_run(path).front(device=device))


def explain_front(front: Front) -> Explanation:
    """Return the rules behind a front, from all of its networks.

    Raises SpecError where too few networks are complete, or all are alike.
    """
    rows = _explained_rows(front)
    columns = front.measured.columns
    architectures = [front.measured.architecture(int(row)) for row in rows]
    latency_terms = TermDesign.of(architectures)
    if len(latency_terms.sites) == 0:
        raise SpecError("no complete network has a block: there is nothing to explain")
    loss_values = columns["loss"][rows]
    terms, loss, gained = _fit_loss(front, rows, architectures)
    latency = fit(
        latency_terms.rows(latency_terms.codes(architectures)),
        latency_terms.groups,
        columns["latency_ms"][rows],
        noise=_latency_noise(columns, rows),
        freedom=4,
    )
    codes = terms.codes(architectures)
    blocks = np.maximum(terms.blocks(codes), 1)
    plain = _plain_loss(front, architectures, loss_values)
    typical = float(np.nanmedian(np.abs(loss_values - plain) / blocks))
    return Explanation(
        front,
        terms=terms,
        codes=codes,
        loss=loss,
        latency=latency,
        latency_terms=latency_terms,
        gained=gained,
        typical=typical,
    )


def _explained_rows(front: Front) -> NDArray[np.int64]:
    """Return the rows of the networks with loss and latency; of very many, a sample."""
    columns = front.measured.columns
    # What width does is no rule of where attention pays.
    narrow = np.array([not is_widened(name) for name in columns["reference"].tolist()], dtype=bool)
    rows = np.flatnonzero(np.isfinite(columns["loss"]) & (columns["latency_ms"] > 0) & narrow)
    if len(rows) > _MOST:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:_MOST])
    if len(rows) < _LEAST:
        raise SpecError(
            f"{len(rows)} networks are complete; rules need {_LEAST} or more: let the search go on"
        )
    return rows


def _fit_loss(
    front: Front, rows: NDArray[np.int64], architectures: Sequence[Architecture]
) -> tuple[TermDesign, AdditiveFit, dict[str, float]]:
    """Return the model of the loss, with the interactions that it needs, and `gained`."""
    columns = front.measured.columns
    loss, seeds = columns["loss"][rows], columns["seeds"][rows].astype(np.float64)
    seeds = np.where(columns["exact"][rows], 1e6, seeds)
    paired = front.paired_noise
    noise = None if math.isnan(paired) else paired
    errors = _common_errors(front, rows, architectures)

    def fit_terms(terms: TermDesign) -> AdditiveFit:
        return fit(
            terms.rows(terms.codes(architectures)), terms.groups, loss,
            seeds=seeds, noise=noise, freedom=front.noise_freedom, errors=errors,
        )  # fmt: skip

    terms = TermDesign.of(architectures)
    model = fit_terms(terms)
    gained: dict[str, float] = {}
    for name in INTERACTIONS:
        more = TermDesign.of(architectures, (*terms.interactions, name))
        if len(more.names) == len(terms.names):
            continue
        richer = fit_terms(more)
        difference = richer.score - model.score
        gained[name] = float(difference.sum())
        # Kept where it predicts better than by chance: two standard errors of the gain.
        if gained[name] > 2 * math.sqrt(len(difference)) * float(difference.std()):
            terms, model = more, richer
    return terms, model, gained


def _common_errors(
    front: Front, rows: NDArray[np.int64], architectures: Sequence[Architecture]
) -> Floats:
    """Return (n, e) standard deviations of the errors that losses of several networks share.

    Seeds that were kind to all that was trained, beside a plain network that is none of it; and
    validation images that like what a kind of block does, in proportion to its share of the blocks.
    """
    columns = front.measured.columns
    trained = ~columns["exact"][rows]
    most = max(1.0, float(columns["seeds"][rows].max()))
    alike = max(0.0, np.nan_to_num(front.seed_noise**2 - front.paired_noise**2))
    errors = [np.where(trained, math.sqrt(alike / most), 0.0)]
    images = np.nan_to_num(columns["image_noise"][rows])
    kinds = [[block.block for block in item.blocks] for item in architectures]
    for kind in sorted(set().union(*kinds)):
        share = np.array([blocks.count(kind) / max(1, len(blocks)) for blocks in kinds])
        errors.append(images * share)
    return np.column_stack(errors)


def _latency_noise(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> float:
    """Return the noise of a latency in ms; a profile says the same of a network every time."""
    usual = float(np.median(columns["latency_ms"][rows]))
    if columns["latency_predicted"][rows].all():
        return _REPEATED * usual
    return float(np.median(columns["latency_spread"][rows])) * usual


def _plain_loss(front: Front, architectures: Sequence[Architecture], loss: Floats) -> float:
    """Return the loss of the plain network; without it, of the one with the fewest blocks."""
    least = min(range(len(loss)), key=lambda row: len(architectures[row].blocks))
    plain = [point.loss for point in plain_points(front)]
    return plain[0] if plain else float(loss[least])


def plain_points(front: Front) -> list[Point]:
    """Return the plain networks of all backbones, and none of them widened."""
    return [
        point
        for point in front.references
        if not point.architecture.insertions and not is_widened(point.reference)
    ]
