"""What people write, as checked values: architectures, spaces, runners, recipes, objectives."""
