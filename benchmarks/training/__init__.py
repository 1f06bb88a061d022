"""Which cheap training tells what full training would, and what a training step costs."""
