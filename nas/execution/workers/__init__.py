"""Processes that evaluate: those of a local driver, and those that came by themselves."""
