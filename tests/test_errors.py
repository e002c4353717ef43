from __future__ import annotations

import pytest

from equipoise import errors


def test_what_remedy_value_and_code() -> None:
    error = errors.InputError("k is 0.", "Give 1 or more.", value=0)
    assert str(error) == "k is 0. Give 1 or more."
    assert (error.what, error.remedy, error.value, error.exit_code) == ("k is 0.", "Give 1 or more.", 0, 2)
    assert str(errors.EquipoiseError("Only this.")) == "Only this."


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("EquipoiseError", 70), ("InputError", 2), ("MissingFileError", 2), ("MissingColumnError", 2), ("UnknownNameError", 2),
        ("VocabularyError", 2), ("EmbeddingError", 2), ("LeakageError", 2), ("FingerprintError", 2), ("ChecksumError", 2),
        ("SchemaError", 2), ("OutputExistsError", 2), ("LockedError", 2), ("MethodRefusal", 4), ("InfeasibleBalance", 4), ("GateFailed", 1),
        ("GateInsufficient", 3), ("BadImageError", 2),
        ("MissingTextError", 2),
    ],
)  # fmt: skip
def test_exit_codes_are_the_contract(name, code) -> None:
    assert getattr(errors, name).exit_code == code
    assert issubclass(getattr(errors, name), errors.EquipoiseError)


def test_every_error_is_listed_above() -> None:
    found = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.EquipoiseError)
    }
    assert len(found) == 19


def test_did_you_mean() -> None:
    assert errors.did_you_mean("gendr", ["race", "gender"]) == " Did you mean 'gender'?"
    assert errors.did_you_mean("x", ["race", "gender"]) == ""


def test_long_lists_are_cut() -> None:
    assert errors.listed(range(3)) == "0, 1, 2"
    assert errors.listed(range(12), 2) == "0, 1 and 10 more"
