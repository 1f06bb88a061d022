"""Blocks beside their authors' code, in every runtime, and as they start."""
