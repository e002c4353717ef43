"""The published update, literally, and the minibatch form that mends it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from m4_tables import correlated
from m4_tools import WANTED, flag_table, measure, problem

from equipoise.errors import InputError
from equipoise.mitigate.data.dual import apply_duals
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.newton import Constrained
from equipoise.mitigate.data.online import literal_duals, new_state, online_step, run_literal


def test_three_steps_by_hand():
    """m = 1, c = 1, pi = 1/2, eta = 0.5, Q = 1, tau_0 = 1, no tolerance: a = (d, -d, s - pi, pi - s)."""
    state, share = new_state(1, 1), np.array([0.5])
    options = {"eta": 0.5, "cap": 1.0, "eps_d": 0.0, "eps_r": 0.0}
    # t = 1: q = 0.5; v += 0.5 (0.5, -0.5, 0.5, -0.5), clipped at 0; mu stays
    assert online_step(state, np.ones(1), np.ones(1), share, **options) == 0.5
    assert state.v.tolist() == [0.25, 0, 0.25, 0]
    assert state.mu == 0
    # t = 2: s = 0, y = 0: d = 0; z = 0.5 - 0.25 * -0.5 = 0.625; tau = 1 / sqrt 2
    assert online_step(state, np.zeros(1), np.zeros(1), share, **options) == pytest.approx(0.625)
    tau = 1 / np.sqrt(2)
    assert state.v == pytest.approx([0.25, 0, 0.25 - tau * 0.625 / 2, tau * 0.625 / 2])
    assert state.mu == pytest.approx(tau * 0.125)
    # t = 3: the price is the limit
    q = online_step(state, np.ones(1), np.ones(1), share, **options, price=0.3)
    a = np.array([0.5, -0.5, 0.5, -0.5])
    expected = 0.5 - (np.array([0.25, 0, 0.25 - tau * 0.3125, tau * 0.3125]) @ a) - tau * 0.125
    assert q == pytest.approx(expected)
    assert state.v.max() <= 0.3
    assert state.step == 3


def test_literal_duals_are_those_of_the_constraints():
    s, y = correlated(200, 2, 3, 0)
    state = new_state(2, 3)
    run_literal(state, s.astype(float), y.astype(float), np.array(WANTED[:2]), eta=0.9)
    rows = problem(s, y, np.ones(200), WANTED[:2], tolerance=0.0005, tolerance_first=0.005, kind="absolute")
    duals = literal_duals(state.v, state.mu, rows.moments)
    found = apply_duals(Constrained(rows.design, rows.moments), duals, eta=0.9, cap=1.0)
    centred = s - np.array(WANTED[:2])
    d = (centred[:, :, None] * y[:, None, :]).reshape(200, -1)
    a = np.hstack([d - 0.0005, -d - 0.0005, centred - 0.005, -centred - 0.005])
    assert found == pytest.approx(np.clip(0.9 - a @ state.v - state.mu, 0, 1))


@pytest.mark.slow
def test_the_literal_update_averaged_over_many_passes_reaches_the_optimum():
    s, y = correlated(1500, 2, 4, 1)
    for eps_d, eps_r in ((0, 0), (0.005, 0.01)):
        rows = problem(s, y, np.ones(1500), WANTED[:2], tolerance=eps_d, tolerance_first=eps_r, kind="absolute")
        best = rows.solve(eta=0.7, cap=1, price=10).q
        state, rng = new_state(2, 4), np.random.default_rng(0)
        total = np.zeros(state.v.size + 1)
        for number in range(400):
            order = rng.permutation(1500)
            found = run_literal(state, s[order].astype(float), y[order].astype(float), np.array(WANTED[:2]), eta=0.7,
                                price=10, eps_d=eps_d, eps_r=eps_r)  # fmt: skip
            total += found if number >= 200 else 0
        mean = total / (200 * 1500)
        duals = literal_duals(mean[:-1], mean[-1], rows.moments)
        q = apply_duals(Constrained(rows.design, rows.moments), duals, eta=0.7, cap=1.0)
        assert np.sqrt(np.mean((q - best) ** 2)) <= 0.002


def test_faithful_is_the_published_form():
    s, y = correlated(3000, 2, 3, 2)
    table = flag_table(s, y)
    m4 = M4.faithful(["s0", "s1"], ["y0", "y1", "y2"]).fit(table)
    o = m4.options
    assert (o.keep, o.cap, o.price, o.tolerance, o.tolerance_first, o.step) == (0.9, 1.0, 100.0, 0.0005, 0.005, 1.0)
    assert (o.tolerance_kind, o.mask, o.protocol) == ("absolute", "none", "alabdulmohsin-2024")
    state = new_state(2, 3)
    run_literal(state, s.astype(float), y.astype(float), np.array([0.5, 0.5]))
    centred = s - 0.5
    d = (centred[:, :, None] * y[:, None, :]).reshape(3000, -1)
    a = np.hstack([d - 0.0005, -d - 0.0005, centred - 0.005, -centred - 0.005])
    assert m4.weights(table) == pytest.approx(np.clip(0.9 - a @ state.v - state.mu, 0, 1))
    assert m4.report_.status == "infeasible"
    assert "constraints are broken at the last duals" in m4.report_.warnings[0]


def test_one_pass_in_batches_comes_near():
    s, y = correlated(60_000, 2, 4, 3)
    table = flag_table(s, y)
    shares = {"s0": 0.5, "s1": 0.5}
    names = {
        "attribute": ["s0", "s1"],
        "labels": [f"y{r}" for r in range(4)],
        "shares": shares,
        "keep": 1.0,
        "cap": 10.0,
    }
    m4 = M4(**names, solver="online", tolerance=0.0, tolerance_first=0.0).fit(table)
    q = m4.weights(table)
    found = measure(s, y, np.ones(len(s)), q, 0.5)
    assert found.rb < 0.01
    assert found.ab < 0.02 < measure(s, y, np.ones(len(s)), np.ones(len(s)), 0.5).ab
    assert abs(q.mean() - 1) < 0.03
    assert m4.report_.status == "online"
    stream = M4(**names, solver="online", tolerance=0.0, tolerance_first=0.0)
    for batch in table.to_batches(max_chunksize=7_000):
        stream.partial_fit(batch)
    assert stream.report_ is None
    # the rows that wait for a whole batch are not used yet
    assert stream.weights(table) == pytest.approx(q, abs=0.02)


def test_a_stream_shorter_than_the_warm_up():
    s, y = correlated(300, 1, 1, 3)
    m4 = M4("s0", "y0", solver="online", keep=0.9).fit(flag_table(s, y))
    assert np.isfinite(m4.weights(flag_table(s, y))).all()
    with pytest.raises(InputError, match="There is no row"):
        M4("s0", "y0", solver="online", keep=0.9).fit(pa.table({"s0": pa.array([None], pa.bool_()), "y0": [True]}))
    with pytest.raises(InputError, match="partial_fit is for solver='online'"):
        M4("s0", "y0").partial_fit(flag_table(s, y))
