"""Mitigations that train a model: one published method, one file."""
