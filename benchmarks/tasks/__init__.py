"""Segmentation and retrieval."""
