"""SIGKILL at random moments, then the same command again: the output equals that of an uninterrupted run, byte for byte."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

KILLS = 10


def verbs(tiny: Any, at: Path) -> dict[str, list[str]]:
    """Commands in the order of the loop; each reads what the one before wrote."""
    quick = ["--bootstrap", "100"]
    return {
        "embed": [
            "embed", str(tiny.table), "--id", "id", "--attributes", "gender,race", "--split", "split", "--encoder", tiny.reference,
            "--vocabulary", str(tiny.vocabulary), "--store", str(at / "store"),
        ],
        "audit": ["audit", str(at / "store"), "--queries", str(tiny.queries), "--by", "gender,race", *quick, "--out", str(at / "before")],
        "mitigate": ["mitigate", "wring", str(at / "store"), "--attribute", "gender", "--out", str(at / "wring")],
        "again": ["audit", str(at / "store"), "--like", str(at / "before"), "--mitigation", str(at / "wring"), "--out", str(at / "after")],
        "compare": ["compare", str(at / "before"), str(at / "after"), "--draws", "100", "--out", str(at / "ledger")],
        "report": ["report", str(at / "ledger"), "--out", str(at / "report.html")],
    }  # fmt: skip


def digests(at: Path) -> dict[str, str]:
    """SHA-256 of every file that is not hidden."""
    return {
        str(path.relative_to(at)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(at.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(at).parts)
    }


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "equipoise", *command, "--quiet"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(command: list[str]) -> float:
    began = time.monotonic()
    process = start(command)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - began


def interrupted(command: list[str], seconds: float, kills: int, rng: random.Random) -> int:
    """Kill the command ``kills`` times; return how often it was still running."""
    hit = 0
    for _ in range(kills):
        process = start(command)
        # most of a short run is start-up; what is written comes late
        time.sleep(seconds * rng.uniform(0.5, 1.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            hit += 1
        process.communicate()
    return hit


def compare_with_uninterrupted(tiny: Any, tmp_path: Path, kills: int) -> None:
    rng = random.Random(0)  # noqa: S311
    at = tmp_path / "run"
    at.mkdir()
    clean: dict[str, float] = {}
    for name, command in verbs(tiny, at).items():
        clean[name] = finish(command)
    wanted = digests(at)
    at.rename(tmp_path / "clean")
    at.mkdir()
    hit = 0
    for name, command in verbs(tiny, at).items():
        hit += interrupted(command, clean[name], kills, rng)
        finish(command)
    assert digests(at) == wanted
    assert hit, "no kill met a running process"


def test_killed_and_resumed(tiny_precomputed: Any, tmp_path: Path) -> None:
    compare_with_uninterrupted(tiny_precomputed, tmp_path, KILLS)


@pytest.mark.slow
def test_killed_a_hundred_times(tiny_precomputed: Any, tmp_path: Path) -> None:
    compare_with_uninterrupted(tiny_precomputed, tmp_path, 100)
