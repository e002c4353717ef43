"""The program as a whole: help, exit codes, what goes to stdout, and what it may import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equipoise._version import __version__
from equipoise.cli import app as program
from equipoise.cli.common import Common, Outcome
from equipoise.errors import InputError, MethodRefusal
from equipoise.schema import Result

HEAVY = ("torch", "pandas", "scipy.stats", "altair", "polars", "sklearn")


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "equipoise", *arguments],
        capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def imported(*arguments: str) -> tuple[set[str], float]:
    """Return the heavy modules that a verb imported, and its CPU seconds (user and system, start of Python included)."""
    code = (
        "import sys, resource, contextlib, io\n"
        "from equipoise.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    main({list(arguments)!r})\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], used.ru_utime + used.ru_stime, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules, seconds = done.stdout.strip().split("|")
    return set(json.loads(modules.replace("'", '"'))), float(seconds)


def test_help_is_light_and_answers_in_half_a_cpu_second() -> None:
    runs = [imported("--help") for _ in range(3)]
    assert runs[0][0] == set()
    assert min(seconds for _, seconds in runs) < 0.5


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "metrics"], ["doctor"], ["compare", "--help"], ["gate", "--help"], ["gate", "none"], ["mitigate", "--help"], ["embed", "--help"], ["audit", "--help"], ["report", "--help"], ["demo", "--help"]],
)  # fmt: skip
def test_what_light_verbs_import(arguments: list[str]) -> None:
    assert imported(*arguments)[0] == set()


def test_help_lists_exactly_the_verbs_of_this_version(run: Callable[..., Any]) -> None:
    ran = run("--help")
    assert (ran.code, ran.err) == (0, "")
    for verb in (
        "embed",
        "audit",
        "annotate",
        "balance",
        "mitigate",
        "compare",
        "gate",
        "report",
        "demo",
        "ls",
        "doctor",
    ):
        assert f" {verb} " in ran.out
        help_of_verb = run(verb, "--help")
        assert help_of_verb.code == 0
        assert "Usage: equipoise " + verb in help_of_verb.out
    for verb in ("probe", "synthesize", "export", "explore"):
        assert f" {verb} " not in ran.out


def test_version(run: Callable[..., Any]) -> None:
    ran = run("--version")
    assert (ran.code, ran.out.strip()) == (0, __version__)


def test_common_flags_are_everywhere(run: Callable[..., Any]) -> None:
    for verb in ("embed", "audit", "mitigate wring", "compare", "gate", "report", "demo", "ls", "doctor"):
        text = run(*verb.split(), "--help").out
        assert [
            flag for flag in ("--json", "--quiet", "--seed", "--config", "--overwrite") if flag not in text
        ] == [], verb


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["adit"], "There is no verb 'adit'. Did you mean 'audit'?"),
        (["probe", "x.csv"], "There is no verb 'probe'."),
        (["mitigate", "wrong", "store"], "There is no method 'wrong'. Did you mean 'wring'?"),
        (["gate", "x", "--polcy", "y"], "Unknown option: --polcy. Did you mean --policy?"),
        (["gate"], "requires an argument"),
        (["gate", "x", "y"], "Unused Tokens"),
        (["ls", "metric"], 'Invalid value "metric"'),
        (["audit", "x", "--k", "many"], "'many' is not a whole number"),
        (["doctor", "--seed", "1.5"], "'1.5' is not a whole number"),
    ],
)
def test_wrong_use_is_exit_2_with_help_and_one_json_object(
    run: Callable[..., Any], arguments: list[str], said: str
) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err
    told = run(*arguments, "--json")
    assert told.code == 2
    Result.from_json(told.out)
    assert told.json["error"]["message"] in ran.err.replace("\n", " ")
    assert told.json["exit_code"] == 2


@pytest.mark.parametrize("arguments", [[], ["mitigate"]])
def test_a_missing_verb_prints_help_on_stderr_and_is_wrong_use(run: Callable[..., Any], arguments: list[str]) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: equipoise" in ran.err


def _doctor_does(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    """Put another function behind a verb; its module is that of a verb."""

    def verb(*, common: Common | None = None) -> Outcome:
        print("a library prints")
        return action()

    verb.__module__ = "equipoise.cli.doctor"
    app = program.App(name="equipoise", suppress_keyboard_interrupt=False, config=program.from_file)
    app.command(verb, name="doctor")
    monkeypatch.setattr(program, "app", app)


@pytest.mark.parametrize(
    ("error", "code", "kind", "remedy"),
    [
        (InputError("It is wrong.", "Mend it."), 2, "InputError", "Mend it."),
        (MethodRefusal("No such vector.", "Use another."), 4, "MethodRefusal", "Use another."),
        (KeyboardInterrupt(), 130, "KeyboardInterrupt", "Run the same command again to go on where it stopped."),
        (PermissionError(13, "Permission denied", "out/x"), 2, "PermissionError", "Check the path"),
        (OSError(28, "No space left on device"), 2, "OSError", "the free space"),
        (ZeroDivisionError("division by zero"), 70, "ZeroDivisionError", "open an issue"),
    ],
)
def test_every_end_has_its_code(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any], error: BaseException, code: int, kind: str, remedy: str
) -> None:
    def fail() -> None:
        raise error

    _doctor_does(monkeypatch, fail)
    ran = run("doctor", "--json")
    assert ran.code == ran.json["exit_code"] == code
    assert ran.json["error"]["type"] == kind
    assert remedy in ran.json["error"]["remedy"]
    assert ran.json["command"] == "doctor"
    assert "Traceback" not in ran.err
    assert run("doctor").out == ""


def test_the_traceback_comes_only_when_asked_for(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("here")

    _doctor_does(monkeypatch, fail)
    monkeypatch.setenv("EQUIPOISE_DEBUG", "1")
    assert "Traceback" in run("doctor").err


def test_stdout_holds_the_result_alone_even_when_a_library_prints(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    import warnings

    def work() -> Outcome:
        warnings.warn("look here", UserWarning, stacklevel=1)
        return Outcome(
            line="done", result={"nan": float("nan"), "inf": float("inf"), "one": 1.0}, out="there", exit_code=0
        )

    _doctor_does(monkeypatch, work)
    ran = run("doctor")
    assert (ran.code, ran.out) == (0, "done\n")
    assert "a library prints" in ran.err
    told = run("doctor", "--json").json
    assert told["result"] == {"nan": None, "inf": None, "one": 1.0}
    assert told["warnings"] == [{"code": "UserWarning", "message": "look here"}]
    assert list(told) == ["schema", "command", "error", "exit_code", "out", "result", "rows", "version", "warnings"]
    assert told["schema"] == "equipoise.result/1"


def test_data_cannot_command_the_terminal(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    evil = "a\x1b[2J\x9b31m\u202eb\udcff\nfake line"

    def fail() -> None:
        raise InputError(f"The value '{evil}' is wrong.", "Mend it.", value=evil)

    _doctor_does(monkeypatch, fail)
    for ran in (run("doctor"), run("doctor", "--json")):
        assert not set("\x1b\x9b\u202e") & set(ran.out + ran.err)
        assert "\\x1b[2J\\x9b31m\\u202eb\\udcff\\x0afake line" in ran.err
    assert ran.json["error"]["message"].startswith("The value 'a\x1b[2J")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m equipoise ls metrics | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.strip() == "0"
    closed = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m equipoise ls >&-; echo $?"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Traceback" not in closed.stderr


def test_the_module_is_the_program() -> None:
    done = process("gate", "no-such-folder", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "MissingFileError"
    assert process("ls", "policy", PYTHONIOENCODING="ascii").returncode == 0


# ------------------------------------------------------------------------------------------------------- --config


@pytest.fixture
def configured(tmp_path: Path, run: Callable[..., Any]) -> Callable[..., Any]:
    def call(text: str, *arguments: object) -> Any:
        path = tmp_path / "run.toml"
        path.write_text(text, "utf-8")
        return run(*arguments, "--config", path)

    return call


def test_a_config_gives_flags_and_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch, configured: Callable[..., Any]
) -> None:
    seen: list[dict[str, Any]] = []

    def verb(
        data: str,
        *,
        by: list[str] | None = None,
        k: int | None = None,
        level: float = 0.5,
        common: Common | None = None,
    ) -> Outcome:
        seen.append({"data": data, "by": by, "k": k, "level": level, "seed": common.seed if common else None})
        return Outcome(line="", result={})

    verb.__module__ = "equipoise.cli.doctor"
    app = program.App(name="equipoise", config=program.from_file)
    app.command(verb, name="audit")
    app.command(verb, name="other")
    monkeypatch.setattr(program, "app", app)
    text = 'seed = 3\nlevel = 1\n[audit]\ndata = "x"\nby = ["a", "b"]\nk = 7\n[other]\nk = 9\nunread = 1\n'
    assert configured(text, "audit").code == 0
    assert configured(text, "audit", "y", "--k", "8", "--by", "c", "--seed", "4").code == 0
    assert configured("k = 1\n[audit]\nk = 2\ndata='z'", "audit").code == 0
    assert seen == [
        {"data": "x", "by": ["a", "b"], "k": 7, "level": 1.0, "seed": 3},
        {"data": "y", "by": ["c"], "k": 8, "level": 1.0, "seed": 4},
        {"data": "z", "by": None, "k": 2, "level": 0.5, "seed": None},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("polcy = 'x'", "unknown key 'polcy'. Did you mean 'policy'?"),
        ("[gate]\npolcy = 'x'", "unknown key 'gate.polcy'. Did you mean 'gate.policy'?"),
        ("[gat]\npolicy = 'x'", "unknown key 'gat'. Did you mean 'gate'?"),
        ("config = 'x'", "unknown key 'config'"),
        ("seed = '3'", "'seed' is '3', expected a whole number"),
        ("seed = 3.0", "'seed' is 3.0, expected a whole number"),
        ("seed = true", "'seed' is True, expected a whole number"),
        ("quiet = 1", "'quiet' is 1, expected true or false"),
        ("policy = 3", "'policy' is 3, expected a path"),
        ("policy = ['a', 'b']", "expected one value, not a list"),
        ("gate = 3", "unknown key 'gate'"),
        ("seed = ", "is not TOML"),
    ],
)
def test_a_broken_config_is_exit_2(configured: Callable[..., Any], text: str, said: str) -> None:
    ran = configured(text, "gate", "x")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_missing_config(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("gate", "x", "--config", tmp_path / "none.toml")
    assert ran.code == 2
    assert "There is no configuration at" in ran.err
    assert "cannot be read" in run("gate", "x", "--config", tmp_path).err


def test_a_table_may_stand_for_repeated_pairs(configured: Callable[..., Any]) -> None:
    ran = configured('[compare]\nout = "o"\nmargin = {max_skew = 0.2, "dp@20" = 0.1}', "compare", "none", "none")
    assert ran.code == 2
    assert "There is no audit at 'none'" in ran.err
