"""What to evaluate next. The only floor that knows Optuna."""
