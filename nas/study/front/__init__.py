"""The Pareto front of a study: its members, what may be asked of it, what it may claim."""
