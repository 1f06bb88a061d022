"""What any program needs: errors, files, seeds, object storage, this machine and its processes."""
