"""The Bayesian model of gains by full training: arrays in, means, deviations and draws out."""
