"""However a process is asked to end, and however early, it ends with 130 and one JSON object."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from signals import heeding_signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("wait", [0.25, 0.6, 1.5])
def test_a_signal_ends_with_130(name: str, wait: float, tmp_path) -> None:
    out = tmp_path / "demo"
    call = [sys.executable, "-m", "equipoise", "demo", "--json", "--out", str(out)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeding_signals, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}) as process:  # fmt: skip
        time.sleep(wait)
        process.send_signal(getattr(signal, name))
        said, told = process.communicate(timeout=60)
    if process.returncode == -getattr(signal, name) and not said:
        pytest.skip("the signal came before Python ran a line of ours")
    assert process.returncode == 130, told
    found = json.loads(said)
    assert found["exit_code"] == 130
    assert found["error"]["type"] == "KeyboardInterrupt"
    assert b"Traceback" not in told


def test_help_into_a_closed_pipe_is_no_failure() -> None:
    call = f"{sys.executable} -m equipoise --help | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", call], env=os.environ | {"PYTHONPATH": ":".join(sys.path)}).returncode == 0


@pytest.mark.parametrize("asked", [["--help", "--json"], ["--json", "--version"], ["audit", "--help", "--json"]])
def test_help_and_version_as_json(run, asked) -> None:
    found = run(*asked)
    assert found.code == 0
    assert found.json["result"]["text"]


def test_common_flags_may_stand_before_the_verb(run) -> None:
    assert run("--json", "ls", "metrics").json["command"] == "ls"


def test_no_verb_is_wrong_use(run) -> None:
    found = run("--json")
    assert (found.code, found.json["error"]["type"]) == (2, "InputError")
