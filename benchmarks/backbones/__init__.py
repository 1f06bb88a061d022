"""Backbones beside their authors' code and the paper's figures."""
