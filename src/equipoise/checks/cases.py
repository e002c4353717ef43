"""What the contract checks of mitigations share: fitted cases, and ways to require something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.checks import CheckFailed
from equipoise.checks.guarantees import Case, rows_of
from equipoise.checks.people import people
from equipoise.errors import EquipoiseError
from equipoise.protocols import EmbeddingMitigation
from equipoise.store.embeddings import EmbeddingSet

Make = Callable[[str], EmbeddingMitigation]


def need(condition: Any, message: str) -> None:
    """Raise CheckFailed with the message unless the condition holds."""
    if not condition:
        raise CheckFailed(message)


def cases(make: Make, attribute: str, embeddings: EmbeddingSet | None = None) -> list[Case]:
    """Return a case for each modality that the method edits."""
    data = people(attribute=attribute) if embeddings is None else embeddings
    method = make(attribute)
    fitted = method.fit(data)
    need(fitted is method, "fit does not return self")
    return [
        Case(method, data, *rows_of(data, modality), modality, lambda other: make(attribute).fit(other))
        for modality in sorted(method.edits)
    ]


def same_bytes(found: NDArray[Any], wanted: NDArray[Any], what: str) -> None:
    """Require equal shape, dtype and bytes."""
    need(found.shape == wanted.shape and found.dtype == wanted.dtype, f"{what}: the shape or dtype differs")
    need(found.tobytes() == wanted.tobytes(), f"{what}: the bytes differ")


def refused(call: Callable[[], Any], said: tuple[str, ...], what: str) -> None:
    """Require an EquipoiseError whose message holds every one of ``said``."""
    try:
        call()
    except EquipoiseError as error:
        missing = [part for part in said if part not in str(error)]
        need(not missing, f"{what} is refused without saying {missing}: {error}")
    else:
        raise CheckFailed(f"{what} is not refused")


def sound(case: Case) -> NDArray[Any]:
    """Return the edited rows of a case, which must be finite and of the shape of the rows."""
    out = case.edit(case.x)
    need(out.shape == case.x.shape, f"the result has the shape {out.shape}, not {case.x.shape}")
    need(np.isfinite(out).all(), "the result is not finite")
    return out
