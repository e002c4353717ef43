"""check_mitigation passes ours, and catches methods that are broken on purpose."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from equipoise.checks import mitigations
from equipoise.errors import InputError
from equipoise.mitigate.embeddings.noop import NoOp
from equipoise.mitigate.embeddings.projection import DifferenceProjection, SpanProjection
from equipoise.mitigate.embeddings.wring import Wring
from equipoise.testing import CheckFailed, check_mitigation

NOTHING_TO_FIT = {
    "one_group": "does nothing, whatever the groups",
    "unfitted": "has nothing to fit",
    "shapes": "takes any width",
}
OURS = {
    "wring text": Wring,
    "wring local": partial(Wring, vectors="image", k=20),
    "wring global": partial(Wring, vectors="image", k=None),
    "wring half": partial(Wring, strength=0.5, sign="nearest"),
    "wring published": partial(Wring.faithful, vectors="image"),
    "span text": SpanProjection,
    "span local": partial(SpanProjection, vectors="image", k=20),
    "span linear": partial(SpanProjection, vectors="image", k=None, renormalise=False),
    "difference text": DifferenceProjection,
    "difference linear": partial(DifferenceProjection, renormalise=False),
}


@pytest.mark.parametrize("name", OURS)
def test_ours_keep_the_contract(name):
    passed = check_mitigation(OURS[name])
    assert set(mitigations.CHECKS) <= set(passed)
    declared = OURS[name]("gender").guarantees
    assert set(passed) - set(mitigations.CHECKS) == {f"guarantee:{item}" for item in declared}


def test_the_control_keeps_it_but_for_what_it_declares():
    passed = check_mitigation(NoOp, expected_failures=NOTHING_TO_FIT)
    assert not set(passed) & set(NOTHING_TO_FIT)
    assert "guarantee:linear" in passed


def test_guarantees_follow_the_options():
    assert set(Wring("a").guarantees) == {
        "norm_kept", "rotation_commutes", "homogeneous", "equal_cosine", "orthogonal_untouched", "idempotent", "non_expansive",
    }  # fmt: skip
    assert "equal_cosine" not in Wring("a", strength=0.9).guarantees
    assert "idempotent" not in Wring("a", vectors="image").guarantees
    assert "linear" in SpanProjection("a", renormalise=False).guarantees
    assert "norm_kept" in SpanProjection("a").guarantees
    assert "orthogonal_untouched" not in SpanProjection("a").guarantees


# ------------------------------------------------------------------------------------------------- broken on purpose


class Mutates(Wring):
    def transform(self, x, *, modality="text", queries=None):
        out = super().transform(x, modality=modality, queries=queries)
        x *= 1.0
        return out


class ReturnsItsInput(NoOp):
    def transform(self, x, *, modality="text", queries=None):
        super().transform(x)
        return x


class Random(Wring):
    def transform(self, x, *, modality="text", queries=None):
        return super().transform(x, modality=modality, queries=queries) * np.random.default_rng().uniform(1, 1.1)


class Widens(Wring):
    def transform(self, x, *, modality="text", queries=None):
        return super().transform(x, modality=modality, queries=queries).astype(np.float64)


class Batched(Wring):
    def transform(self, x, *, modality="text", queries=None):
        out = super().transform(x, modality=modality, queries=queries)
        return out - out.mean(axis=0) if len(out) else out


class TakesAnything(Wring):
    def transform(self, x, *, modality="text", queries=None):
        return super().transform(
            np.nan_to_num(np.asarray(x), posinf=1, neginf=1) + 1e-9, modality=modality, queries=queries
        )


class KnowsNames(Wring):
    def fit(self, embeddings):
        super().fit(embeddings)
        self.tilt = sum(map(ord, "".join(embeddings.vocabulary.groups(self.attributes[0])))) / 1e4
        return self

    def transform(self, x, *, modality="text", queries=None):
        return super().transform(x, modality=modality, queries=queries) * (1 + self.tilt)


class EditsNamed(Wring):
    def transform(self, x, *, modality="text", queries=None):
        return super().transform(x, modality=modality)


class Forgets(Wring):
    @classmethod
    def from_state(cls, parameters, arrays):
        return super().from_state(parameters | {"sign": "nearest", "strength": 0.5}, arrays)


class Unequal(Wring):
    def _edit(self, x, vectors, numbers):
        return SpanProjection._edit.__get__(self.sibling(SpanProjection))(x, vectors, numbers) + x * 0.5


class Longer(Wring):
    def transform(self, x, *, modality="text", queries=None):
        return super().transform(x, modality=modality, queries=queries) * np.asarray(1.001, x.dtype)


class ByPlace(Wring):
    """Depends on the order of lines."""

    def fit(self, embeddings):
        super().fit(embeddings)
        self.first = float(embeddings.samples.position[0])
        return self

    def transform(self, x, *, modality="text", queries=None):
        out = super().transform(x, modality=modality, queries=queries)
        return np.roll(out, int(self.first) % out.shape[1], axis=1)


class OneGroup(Wring):
    def fit(self, embeddings):
        try:
            return super().fit(embeddings)
        except InputError:
            return super().fit(mitigations.people())


class Overclaims(SpanProjection):
    def __init__(self, attribute: Any, **options: Any) -> None:
        super().__init__(attribute, **options)
        self.guarantees = (*self.guarantees, "linear")


class SaysUnknown(NoOp):
    def __init__(self, attribute: Any) -> None:
        super().__init__(attribute)
        self.guarantees = (*self.guarantees, "erasure")


class ReturnsNone(Wring):
    def fit(self, embeddings):
        super().fit(embeddings)


class StrengthZero(Wring):
    def transform(self, x, *, modality="text", queries=None):
        out = super().transform(x, modality=modality, queries=queries)
        return out / np.linalg.norm(out, axis=1, keepdims=True).astype(out.dtype) if len(out) else out


class Unregistered(Wring):
    name = "unregistered"


BROKEN = [
    (Mutates, "inputs"),
    (ReturnsItsInput, "inputs"),
    (Random, "repeatable"),
    (Widens, "dtypes"),
    (Batched, "batches"),
    (TakesAnything, "bad_rows"),
    (KnowsNames, "renaming"),
    (EditsNamed, "explicit"),
    (Forgets, "state"),
    (Unequal, "guarantee:equal_cosine"),
    (Unequal, "guarantee:norm_kept"),
    (Longer, "guarantee:norm_kept"),
    (ByPlace, "row_order"),
    (OneGroup, "one_group"),
    (Overclaims, "guarantee:linear"),
    (SaysUnknown, "description"),
    (SaysUnknown, "guarantee:erasure"),
    (ReturnsNone, "groups"),
    (StrengthZero, "strength"),
    (NoOp, "one_group"),
]


@pytest.fixture
def in_process(monkeypatch):
    """Leave out the check that starts a process."""
    monkeypatch.delitem(mitigations.CHECKS, "saved")


def test_a_name_that_cannot_be_loaded_again_is_caught():
    with pytest.raises(CheckFailed, match="(?m)^  saved: .*not the name of a registered mitigation"):
        check_mitigation(Unregistered)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("kind", "check"), BROKEN)
def test_what_is_broken_is_caught(kind, check):
    with pytest.raises(CheckFailed, match=rf"(?m)^  {check}: "):
        check_mitigation(kind)


@pytest.mark.usefixtures("in_process")
def test_an_expected_failure_that_passes_and_one_that_does_not_exist_are_failures():
    with pytest.raises(CheckFailed, match=r"dtypes: passes, though a failure was expected \(it once did\)"):
        check_mitigation(Wring, expected_failures={"dtypes": "it once did"})
    with pytest.raises(CheckFailed, match="tidiness: there is no such check"):
        check_mitigation(Wring, expected_failures={"tidiness": "none"})


@pytest.mark.usefixtures("in_process")
def test_every_guarantee_can_fail():
    """A method that declares all of them and holds none is caught by each."""

    class Everything(Wring):
        def __init__(self, attribute: Any) -> None:
            super().__init__(attribute)
            self.guarantees = self._declared()

        def _declared(self):
            return tuple(mitigations.GUARANTEES)

        def _edit(self, x, vectors, numbers):
            return (np.abs(x) ** 2 + 0.3).astype(x.dtype)

    with pytest.raises(CheckFailed) as caught:
        check_mitigation(Everything)
    for name in mitigations.GUARANTEES:
        assert f"guarantee:{name}: " in str(caught.value), name
