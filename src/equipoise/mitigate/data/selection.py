"""From weights to rows: which are kept is decided by a hash of their ids, the same on every machine and in every order.

    h = first 8 bytes, big-endian, of BLAKE2b(id as UTF-8, digest_size=8, key=str(seed)),     uniform = (h >> 11) 2^-53

A row of weight q in [0, 1] is kept where ``uniform < q``: no state, no file, no agreement between workers. Python's own
``hash`` is salted, and h / 2^64 may round to 1 and drop a row of weight 1. Ids are brought to Unicode's NFC first, since
file systems spell one name in two ways. Rows of one id share their fate; keys repeat over the shards of WebDataset, so
that an id there is url and key.

:func:`systematic` hits a number of rows exactly, over sorted rows; it needs all of them at once.
"""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from equipoise.data.columns import EXACT, Column
from equipoise.errors import InputError

CHUNK = 1 << 18
"""Ids that are hashed at a time."""

MOST_COPIES = 1 << 31
"""Copies of a row that are too many."""
LARGEST = 1e100
"""Weights, and factors of weights, are at most this: their sums and squares are numbers."""

FRACTION = 44
"""Bits in which :func:`systematic` counts a fraction of a row; fewer where there are more than 2^18 rows to draw."""


def uniform(ids: Any, seed: int = 0) -> NDArray[np.float64]:
    """Return (n,) float64 in [0, 1), a function of each id and the seed alone.

    Parameters
    ----------
    ids : sequence of str, Arrow or NumPy array (n,)
        Text; whole numbers become theirs, as ids of :class:`~equipoise.data.samples.Samples` do.
    seed : int

    Raises
    ------
    InputError
        For an absent id, or numbers that were read as floats beyond 2^53, where neighbours are the same.
    """
    key = str(_whole(seed)).encode()
    if not 0 < len(key) <= 64:
        raise InputError(f"The seed has {len(key)} digits.", "Pass a smaller one.", value=seed)
    copy = blake2b(digest_size=8, key=key).copy  # a keyed state that is copied is half the work of making one
    parts = [np.empty(0, ">u8")]
    for texts in _texts(ids):
        parts.append(np.frombuffer(b"".join([_digest(copy(), text) for text in texts]), ">u8"))
    return (np.concatenate(parts).astype(np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def keep(ids: Any, q: ArrayLike, seed: int = 0) -> NDArray[np.bool_]:
    """Return (n,) bool: whether each row is kept, with probability q.

    Parameters
    ----------
    ids : sequence of str (n,)
    q : float or array_like (n,)
        In [0, 1]; NaN, which a null weight is read as, is never kept.
    seed : int

    Raises
    ------
    InputError
        For weights outside [0, 1]: those above 1 ask for copies.
    """
    weights = checked_weights(q)
    if weights.size and np.nanmax(weights, initial=0.0) > 1:
        raise InputError(
            f"A weight is {np.nanmax(weights):g}: a row cannot be kept more than once.",
            "Use copies, BalancedSampler, or divide the weights by the largest.",
            value=float(np.nanmax(weights)),
        )
    return np.asarray(uniform(ids, seed) < weights)


def copies(ids: Any, q: ArrayLike, seed: int = 0) -> NDArray[np.int64]:
    """Return (n,) int64: how often each row is taken, ``floor(q) + (uniform < q - floor(q))``; q on average.

    Parameters
    ----------
    ids : sequence of str (n,)
    q : float or array_like (n,)
        At least 0; NaN is 0 copies.
    seed : int
    """
    return copies_of(uniform(ids, seed), q)


def copies_of(numbers: NDArray[np.float64], q: ArrayLike) -> NDArray[np.int64]:
    """Return :func:`copies` for what :func:`uniform` gave (n,)."""
    weights = np.nan_to_num(checked_weights(q), nan=0.0)
    if weights.size and weights.max() >= MOST_COPIES:
        raise InputError(
            f"A weight is {weights.max():g}: so many copies of a row are not made.", "Divide the weights.",
            value=float(weights.max()),
        )  # fmt: skip
    whole = np.floor(weights)
    return (whole + (numbers < weights - whole)).astype(np.int64)


def systematic(
    q: ArrayLike, order: ArrayLike | None = None, seed: int = 0, total: int | None = None
) -> NDArray[np.int64]:
    """Return (n,) int64: how often each row is taken, with an exact number in all.

    Rows are laid out by ``order``, each as long as its weight, and a comb of teeth one apart is laid over them; the seed
    shifts it. A row is taken floor(q) or ceil(q) times, q on average, and every stretch of rows (a cell) as often as its
    weights sum to, but for less than one: closer than independent draws come.

    Parameters
    ----------
    q : array_like (n,)
        At least 0; NaN counts as 0.
    order : array_like (n,) or (n, words), optional
        What rows are sorted by, as the keys of their cells; rows that are equal in it stay in the order given.
    seed : int
    total : int, optional
        Rows to take in all, with weights scaled to this sum; when None it is their sum, rounded up or down.

    Raises
    ------
    InputError
        For weights below 0, or a total of rows that have no weight.
    """
    weights = np.nan_to_num(np.atleast_1d(checked_weights(q)), nan=0.0)
    if order is None:
        place: Any = slice(None)
    else:
        keys = np.asarray(order)
        if keys.shape[:1] != weights.shape:
            raise InputError(f"order has {len(keys):,} rows, the weights {weights.size:,}.", "Give each row its place.")
        place = np.argsort(keys, kind="stable") if keys.ndim == 1 else np.lexsort(keys.T[::-1])
    shift = uniform(["systematic"], seed)[0]
    found = np.empty(weights.size, np.int64)
    found[place] = comb(weights[place], shift, total)
    return found


def comb(weights: NDArray[np.float64], shift: float, total: int | None = None) -> NDArray[np.int64]:
    """Return (n,) int64: teeth of a comb, one apart and shifted by ``shift`` in [0, 1), on rows as long as their weights.

    Lengths are whole multiples of 2^-44 (of a greater fraction where rows are many), so that sums have no error.
    """
    mass = float(weights.sum())
    if total is not None:
        total = _whole(total)
        if total < 0 or (total and not mass):
            raise InputError(f"{total:,} rows cannot be taken of weights that sum to {mass:g}.", "Pass other weights.")
        check_scale(mass, total)
        weights = weights * (total / mass) if mass else weights
    bits = min(FRACTION, 61 - int(max(mass, total or 0)).bit_length())
    if bits < 8:
        raise InputError(f"{max(mass, total or 0):.3g} rows are too many to be taken.", "Divide the weights.")
    unit = 1 << bits
    lengths = np.rint(weights * unit).astype(np.int64)
    if total is not None and lengths.size:
        missing = total * unit - int(lengths.sum())
        free = np.flatnonzero(lengths & (unit - 1))  # to change these passes no whole number
        free = free if free.size else np.flatnonzero(lengths)
        if free.size:
            each, rest = divmod(abs(missing), free.size)
            lengths[free] += int(np.sign(missing)) * each
            lengths[free[:rest]] += int(np.sign(missing))
    ends = np.cumsum(lengths)
    offset = int(shift * unit)
    passed = (ends - 1 - offset) >> bits
    return np.diff(passed, prepend=np.int64((-1 - offset) >> bits))


def checked_weights(q: ArrayLike) -> NDArray[np.float64]:
    """Return float64 weights; InputError for one below 0, infinite, or beyond :data:`LARGEST`. NaN stands for none."""
    if isinstance(q, (pa.Array, pa.ChunkedArray)):
        q = pc.fill_null(q.cast(pa.float64()), np.nan).to_numpy()
    weights = np.asarray(q, np.float64)
    bad = (weights < 0) | np.isinf(weights)
    if bad.any():
        raise InputError(f"A weight is {weights[bad].flat[0]:g}.", "Weights are finite and at least 0.")
    largest = float(np.nanmax(weights, initial=0.0))
    if largest > LARGEST:
        raise InputError(
            f"The largest weight is {largest:.3g}: sums and squares of such numbers overflow.",
            "Divide the weights by the largest.", value=largest,
        )  # fmt: skip
    return weights


def check_scale(mass: float, total: int) -> None:
    """Refuse weights with a sum so small that they cannot be scaled to ``total`` rows."""
    if total and mass < total / LARGEST:
        raise InputError(
            f"The weights sum to {mass:.3g}, which cannot be scaled to {total:,} rows.",
            "Divide the weights by the largest.", value=mass,
        )  # fmt: skip


def ids_of(ids: Any) -> pa.Array:
    """Return ids as Arrow text; InputError where one is absent or was read as a float that is not exact."""
    if isinstance(ids, pa.Array):
        ids = pa.chunked_array([ids])
    elif not isinstance(ids, pa.ChunkedArray):
        try:
            ids = pa.chunked_array([pa.array(ids)])
        except (pa.ArrowException, TypeError, ValueError, UnicodeError) as error:
            raise InputError(f"Ids cannot be read: {error}.", "Pass a sequence of text.") from error
    column = Column(ids, "ids", np.arange(1, len(ids) + 1), "row")
    if pa.types.is_floating(column.values.type):
        numbers = np.abs(column.values.to_numpy(zero_copy_only=False))
        if (numbers >= EXACT).any():
            raise InputError(
                f"{int((numbers >= EXACT).sum()):,} ids were read as floats beyond 2^53, where neighbours are the same number.",
                "Read that column as text.",
            )
    text = column.text()
    missing = pc.or_kleene(pc.is_null(text), pc.equal(text, "")).to_numpy(zero_copy_only=False).astype(bool)
    if missing.any():
        raise InputError(f"An id is absent ({column.where(missing)}).", "Give every row an id.")
    return text


def _texts(ids: Any) -> Iterator[Sequence[str]]:
    if isinstance(ids, (str, bytes)):
        raise InputError("ids is one text.", "Pass a sequence of them.", value=ids)
    if isinstance(ids, (list, tuple)) and all(type(text) is str for text in ids):
        if "" in ids:
            raise InputError(f"An id is absent (row {ids.index('') + 1}).", "Give every row an id.")
        yield ids
        return
    text = ids_of(ids)
    for start in range(0, len(text), CHUNK):
        yield text.slice(start, CHUNK).to_pylist()


def _digest(state: Any, text: str) -> bytes:
    try:
        state.update(text.encode() if text.isascii() else normalize("NFC", text).encode())
    except UnicodeEncodeError as error:
        raise InputError(f"The id {text!r} is not UTF-8.", "Mend it.", value=text) from error
    return state.digest()


def _whole(value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError as error:
        raise InputError(f"{value!r} is no whole number.", "Pass one, as 0.", value=value) from error
