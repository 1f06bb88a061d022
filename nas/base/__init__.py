"""The floor below all others: errors, files, seeds, object storage, this machine, processes."""
