"""Balancing rows as they come: the published update, literally, and a minibatch form that mends it.

Alabdulmohsin et al. (ICLR 2024), one example at a time, from v = 0 and mu = 0, with the bias vector

    a = concat(d - eps_D, -d - eps_D, (s - pi) - eps_R, -(s - pi) - eps_R),    d = flatten over (k, r) of (s_k - pi_k) y_r
    q  <- clip(eta u - v.a - mu, 0, Q),   v <- clip(v + tau_t q a, 0, V),   mu <- mu + tau_t (q - eta),   tau_t = tau_0 / sqrt t

The paper publishes neither tau_0 nor V nor the tolerances: 1, 100, 0.0005 and 0.005 are ours. In plain NumPy the literal
update reads about 7e4 rows a second; the state is 2 m (c + 1) + 1 numbers whatever the number of rows.

Departures of the minibatch form: B = 1024 rows a step; the columns of label r divided by sqrt(p_r), p_r estimated on the
first 4,096 rows; a constant step 0.7 / max(largest eigenvalue of E[x x^T], E|x|^2 / B) with x the scaled centred columns and
a 1; the duals averaged over the last half of all updates. Steps that fall as 1/sqrt(t), the last iterate, and averages
of separately trained shards were all measured to be worse; shards are added up as cells instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from equipoise.mitigate.data.dual import Duals
from equipoise.mitigate.data.moments import PRESERVED, Moments

Vector = NDArray[np.float64]

BATCH = 1024
STEP = 0.7
"""Share of the largest stable step: weights at averaged duals then have their mean within 0.01 of eta after 1e6 rows."""

WARM_UP = 4096
"""Rows on which prevalence and the size of steps are estimated."""


@dataclass
class OnlineState:
    """Where the literal update stands: v (2 m (c + 1),), mu, and the number of rows seen."""

    v: Vector
    mu: float = 0.0
    step: int = 0


def online_step(
    state: OnlineState,
    s: Vector,
    y: Vector,
    share: Vector,
    *,
    eta: float = 0.9,
    cap: float = 1.0,
    price: float = 100.0,
    eps_d: float = 0.0005,
    eps_r: float = 0.005,
    tau: float = 1.0,
    u: float = 1.0,
) -> float:
    """Make one literal update in place and return the weight that the row had.

    Parameters
    ----------
    state : OnlineState
    s : ndarray (m,), y : ndarray (c,)
        The row.
    share : ndarray (m,)
        Wanted shares.
    tau : float
        tau_0; the step is tau_0 / sqrt(t).
    """
    state.step += 1
    centred = s - share
    d = np.outer(centred, y).ravel()
    a = np.concatenate([d - eps_d, -d - eps_d, centred - eps_r, -centred - eps_r])
    q = min(max(eta * u - float(state.v @ a) - state.mu, 0.0), cap)
    length = tau / np.sqrt(state.step)
    np.clip(state.v + (length * q) * a, 0.0, price, out=state.v)
    state.mu += length * (q - eta)
    return q


def new_state(m: int, c: int) -> OnlineState:
    """Return v = 0 and mu = 0 for m columns and c labels."""
    return OnlineState(np.zeros(2 * m * (c + 1)))


def literal_duals(v: Vector, mu: float, moments: Moments) -> Duals:
    """Return the literal state as duals in the order of the constraints (pair by pair, then the share of each column)."""
    m, c = len(moments.columns), len(moments.labels)
    pairs = np.split(v[: 2 * m * c], 2)
    alone = np.split(v[2 * m * c :], 2)
    plus, minus = (
        np.hstack([pair.reshape(m, c), first.reshape(m, 1)]).ravel() for pair, first in zip(pairs, alone, strict=True)
    )
    return Duals(moments.names, plus, minus, float(mu))


def run_literal(
    state: OnlineState, s: Vector, y: Vector, share: Vector, *, u: Vector | None = None, eta: float = 0.9,
    cap: float = 1.0, price: float = 100.0, eps_d: float = 0.0005, eps_r: float = 0.005, tau: float = 1.0,
) -> Vector:  # fmt: skip
    """Make a literal update a row of (n, m) and (n, c), in their order; return the sum of v and mu over the rows."""
    total = np.zeros(state.v.size + 1)
    utility = np.ones(len(s)) if u is None else u
    for row in range(len(s)):
        online_step(
            state, s[row], y[row], share, eta=eta, cap=cap, price=price, eps_d=eps_d, eps_r=eps_r, tau=tau,
            u=utility[row],
        )  # fmt: skip
        total[:-1] += state.v
        total[-1] += state.mu
    return total


@dataclass
class Minibatch:
    """The mended online solver: fixed memory, any constraint, one pass.

    Parameters
    ----------
    moments : Moments
    eta, cap, price : float
    free_mean : bool
        Drop E[q] = eta.
    """

    moments: Moments
    eta: float = 1.0
    cap: float = 1.0
    price: float = 100.0
    free_mean: bool = False
    v_plus: Vector = field(init=False)
    v_minus: Vector = field(init=False)
    mu: float = 0.0
    updates: int = 0
    rows: int = 0
    kept: float = 0.0

    def __post_init__(self) -> None:
        self.v_plus = np.zeros(len(self.moments))
        self.v_minus = np.zeros(len(self.moments))
        self._waiting: list[tuple[Vector, Vector, Vector]] = []
        self._held = 0
        self._scale: Vector | None = None
        self._tau = 0.0
        self._sums: list[Vector] = []
        self._starts: list[int] = [0]

    def add(self, w: Vector, y: Vector, u: Vector) -> None:
        """Take rows: W = [M s | M | 1] (n, w), Y = [y | 1] (n, R), utility (n,)."""
        if len(u):
            self._waiting.append((w, y, u))
            self._held += len(u)
        if self._scale is None:
            if self._held < WARM_UP:
                return
            self._begin()
        self._drain(BATCH)

    @property
    def waiting(self) -> int:
        """Rows that were taken and not yet used."""
        return self._held

    def finish(self) -> Duals:
        """Work off what waits and return the duals averaged over the last half of all updates."""
        if self._scale is None and self._held:
            self._begin()
        self._drain(1)
        return self.duals()

    def duals(self) -> Duals:
        """Return the duals averaged over the last half of all updates so far."""
        packed = self._averaged()
        return Duals.from_packed(self.moments.names, packed)

    def _begin(self) -> None:
        w, y, _ = self._joined()
        prevalence = np.maximum(y.mean(axis=0), 1.0 / WARM_UP)
        self._scale = 1.0 / np.sqrt(prevalence[self.moments.row])
        scaled = self._columns(w, y)[0] / np.sqrt(prevalence[self.moments.row])
        x = np.hstack([scaled, np.ones((len(y), 1))])
        second = x.T @ x / len(x)
        largest = float(np.linalg.eigvalsh(second)[-1])
        self._tau = STEP / max(largest, float(np.trace(second)) / BATCH)

    def _joined(self) -> tuple[Vector, Vector, Vector]:
        parts = tuple(np.concatenate([part[i] for part in self._waiting]) for i in range(3))
        self._waiting = [(parts[0], parts[1], parts[2])]
        return self._waiting[0]

    def _drain(self, least: int) -> None:
        if not self._held or self._held < least:
            return
        w, y, u = self._joined()
        start = 0
        while len(u) - start >= max(least, 1):
            stop = min(start + BATCH, len(u))
            self._update(w[start:stop], y[start:stop], u[start:stop])
            start = stop
        self._waiting = [(w[start:], y[start:], u[start:])] if start < len(u) else []
        self._held = len(u) - start

    def _columns(self, w: Vector, y: Vector) -> tuple[Vector, Vector]:
        """Return D and A of rows, each (n, J)."""
        moments = self.moments
        m, c = len(moments.columns), len(moments.labels)
        mask = m + np.append(moments.masks, moments.n_masks)[moments.column]
        kept = moments.column == PRESERVED
        first = w[:, np.where(kept, mask, moments.column)] * y[:, moments.row]
        centre = w[:, mask] * y[:, np.where(kept, c, moments.row)]
        carried = w[:, m + moments.tolerance_mask] * y[:, moments.tolerance_row]
        return first - moments.share * centre, moments.tolerance * carried

    def _update(self, w: Vector, y: Vector, u: Vector) -> None:
        assert self._scale is not None
        d, a = self._columns(w, y)
        scale = self._scale
        z = self.eta * u - d @ (self.v_plus - self.v_minus) + a @ (self.v_plus + self.v_minus) - self.mu
        q = np.clip(z, 0.0, self.cap)
        along, slack = q @ d / len(q), q @ a / len(q)
        length = self._tau * scale**2
        self.v_plus = np.clip(self.v_plus + length * (along - slack), 0.0, self.price)
        self.v_minus = np.clip(self.v_minus - length * (along + slack), 0.0, self.price)
        if not self.free_mean:
            self.mu += self._tau * (float(q.mean()) - self.eta)
        self.updates += 1
        self.rows += len(q)
        self.kept += float(q.sum())
        self._remember()

    def _remember(self) -> None:
        """Keep sums of the duals over stretches of updates, few enough that memory stays fixed."""
        now = np.concatenate([self.v_plus, self.v_minus, [self.mu]])
        stretch = max(1, self.updates // 64)
        if not self._sums or self.updates - self._starts[-1] > stretch:
            self._sums.append(np.zeros_like(now))
            self._starts.append(self.updates - 1)
        self._sums[-1] = self._sums[-1] + now
        if len(self._sums) > 256:
            half = [one + two for one, two in zip(self._sums[::2], self._sums[1::2], strict=False)]
            starts = self._starts[1:][::2]
            self._sums = [*half, *([self._sums[-1]] if len(self._sums) % 2 else [])]
            self._starts = [0, *starts]

    def _averaged(self) -> Vector:
        if not self._sums:
            return np.concatenate([self.v_plus, self.v_minus, [self.mu]])
        starts = self._starts[1:]
        first = next((i for i, start in enumerate(starts) if start >= self.updates // 2), len(starts) - 1)
        return np.sum(self._sums[first:], axis=0) / (self.updates - starts[first])
