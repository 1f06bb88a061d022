"""What was evaluated: records, trials, full trainings, and the front that they make."""
