"""The program: its verbs, and what happens when one of them ends well or badly."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

from cyclopts import App, CycloptsError, UnknownCommandError

from equipoise._version import __version__
from equipoise.cli.common import Common, Outcome, as_json, explained, failure_of, result_of, safe
from equipoise.cli.config import from_file
from equipoise.cli.light import VERBS as VERBS_WITHOUT_FRAMES
from equipoise.cli.light import spare_pandas
from equipoise.errors import EquipoiseError, InputError, UnknownNameError, did_you_mean, listed
from equipoise.schema import Result

VERBS = {
    "embed": "Put a table of pictures through an encoder, into a store.",
    "audit": "Measure bias in a store, or in a table of predictions.",
    "annotate": "Read attributes and labels from captions and pictures, and how often that errs.",
    "balance": "Weigh image-text data so that groups have their shares and labels do not depend on them.",
    "mitigate": "Fit a method that removes bias, and write it to a folder.",
    "compare": "Hold an audit after against one before: the ledger.",
    "gate": "Pass, fail, or say that the evidence is too thin.",
    "report": "Write a ledger or an audit as one HTML file.",
    "demo": "Run the whole loop on the demo faces.",
    "ls": "List encoders, metrics, mitigations, queries, or an example policy.",
    "doctor": "Say what is installed and what is missing.",
}
_SUB_APPS = frozenset({"mitigate"})

app = App(
    name="equipoise",
    help="Measure bias in vision and vision-language models, mitigate it, and show what else the cure moved.",
    help_epilogue="audit -> mitigate -> compare -> gate -> report. Start with `equipoise demo`.",
    help_format="plaintext",
    version=__version__,
    config=from_file,
    suppress_keyboard_interrupt=False,
)
for _order, (_verb, _help) in enumerate(VERBS.items()):
    _target = "app" if _verb in _SUB_APPS else _verb
    app.command(f"equipoise.cli.{_verb}:{_target}", name=_verb, help=_help, sort_key=_order)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    tokens = _flags_after_the_verb(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # The caller closed it.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (open until the end)
    if argv is None:
        sys.stderr = _Unheard(sys.stderr)  # type: ignore[assignment]
    if argv is None and VERBS_WITHOUT_FRAMES.intersection(tokens[:1]):
        spare_pandas()
    try:
        code = _run(tokens)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _silence(sys.stdout)
        return 0


def _flags_after_the_verb(tokens: Sequence[str]) -> list[str]:
    """Let --json and --quiet stand before the verb too."""
    first = next((i for i, token in enumerate(tokens) if token not in ("--json", "--quiet")), len(tokens))
    return [*tokens[first:], *tokens[:first]]


def _run(tokens: list[str]) -> int:
    command, common = "equipoise", Common(json="--json" in tokens)
    if set(tokens) <= {"--json", "--quiet"}:
        tokens = []
    try:
        command = " ".join(name for name in app.parse_commands(tokens)[0] if not name.startswith("-")) or command
        call, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        if not _is_verb(call):
            asked = not {*app.help_flags, *app.version_flags}.isdisjoint(tokens)
            return _helped(call, bound, command, common, asked=asked)
        common = bound.arguments.setdefault("common", None) or common
        bound.arguments["common"] = common
        with _warnings_kept(common), redirect_stdout(sys.stderr):
            outcome: Outcome = call(*bound.args, **bound.kwargs)
    except UnknownCommandError as error:
        return _failed(command, _unknown(error), common)
    except CycloptsError as error:
        usage = InputError(_usage(error), f"See `{_helper(command)} --help`.")
        return _failed(command, usage, common)
    except KeyboardInterrupt as error:
        return _failed(command, error, common)
    except Exception as error:
        return _failed(command, error, common)
    return _emit(result_of(command, outcome, common.warnings), safe(outcome.line), common)


def _is_verb(call: Callable[..., Any]) -> bool:
    return getattr(call, "__module__", "").startswith("equipoise.cli.")


def _helper(command: str) -> str:
    return command if command == "equipoise" else f"equipoise {command}"


def _helped(call: Callable[..., Any], bound: Any, command: str, common: Common, *, asked: bool) -> int:
    """Print help or version; without having been asked, a verb is missing, which is wrong use."""
    text = StringIO()
    with redirect_stdout(sys.stderr if not asked else text if common.json else sys.stdout):
        try:
            call(*bound.args, **bound.kwargs)
        except (SystemExit, BrokenPipeError):  # the reader of a pipe left
            _silence(sys.stdout)
    if not asked:
        return _failed(command, InputError("No verb was given.", "Name one of those above."), common)
    return _emit(Result(command=command, exit_code=0, result={"text": text.getvalue()}), "", common)


def _unknown(error: UnknownCommandError) -> UnknownNameError:
    """Say which verb or method was meant, without importing them all."""
    name = (error.unused_tokens or [""])[0]
    level = error.app or app
    known = [known for known in level if not known.startswith("-")]
    kind = "verb" if level is app else "method"
    return UnknownNameError(
        f"There is no {kind} '{name}'.{did_you_mean(name, known)}", f"Known: {listed(known, 30)}.", value=name
    )


def _usage(error: CycloptsError) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _failed(command: str, error: BaseException, common: Common) -> int:
    """Tell what went wrong, to a person and to a program, and return the exit code."""
    known = explained(error)
    if isinstance(error, KeyboardInterrupt):
        known = (130, "Interrupted.", "Run the same command again to go on where it stopped.")
    if known is None:
        name = type(error).__name__
        message = str(error) if isinstance(error, EquipoiseError) else f"{name}: {error}"
        remedy = (
            f"This is an error of equipoise {__version__}. Run it again with EQUIPOISE_DEBUG=1 and open an issue with the "
            "command and the traceback."
        )
        known = (70, message, remedy)
    code, message, remedy = known
    if os.environ.get("EQUIPOISE_DEBUG") == "1":
        print(safe("".join(traceback.format_exception(error))), file=sys.stderr)
    print(safe(f"error: {message} {remedy}".rstrip(), lines=False), file=sys.stderr)
    return _emit(failure_of(command, error, code, common.warnings, message, remedy), "", common)


def _emit(result: Result, line: str, common: Common) -> int:
    """Put the one result on stdout."""
    text = as_json(result) if common.json else line
    try:
        if text:
            print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        # 1 would mean that the gate failed
        _silence(sys.stdout)
        print(
            f"error: The result cannot be written to stdout: {error.strerror}. Free space, or send it elsewhere.",
            file=sys.stderr,
        )
        return 2
    return result.exit_code


class _Unheard:
    """A stream whose reader may leave: what people are told must not decide the exit code (a gate would fail open)."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop the text where nobody can read it."""
        try:
            return self._stream.write(text)
        except OSError:
            _silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        try:
            self._stream.flush()
        except OSError:
            _silence(self._stream)


def _silence(stream: Any) -> None:
    """Point a stream whose reader left at nothing, so that the interpreter does not complain when it closes it."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return


@contextmanager
def _warnings_kept(common: Common) -> Any:
    """Turn Python warnings of ours and of plug-ins into warnings of the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, category, *_, **__: common.warn(category.__name__, str(message))
        yield
