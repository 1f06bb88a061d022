"""Executors, which carry out the jobs of a search; `nas.strategy` decides what the jobs are."""
