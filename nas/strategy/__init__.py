"""The strategy of a search: what to evaluate next. The only floor that knows Optuna."""
