"""What holds for every balance: bounds, certificates, symmetries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from m4_tables import correlated
from m4_tools import WANTED, flag_table, flags, measure, of_cells, problem

from equipoise.data.cell_table import CellTable
from equipoise.mitigate.data.dual import certificate, dual_value_and_grad, root_of_mean
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.newton import Constrained

EXACT = {"tolerance": 0, "tolerance_first": 0}


def random_problem(seed, **options):
    rng = np.random.default_rng(seed)
    cells, m, c = int(rng.integers(4, 30)), int(rng.integers(1, 3)), int(rng.integers(1, 4))
    s = np.vstack([rng.random((cells, m)) < rng.uniform(0.2, 0.8, m), np.eye(2, m) > 0, np.eye(2, m) == 0])
    y = rng.random((len(s), c)) < 0.4
    counts = rng.integers(1, 200, len(s))
    return problem(s, y, counts, rng.uniform(0.3, 0.7, m), **options)


@pytest.mark.parametrize("seed", range(0, 200, 8))
def test_tolerances_bound_what_a_label_depends_on(seed):
    for number in range(seed, seed + 8):
        rng = np.random.default_rng(number)
        eps_d, eps_r = rng.uniform(0, 0.03, 2)
        rows = random_problem(number, tolerance=eps_d, tolerance_first=eps_r, kind="absolute")
        found = rows.solve(free_mean=True)
        if found.broken.any() or found.q @ rows.counts < 1e-3 * rows.counts.sum():
            continue
        s, y = rows.design.w[:, : len(rows.moments.columns)], rows.design.y.toarray()[:, :-1]
        w = rows.counts * found.q
        for k, share in enumerate(rows.moments.share[:: y.shape[1] + 1]):
            p = w @ s[:, k] / w.sum()
            assert abs(p - share) <= eps_r + 1e-8
            rates = w @ (y * s[:, [k]]) / (w @ s[:, k]) - w @ (y * (1 - s[:, [k]])) / (w @ (1 - s[:, k]))
            # AB <= (eps_D + eps_R E[y]) / (p (1 - p))
            assert (np.abs(rates) <= (eps_d + eps_r * (w @ y) / w.sum()) / (p * (1 - p)) + 1e-7).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), eta=st.floats(0.2, 1.0), cap=st.floats(1.0, 5.0))
def test_weights_lie_within_the_cap_and_have_their_mean(seed, eta, cap):
    rows = random_problem(seed, tolerance=0.05)
    found = rows.solve(eta=eta, cap=cap)
    assert found.q.min() >= 0
    assert found.q.max() <= cap
    assert found.q @ rows.counts / rows.counts.sum() == pytest.approx(eta, abs=1e-9)
    assert found.gap >= -1e-9
    assert found.gap <= 1e-6


@pytest.mark.parametrize(
    ("seed", "eta", "cap"), [(75822, 0.99999, 2.6949133668274503), (374606, 0.48472497561383243, 1.8911657421138086)]
)
def test_duals_that_stall_at_the_price_are_approached_from_below(seed, eta, cap):
    """One start ends 4.6 and 3.1 above the optimum, where many duals are at the price."""
    found = random_problem(seed, tolerance=0.05).solve(eta=eta, cap=cap)
    assert found.broken.any()
    assert found.gap <= 1e-6


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_the_gradient_is_that_of_the_value(seed, data):
    rows = random_problem(seed, tolerance=0.03, tolerance_first=0.01, preserve=0.1)
    design = Constrained(rows.design, rows.moments)
    rng = np.random.default_rng(seed)
    x = np.append(rng.uniform(0, 0.5, 2 * len(rows.moments)), rng.normal(0, 0.1))
    direction = rng.normal(size=x.size)
    step = 1e-6
    ends = [dual_value_and_grad(x + t * direction, design, rows.counts, 0.9, 2.0)[0] for t in (step, -step)]
    slope = dual_value_and_grad(x, design, rows.counts, 0.9, 2.0)[1] @ direction
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, abs=1e-4)


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_any_duals_give_a_certificate(seed):
    rows = random_problem(seed, tolerance=0.03)
    best = rows.solve(eta=0.9, cap=2.0)
    rng = np.random.default_rng(seed)
    design = Constrained(rows.design, rows.moments)
    for size in (0.01, 0.3, 3.0):
        x = np.clip(best.duals.packed + size * rng.normal(size=2 * len(rows.moments) + 1), 0, 100)
        found = certificate(x, design, rows.counts, 0.9, 2.0)
        distance = 0.5 * rows.counts @ (found.q - best.q) ** 2 / rows.counts.sum()
        value = dual_value_and_grad(found.duals.packed, design, rows.counts, 0.9, 2.0)[0]
        least = dual_value_and_grad(best.duals.packed, design, rows.counts, 0.9, 2.0)[0]
        assert distance <= value - least + 1e-8
        assert value - least <= found.gap + 1e-8


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.05, 0.95), st.floats(1, 4))
def test_the_root_of_the_mean(z, eta, cap):
    z, counts = np.array(z), np.arange(1, len(z) + 1, dtype=float)
    mu = root_of_mean(z, counts, eta, cap)
    assert counts @ np.clip(z - mu, 0, cap) / counts.sum() == pytest.approx(eta, abs=1e-9)


def test_the_price_switches_from_soft_to_hard():
    """Above the largest price of the hard problem nothing changes; below it something is broken."""
    rows = problem((1, 1, 0, 0), (1, 0, 1, 0), (30, 20, 10, 40), **EXACT)
    hard = rows.solve(eta=1, cap=10)
    largest = np.abs(hard.duals.lam).max()
    assert rows.solve(eta=1, cap=10, price=largest * 1.001).q == pytest.approx(hard.q, abs=1e-6)
    assert rows.solve(eta=1, cap=10, price=largest * 0.9).broken.any()


@pytest.fixture(scope="module")
def b():
    return correlated(5_000, 2, 6, 3)


def test_counts_alone_matter(b):
    cells = flags(*b)
    one = of_cells(cells, 2, WANTED, tolerance=0.03).solve(free_mean=True)
    times = CellTable(cells.keys, cells.counts * 7, cells.layout)
    assert of_cells(times, 2, WANTED, tolerance=0.03).solve(free_mean=True).q == pytest.approx(one.q, abs=1e-7)
    twice = flag_table(np.repeat(b[0], 2, 0), np.repeat(b[1], 2, 0))
    names = {"attribute": ["s0", "s1"], "labels": [f"y{r}" for r in range(6)]}
    doubled = CellTable(cells.keys, cells.counts * 2, cells.layout)
    assert np.array_equal(M4(**names).fit(twice).duals_.packed, M4(**names).fit(doubled).duals_.packed)


def test_order_shards_and_batches_do_not_change_a_bit(b):
    table = flag_table(*b)
    names = {"attribute": ["s0", "s1"], "labels": [f"y{r}" for r in range(6)]}
    whole = M4(**names).fit(table)
    q = whole.weights(table)
    order = np.random.default_rng(0).permutation(table.num_rows)
    shuffled = table.take(pa.array(order))
    for source in (shuffled, iter(table.to_batches(max_chunksize=77)), iter(shuffled.to_batches(max_chunksize=1000))):
        other = M4(**names).fit(source)
        assert np.array_equal(other.duals_.packed, whole.duals_.packed)
    assert np.array_equal(whole.weights(shuffled), q[order])
    layout = whole.layout_
    parts = [CellTable.from_batches([table.slice(i * 1000, 1000)], layout) for i in range(5)]
    left = ((parts[0] + parts[1]) + parts[2]) + (parts[3] + parts[4])
    right = parts[4] + (parts[2] + (parts[3] + (parts[1] + parts[0])))
    assert left.to_arrow().equals(right.to_arrow())
    assert np.array_equal(M4(**names).fit(left).duals_.packed, whole.duals_.packed)


def test_the_complement_of_an_attribute_flips_the_price_and_keeps_weights(b):
    s, y = b
    counts = np.ones(len(s))
    one = problem(s, y, counts, [0.6, 0.4], **EXACT).solve(eta=1, cap=20)
    other = problem(np.column_stack([~s[:, 0], s[:, 1]]), y, counts, [0.4, 0.4], **EXACT).solve(eta=1, cap=20)
    assert other.q == pytest.approx(one.q, abs=1e-6)
    labels = y.shape[1] + 1
    assert other.duals.lam[:labels] == pytest.approx(-one.duals.lam[:labels], abs=1e-4)
    assert other.duals.lam[labels:] == pytest.approx(one.duals.lam[labels:], abs=1e-4)


def test_names_of_groups_do_not_matter(b):
    s, y = b

    def table(names):
        return pa.table({"g": [names[int(v)] for v in s[:, 0]], "y": y[:, 0], "z": y[:, 1]})

    def report(names):
        fit = M4("g", ["y", "z"]).fit(table(names))
        return fit, fit.weights(table(names))

    (fit, q), (renamed, other) = report(("a", "b")), report(("c", "d"))
    assert np.array_equal(q, other)
    assert np.array_equal(fit.duals_.packed, renamed.duals_.packed)
    assert [name.replace("g=c", "g=a") for name in renamed.duals_.names] == list(fit.duals_.names)
    swapped, third = report(("b", "a"))
    # the column of two groups is that of the first name: 1 - s in place of s, equal but for the last bits
    assert np.abs(third - q).max() <= 4e-15
    # exactly the two names change places
    for row, other_row in zip(fit.report_.labels, swapped.report_.labels, strict=True):
        assert other_row.group_retention["g=b"] == pytest.approx(row.group_retention["g=a"], abs=1e-14)
        assert other_row.group_retention["g=a"] == pytest.approx(row.group_retention["g=b"], abs=1e-14)
        assert replace(other_row, group_retention={}, retention=0, prevalence_after=0) == replace(
            row, group_retention={}, retention=0, prevalence_after=0
        )


def test_rows_without_a_person_are_kept_to_the_last_bit(b):
    s, y = b
    who = np.where(s[:, 0] & s[:, 1], "both", np.where(s[:, 0], "man", np.where(s[:, 1], "woman", "none")))
    table = pa.table({"g": who, "y": y[:, 0], "z": y[:, 1]})
    q = M4("g", ["y", "z"], shares={"g": {"man": 0.5, "woman": 0.5}}).fit(table).weights(table)
    assert (q[(who == "none") | (who == "both")] == 1.0).all()
    assert q.min() < 1.0


def test_unseen_rows_have_weights(b):
    s, y = b
    m4 = M4(["s0", "s1"], [f"y{r}" for r in range(6)]).fit(flag_table(s[:200], y[:200]))
    grid = (np.arange(256)[:, None] >> np.arange(8)) & 1
    found = m4.weights(flag_table(grid[:, :2] > 0, grid[:, 2:] > 0))
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_rows_cells_and_chunks_agree(b):
    table = flag_table(*b)
    names = {"attribute": ["s0", "s1"], "labels": [f"y{r}" for r in range(6)], "keep": 1.0, "cap": 10.0}
    q = M4(**names).fit(table).weights(table)
    assert M4(**names, solver="rows").fit(table).weights(table) == pytest.approx(q, abs=1e-6)
    many = M4(**names, max_cells=10).fit(table)
    assert many.weights(table) == pytest.approx(q, abs=1e-6)
    assert "patterns exceed max_cells=10; continuing with solver='rows'." in many.report_.notes[0]


def test_the_report_says_what_the_formulas_say(b):
    s, y = b
    table = flag_table(s, y)
    m4 = M4(["s0", "s1"], [f"y{r}" for r in range(6)], shares={"s0": 0.5, "s1": 0.5}).fit(table)
    found, report = measure(s, y, np.ones(len(s)), m4.weights(table), 0.5), m4.report_
    assert report.after["rb"].value == pytest.approx(found.rb, abs=1e-9)
    assert report.after["ab"].value == pytest.approx(found.ab, abs=1e-9)
    assert report.after["share_error"].value == pytest.approx(found.share_error, abs=1e-9)
    assert (report.ess, report.max_weight, report.prevalence_factor, report.retention) == pytest.approx(
        (found.ess, found.largest, found.prevalence, found.retention)
    )
    prices = [row.price for row in report.constraints]
    assert prices == sorted(prices, reverse=True)
    assert report.rows_in == report.rows_used + sum(report.set_aside.values()) == len(s)
    w = m4.weights(table)
    kept = w[s[:, 0] & y[:, 2]].mean()
    assert report.labels[2].group_retention["s0"] == pytest.approx(kept)
    assert report.worst_retention <= kept


KEEPS = ({"eta": 1, "cap": 10}, {"eta": 0.8, "cap": 1}, {"free_mean": True})


@pytest.mark.parametrize("keep", KEEPS, ids=["weights", "keep", "free"])
@pytest.mark.parametrize("kind", ["share", "gap", "absolute"])
def test_the_price_of_one_constraint_is_what_more_of_its_tolerance_would_save(kind, keep):
    """The derivative of the optimum by one tolerance, in the unit in which it was asked for (envelope theorem)."""
    size = {"share": 0.03, "gap": 0.02, "absolute": 0.0015}[kind]
    cells = flags(*correlated(4000, 2, 3, 7))
    rows = of_cells(cells, 2, WANTED, tolerance=size, tolerance_first=size / 10, kind=kind, preserve=0.3)
    moments, step = rows.moments, 1e-6
    # what A_j is made of, from its definition and not from the code
    label, second = moments.row < len(moments.labels), moments.column >= 0
    allowed = np.where(label, size, size / 10) * (moments.share * (1 - moments.share) if kind == "gap" else 1)
    assert moments.tolerance == pytest.approx(np.where(second, allowed, 0.3 * moments.share))

    def at(j, delta):
        per_unit = (
            moments.share[j] if not second[j] else moments.share[j] * (1 - moments.share[j]) if kind == "gap" else 1
        )
        tolerance = moments.tolerance + np.where(np.arange(len(moments)) == j, per_unit * delta, 0.0)
        return replace(rows, moments=replace(moments, tolerance=tolerance, _maps={})).solve(**keep).objective

    here = rows.solve(**keep)
    prices = np.abs(here.duals.lam) * moments.carried(rows.table(here.q)) / rows.counts.sum()
    active = np.flatnonzero(prices > 1e-4)
    assert len(active) >= 3
    for j in active:
        assert (at(j, step) - at(j, -step)) / (2 * step) == pytest.approx(-prices[j], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("kind", ["share", "gap", "absolute"])
@pytest.mark.parametrize("keep", [{"keep": 1.0, "cap": 10.0}, {"keep": "auto"}], ids=["weights", "free"])
def test_prices_of_the_report_are_what_the_options_would_save(b, kind, keep):
    """The same of the class: moving an option moves the optimum by the prices of the constraints that it is for."""
    table = flag_table(*b)
    given = {
        "tolerance": {"share": 0.04, "gap": 0.03, "absolute": 0.001}[kind],
        "tolerance_first": 0.001,
        "preserve": 0.3,
    }

    def report(**changed):
        labels = [f"y{r}" for r in range(6)]
        return M4(["s0", "s1"], labels, tolerance_kind=kind, **keep, **given | changed).fit(table).report_

    here, step = report(), 1e-6
    for option, of in (("tolerance", "second"), ("tolerance_first", "first"), ("preserve", "prevalence")):
        saved = sum(row.price for row in here.constraints if row.kind == of)
        ends = [report(**{option: given[option] + sign * step}).objective for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(-saved, rel=2e-3, abs=1e-5)
    assert sum(row.price > 1e-4 for row in here.constraints) >= 3


def test_constant_tolerances_of_a_gap(b):
    """Kind "gap" bounds the difference of label rates by about the tolerance."""
    s, y = b
    table = flag_table(s, y)
    m4 = M4("s0", [f"y{r}" for r in range(6)], tolerance=0.02, tolerance_first=0.0, tolerance_kind="gap").fit(table)
    assert m4.report_.before["ab"].value > 0.04
    assert m4.report_.after["ab"].value == pytest.approx(0.02, abs=1e-6)
