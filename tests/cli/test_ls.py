"""``ls`` and ``doctor``."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from equipoise.annotate.lexicon import load_lexicon, shipped
from equipoise.annotate.question import read_question, shipped_questions
from equipoise.cli import doctor
from equipoise.gate.example import example_policy
from equipoise.gate.policy import read_policy
from equipoise.registry import ENCODERS, METRICS, MITIGATIONS, Registry


def test_policy_is_an_example_that_validates(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("ls", "policy")
    assert (ran.code, ran.err) == (0, "")
    (tmp_path / "policy.toml").write_text(ran.out, "utf-8")
    assert read_policy(tmp_path / "policy.toml") == read_policy(
        run("ls", "policy", "--json").json["result"]["policy"] and tmp_path / "policy.toml"
    )
    assert ran.out == example_policy()


@pytest.mark.parametrize(
    ("kind", "registry"), [("metrics", METRICS), ("mitigations", MITIGATIONS), ("encoders", ENCODERS)]
)
def test_every_registered_name_is_listed(run: Callable[..., Any], kind: str, registry: Registry) -> None:
    ran = run("ls", kind)
    assert ran.code == 0
    listed = run("ls", kind, "--json").json["result"][kind]
    assert sorted(entry["name"].removesuffix("@k") for entry in listed) == list(registry)
    for entry in listed:
        assert entry["name"] in ran.out
        assert all(isinstance(value, str) for value in entry.values())
        assert "cannot be loaded" not in "".join(entry.values())


def test_metrics_show_what_a_policy_must_name(run: Callable[..., Any]) -> None:
    listed = {entry["name"]: entry for entry in run("ls", "metrics", "--json").json["result"]["metrics"]}
    assert listed["tpr_gap"]["protocol"] == "equal_opportunity"
    assert listed["max_skew@k"]["margin"] == "0.1"
    assert listed["accuracy"]["role"] == "utility"


def test_queries_have_version_and_source(run: Callable[..., Any]) -> None:
    listed = {entry["name"]: entry for entry in run("ls", "queries", "--json").json["result"]["queries"]}
    assert {"occupations", "clinical-staff", "traits", "explicit"} <= set(listed)
    assert all(entry["version"] and entry["source"] and int(entry["queries"]) > 0 for entry in listed.values())


def test_without_a_kind_all_are_listed(run: Callable[..., Any]) -> None:
    kinds = ["encoders", "classifiers", "metrics", "mitigations", "queries", "lexicons", "questions"]
    assert list(run("ls", "--json").json["result"]) == kinds


def test_word_lists_and_questions_are_those_that_annotate_takes(run: Callable[..., Any]) -> None:
    lexicons = {entry["name"]: entry for entry in run("ls", "lexicons", "--json").json["result"]["lexicons"]}
    assert set(lexicons) == set(shipped())
    for name, entry in lexicons.items():
        assert load_lexicon(name).sha256 == entry["sha256"]
    assert lexicons["people-en-1"]["columns"].startswith("gender_text (6), occupation_text (")
    questions = {entry["name"]: entry for entry in run("ls", "questions", "--json").json["result"]["questions"]}
    assert set(questions) == set(shipped_questions())
    for name, entry in questions.items():
        assert read_question(name).column == entry["column"]
    assert "woman" in questions["gender"]["answers"]


def test_a_plug_in_that_cannot_be_loaded_does_not_hide_the_others(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = {"broken": "equipoise.no_such_module:Nothing", "absent": "no_such_package:Nothing"}
    for registry in (METRICS, ENCODERS, MITIGATIONS):
        monkeypatch.setattr(registry, "_plugins", plugins)
    for kind in ("metrics", "encoders", "mitigations"):
        listed = {entry["name"]: entry for entry in run("ls", kind, "--json").json["result"][kind]}
        assert len(listed) > 2
        assert "cannot be loaded" in json.dumps(listed["broken"])
        assert "cannot be loaded" in json.dumps(listed["absent"])


def test_doctor_says_what_is_there(run: Callable[..., Any]) -> None:
    ran = run("doctor")
    assert ran.code == 0
    assert ran.out.startswith("ready: ")
    assert len(ran.out.splitlines()) == 1
    assert "numpy" in ran.err
    machine = run("doctor", "--json").json["result"]["machine"]
    assert machine["cores"] >= 1
    assert machine["memory_gib"] > 0
    assert run("doctor", "--quiet").err == ""


def test_doctor_names_the_command_for_a_missing_extra(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["numpy>=2", "no-such-core>=1", 'no-such-extra[x]>=1; extra == "train"', "pytest; extra == 'dev'"]
    monkeypatch.setattr(doctor, "_requirements", lambda: declared)
    monkeypatch.setattr(doctor, "_extras", lambda: ["dev", "train"])
    ran = run("doctor")
    assert ran.code == 0
    assert ran.out.startswith("incomplete: the core lacks no-such-core")
    assert 'extra train          missing no-such-extra: pip install "equipoise[train]"' in ran.err
    assert "extra dev            complete" in ran.err
    found = run("doctor", "--json").json["result"]
    assert found["install"] == {"train": 'pip install "equipoise[train]"'}
    assert found["core"]["no-such-core"] is None


def test_doctor_survives_a_source_tree_without_metadata(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: str) -> Any:
        raise PackageNotFoundError

    monkeypatch.setattr(doctor, "requires", none)
    monkeypatch.setattr(doctor, "metadata", none)
    assert "numpy" in run("doctor", "--json").json["result"]["core"]
