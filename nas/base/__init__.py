"""The ground of the program: errors, files, seeds, object storage, this machine, its processes."""
