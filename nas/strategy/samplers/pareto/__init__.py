"""The default sampler: a Gaussian process with expected hypervolume improvement."""

from nas.strategy.samplers.pareto.knowledge import Feature, Knowledge
from nas.strategy.samplers.pareto.sampler import PROMISE, ParetoSampler

__all__ = ["PROMISE", "Feature", "Knowledge", "ParetoSampler"]
