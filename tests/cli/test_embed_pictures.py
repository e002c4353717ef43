"""``equipoise embed`` on pictures, as a person calls it; killed at any moment it goes on and gives the same bytes."""

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

import numpy as np
import pytest
from patches import write_images, write_table
from PIL import Image
from signals import heeding_signals

from equipoise.cli import working
from equipoise.progress import advance
from equipoise.store.embeddings import EmbeddingSet

COUNT, KILLS = 120, 10
ENCODER = "py:patches:patches"


@pytest.fixture(scope="module")
def table(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    names = write_images(folder, COUNT)
    (folder / names[3]).write_bytes(b"junk")
    (folder / names[70]).unlink()
    return write_table(folder / "table.csv", names)


def command(table: Path, store: Path, *more: str) -> list[str]:
    sizes = [*([] if "--batch-size" in more else ["--batch-size", "4"]), "--shard-rows", "16"]
    return [
        "embed", str(table), "--image", "image", "--attributes", "group", "--encoder", ENCODER, "--store", str(store), *sizes,
        *more,
    ]  # fmt: skip


def digests(store: Path) -> dict[str, str]:
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(store).parts)
    }


def start(table: Path, store: Path, *more: str, delay: float = 0.0) -> subprocess.Popen[bytes]:
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), "PATCHES_DELAY": str(delay)}
    return subprocess.Popen(
        [sys.executable, "-m", "equipoise", *command(table, store, "--caption", "caption", *more)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environment, preexec_fn=heeding_signals,
    )  # fmt: skip


def finish(table: Path, store: Path) -> float:
    began = time.monotonic()
    process = start(table, store)
    said, told = process.communicate(timeout=120)
    assert (process.returncode, said.decode().strip()) == (0, str(store)), told.decode()
    return time.monotonic() - began


def written(store: Path) -> int:
    """When the plan was last written: a run that goes on writes it again as its work begins."""
    plan = store / ".plan.parquet"
    return plan.stat().st_mtime_ns if plan.is_file() else 0


def kill_until(kills: int, table: Path, tmp_path: Path) -> None:
    """Kill runs at random moments of their work, each going on with the store of the one before; compare what it becomes."""
    rng = random.Random(0)
    finish(table, tmp_path / "once")
    wanted = digests(tmp_path / "once")
    met, stores = 0, 0
    while met < kills:
        store = tmp_path / f"store{stores}"
        stores += 1
        ended = False
        while not ended and met < kills:
            before = written(store)
            process = start(table, store, delay=0.02)
            while written(store) == before and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.8))
            ended = process.poll() is not None
            if not ended:
                process.send_signal(signal.SIGKILL)
                met += 1
            process.communicate()
        finish(table, store)
        assert digests(store) == wanted
        assert not list(store.rglob("*.partial"))


def test_killed_ten_times_at_random_moments(table: Path, tmp_path: Path) -> None:
    kill_until(KILLS, table, tmp_path)


