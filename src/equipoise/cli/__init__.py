"""The command line: one file a verb."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; an interrupt is answered from the first import on."""
    try:
        if argv is None:
            _end_like_an_interrupt()
        from equipoise.cli.app import main as run

        code = run(argv)
    except KeyboardInterrupt:
        code = _interrupted("--json" in (sys.argv[1:] if argv is None else argv))
    if code == 130 and argv is None:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End at once: an interpreter in which an extension module once saw the interrupt would end by signal, not with 130."""
    import os

    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_like_an_interrupt() -> None:
    """Let what else ends a process (a scheduler, a closed terminal) unwind as Ctrl-C does."""
    import signal

    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _interrupted(as_json: bool) -> int:
    """Tell of an interrupt that came while the program was being imported."""
    import json

    from equipoise._version import __version__

    message, remedy = "Interrupted.", "Run the same command again to go on where it stopped."
    print(f"error: {message} {remedy}", file=sys.stderr)
    if as_json:
        error = {"type": "KeyboardInterrupt", "message": message, "remedy": remedy}
        head = {"schema": "equipoise.result/1", "command": "equipoise", "version": __version__, "exit_code": 130}
        print(json.dumps({**head, "rows": None, "out": None, "result": {}, "warnings": [], "error": error}, indent=2))
    return 130
