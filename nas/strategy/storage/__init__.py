"""Studies on disk and in databases, and who may write them."""