@pytest.mark.slow
def test_killed_a_hundred_times(table: Path, tmp_path: Path) -> None:
    kill_until(100, table, tmp_path)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_and_it_goes_on(table: Path, tmp_path: Path, name: str) -> None:
    finish(table, tmp_path / "once")
    store = tmp_path / "store"
    process = start(table, store, delay=0.05)
    while len(list((store / "image").glob(".*.parquet"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 20
    assert b"Interrupted. Run the same command again to go on where it stopped." in told
    assert not (store / "manifest.json").exists()
    finish(table, store)
    assert digests(store) == digests(tmp_path / "once")


def test_two_processes_on_one_store(table: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = start(table, store, delay=0.5)
    while not (store / "image").is_dir():
        time.sleep(0.01)
    second = start(table, store)
    _, told = second.communicate(timeout=30)
    assert (second.returncode, b"Another process works on" in told) == (2, True)
    assert first.poll() is None
    first.kill()
    first.communicate()
    finish(table, store)  # the lock ended with its process


# ------------------------------------------------------------------------------------------------- what it says


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


def test_it_says_what_was_set_aside_and_why(run: Any, table: Path, tmp_path: Path, here: None) -> None:
    found = run(*command(table, tmp_path / "store", "--json"))
    assert found.code == 0, found.err
    assert found.json["rows"] == {"in": 120, "used": 118, "set_aside": 2}
    assert found.json["result"]["set_aside"] == {"missing": 1, "not an image": 1}
    assert "rows: 120 in = 118 used + 2 set aside (missing: 1, not an image: 1)" in found.err
    assert len(EmbeddingSet.load(tmp_path / "store")) == 118


def test_another_batch_size_is_refused(run: Any, table: Path, tmp_path: Path, here: None) -> None:
    run(*command(table, tmp_path / "store"))
    found = run(*command(table, tmp_path / "store", "--batch-size", "5"))
    assert found.code == 2
    assert "batch_size: 4 -> 5" in found.err


def test_prompts_that_are_cut_are_said(run: Any, table: Path, tmp_path: Path, here: None) -> None:
    long = "a very " + "long " * 20 + "prompt"
    vocabulary = tmp_path / "groups.toml"
    vocabulary.write_text(f'[group]\nvalues = ["A", "B"]\n[group.prompts]\nA = ["{long}"]\nB = ["b"]\n')
    found = run(*command(table, tmp_path / "store", "--vocabulary", str(vocabulary), "--json"))
    assert [(one["code"], one["message"][:50]) for one in found.json["warnings"]] == [
        ("truncated", "1 texts are longer than the encoder reads: 'a very")
    ]


def test_rules_for_pictures(run: Any, tmp_path: Path, here: None) -> None:
    write_images(tmp_path, 2)
    Image.fromarray(np.full((20, 20), 40000, np.uint16)).save(tmp_path / "wide.png")
    table = tmp_path / "t.csv"
    table.write_text("image,group\np0000.png,A\np0001.png,B\nwide.png,B\n")
    found = run(*command(table, tmp_path / "a", "--json"))
    assert found.json["result"]["set_aside"] == {"16-bit: no policy": 1}
    found = run(
        *command(
            table, tmp_path / "b", "--json", "--wide-range", "0,65535", "--max-pixels", "500", "--background", "0,0,0"
        )
    )
    assert found.json["rows"]["used"] == 3
    found = run(*command(table, tmp_path / "c", "--max-pixels", "300"))
    assert found.code == 2
    assert "No picture of 3 can be used: 3 too large" in found.err
    for flag, value, said in (
        ("--wide-range", "5", "--wide-range '5' is not 2 numbers. Write --wide-range 0,65535"),
        ("--background", "0,0,x", "--background '0,0,x' is not 3 numbers"),
        ("--frames", "all", "frames='all'. Give one of first, refuse"),
        ("--timeout", "0", "timeout=0.0"),
        ("--batch-size", "0", "batch_size is 0"),
        ("--preprocess", "clipp", "There is no preprocessing 'clipp'. Did you mean 'clip'"),
        ("--engine", "rayy", "There is no engine 'rayy'"),
    ):
        found = run(*command(table, tmp_path / "d", flag, value))
        assert (found.code, said in found.err) == (2, True), found.err


def test_a_folder_of_pictures(run: Any, tmp_path: Path, here: None) -> None:
    for name in ("A", "B"):
        write_images(tmp_path / "people" / name, 3)
    call = command(tmp_path / "people", tmp_path / "store", "--json")
    call[call.index("group")] = "folder"
    found = run(*call)
    assert found.json["rows"]["used"] == 6
    assert found.json["result"]["vocabulary"]["folder"]["values"] == ["A", "B"]


def test_pictures_must_be_named(run: Any, table: Path, tmp_path: Path, here: None) -> None:
    call = command(table, tmp_path / "store")
    del call[call.index("--image") : call.index("--image") + 2]
    found = run(*call)
    assert found.code == 2
    assert (
        "takes pictures, and no column of image paths was named. Name the column of image paths: image=... (--image)"
        in found.err
    )


def test_now_and_then_a_line_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = [100.0], []
    monkeypatch.setattr(working.time, "monotonic", lambda: clock[0])
    with working.lines(said.append):
        for done in range(1000, 5001, 100):
            advance("pictures", done, 5000)
            clock[0] += 2.5
    assert said[0] == "pictures: 1,600 of 5,000 (32%), 40/s, 85 s left"
    assert len(said) == 6
    assert working.duration(12_000) == "3 h 20 min"
    assert [working.per_second(rate) for rate in (1234.5, 3.21, 0.01)] == ["1,234/s", "3.2/s", "36/h"]


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with working.bars("embedding [red]10 rows"):
        for done in range(11):
            advance("pictures", done, 10)
            time.sleep(0.02)
    told = capsys.readouterr().err
    assert "pictures" in told
    assert "10/10" in told
    assert "[red]10 rows" in told
