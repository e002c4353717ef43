"""Every registered method is a subcommand, and the flags of a plug-in's come from its constructor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest

from equipoise.cli import app as program
from equipoise.cli import mitigate
from equipoise.mitigate.artefact import read_document
from equipoise.protocols import EmbeddingMitigation
from equipoise.registry import MITIGATIONS


class Shift(EmbeddingMitigation):
    """Add the same number to every coordinate.

    Parameters
    ----------
    attribute : str
    amount : float
        How much is added.
    times : int
        How often.
    mode : {"plain", "fancy"}
        In which :term:`way`.
    words : sequence of str, optional
        Some ``words``.
    shares : mapping of str to float, optional
        Wanted shares.
    hidden : object
        Nothing a flag can hold.
    """

    name = "shift"

    def __init__(
        self,
        attribute: str,
        *,
        amount: float = 0.5,
        times: int = 1,
        most: int | None = 3,
        mode: Literal["plain", "fancy"] = "plain",
        loud: bool = False,
        words: Sequence[str] | None = None,
        shares: Mapping[str, float] | None = None,
        hidden: object = None,
    ) -> None:
        self.attributes = (attribute,)
        self.given = {
            "amount": amount,
            "times": times,
            "most": most,
            "mode": mode,
            "loud": loud,
            "words": words,
            "shares": shares,
        }

    def fit(self, embeddings: Any) -> Shift:
        return self

    def transform(self, x: Any, *, modality: str = "text", queries: Any = None) -> Any:
        return x

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"attribute": self.attributes[0], **self.given}, {"nothing": np.zeros(1, np.float32)}

    @classmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Shift:
        return cls(**parameters)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install two plug-ins, one of them broken, and build the program anew."""
    module = ModuleType("shift_plugin")
    module.Shift = Shift  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shift_plugin", module)
    monkeypatch.setattr(MITIGATIONS, "_plugins", {"shift": "shift_plugin:Shift", "broken": "no_such_module:X"})
    methods = program.App(name="mitigate")
    for name in MITIGATIONS:
        methods.command(mitigate.command(name), name=name)
    app = program.App(name="equipoise", config=program.from_file)
    app.command(methods)
    app.command("equipoise.cli.embed:embed", name="embed")
    monkeypatch.setattr(program, "app", app)


@pytest.fixture
def store(run: Callable[..., Any], tmp_path: Path, tiny_precomputed: Any) -> Path:
    tiny = tiny_precomputed
    ran = run(
        "embed",
        tiny.table,
        "--attributes",
        "gender",
        "--encoder",
        tiny.reference,
        "--id",
        "id",
        "--store",
        tmp_path / "store",
    )
    assert ran.code == 0, ran.err
    return tmp_path / "store"


def test_a_plug_in_has_flags(plugged: None, run: Callable[..., Any]) -> None:
    text = " ".join(run("mitigate", "shift", "--help").out.replace("│", " ").split())
    for said in (
        "--amount FLOAT How much is added. [default: 0.5]",
        "--times INT How often.",
        "In which way.",
        "Some words.",
        "--loud",
    ):
        assert said in text
    assert "--hidden" not in text
    assert "Add the same number to every coordinate." in run("mitigate", "--help").out


def test_a_plug_in_gets_its_flags(plugged: None, run: Callable[..., Any], store: Path, tmp_path: Path) -> None:
    flags = (
        "--amount",
        "0.25",
        "--times",
        "2",
        "--most",
        "none",
        "--mode",
        "fancy",
        "--loud",
        "--words",
        "a,b",
        "--shares",
        "Female=0.4",
        "--shares",
        "Male=0.6",
    )
    ran = run("mitigate", "shift", store, "--attribute", "gender", "--out", tmp_path / "m", *flags)
    assert ran.code == 0, ran.err
    assert read_document(tmp_path / "m").parameters == {
        "attribute": "gender", "amount": 0.25, "times": 2, "most": None, "mode": "fancy", "loud": True, "words": ["a,b"],
        "shares": {"Female": 0.4, "Male": 0.6},
    }  # fmt: skip
    ran = run("mitigate", "shift", store, "--attribute", "gender", "--out", tmp_path / "n")
    assert read_document(tmp_path / "n").parameters["most"] == 3
    assert read_document(tmp_path / "n").parameters["shares"] is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--times", "1.5"), "'1.5' is not a whole number"), (("--mode", "plane"), 'Invalid value "plane"'),
        (("--amount", "much"), "much"), (("--shares", "Female"), "is not NAME=VALUE"), (("--shares", "Female=x"), "is not a number"),
    ],
)  # fmt: skip
def test_a_plug_in_is_spared_bad_values(
    plugged: None, run: Callable[..., Any], store: Path, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    ran = run("mitigate", "shift", store, "--attribute", "gender", "--out", tmp_path / "m", *flags)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_a_broken_plug_in_says_so_and_hides_nothing(
    plugged: None, run: Callable[..., Any], store: Path, tmp_path: Path
) -> None:
    assert "Cannot be loaded" in run("mitigate", "--help").out
    assert "wring" in run("mitigate", "--help").out
    ran = run("mitigate", "broken", store, "--attribute", "gender", "--out", tmp_path / "m")
    assert ran.code == 2
    assert "The mitigation 'broken' cannot be loaded" in ran.err


def test_our_methods_have_the_flags_of_their_constructors(run: Callable[..., Any]) -> None:
    flags = {
        "wring": (
            "--vectors",
            "--k",
            "--strength",
            "--sign",
            "--on-infeasible",
            "--leave-explicit",
            "--min-group",
            "--joint",
            "--shares",
        ),
        "span-projection": ("--vectors", "--k", "--leave-explicit", "--min-group", "--renormalise"),
        "difference-projection": ("--vectors", "--k", "--leave-explicit", "--min-group", "--renormalise"),
    }
    for name, wanted in flags.items():
        text = run("mitigate", name, "--help").out
        assert [flag for flag in (*wanted, "--attribute", "--rows", "--out") if flag not in text] == [], name


def test_no_attribute(run: Callable[..., Any], store: Path, tmp_path: Path) -> None:
    ran = run("mitigate", "wring", store, "--out", tmp_path / "m")
    assert ran.code == 2
    assert "No attribute was named" in ran.err
