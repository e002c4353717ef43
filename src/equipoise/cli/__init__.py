"""The command line: one file a verb."""

from equipoise.cli.app import main

__all__ = ["main"]
