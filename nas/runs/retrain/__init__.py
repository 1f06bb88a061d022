"""Full training of the networks of a run, and of the hand-placed ones beside them."""
