"""Names: ours, those of plug-ins that are really installed, and wrong ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from equipoise.errors import InputError, UnknownNameError
from equipoise.registry import ENCODERS, METRICS, MITIGATIONS, Registry

STUB = """
import numpy as np
from equipoise.metrics.retrieval import MaxSkew
from equipoise.mitigate.embeddings.noop import NoOp
from equipoise.protocols import MetricDescriptor

loaded = True

class Lean(MaxSkew):
    descriptor = MetricDescriptor(
        name="stub_lean", protocol="stub", evidence="top", role="bias", direction="lower", signed=False, margin=0.1,
        unit="natural log", formula="2 MaxSkew", source="stub", at_k=True,
    )

    def statistic(self, evidence):
        return 2 * super().statistic(evidence)

class Still(NoOp):
    name = "stub-still"

class Words:
    name, dim, fingerprint = "words", 4, {}

    def encode_text(self, texts):
        return np.ones((len(texts), 4), np.float32)

    encode_image = encode_text

def words(argument):
    return Words()

class Nothing:
    pass
"""
POINTS = """\
[equipoise.metrics]
stub_lean = stub_plugin:Lean
max_skew = stub_plugin:Lean
broken = stub_plugin_that_is_not_there:Metric
crashing = stub_crash:Metric
nothing = stub_plugin:Nothing
absent = stub_plugin:Absent
[equipoise.mitigations]
stub-still = stub_plugin:Still [fast]
[equipoise.encoders]
words = stub_plugin:words
"""
SCRIPT = """
import json, sys
from equipoise.errors import EquipoiseError
from equipoise.registry import ENCODERS, METRICS, MITIGATIONS

out = {"shown": [name in list(registry) for registry, name in
                 ((METRICS, "stub_lean"), (MITIGATIONS, "stub-still"), (ENCODERS, "words"))]}
out["early"] = "stub_plugin" in sys.modules
out["own"] = METRICS.path("max_skew")
def said(name):
    try:
        METRICS.load(name)
    except EquipoiseError as error:
        return [type(error).__name__, str(error)]
out["wrong"] = {name: said(name) for name in ("broken", "crashing", "nothing", "absent", "stub_len")}
sys.path.insert(0, sys.argv[1])
from synthetic import pick, queries, space
import equipoise as eq
data = space()
found = eq.audit(data, queries=queries(), by=["gender"], k=50, metrics=["stub_lean", "max_skew"], bootstrap=100)
rows = {row["metric"]: row["value"] for row in pick(found.estimates, attribute="gender", family="jobs", query="")}
out["ratio"] = rows["stub_lean@50"] / rows["max_skew@50"]
still = MITIGATIONS.load("stub-still")("gender").fit(data)
after = eq.audit(data, like=found, mitigation=still)
ledger = eq.compare(found, after, draws=100)
out["method"] = after.document.mitigation["method"]
out["verdicts"] = sorted(set(row["verdict"] for row in pick(ledger.ledger, metric="stub_lean@50")))
out["encoder"] = eq.load_encoder("words:x").name
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a fresh process sees that finds an installed package with entry points on its path."""
    site = tmp_path_factory.mktemp("site")
    (site / "stub_plugin.py").write_text(STUB)
    (site / "stub_crash.py").write_text("raise RuntimeError('no licence found')")
    info = site / "stub_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stub-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (info / "RECORD").write_text("stub_plugin.py,,\n")
    here = Path(__file__).parent
    path = os.pathsep.join([str(site), *(entry for entry in sys.path if entry)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), str(here)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plugins_are_shown_and_not_imported_before_they_are_asked_for(plugged) -> None:
    assert plugged["shown"] == [True, True, True]
    assert plugged["early"] is False


def test_a_plugin_cannot_hide_a_name_of_ours(plugged) -> None:
    assert plugged["own"] == "equipoise.metrics.retrieval:MaxSkew"


def test_plugins_work_in_audit_and_compare(plugged) -> None:
    assert plugged["ratio"] == pytest.approx(2)
    assert plugged["method"] == "stub-still"
    assert plugged["verdicts"] == ["unchanged"]
    assert plugged["encoder"] == "words"


def test_broken_plugins_say_what_is_wrong(plugged) -> None:
    wrong = plugged["wrong"]
    for name, text in (
        ("broken", "No module named 'stub_plugin_that_is_not_there'"),
        ("crashing", "no licence found"),
        ("nothing", "it has no descriptor, statistic"),
        ("absent", "no attribute 'Absent'"),
    ):
        kind, message = wrong[name]
        assert kind == "InputError"
        assert text in message
        assert f"'{name}'" in message
    assert wrong["stub_len"][0] == "UnknownNameError"
    assert "Did you mean 'stub_lean'?" in wrong["stub_len"][1]


@pytest.mark.parametrize("registry", [METRICS, MITIGATIONS, ENCODERS])
def test_all_names_of_ours_load(registry) -> None:
    for name in registry:
        assert name in registry
        assert registry.load(name) is registry.load(name)


@pytest.mark.parametrize(
    ("registry", "wrong", "right"),
    [(METRICS, "max_skw", "max_skew"), (MITIGATIONS, "wrnig", "wring"), (ENCODERS, "dmeo", "demo")],
)
def test_did_you_mean(registry, wrong, right) -> None:
    with pytest.raises(
        UnknownNameError, match=f"There is no {registry.kind} '{wrong}'. Did you mean '{right}'"
    ) as caught:
        registry.load(wrong)
    assert caught.value.value == wrong


def test_metrics_are_called_as_they_are_registered() -> None:
    for name in METRICS:
        assert METRICS.load(name).descriptor.name == name


def test_a_name_without_a_target() -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        Registry("thing", "equipoise.none", {"x": "json"}).load("x")
