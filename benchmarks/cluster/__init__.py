"""Searches of many workers: what dies under them, and what an executor costs."""
