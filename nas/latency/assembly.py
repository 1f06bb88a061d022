"""The device profile that follows from a plan and what was timed by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nas.base.clock import utc_now
from nas.latency.measure import Latency
from nas.latency.plan import BlockOverhead, MeasurementPlan
from nas.latency.profile import BackboneLatencies, Correction, Profile, WholeNetwork, fit_correction
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = ["assemble_profile"]


def assemble_profile(
    plan: MeasurementPlan,
    graphs: Mapping[str, float],
    networks: Mapping[str, Latency],
    *,
    device: str,
    runtime: str,
    processor: str,
    clock: str,
    task: Task,
    conditions: str | None = None,
) -> Profile:
    """Put a profile together from what was timed.

    graphs: milliseconds by key.
    networks: by digest.
    clock: what the times were told by; for people.
    task: what the whole networks are for.
    conditions: of a GPU when it had been measured on, in words.
    """
    whole = _whole_networks(plan, networks)
    draft = Profile(
        device=device,
        runtime=runtime,
        processor=processor,
        clock=clock,
        measured=utc_now(),
        space=plan.space,
        classes=task.outputs,
        purpose=task.name,
        head=task.head,
        branches=_branches(plan, graphs, networks),
        networks=whole,
        correction=Correction(),
        repeatability=_repeatability(whole),
        conditions=conditions,
    )
    fitted = [item for item in whole if item.fitted]
    parts = np.array([draft.parts(Architecture.from_json(item.architecture)) for item in fitted])
    measured = np.array([item.measured_ms for item in fitted])
    plain, added, blocks = parts.reshape(-1, 3).T
    correction = fit_correction(plain, added, blocks, measured)
    return draft.model_copy(update={"correction": correction})


def _branches(
    plan: MeasurementPlan, graphs: Mapping[str, float], networks: Mapping[str, Latency]
) -> list[BackboneLatencies]:
    branches = []
    for text, table in plan.entries.items():
        plain = Architecture.from_json(text)
        branches.append(
            BackboneLatencies(
                backbone=plain.backbone,
                resolution=plain.resolution,
                total_stride=plain.total_stride,
                output_stride=plain.output_stride,
                plain_ms=networks[plain.digest].latency_ms,
                added_ms={
                    site: {label: _added_ms(entry, graphs) for label, entry in labels.items()}
                    for site, labels in table.items()
                },
            )
        )
    return branches


def _whole_networks(plan: MeasurementPlan, networks: Mapping[str, Latency]) -> list[WholeNetwork]:
    return [
        WholeNetwork(
            architecture=item.architecture,
            measured_ms=networks[digest].latency_ms,
            spread=None if math.isnan(networks[digest].spread) else networks[digest].spread,
            fitted=not item.held_out and bool(plan.architectures[digest].blocks),
        )
        for digest, item in plan.networks.items()
    ]


def _repeatability(networks: Sequence[WholeNetwork]) -> float | None:
    """Return `Profile.repeatability`: a spread is half of what lies between two halves."""
    apart = [2 * item.spread for item in networks if item.spread is not None]
    return float(np.percentile(apart, 95)) if len(apart) == len(networks) else None


def _added_ms(entry: BlockOverhead, graphs: Mapping[str, float]) -> float:
    low, high, without = (
        sum(graphs[key] for key in keys) for keys in (entry.low, entry.high, entry.without)
    )
    return low * (1 - entry.part) + high * entry.part - without
