"""``equipoise doctor``: what is installed, and what to install for the rest."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Any

from equipoise._version import __version__
from equipoise.cli.common import Common, Outcome

# For a source tree without metadata.
_CORE = (
    "numpy", "scipy", "pyarrow", "pillow", "narwhals", "safetensors", "jinja2", "altair", "vl-convert-python", "cyclopts",
    "pydantic", "rich", "filelock",
)  # fmt: skip


def doctor(*, common: Common | None = None) -> Outcome:
    """Say what is installed and what is missing."""
    common = common or Common()
    core = {name: installed(name) for name in _declared(None) or _CORE}
    extras = {extra: {name: installed(name) for name in _declared(extra)} for extra in _extras()}
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "cores": _cores(),
        "memory_gib": _memory(),
        "executable": sys.executable,
    }
    common.say(f"equipoise {__version__}, Python {machine['python']} on {machine['system']}")
    memory = "unknown" if machine["memory_gib"] is None else f"{machine['memory_gib']} GiB"
    common.say(f"cores: {machine['cores']}, memory: {memory}")
    for name, found in core.items():
        common.say(f"  {name:<20} {found or 'MISSING'}")
    missing = [name for name, found in core.items() if found is None]
    commands = {}
    for extra, packages in extras.items():
        absent = [name for name, found in packages.items() if found is None]
        if absent:
            commands[extra] = f'pip install "equipoise[{extra}]"'
        state = f"missing {', '.join(absent)}: {commands[extra]}" if absent else "complete"
        common.say(f"extra {extra:<14} {state}")
    if missing:
        line = f"incomplete: the core lacks {', '.join(missing)}; run: pip install --upgrade equipoise"
        common.warn("core", line)
    else:
        line = f"ready: the core is complete; extras missing: {', '.join(commands) or 'none'}"
    result: dict[str, Any] = {"machine": machine, "core": core, "extras": extras, "install": commands}
    return Outcome(line=line, result=result)


def installed(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    try:
        return requires("equipoise") or []
    except PackageNotFoundError:
        return []


def _declared(extra: str | None) -> list[str]:
    """Return the distributions that the installed metadata declares, of the core or of one extra."""
    found = set()
    for text in _requirements():
        name, _, marker = text.partition(";")
        optional = re.search(r"""extra\s*==\s*["']([^"']+)["']""", marker)
        if (optional[1] if optional else None) == extra:
            found.add(re.split(r"[^A-Za-z0-9._-]", name.strip())[0])
    return sorted(found - {"equipoise"})


def _extras() -> list[str]:
    try:
        return sorted(metadata("equipoise").get_all("Provides-Extra") or [])
    except PackageNotFoundError:
        return []


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _memory() -> float | None:
    """Return physical memory in GiB where the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
