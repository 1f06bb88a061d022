"""What published comparisons say, before anything is trained."""
