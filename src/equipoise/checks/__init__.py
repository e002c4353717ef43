"""Contract checks for our own methods and for plug-ins; ``equipoise.testing`` is the way in."""

from __future__ import annotations


class CheckFailed(AssertionError):
    """Something breaks its contract; the message names each check and what was seen."""
