"""M4 against numbers derived by hand, against independent solvers, and on the labels of FairFace to the last digit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from m4_tables import BASES, correlated
from m4_tools import WANTED, measure, problem
from shared_data import DATA

from equipoise.mitigate.data.feasibility import largest_mean
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.newton import Constrained

EXACT = {"tolerance": 0, "tolerance_first": 0}

# ------------------------------------------------------------------------------------------------------- four cells

S, Y, N = (1, 1, 0, 0), (1, 0, 1, 0), (30, 20, 10, 40)
THIRD = 1 / 3
FOUR = {
    # name: options of the constraints, of the solver, weights, prices (AB, RB, ...) or None, mu, objective
    "weights": (EXACT, {"eta": 1, "cap": 10}, (0.6, 1.6, 1.8, 0.8), (2, -0.8), -0.2, 0.1),
    "half": (EXACT, {"eta": 0.5, "cap": 1}, (0.3, 0.8, 0.9, 0.4), (1, -0.4), -0.1, 0.025),
    "largest": (EXACT, {"eta": 0.6, "cap": 1}, (THIRD, 1, 1, 0.5), None, None, 0.0366667),
    "free": (EXACT, {"free_mean": True}, (THIRD, 1, 1, 0.5), (7 / 3, -1), 0, 0.1166667),
    "capped": (EXACT, {"eta": 1, "cap": 1.7}, (0.566667, 1.65, 1.7, 0.825), (2.166667, -0.825), -0.2375, 0.10104167),
    "price 1": (EXACT, {"eta": 1, "cap": 10, "price": 1.0}, (0.8, 1.3, 1.4, 0.9), (1, -0.4), -0.1, 0.075),
    "price 2": (EXACT, {"eta": 1, "cap": 10, "price": 2.0}, (0.6, 1.6, 1.8, 0.8), (2, -0.8), -0.2, 0.1),
    "price 1/4": (
        EXACT, {"eta": 1, "cap": 10, "price": 0.25}, (0.95, 1.075, 1.1, 0.975), (0.25, -0.1), -0.025, 0.0234375,
    ),
    "infeasible": (EXACT, {"eta": 0.63, "cap": 1}, (0.383333, 1, 1, 0.5375), (100, -49.8458), None, 0.781373),
    "absolute": (
        {"tolerance": 0.02, "tolerance_first": 0.05, "kind": "absolute"}, {"eta": 1, "cap": 10},
        (0.66, 1.26, 1.58, 0.98), (1.2, -0.28), -0.082, 0.041,
    ),
    "share": (
        {"tolerance": 0.1, "tolerance_first": 0.05}, {"eta": 1, "cap": 10}, (0.76, 1.11, 1.52, 0.995),
        (0.875, -0.115), -0.04675, 0.023375,
    ),
    "prevalence": (
        EXACT | {"preserve": 0}, {"eta": 1, "cap": 10}, (2 / 3, 1.5, 2, 0.75), (2.083333, -0.75, -0.208333), None,
        0.1041667,
    ),
    "share of the label": (
        EXACT | {"label_shares": {("s0", "y0"): 0.6}}, {"eta": 1, "cap": 10}, (0.8, 1.3, 1.6, 0.85), (1.25, -0.45),
        -0.075, 0.0375,
    ),
    "utility": (
        EXACT, {"eta": 0.5, "cap": 1, "u": np.array([1, 0.5, 1, 0.5])}, (THIRD, 0.75, 1, 0.375),
        (1.333333, -0.375), -0.3125, 0.04479167,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUR)
def test_four_cells(name):
    constraints, options, q, lam, mu, objective = FOUR[name]
    found = problem(S, Y, N, **constraints).solve(**options)
    assert found.q == pytest.approx(q, abs=1e-5)
    assert found.objective == pytest.approx(objective, abs=1e-5)
    assert abs(found.gap) < 1e-9
    if lam is not None:
        # 1e-5 of the largest price
        assert found.duals.lam == pytest.approx(lam, abs=1e-5 * max(1, *np.abs(lam)) + 5e-5 * (name == "infeasible"))
    if mu is not None:
        assert found.duals.mu == pytest.approx(mu, abs=1e-5)
    assert found.broken.any() == (name in ("price 1", "price 1/4", "infeasible"))


def test_four_cells_before_and_after():
    def at(name):
        constraints, options = FOUR[name][:2]
        return measure(S, Y, N, problem(S, Y, N, **constraints).solve(**options).q)

    before = measure(S, Y, N, np.ones(4))
    assert (before.rb, before.ab) == pytest.approx((0, 0.4))
    assert largest_mean(_constrained(problem(S, Y, N, **EXACT)), np.array(N, float)) == pytest.approx(0.6)
    weights = at("weights")
    assert (weights.ess, weights.ab) == pytest.approx((0.833333, 0), abs=1e-6)
    assert weights.prevalence == pytest.approx(0.4 / 0.36)
    assert at("half").ess == pytest.approx(0.833333, abs=1e-6)
    assert (at("free").retention, at("free").ess) == pytest.approx((0.6, 0.830769), abs=1e-6)
    assert at("price 1").ab == pytest.approx(0.2, abs=1e-6)
    assert at("price 1/4").ab == pytest.approx(0.35, abs=1e-6)
    assert at("infeasible").ab == pytest.approx(0.047619, abs=1e-6)
    assert (at("absolute").rb, at("absolute").ab) == pytest.approx((0.05, 0.152727), abs=1e-6)
    assert at("share").share_error == pytest.approx(0.1)
    assert at("prevalence").prevalence == pytest.approx(1)


def test_kamiran_calders_is_the_optimum_that_keeps_prevalence_here():
    # w(s, y) = P(s) P(y) / P(s, y): 0.5 * 0.4 / 0.3, ...
    reweighed = [0.5 * 0.4 / 0.3, 0.5 * 0.6 / 0.2, 0.5 * 0.4 / 0.1, 0.5 * 0.6 / 0.4]
    assert problem(S, Y, N, **EXACT, preserve=0).solve(eta=1, cap=10).q == pytest.approx(reweighed, abs=1e-6)


@pytest.mark.parametrize(("delta", "q", "kept"), [(0, THIRD, 0.98), (0.05, 0.407407, 0.982222), (0.1, 0.5, 0.985)])
def test_rows_without_people_are_masked(delta, q, kept):
    masked = problem([1, 0, 0], [1, 1, 0], [30, 10, 960], masks=[1, 1, 0], tolerance=delta, tolerance_first=delta)
    found = masked.solve(free_mean=True)
    assert found.q == pytest.approx([q, 1, 1], abs=1e-5)
    assert found.q[2] == 1.0
    assert found.q @ masked.counts / 1000 == pytest.approx(kept, abs=1e-6)
    men, women = 30 * found.q[0], 10 * found.q[1]
    assert (men - women) / (men + women) == pytest.approx(2 * delta, abs=1e-6)


def test_without_the_mask_next_to_nothing_is_kept():
    bare = problem([1, 0, 0], [1, 1, 0], [30, 10, 960], **EXACT).solve(free_mean=True)
    assert bare.q == pytest.approx([THIRD, 1, 0], abs=1e-5)
    assert bare.q @ [30, 10, 960] / 1000 == pytest.approx(0.02, abs=1e-6)


def people(rows: list[tuple[str, bool, int]]) -> pa.Table:
    """A table of (gender, y, how often)."""
    return pa.table(
        {"gender": [g for g, _, n in rows for _ in range(n)], "y": [y for _, y, n in rows for _ in range(n)]}
    )


def test_the_mask_of_the_class_is_that_of_the_oracle():
    table = people([("man", True, 30), ("woman", True, 10), ("none", False, 960)])
    m4 = M4("gender", "y", shares={"gender": {"man": 0.5, "woman": 0.5}}, tolerance=0, tolerance_first=0).fit(table)
    assert m4.weights(table)[[0, 30, 40]] == pytest.approx([THIRD, 1, 1], abs=1e-6)
    assert m4.report_.retention == pytest.approx(0.98)
    assert m4.report_.masked_retention == {"gender": pytest.approx(0.5)}


def test_a_label_of_one_group_is_exempt_and_listed():
    table = people([("man", True, 30), ("man", False, 50), ("woman", False, 60)])
    rows = [0, 30, 80]
    bare = problem([1, 1, 0], [1, 0, 0], [30, 50, 60], tolerance=0.05, tolerance_first=0.05).solve(free_mean=True)
    assert bare.q == pytest.approx([0, 1, 1], abs=1e-5)
    m4 = M4("gender", "y", tolerance=0.05, tolerance_first=0.05).fit(table)
    assert m4.report_.exempt == ("share(gender=man | y)",)
    assert "all 30 rows are gender=man. Exempted." in m4.report_.warnings[0]
    assert m4.weights(table)[rows].min() > 0.5
    dropped = M4("gender", "y", tolerance=0.05, tolerance_first=0.05, unbalanceable="drop_rows").fit(table)
    assert dropped.weights(table)[rows] == pytest.approx([0, 1, 1], abs=1e-5)


def _constrained(p) -> Constrained:
    return Constrained(p.design, p.moments)


# ----------------------------------------------------------------------------------------- rows, other solvers

ROWS = [
    # n, m, c, eta, cap, price, eps_d, eps_r, objective of Clarabel
    (1500, 2, 4, 0.7, 1, 10, 0, 0, 0.04473349),
    (1500, 2, 4, 0.7, 1, 10, 0.005, 0.01, 0.03144150),
    (3000, 3, 6, 1, 5, 100, 0.002, 0.01, 0.11674844),
    (1500, 2, 4, 0.9, 1, 0.05, 0.002, 0.01, 0.01012849),
]


@pytest.mark.parametrize(("n", "m", "c", "eta", "cap", "price", "eps_d", "eps_r", "objective"), ROWS)
def test_rows_against_clarabel(n, m, c, eta, cap, price, eps_d, eps_r, objective):
    s, y = correlated(n, m, c, 1)
    if n == 1500:
        assert (s.sum(0).tolist(), y.sum(0).tolist()) == ([964, 875], [15, 24, 157, 156])
    rows = problem(s, y, np.ones(n), WANTED[:m], tolerance=eps_d, tolerance_first=eps_r, kind="absolute")
    found = rows.solve(eta=eta, cap=cap, price=price)
    assert found.objective == pytest.approx(objective, abs=1e-8)
    # 1/2 E[(q - q*)^2] <= gap, hence every |q - q*| <= sqrt(2 n gap)
    assert np.sqrt(2 * n * max(found.gap, 1e-16)) < 5e-5


@pytest.mark.parametrize(("eta", "cap", "eps_d", "eps_r"), [(0.6, 1, 0, 0), (1, 5, 0.01, 0.02), (0.9, 3, 0.03, 0.0)])
def test_rows_against_sequential_quadratic_programming(eta, cap, eps_d, eps_r):
    from scipy.optimize import minimize

    n = 100
    s, y = correlated(n, 2, 3, 4)
    rows = problem(s, y, np.ones(n), WANTED[:2], tolerance=eps_d, tolerance_first=eps_r, kind="absolute")
    found = rows.solve(eta=eta, cap=cap)
    assert not found.broken.any()
    centred = s - np.array(WANTED[:2])
    columns = np.hstack([centred[:, k : k + 1] * np.column_stack([y, np.ones(n)]) for k in range(2)])
    allowed = np.tile([eps_d] * 3 + [eps_r], 2)
    limits = np.vstack([(allowed - columns).T, (allowed + columns).T]) / n
    result = minimize(
        lambda q: 0.5 * np.sum((q - eta) ** 2) / n, np.full(n, eta), jac=lambda q: (q - eta) / n, method="SLSQP",
        bounds=[(0, cap)] * n, options={"ftol": 1e-15, "maxiter": 500},
        constraints=[
            {"type": "ineq", "fun": lambda q: limits @ q, "jac": lambda q: limits},
            {"type": "eq", "fun": lambda q: [q.mean() - eta], "jac": lambda q: np.ones((1, n)) / n},
        ],
    )  # fmt: skip
    assert result.success
    assert result.fun == pytest.approx(found.objective, abs=1e-8)
    assert found.q == pytest.approx(result.x, abs=2e-5)


def test_the_largest_mean_against_a_dense_linear_programme():
    from scipy.optimize import linprog

    n = 300
    s, y = correlated(n, 2, 3, 5)
    rows = problem(s, y, np.ones(n), WANTED[:2], tolerance=0.02, tolerance_first=0.01)
    d = [(s[:, k] - WANTED[k]) * (y[:, r] if r < 3 else 1.0) for k in range(2) for r in range(4)]
    a = [(0.02 * y[:, r] if r < 3 else np.full(n, 0.01)) for _ in range(2) for r in range(4)]
    d, a = np.array(d), np.array(a)
    result = linprog(-np.ones(n), A_ub=np.vstack([d - a, -d - a]), b_ub=np.zeros(16), bounds=(0, 1), method="highs-ipm")
    found = largest_mean(_constrained(rows), rows.counts)
    assert found == pytest.approx(-result.fun / n, abs=1e-8)
    assert largest_mean(_constrained(rows), rows.counts, cap=3.0) == pytest.approx(3 * found)
    assert BASES[0] > WANTED[0]


# -------------------------------------------------------------------------------------------------------- FairFace

needs_fairface = pytest.mark.skipif(
    not (DATA / "fairface" / "labels_all_45000.csv").is_file(), reason="the labels of FairFace are not there"
)


@pytest.fixture(scope="module")
def faces():
    return pyarrow.csv.read_csv(DATA / "fairface" / "labels_all_45000.csv").select(["gender", "race", "age"])


def one_hot(table, name):
    values = np.array(table[name].to_pylist())
    return np.stack([values == value for value in sorted(set(values))], 1)


FACES = {
    # labels, options, ab, retention, ess, max w, prevalence factor, objective
    "race, weights": (("race",), EXACT | {"keep": 1.0, "cap": 10}, 0, 1, 0.984471, 1.392089, 1.141084, 0.00788682),
    "race, free, exact": (("race",), EXACT, 0, 0.936756, 0.978700, 1.067514, 1.488027, None),
    "race, default": (("race",), {}, 0.014035, 0.952009, 0.986663, 1.050410, 1.361031, None),
    "both, weights": (
        ("race", "age"), EXACT | {"keep": 1.0, "cap": 10}, 0, 1, 0.964106, 1.610412, 1.158570, 0.01861507
    ),
    "both, free, exact": (("race", "age"), EXACT, 0, 0.845378, 0.958816, 1.182902, 1.342875, None),
    "both, default": (("race", "age"), {}, 0.066228, 0.928430, 0.981473, 1.077087, 1.327321, None),
    "both, prevalence kept": (("race", "age"), {"preserve": 0.0}, 0.064462, 0.699476, 0.986034, None, 1, None),
    "both, within a tenth": (("race", "age"), {"preserve": 0.1}, 0.065508, 0.777196, 0.987088, None, 1.111111, None),
}  # fmt: skip


@needs_fairface
@pytest.mark.parametrize("name", FACES)
def test_fairface(faces, name):
    labels, options, ab, retention, ess, largest, prevalence, objective = FACES[name]
    m4 = M4("gender", labels, **options).fit(faces)
    report, weights = m4.report_, m4.weights(faces)
    women = one_hot(faces, "gender")[:, 0]
    found = measure(women, np.hstack([one_hot(faces, label) for label in labels]), np.ones(len(women)), weights)
    near = {"abs": 2e-6}
    assert (found.ab, report.after["ab"].value) == pytest.approx((ab, ab), **near)
    assert (found.retention, report.retention) == pytest.approx((retention, retention), **near)
    assert (found.ess, report.ess) == pytest.approx((ess, ess), **near)
    assert (found.prevalence, report.prevalence_factor) == pytest.approx((prevalence, prevalence), **near)
    if largest is not None:
        assert (found.largest, report.max_weight) == pytest.approx((largest, largest), abs=1e-4)
    if objective is not None:
        assert report.objective == pytest.approx(objective, abs=1e-8)
    assert abs(report.gap) <= 1e-9
    assert report.status == "exact"
    assert report.cells == (14 if labels == ("race",) else 126)
    first = 0 if "tolerance" in options else 0.005
    assert report.after["rb"].value == pytest.approx(first, abs=1e-9)
    assert report.after["share_error"].value == pytest.approx(10 * first, abs=1e-9)


@needs_fairface
def test_fairface_before(faces):
    women = one_hot(faces, "gender")[:, 0]
    assert (women.sum(), len(women)) == (21206, 45000)
    report = M4("gender", "race").fit(faces).report_
    assert report.before["rb"].value == pytest.approx(0.028756, abs=1e-6)
    assert report.before["ab"].value == pytest.approx(0.066637, abs=1e-6)
    assert report.before["share_error"].value == pytest.approx(0.185236, abs=1e-6)
    middle = np.array(faces["race"].to_pylist()) == "Middle Eastern"
    assert (int((women & middle).sum()), int(middle.sum())) == (1503, 4775)
    assert middle[women].mean() - middle[~women].mean() == pytest.approx(-0.066637, abs=1e-6)
    age = M4("gender", "age").fit(faces).report_
    assert age.before["ab"].value == pytest.approx(0.100342, abs=1e-6)


@needs_fairface
def test_fairface_retention_of_a_label(faces):
    def kept(**options):
        rows = M4("gender", "race", **options).fit(faces).report_.labels
        return next(row.retention for row in rows if row.name == "race=Middle Eastern")

    assert kept(**EXACT) == pytest.approx(2 * 1503 / 4775, abs=1e-9)
    assert kept() == pytest.approx(0.69948, abs=5e-6)


@needs_fairface
@pytest.mark.parametrize(
    ("labels", "options", "largest"),
    [
        (("race",), EXACT, 0.936756),
        (("race", "age"), EXACT, 0.853333),
        (("race", "age"), {}, 0.942442),
    ],
)
def test_fairface_largest_mean(faces, labels, options, largest):
    report = M4("gender", labels, keep=0.5, **options).fit(faces).report_
    assert report.eta_max == pytest.approx(largest, abs=1e-6)


@needs_fairface
def test_fairface_balancing_race_leaves_age(faces):
    women, age = one_hot(faces, "gender")[:, 0], one_hot(faces, "age")
    for options, ab in (({}, 0.097026), (EXACT, 0.095750)):
        weights = M4("gender", "race", **options).fit(faces).weights(faces)
        assert measure(women, age, np.ones(len(women)), weights).ab == pytest.approx(ab, abs=2e-6)


@needs_fairface
def test_fairface_the_trap_of_kept_prevalence_is_said(faces):
    report = M4("gender", ["race", "age"], preserve=0.0).fit(faces).report_
    (note,) = [note for note in report.notes if note.startswith("preserve=0")]
    assert "caps what is kept at 0.6995" in note
    assert "'race=Middle Eastern' (0.6995)" in note
    assert "keep=1.0 with cap=10" in note


PRICES = {
    # labels, options, price of Middle Eastern, of the share over all rows
    "race": (("race",), {}, 0.0665, 0.0679),
    "race + age, weights": (("race", "age"), {"keep": 1.0, "cap": 10}, 0.0510, None),
    "gap": (("race", "age"), {"keep": 1.0, "cap": 10, "tolerance_kind": "gap", "tolerance": 0.02}, 0.1189, None),
    "absolute": (
        ("race", "age"), {"keep": 1.0, "cap": 10, "tolerance_kind": "absolute", "tolerance": 0.002}, 0.58758, None,
    ),
}  # fmt: skip


@needs_fairface
@pytest.mark.parametrize("name", PRICES)
def test_prices_on_fairface(faces, name):
    labels, options, price, overall = PRICES[name]
    rows = M4("gender", labels, **options).fit(faces).report_.constraints
    dearest = next(row for row in rows if row.kind == "second")
    assert dearest.name == "share(gender=Female | race=Middle Eastern)"
    assert dearest.price == pytest.approx(price, abs=6e-5)
    assert dearest.lam < 0
    assert [row.price for row in rows] == sorted((row.price for row in rows), reverse=True)
    if overall is not None:
        assert rows[0].name == "share(gender=Female)"
        assert rows[0].price == pytest.approx(overall, abs=6e-5)
        assert abs(dearest.lam) > abs(rows[0].lam)  # lambda alone would rank the rare label first
