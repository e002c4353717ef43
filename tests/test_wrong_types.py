"""What a library user gets wrong first ends in one of our errors, with what to do."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import answers

import equipoise as eq
from equipoise.errors import InputError


@pytest.fixture(scope="module")
def samples() -> eq.Samples:
    return answers(200, 2, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: eq.audit(s, by=None),
        lambda s: eq.audit(s, by=[1]),
        lambda s: eq.audit(s, by=["group"], level="0.95"),
        lambda s: eq.audit(s, by=["group"], seed=2**63),
        lambda s: eq.audit("answers.csv", by=["group"]),
        lambda s: eq.audit(s.table, by=["group"]),
        lambda s: eq.compare("before", "after"),
        lambda s: eq.compare(eq.audit(s, by=["group"], bootstrap=0), None),
        lambda s: eq.Wring(None),
        lambda s: eq.report(None, "x.html"),
        lambda s: eq.report([1], "x.html"),
        lambda s: eq.embed(None, s),
        lambda s: eq.embed("demo", None),
    ],
)
def test_wrong_types_are_named(call, samples, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        call(samples)
    assert caught.value.remedy


def test_numpy_whole_numbers_are_whole_numbers(samples) -> None:
    found = eq.audit(samples, by=["group"], seed=np.int64(3), bootstrap=np.int64(100))
    assert (found.document.seed, type(found.document.seed)) == (3, int)


def test_one_group_is_refused(samples) -> None:
    with pytest.raises(InputError, match="only 'A' has rows|has rows, and bias"):
        eq.audit(samples.rows(group=samples.vocabulary.groups("group")[0]), by=["group"])
