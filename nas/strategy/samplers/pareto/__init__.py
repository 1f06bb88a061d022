"""The default sampler: what is expected to add most hypervolume, by the belief about all points."""

from nas.strategy.samplers.pareto.design import balanced_design
from nas.strategy.samplers.pareto.knowledge import Feature, Knowledge, TargetedEvidence
from nas.strategy.samplers.pareto.sampler import PROMISE, PROPOSED, ParetoSampler

__all__ = [
    "PROMISE",
    "PROPOSED",
    "Feature",
    "Knowledge",
    "ParetoSampler",
    "TargetedEvidence",
    "balanced_design",
]
