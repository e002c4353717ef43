"""Mitigations, by what they change."""
