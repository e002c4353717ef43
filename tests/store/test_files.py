"""Claims on output folders: locks, the same run, another run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from equipoise.errors import InputError, LockedError, OutputExistsError
from equipoise.store.files import Output, atomic_write, differences, lock


def run(folder, fingerprint, *, finish=True, **options):
    with Output(folder, "done.json", fingerprint, owned=("data", "rows.txt"), **options) as output:
        state = (output.finished, output.resumed)
        if finish and not output.finished:
            (folder / "data").mkdir(exist_ok=True)
            atomic_write(output.path("rows.txt"), str(fingerprint))
            atomic_write(output.path("done.json"), "{}")
    return state


def test_the_same_run_is_finished_or_resumed(tmp_path):
    out = tmp_path / "a" / "b"
    assert run(out, {"k": 1}, finish=False) == (False, False)
    assert run(out, {"k": 1}) == (False, True)
    assert run(out, {"k": 1}) == (True, False)


def test_another_run_is_refused_with_the_difference(tmp_path):
    out = tmp_path / "out"
    run(out, {"k": 200, "by": ["gender"], "inputs": {"a.csv": "x"}})
    with pytest.raises(OutputExistsError) as caught:
        run(out, {"k": 100, "by": ["gender"], "inputs": {"a.csv": "y"}})
    assert "inputs.a.csv: x -> y; k: 200 -> 100" in str(caught.value)
    assert (out / "rows.txt").read_text().startswith("{'k': 200")


def test_overwrite_replaces_what_is_owned_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    run(out, {"k": 1})
    (out / "data" / "stale").touch()
    (out / "report.html").touch()
    assert run(out, {"k": 2}, overwrite=True) == (False, False)
    assert sorted(name for name in os.listdir(out) if name[0] != ".") == [
        "data",
        "done.json",
        "report.html",
        "rows.txt",
    ]
    assert os.listdir(out / "data") == []
    assert run(out, {"k": 2}) == (True, False)
    assert run(out, {"k": 2}, overwrite=True) == (False, False)


def test_overwriting_never_looks_complete(tmp_path):
    out = tmp_path / "out"
    run(out, {"k": 1})
    run(out, {"k": 2}, overwrite=True, finish=False)
    assert not (out / "done.json").exists()


def test_foreign_files_are_not_an_output(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(OutputExistsError, match=r"holds other files \(holiday.jpg\)"):
        run(tmp_path, {"k": 1})
    run(tmp_path, {"k": 1}, overwrite=True)
    assert (tmp_path / "holiday.jpg").exists()


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    out = tmp_path / "out"
    run(out, {"k": 1}, finish=False)
    (out / ".rows.txt.1.partial").touch()
    run(out, {"k": 1})
    assert not (out / ".rows.txt.1.partial").exists()


def test_a_broken_record_is_another_run(tmp_path):
    out = tmp_path / "out"
    run(out, {"k": 1})
    (out / ".run.json").write_text("{")
    with pytest.raises(OutputExistsError):
        run(out, {"k": 1})


def test_an_output_that_is_a_file_or_below_one(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OutputExistsError, match="is a file"):
        run(path, {})
    with pytest.raises(InputError, match="cannot be written"):
        run(path / "below", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        run(tmp_path / "out", {})
    with pytest.raises(InputError, match="cannot be written"):
        run(tmp_path, {})


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that refuses folders")
def test_a_file_system_that_refuses(tmp_path):
    with pytest.raises(InputError, match="'/proc/equipoise' cannot be written"):
        run(Path("/proc/equipoise"), {})


HOLD = """
import sys
from equipoise.store.files import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_and_a_stale_lock(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match="Another process works on"), lock(tmp_path):
            pass
        with pytest.raises(LockedError):
            run(tmp_path, {})
    finally:
        other.kill()
        other.communicate()
    with lock(tmp_path):
        pass


def test_an_error_inside_frees_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), Output(tmp_path, "done.json", {}):
        _ = 1 / 0
    with lock(tmp_path):
        pass


def test_differences():
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3, "d": [1]}}) == [
        "b.c: 2 -> 3",
        "b.d: none -> [1]",
    ]
    assert differences({"a": "x" * 100}, {"a": "y"}) == ["a: " + "x" * 57 + "... -> y"]
