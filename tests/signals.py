"""For children that are to be interrupted."""

from __future__ import annotations

import signal


def heeding_signals() -> None:
    """Let a child process heed signals that a shell told this one to ignore; for ``preexec_fn``."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
