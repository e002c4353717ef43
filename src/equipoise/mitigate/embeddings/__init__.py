"""Edits of embeddings: one published method, one file."""
