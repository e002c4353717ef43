"""What an edit of embeddings can guarantee, each as a check: those that a method declares are tested, and no others.

Notation: f the edit, x rows, c_i the group vectors (``group_vectors_`` of the fitted method).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise.checks import CheckFailed
from equipoise.checks.people import QUERIES, people, rotation
from equipoise.protocols import EmbeddingMitigation
from equipoise.store.embeddings import EmbeddingSet

TOLERANCE = 2e-6
"""In float32, for vectors of length 1."""


class Case(NamedTuple):
    """A fitted method, the embeddings it was fitted on, and rows (n, d) float32 with their texts (or None)."""

    method: EmbeddingMitigation
    embeddings: EmbeddingSet
    x: NDArray[np.float32]
    queries: tuple[str, ...] | None
    modality: str
    refit: Callable[[EmbeddingSet], EmbeddingMitigation] | None = None

    def edit(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return f(x) for rows of the case's modality, with the texts where there is one a row."""
        named = self.queries if self.queries is not None and len(self.queries) == len(x) else None
        return self.method.transform(x, modality=self.modality, queries=named)

    def near(self, found: NDArray[Any], wanted: NDArray[Any], what: str, tolerance: float = TOLERANCE) -> None:
        """Require equality within ``tolerance`` of the rows' lengths."""
        size = np.linalg.norm(np.asarray(self.x, dtype=np.float64), axis=1).max()
        worst = float(np.abs(np.asarray(found, np.float64) - np.asarray(wanted, np.float64)).max(initial=0)) / size
        if not worst <= tolerance:
            raise CheckFailed(f"{what}: the largest difference is {worst:.2g}")


def group_vectors(case: Case) -> NDArray[np.float64]:
    """Return unit group vectors (n, m, d) that hold for the rows of the case; call :meth:`Case.edit` on them before."""
    found = getattr(case.method, "group_vectors_", None)
    if found is None:
        raise CheckFailed("the guarantee is about group vectors, and there is no group_vectors_ after transform")
    found = np.asarray(found, dtype=np.float64)
    found = np.broadcast_to(found, (len(case.x), *found.shape[-2:]))
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def equal_cosine(case: Case) -> None:
    """Every edited row has the same cosine with every group vector."""
    out = case.edit(case.x).astype(np.float64)
    cosines = np.einsum("nd,nmd->nm", out / np.linalg.norm(out, axis=1, keepdims=True), group_vectors(case))
    worst = float(np.ptp(cosines, axis=1).max())
    if not worst <= TOLERANCE:
        raise CheckFailed(f"cosines with the groups differ by {worst:.2g}")


def norm_kept(case: Case) -> None:
    """Every row keeps its length, whatever it is."""
    sizes = np.linspace(0.1, 40, len(case.x), dtype=np.float32)[:, None]
    for x in (case.x, case.x * sizes):
        ratio = np.linalg.norm(case.edit(x).astype(np.float64), axis=1) / np.linalg.norm(x.astype(np.float64), axis=1)
        if not np.abs(ratio - 1).max() <= TOLERANCE:
            raise CheckFailed(f"lengths change by a factor between {ratio.min():.7g} and {ratio.max():.7g}")


def orthogonal_untouched(case: Case) -> None:
    """Dot products with directions orthogonal to all group vectors stay."""
    moved = case.edit(case.x).astype(np.float64) - case.x
    rng = np.random.default_rng(5)
    for change, vectors in zip(moved, group_vectors(case), strict=True):
        directions = rng.standard_normal((100, vectors.shape[1]))
        directions -= (directions @ np.linalg.pinv(vectors)) @ vectors
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        case.near(directions @ change, np.zeros(100), "a dot product with an orthogonal direction changes")


def rotation_commutes(case: Case) -> None:
    """Rotating the whole space before fitting and editing, or after, is the same."""
    if case.refit is None:
        return
    turn = rotation(case.embeddings.dim)
    turned = people(len(case.embeddings.vocabulary.groups(case.method.attributes[0])),
                    attribute=case.method.attributes[0], d=case.embeddings.dim, rotation=turn)  # fmt: skip
    x = (case.x.astype(np.float64) @ turn).astype(np.float32)
    found = case.refit(turned).transform(x, modality=case.modality, queries=case.queries)
    case.near(found, case.edit(case.x).astype(np.float64) @ turn, "a rotation of the space does not commute", 1e-5)


def idempotent(case: Case) -> None:
    """f(f(x)) = f(x)."""
    once = case.edit(case.x)
    case.near(case.edit(once), once, "editing twice differs from editing once")


def homogeneous(case: Case) -> None:
    """f(3 x) = 3 f(x)."""
    case.near(case.edit(3 * case.x) / 3, case.edit(case.x), "three times as long a row is not edited alike")


def non_expansive(case: Case) -> None:
    """|f(x) - f(y)| <= |x - y|."""
    rng = np.random.default_rng(6)
    pairs = [(case.x[i], case.x[j]) for i, j in rng.integers(0, len(case.x), (100, 2))]
    noise = rng.standard_normal((2, 200, case.x.shape[1])).astype(np.float32)
    x, y = np.concatenate([[p for p, _ in pairs], noise[0]]), np.concatenate([[q for _, q in pairs], noise[1]])
    before = np.linalg.norm((x - y).astype(np.float64), axis=1)
    after = np.linalg.norm(case.edit(x).astype(np.float64) - case.edit(y), axis=1)
    if not (after <= before * (1 + TOLERANCE) + TOLERANCE).all():
        raise CheckFailed(f"two rows come apart by a factor of up to {(after / np.maximum(before, 1e-12)).max():.6g}")


def linear(case: Case) -> None:
    """f(x + 2 y) = f(x) + 2 f(y) and f(-x) = -f(x)."""
    y = case.x[::-1]
    case.near(case.edit(case.x + 2 * y), case.edit(case.x) + 2 * case.edit(y), "a sum is not edited as its parts are")
    case.near(case.edit(-case.x), -case.edit(case.x), "the opposite row is not edited to the opposite")


GUARANTEES: dict[str, Callable[[Case], None]] = {
    "equal_cosine": equal_cosine,
    "norm_kept": norm_kept,
    "orthogonal_untouched": orthogonal_untouched,
    "rotation_commutes": rotation_commutes,
    "idempotent": idempotent,
    "homogeneous": homogeneous,
    "non_expansive": non_expansive,
    "linear": linear,
}
"""Every guarantee by the name that a method declares it under, with its test."""


def rows_of(embeddings: EmbeddingSet, modality: str) -> tuple[NDArray[np.float32], tuple[str, ...] | None]:
    """Return rows (n, d) of a modality, and their texts if they are texts."""
    if modality == "text":
        return embeddings.text(QUERIES), QUERIES
    return embeddings.vectors()[:16], None
