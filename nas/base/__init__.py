"""What every floor stands on: errors, files, seeds, object storage, this machine, processes."""
