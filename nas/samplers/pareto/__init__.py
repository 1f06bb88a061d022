"""The default sampler: a Gaussian process with expected hypervolume improvement."""

from nas.samplers.pareto.proposal import Feature, Knowledge
from nas.samplers.pareto.sampler import ParetoSampler

__all__ = ["Feature", "Knowledge", "ParetoSampler"]
