"""The network of an architecture: its sites, how it is built, what it costs."""
