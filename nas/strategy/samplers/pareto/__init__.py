"""The default sampler: what is expected to add most hypervolume, by the belief about all points."""

from nas.strategy.samplers.pareto.design import balanced_design
from nas.strategy.samplers.pareto.knowledge import Feature, Knowledge, TargetedEvidence
from nas.strategy.samplers.pareto.sampler import PROMISE, ParetoSampler

__all__ = [
    "PROMISE",
    "Feature",
    "Knowledge",
    "ParetoSampler",
    "TargetedEvidence",
    "balanced_design",
]
