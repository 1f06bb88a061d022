"""The default sampler: a Gaussian process with expected hypervolume improvement."""

from nas.samplers.pareto.beliefs import Feature
from nas.samplers.pareto.proposal import Knowledge
from nas.samplers.pareto.sampler import PROMISE, ParetoSampler

__all__ = ["PROMISE", "Feature", "Knowledge", "ParetoSampler"]
