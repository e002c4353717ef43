"""WRING: rotate a query so that it is equally similar to all groups (Gerych et al., ICLR 2026).

"WRING Out The Bias: A Rotation-Based Alternative To Projection Debiasing", OpenReview tkE29O0jzF:

    v_W = v - P v + |P v| w,        w = A (A^T A)^-1 1 / |A (A^T A)^-1 1|

with A = [c_1 ... c_m] the unit group vectors, P the projector on their span, and w the unit vector of the span that has
the same dot product with every c_i. Length and every cosine with a direction orthogonal to the span are kept; the map
is idempotent, homogeneous and non-expansive, and not linear. It is difference projection with the lost length put back
inside the span, and equal to it up to second order in the angle theta between P v and w. Equal cosine is not erasure.

Notation: n rows, d dimensions, m group vectors, r the rank of A, q attributes.

Departures: A = Q R by QR and the decomposition of the small R instead of (A^T A)^-1, so that repeated group vectors are
no trouble; group vectors always have length 1 (with others equal dot products are not equal cosines); ``sign``,
``strength`` (a point on the arc from P v to w), ``shares`` (dot products in given ratios) and several attributes at
once are ours. :meth:`Wring.faithful` is the published form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError
from equipoise.mitigate.embeddings.edit import GroupEdit
from equipoise.mitigate.embeddings.geometry import as_rows, check_rows, unit
from equipoise.mitigate.embeddings.options import (
    check_group_shares,
    checked_shares,
    checked_strength,
    one_of,
    shares_by_attribute,
)
from equipoise.mitigate.embeddings.projection import DifferenceProjection, SpanProjection, difference_basis, remove
from equipoise.mitigate.embeddings.rotation import Frame, infeasible, rotate, rotation_frame, rotation_frames

SIGNS = ("positive", "nearest")
INFEASIBLE = ("error", "difference", "skip")

WIDE = 60.0
"""Degrees beyond which the rotation moves a vector further than projection would."""

ROUNDS = 200
"""Most turns of attributes that are applied one after the other."""


# --------------------------------------------------------------------------------------------------- pure functions


def rotation_target(groups: ArrayLike, shares: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return w: the unit vector of the span of the groups that is equally similar to all of them.

    Parameters
    ----------
    groups : array_like (m, d), float
        Group vectors of any length but zero; two or more.
    shares : array_like (m,), optional
        Positive ratios of the similarities, in place of equal ones.

    Returns
    -------
    ndarray (d,), float64

    Raises
    ------
    MethodRefusal
        If there is no such vector: the group vectors are centred.
    """
    frame = _one_frame(groups, shares, True)
    return frame.basis @ frame.target[:, 0]


def wring(
    v: ArrayLike,
    groups: ArrayLike,
    *,
    shares: ArrayLike | None = None,
    strength: float = 1.0,
    sign: str = "positive",
    normalise: bool = True,
) -> NDArray[Any]:
    """Rotate every row so that it is equally similar to all groups.

    Parameters
    ----------
    v : array_like (n, d), float
        Rows of any length but zero.
    groups : array_like (m, d), float
        Raw (not centred) group vectors, two or more.
    shares : array_like (m,), optional
        Positive ratios of the similarities, in place of equal ones.
    strength : float in [0, 1]
        How far along the arc to go; the length is kept all the way.
    sign : {"positive", "nearest"}
        Turn to w, as published, or to the nearer of w and -w.
    normalise : bool
        Give the group vectors length 1 first; without it dot products become equal, not cosines.

    Returns
    -------
    ndarray (n, d)
        Of the dtype of ``v``, computed in float32 or float64; each row has the length it had.

    Raises
    ------
    InputError
        For one group, a width that differs, or options out of range.
    EmbeddingError
        If a row is NaN, infinite or zero.
    MethodRefusal
        If no such vector exists: the group vectors are centred.

    Examples
    --------
    >>> import numpy as np
    >>> wring(np.array([[3.0, 1.0, 2.0]]), np.eye(3)[:2]).round(3)
    array([[2.236, 2.236, 2.   ]])
    """
    frame = _one_frame(groups, shares, normalise)
    rows = as_rows(v, len(frame.basis), against="group vectors")
    if checked_strength(strength) == 0:
        check_rows(rows)
        return rows.copy()
    return rotate(rows, frame, strength, one_of("sign", sign, SIGNS))[0]


