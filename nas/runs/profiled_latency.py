"""Latencies of a run that come from a device profile, which is read where one is asked for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nas.base.errors import SpecError
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.width import is_widened
from nas.study.trials import Trials

__all__ = ["WIDTH_ELSEWHERE", "predict_latencies", "profile_doubts"]

WIDTH_ELSEWHERE = 0.1
"""How far, as a share, a wider network's latency on another device may be from the plain one's
there and their ratio here: a guess, since no profile holds two widths."""


def profile_doubts(path: Path | None) -> list[tuple[str, float]]:
    """Return what is to be said of a profile that latencies come from; empty for certified ones.

    With how far its measurements repeat, as a share (NaN: it was timed once).

    path: None: they do not come from one.
    """
    if path is None:
        return []
    from nas.latency.profile import load_profile

    try:
        profile = load_profile(path)
    except SpecError:  # of a damaged folder: who predicts with it is told
        return []
    repeatability = math.nan if profile.repeatability is None else profile.repeatability
    return [] if profile.doubt is None else [(profile.doubt, repeatability)]


def predict_latencies(trials: Trials, device: str | Path) -> Trials:
    """Return trials as they would be on another device.

    A profile holds no other width of its backbone: of a widened plain network it is the plain
    one's latency there, and how much slower the wider one is in this study.

    Raises SpecError for what its profile cannot predict.
    """
    from nas.latency.profile import load_profile

    profile = load_profile(device)
    references = trials["reference"]
    wide = np.array([is_widened(name) for name in references.tolist()], dtype=np.bool_)
    texts, row = np.unique(trials["architecture"][~wide], return_inverse=True)
    predicted, half_width = profile.predict_many([Architecture.from_json(text) for text in texts])
    latency_ms, spread = np.full(len(trials), np.nan), np.full(len(trials), np.nan)
    latency_ms[~wide], spread[~wide] = predicted[row], (half_width / predicted)[row]
    plain = np.flatnonzero(references == PLAIN)
    if wide.any() and plain.size:
        slower = trials["latency_ms"][wide] / trials["latency_ms"][plain[0]]
        latency_ms[wide] = latency_ms[plain[0]] * slower
        spread[wide] = WIDTH_ELSEWHERE
    return trials.with_latency(latency_ms, spread)
