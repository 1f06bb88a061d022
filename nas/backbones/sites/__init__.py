"""Where blocks may go in a network, found by sending one image through it."""