def _one_frame(groups: ArrayLike, shares: ArrayLike | None, normalise: bool) -> Frame:
    vectors = as_rows(groups, what="the group vectors")
    check_rows(vectors, "the group vectors")
    if len(vectors) < 2:
        raise InputError(f"WRING needs two or more groups; there is {len(vectors)}.", "Pass one vector per group.")
    wanted = np.ones(len(vectors)) if shares is None else checked_shares(shares, len(vectors))
    columns = unit(vectors) if normalise else vectors.astype(np.float64)
    frame = rotation_frame(columns, wanted[:, None])
    if not frame.feasible:
        raise infeasible(frame, "", len(vectors))
    return frame


# -------------------------------------------------------------------------------------------------------- the method


class Wring(GroupEdit):
    """WRING, with image or text group vectors, for one attribute or several at once.

    Parameters
    ----------
    attribute : str or sequence of str
        ``"gender"``, ``"gender:race"`` (one group per combination), or several attributes.
    vectors, k, templates, leave_explicit, min_group, normalise
        Of :class:`~.edit.GroupEdit`.
    shares : mapping, optional
        Group to a positive number: the ratios of similarities, in place of equal ones. For several attributes a
        mapping of attribute to such a mapping.
    strength : float in [0, 1]
        How far along the arc to go.
    sign : {"positive", "nearest"}
        Turn to w, as published, or to the nearer of w and -w. Several joint attributes always turn to the nearest.
    joint : bool
        Several attributes: turn to the nearest vector that is equally similar within each of them at once (True), or
        apply one after the other until nothing changes, and report the residue in ``spread_after`` (False).
    on_infeasible : {"error", "difference", "skip"}
        Where no such vector exists: refuse, remove the differences of the groups and restore the length, or leave the
        query as it is. Both are noted, and listed in the diagnostics.
    """

    name = "wring"
    title = "WRING"
    OPTIONS: ClassVar[tuple[str, ...]] = (*GroupEdit.OPTIONS, "shares", "strength", "sign", "joint", "on_infeasible")

    def __init__(
        self,
        attribute: str | Sequence[str],
        *,
        shares: Mapping[str, Any] | None = None,
        strength: float = 1.0,
        sign: str = "positive",
        joint: bool = True,
        on_infeasible: str = "error",
        **options: Any,
    ) -> None:
        super().__init__(attribute, **options)
        self.shares = shares_by_attribute(shares, self.attributes)
        self.strength = checked_strength(strength)
        self.sign = one_of("sign", sign, SIGNS)
        self.joint = joint
        self.on_infeasible = one_of("on_infeasible", on_infeasible, INFEASIBLE)
        self._frames: list[Frame] = []
        self._widest = 0.0
        self.guarantees = self._declared()

    @classmethod
    def faithful(
        cls,
        attribute: str,
        vectors: str = "text",
        k: int | None = 100,
        *,
        template: str = "a photo of {}",
        normalise: bool = False,
        min_group: int = 1,
    ) -> Wring:
        """Return the published form: one template, every query edited, any number of reference rows.

        Parameters
        ----------
        attribute : str
        vectors, k
            Of :class:`Wring`.
        template : str
            The one sentence; the paper has one prompt a group, so give the vocabulary one.
        normalise : bool
            Whether local means get length 1 before w is computed; the paper does not say.
        min_group : int
            Of :class:`Wring`.
        """
        return cls(
            attribute,
            vectors=vectors,
            k=k,
            templates=(template,),
            normalise=normalise,
            min_group=min_group,
            leave_explicit=False,
        )

    def controls(self) -> list[Any]:
        """Return span projection, difference projection and no-op on the very same group vectors."""
        return [self.sibling(SpanProjection), self.sibling(DifferenceProjection), self.no_op()]

    def _declared(self) -> tuple[str, ...]:
        """Return what holds for every query, given the options and, once fitted, whether there is a solution."""
        whole, none, single = self.strength == 1, self.strength == 0, len(self.attributes) == 1
        together = single or self.joint
        solved = all(frame.feasible for frame in self._frames) if self._frames else self.on_infeasible == "error"
        raw = self.vectors == "image" and not self.normalise
        holds = {
            "norm_kept": True,
            "rotation_commutes": True,
            "homogeneous": True,
            "equal_cosine": whole
            and together
            and not self.shares
            and not raw
            and (solved or self.on_infeasible != "skip"),
            "orthogonal_untouched": solved or self.on_infeasible != "difference",
            "idempotent": not self.local and together and (whole or none),
            "non_expansive": not self.local and solved and (none or (whole and single and self.sign == "positive")),
        }
        return tuple(name for name, flag in holds.items() if flag)

    def _framed(self, vectors: NDArray[np.float64]) -> list[Frame]:
        together = self.joint or len(self.attributes) == 1
        return rotation_frames(vectors, self.vectors_.concepts, self.shares, together=together)

    def _prepare(self) -> None:
        check_group_shares(self.shares, self.vectors_.concepts)
        fixed = self.vectors_.fixed
        self._frames = [] if fixed is None else self._framed(fixed)
        bad = [frame for frame in self._frames if not frame.feasible]
        if bad and self.on_infeasible == "error":
            raise infeasible(bad[0], f" of '{', '.join(self.attributes)}'", sum(self.vectors_.blocks))
        self.guarantees = self._declared()
        if bad:
            done = (
                "the differences of the groups are removed"
                if self.on_infeasible == "difference"
                else "nothing is edited"
            )
            self._fit_notes.append(
                f"No direction has the same similarity to every group of '{', '.join(self.attributes)}': {done}."
            )

    def _edit(self, x: NDArray[Any], vectors: NDArray[np.float64], numbers: NDArray[np.intp]) -> NDArray[Any]:
        if self.strength == 0:
            return x.copy()
        frames = self._frames or self._framed(vectors)
        good = np.logical_and.reduce([np.broadcast_to(frame.feasible, (len(x),)) for frame in frames])
        if good.all():
            return self._rotated(x, frames)
        bad = np.flatnonzero(~good)
        if self.on_infeasible == "error":
            worst = min(frames, key=lambda frame: frame.common.min())
            raise infeasible(worst, f" of '{', '.join(self.attributes)}'", vectors.shape[-2], numbers[bad].tolist())
        out = x.copy()
        if good.any():
            out[good] = self._rotated(x[good], [Frame(f.basis[good], f.target[good], f.common[good]) for f in frames])
        if self.on_infeasible == "difference":
            own = vectors if vectors.ndim == 2 else vectors[bad]
            basis = difference_basis(own, self.vectors_.blocks)
            out[bad] = remove(x[bad], basis, renormalise=True)
        return out

    def _rotated(self, x: NDArray[Any], frames: list[Frame]) -> NDArray[Any]:
        if len(frames) == 1:
            out, cosine = rotate(x, frames[0], self.strength, self.sign)
            self._note_wide(cosine)
            return out
        once = x.astype(np.float64)
        for _ in range(ROUNDS):
            before = once
            for frame in frames:
                once, cosine = rotate(once, frame, self.strength, self.sign)
                self._note_wide(cosine)
            if self.strength < 1 or np.abs(once - before).max(initial=0) <= 1e-9 * np.abs(x).max(initial=0):
                break
        return once.astype(x.dtype)

    def _note_wide(self, cosine: NDArray[np.float64]) -> None:
        angle = float(np.degrees(np.arccos(np.clip(cosine.min(initial=1), -1, 1))))
        if angle > max(WIDE, self._widest):
            self._widest = angle
            self._notes["wide"] = (
                f"A query's share in the span of the groups turns by up to {angle:.0f} degrees; beyond {WIDE:.0f} the "
                "edit moves a vector further than projection would. Look at rotation_angle in the diagnostics."
            )

    def _fallback(self, vectors: NDArray[np.float64], n: int) -> list[str]:
        frames = self._frames or self._framed(vectors)
        good = np.logical_and.reduce([np.broadcast_to(frame.feasible, (n,)) for frame in frames])
        return ["" if fine else self.on_infeasible for fine in good]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        parts = ("basis", "target", "common")
        return {f"{name}_{i}": np.atleast_1d(getattr(f, name)) for i, f in enumerate(self._frames) for name in parts}

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        count = sum(name.startswith("basis_") for name in arrays)
        self._frames = [
            Frame(arrays[f"basis_{i}"], arrays[f"target_{i}"], arrays[f"common_{i}"].reshape(())) for i in range(count)
        ]
        self.guarantees = self._declared()
