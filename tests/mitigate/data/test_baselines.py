"""The baselines of M4 against plain formulas, the specification's tables, and a two-line IPF."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from shared_data import DATA

from equipoise.compare.cells import compare_cells
from equipoise.data.cell_table import CellTable
from equipoise.data.layout_of import layout_of
from equipoise.data.packing import pack
from equipoise.data.samples import read_samples
from equipoise.errors import InfeasibleBalance, InputError, LeakageError, VocabularyError
from equipoise.mitigate.artefact import load_mitigation, save_mitigation
from equipoise.mitigate.data.controls import data_controls
from equipoise.mitigate.data.first_order import FirstOrder
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.noop_data import NoOpData
from equipoise.mitigate.data.on_cells import UNSEEN
from equipoise.mitigate.data.raking import Rake
from equipoise.mitigate.data.reweigh import Reweigh, kamiran_calders
from equipoise.mitigate.data.selection import keep, systematic
from equipoise.mitigate.data.subsample import RandomSubsample

METHODS = [NoOpData, RandomSubsample, FirstOrder, Reweigh, Rake]
NAMES = ["noop-data", "random-subsample", "first-order", "reweigh", "rake"]


def four_cells(counts: tuple[int, ...] = (30, 20, 10, 40)) -> pa.Table:
    s, y = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    return pa.table({"s": s, "y": y})


def in_order(method, rows):
    """Return the weights of (1,1), (1,0), (0,1), (0,0)."""
    weights = method.weights(rows)
    found = {}
    for s, y, weight in zip(rows["s"].to_pylist(), rows["y"].to_pylist(), weights, strict=True):
        assert found.setdefault((s, y), weight) == weight
    return [found[cell] for cell in product((1, 0), (1, 0)) if cell in found]


@pytest.fixture(scope="module")
def mixed() -> pa.Table:
    """Two attributes, two kinds of labels, people and none."""
    rng = np.random.default_rng(4)
    n = 4000
    gender = np.array(["woman", "man", "nobody"])[rng.choice(3, n, p=[0.3, 0.4, 0.3])]
    age = np.array(["young", "middle", "old"])[rng.integers(0, 3, n)]
    job = np.array(["nurse", "pilot", "none"])[
        np.where(gender == "woman", rng.choice(3, n, p=[0.4, 0.1, 0.5]), rng.choice(3, n, p=[0.1, 0.3, 0.6]))
    ]
    smiling = rng.random(n) < np.where(age == "young", 0.6, 0.3)
    return pa.table({"id": [f"r{i}" for i in range(n)], "gender": gender, "age": age, "job": job, "smiling": smiling})


SHARES = {"gender": {"woman": 0.5, "man": 0.5}}


# ------------------------------------------------------------------------------------------- Kamiran and Calders


def test_reweighing_of_four_cells():
    rows = four_cells()
    for shares in (None, "equal"):
        method = Reweigh("s", "y", shares=shares).fit(rows)
        assert in_order(method, rows) == pytest.approx([2 / 3, 1.5, 2, 0.75])
        assert method.report_.after["ab"].value == pytest.approx(0, abs=1e-12)
        assert method.report_.before["ab"].value == pytest.approx(0.4)
        assert method.missing_mass_ == 0


def test_a_cell_that_is_missing_is_said():
    rows = four_cells((30, 20, 0, 50))
    method = Reweigh("s", "y").fit(rows)
    assert in_order(method, rows) == pytest.approx([0.5, 1.75, 0.7])
    assert method.weights(rows).sum() == pytest.approx(85)
    assert method.report_.before["ab"].value == pytest.approx(0.6)
    assert method.report_.after["ab"].value == pytest.approx(0.3)
    assert method.missing_mass_ == pytest.approx(0.15)
    assert "0.1500" in method.report_.warnings[0]
    unseen = pa.table({"s": [0, 1], "y": [1, 1]})
    assert method.status(unseen) == [UNSEEN, ""]
    assert method.weights(unseen).tolist() == [0, 0.5]


def test_wanted_shares_replace_those_of_the_rows():
    rows = four_cells()
    method = Reweigh("s", "y", shares={"s": 0.6}).fit(rows)
    assert in_order(method, rows) == pytest.approx([0.6 * 0.4 / 0.3, 0.6 * 0.6 / 0.2, 0.4 * 0.4 / 0.1, 0.4 * 0.6 / 0.4])


def test_it_is_the_plain_formula(mixed):
    """As AIF360's Reweighing has it for one pair: W = n_s n_y / (n n_sy)."""
    method = Reweigh("age", "smiling").fit(mixed)
    age, smiling = mixed["age"].to_pylist(), mixed["smiling"].to_pylist()
    s, y, both = Counter(age), Counter(smiling), Counter(zip(age, smiling, strict=True))
    wanted = [s[a] * y[b] / (len(age) * both[a, b]) for a, b in zip(age, smiling, strict=True)]
    assert method.weights(mixed) == pytest.approx(wanted)
    assert method.weights(mixed).sum() == pytest.approx(len(age))


def test_several_columns_are_whole_patterns(mixed):
    people = mixed.filter(pa.array([g != "nobody" for g in mixed["gender"].to_pylist()]))
    method = Reweigh(["gender", "age"], ["job", "smiling"]).fit(people)
    s = list(zip(people["gender"].to_pylist(), people["age"].to_pylist(), strict=True))
    y = list(zip(people["job"].to_pylist(), people["smiling"].to_pylist(), strict=True))
    n, ns, ny, nsy = len(s), Counter(s), Counter(y), Counter(zip(s, y, strict=True))
    wanted = [ns[a] * ny[b] / (n * nsy[a, b]) for a, b in zip(s, y, strict=True)]
    assert method.weights(people) == pytest.approx(wanted)
    assert method.report_.after["ab"].value == pytest.approx(0, abs=1e-12)
    equal = Reweigh(["gender", "age"], ["job", "smiling"], shares="equal").fit(people)
    assert equal.weights(people) == pytest.approx([ny[b] / 6 / nsy[a, b] for a, b in zip(s, y, strict=True)])
    assert equal.report_.after["rb"].value == pytest.approx(0, abs=1e-12)


def test_rows_without_a_group_keep_weight_one(mixed):
    nobody = np.array([g == "nobody" for g in mixed["gender"].to_pylist()])
    for method in (Reweigh("gender", "job", shares=SHARES), Rake("gender", "job", shares=SHARES)):
        weights = method.fit(mixed).weights(mixed)
        assert weights[nobody] == pytest.approx(np.ones(nobody.sum()), abs=1e-12)
        assert method.report_.after["share_error"].value == pytest.approx(0, abs=1e-6)
        assert method.report_.after["rb"].value == pytest.approx(0, abs=1e-6)


def test_the_pure_function():
    s, y, n = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([40.0, 10.0, 20.0, 30.0])
    weights, missing = kamiran_calders(s, y, n)
    assert weights == pytest.approx([0.75, 2, 1.5, 2 / 3])
    assert missing == 0


# -------------------------------------------------------------------------------------------------------- raking


def test_raking_of_four_cells():
    rows = four_cells()
    method = Rake("s", "y").fit(rows)
    assert in_order(method, rows) == pytest.approx([2 / 3, 1.5, 2, 0.75])
    assert method.converged_
    assert method.report_.prevalence_factor == pytest.approx(1)


def test_one_way_margins_remove_no_association():
    rows = four_cells()
    method = Rake("s", "y", margins="one-way").fit(rows)
    assert in_order(method, rows) == pytest.approx([1, 1, 1, 1])
    assert method.report_.after["ab"].value == pytest.approx(0.4)


def test_one_way_margins_still_move_the_share():
    rows = four_cells((30, 30, 10, 30))
    method = Rake("s", "y", margins="one-way").fit(rows)
    weights, s, y = method.weights(rows), np.array(rows["s"]), np.array(rows["y"])
    assert weights[s == 1].sum() == pytest.approx(50, rel=1e-5)
    assert weights[y == 1].sum() == pytest.approx(40, rel=1e-5)


def ipf(w, margins, counts, cycles=500):
    """Two lines: scale to one margin after the other."""
    for _, (rows, wanted) in product(range(cycles), margins):
        w = np.where(rows, w * wanted / (counts @ (w * rows)), w)
    return w


def test_it_is_iterative_proportional_fitting(mixed):
    labels = ["job:nurse", "job:pilot", "smiling"]
    method = Rake(["gender", "age"], labels, shares=SHARES, tolerance=1e-12).fit(mixed)
    gender, age, job = (np.array(mixed[name].to_pylist()) for name in ("gender", "age", "job"))
    smiling, n = np.array(mixed["smiling"].to_pylist()), np.ones(mixed.num_rows)
    known = gender != "nobody"
    margins = []
    for y in (job == "nurse", job == "pilot", smiling):
        for mask, groups in ((known, ["woman", "man"]), (np.ones_like(known), ["young", "middle", "old"])):
            for group in groups:
                for has in (y, ~y):
                    column = gender if group in ("woman", "man") else age
                    margins.append((mask & (column == group) & has, (mask & has).sum() / len(groups)))
    assert method.weights(mixed) == pytest.approx(ipf(np.ones(mixed.num_rows), margins, n, 200), rel=1e-9)
    assert method.report_.prevalence_factor == pytest.approx(1)
    assert method.report_.after["ab"].value < 1e-10


def test_shares_inside_a_label():
    rows = four_cells()
    method = Rake("s", "y", shares={"s": 0.5, "s | y": 0.6}).fit(rows)
    assert in_order(method, rows) == pytest.approx([0.24 / 0.3, 0.26 / 0.2, 0.16 / 0.1, 0.34 / 0.4], rel=1e-5)
    with pytest.raises(InfeasibleBalance, match="contradict"):
        Rake("s", "y", shares={"s": 0.1, "s | y": 0.9}).fit(rows)


def test_a_cap_that_cannot_hold_is_said():
    method = Rake("s", "y", cap=1.7, cycles=50).fit(four_cells())  # (0, 1) needs 2
    assert not method.converged_
    assert method.report_.status == "not converged"
    assert "off by 0.15" in method.report_.warnings[0]
    assert method.weights(four_cells()).max() <= 1.7


def test_a_margin_without_a_row():
    rows = four_cells((30, 20, 0, 50))
    with pytest.raises(InfeasibleBalance, match="margin") as caught:
        Rake("s", "y").fit(rows)
    assert caught.value.exit_code == 4
    method = Rake("s", "y", unbalanceable="exempt").fit(rows)
    assert method.report_.exempt == ("s | y",)


def test_a_share_of_nought_gives_no_weight():
    rows = four_cells()
    method = Rake("s", "y", shares={"s": 0.0}).fit(rows)
    assert in_order(method, rows) == pytest.approx([0, 0, 4, 1.5])
    assert method.weights(rows)[:50].tolist() == [0.0] * 50


def test_raking_is_finite_on_rows_that_were_not_there():
    method = Rake("s", ["y", "z"]).fit(
        pa.table({"s": [1, 1, 0, 0, 1, 0], "y": [1, 0, 1, 0, 0, 0], "z": [0, 1, 0, 1, 0, 0]})
    )
    weights = method.weights(pa.table({"s": [1, 0], "y": [1, 1], "z": [1, 1]}))
    assert np.isfinite(weights).all()


# ---------------------------------------------------------------------------------------- the specification's tables


@pytest.fixture(scope="module")
def faces() -> pa.Table:
    path = DATA / "fairface" / "labels_all_45000.csv"
    if not path.is_file():
        pytest.skip("the labels of FairFace are not here")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def test_fairface(faces):
    report = Reweigh("gender", "race").fit(faces).report_
    assert report.before["rb"].value == pytest.approx(0.028756, abs=2e-6)
    assert report.before["ab"].value == pytest.approx(0.066637, abs=2e-6)
    assert report.after["rb"].value == pytest.approx(0.028756, abs=2e-6)
    assert report.after["ab"].value == pytest.approx(0, abs=1e-9)
    assert report.ess == pytest.approx(0.986315, abs=2e-6)
    report = Reweigh("gender", "race", shares="equal").fit(faces).report_
    assert report.after["rb"].value == pytest.approx(0, abs=1e-9)
    assert report.ess == pytest.approx(0.982465, abs=2e-6)
    assert report.prevalence_factor == pytest.approx(1, abs=1e-9)


def test_what_is_kept_has_the_shares_of_the_weights(faces):
    """Weights become rows: by hash within chance, systematically over cells within a row a cell."""
    method = M4("gender", "race").fit(faces)
    weights = method.weights(faces)
    woman = np.array(faces["gender"].to_pylist()) == "Female"
    race = np.array(faces["race"].to_pylist())
    keys, _ = pack(faces, method.layout_)
    exact = systematic(weights, keys).astype(bool)
    hashed = keep(faces["image"], weights)
    assert abs(exact.sum() - weights.sum()) < 1
    for group in np.unique(race):
        inside = race == group
        share = (weights * woman)[inside].sum() / weights[inside].sum()
        assert abs(woman[inside & exact].mean() - share) < 2 / (inside & exact).sum()
        assert abs(woman[inside & hashed].mean() - share) < 0.02
    share = weights @ woman / weights.sum()
    assert abs(woman[exact].mean() - share) < 1e-4
    assert abs(woman[hashed].mean() - share) < 2.5e-3


def test_raking_agrees_with_reweighing_where_labels_are_of_one_kind(faces):
    rows = faces.slice(0, 9000)
    raked = Rake("gender", "race", tolerance=1e-10).fit(rows).weights(rows)
    assert raked == pytest.approx(Reweigh("gender", "race", shares="equal").fit(rows).weights(rows), rel=1e-8)


def set_a() -> pa.Table:
    """Set A of the comparison of peers: 20,000 rows, two attributes, eight labels."""
    from scipy.special import logit
    from scipy.stats import norm

    rng = np.random.default_rng(11)
    n, m, c, base = 20_000, 2, 8, np.array([0.65, 0.58])
    z = rng.standard_normal(n, dtype=np.float64).astype(np.float32)
    s = np.zeros((n, m))
    for k in range(m):
        rho = 0.3 if k % 2 == 0 else -0.3
        e = rng.standard_normal(n).astype(np.float32)
        s[:, k] = rho * z + np.sqrt(1 - rho**2) * e < norm.ppf(base[k])
    prevalence = np.exp(rng.uniform(np.log(0.005), np.log(0.2), c))
    effect = rng.normal(0, 0.8, (m, c))
    w = rng.standard_normal(n).astype(np.float32)
    columns = {f"s{k}": s[:, k].astype(int) for k in range(m)}
    for r in range(c):
        u = rng.random(n, dtype=np.float32)
        score = logit(prevalence[r]) + (s - base) @ effect[:, r].astype(np.float32) + 0.3 * w
        columns[f"y{r}"] = (u < 1 / (1 + np.exp(-score))).astype(int)
    return pa.table(columns)


def test_the_peers_figures_of_set_a():
    rows = set_a()
    assert [int(np.array(rows[f"s{k}"]).sum()) for k in range(2)] == [12960, 11594]
    labels = [f"y{r}" for r in range(8)]
    assert [int(np.array(rows[y]).sum()) for y in labels] == [181, 210, 1969, 364, 3471, 3140, 339, 363]
    raked = Rake(["s0", "s1"], labels).fit(rows)
    report = raked.report_
    assert (report.before["rb"].value, report.before["ab"].value) == pytest.approx((0.148, 0.224), abs=5e-4)
    assert report.after["rb"].value < 1e-6
    assert report.after["ab"].value < 1e-5
    assert report.prevalence_factor == pytest.approx(1, abs=1e-6)
    assert report.ess == pytest.approx(0.750, abs=1e-3)
    assert report.max_weight == pytest.approx(7.0, abs=0.05)
    capped = Rake(["s0", "s1"], labels, cap=5.0).fit(rows)  # trims and rakes again
    assert capped.converged_
    assert raked.weights(rows).max() > 5
    assert capped.weights(rows).max() <= 5
    assert capped.report_.after["ab"].value < 1e-5
    assert capped.report_.prevalence_factor == pytest.approx(1, abs=1e-5)
    assert capped.report_.ess > report.ess
    joint = Reweigh(["s0", "s1"], labels, shares="equal").fit(rows).report_
    assert joint.after["rb"].value == pytest.approx(0.0004, abs=1e-4)
    assert joint.after["ab"].value == pytest.approx(0.0016, abs=1e-4)
    assert joint.prevalence_factor == pytest.approx(1.07, abs=0.01)
    assert joint.ess == pytest.approx(0.732, abs=1e-3)
    assert joint.max_weight == pytest.approx(13.5, abs=0.05)
    assert joint.warnings


# ------------------------------------------------------------------------------- first order, subsample, nothing


def test_first_order_leaves_the_association():
    rows = four_cells((30, 30, 10, 30))
    method = FirstOrder("s", "y", tolerance=0.0).fit(rows)
    assert in_order(method, rows) == pytest.approx([2 / 3, 2 / 3, 1, 1])
    assert method.report_.after["rb"].value == pytest.approx(0, abs=1e-9)
    assert method.report_.after["ab"].value == pytest.approx(method.report_.before["ab"].value) == pytest.approx(0.25)


def test_it_is_m4_without_labels(mixed):
    method = FirstOrder("gender", "job", shares=SHARES, keep=0.8).fit(mixed)
    same = M4("gender", shares=SHARES, keep=0.8).fit(mixed)
    assert method.weights(mixed) == pytest.approx(same.weights(mixed), abs=1e-9)


def test_a_random_subsample_is_flat(mixed):
    method = RandomSubsample("gender", "job", keep=0.7).fit(mixed)
    assert set(method.weights(mixed)) == {0.7}
    assert method.report_.retention == pytest.approx(0.7)
    assert method.report_.after["ab"].value == pytest.approx(method.report_.before["ab"].value)
    with pytest.raises(InputError, match="keep"):
        RandomSubsample("gender", keep=1.5)


# ---------------------------------------------------------------------------------------------- what all have


@pytest.mark.parametrize("kind", METHODS)
def test_every_source_gives_the_same_weights(kind, mixed):
    vocabulary = {"gender": ["man", "nobody", "woman"], "job": ["none", "nurse", "pilot"]}
    labels = ["job", "smiling"]
    layout = layout_of(mixed, "gender", labels)
    samples = read_samples(mixed, id="id", attributes=["gender", "job"])
    method = kind("gender", labels).fit(mixed)
    wanted = method.weights(mixed)
    order = np.random.default_rng(0).permutation(mixed.num_rows)
    for source in (
        CellTable.from_batches([mixed], layout), mixed.take(order), iter(mixed.to_batches(700)), mixed.to_batches(4000)[0],
    ):  # fmt: skip
        again = kind("gender", labels, vocabulary=vocabulary).fit(source)
        assert again.weights(mixed).tobytes() == wanted.tobytes()
    cells = CellTable.from_batches([mixed], layout)
    assert method.weights_of_cells(cells) @ cells.counts == pytest.approx(wanted.sum())
    assert method.cells_.total == mixed.num_rows
    assert method.weights(mixed.slice(5, 3)).tobytes() == wanted[5:8].tobytes()
    of_samples = kind("gender", "job").fit(samples)
    assert len(of_samples.fit_rows) == len(samples)
    assert of_samples.weights(samples) == pytest.approx(
        kind("gender", "job").fit(mixed).weights(mixed)[samples.position]
    )


@pytest.mark.parametrize("kind", METHODS)
def test_rows_that_are_set_aside(kind, mixed):
    gender = mixed["gender"].to_pylist()
    gender[0], gender[1] = None, "robot"
    table = mixed.set_column(mixed.schema.get_field_index("gender"), "gender", pa.array(gender))
    method = kind("gender", "job", vocabulary={"gender": ["woman", "man", "nobody"]}).fit(table)
    assert method.weights(table)[:2].tolist() == [0, 0]
    said = method.status(table)
    assert said[:2] == ["gender is unknown", "gender is outside its vocabulary"]
    assert not any(said[2:])
    report = method.report_
    assert report.rows_in == report.rows_used + sum(report.set_aside.values()) == mixed.num_rows
    assert report.rows_used == mixed.num_rows - 2


@pytest.mark.parametrize("kind", METHODS)
def test_saved_and_loaded_weights_are_the_same_bytes(kind, mixed, tmp_path):
    own = {Reweigh: {"shares": "equal"}, Rake: {"cap": 3.0}, RandomSubsample: {"keep": 0.6}}.get(kind, {})
    method = kind(["gender", "age"], ["job", "smiling"], **own).fit(mixed)
    save_mitigation(method, tmp_path / "m")
    loaded = load_mitigation(tmp_path / "m")
    assert type(loaded) is kind
    assert loaded.weights(mixed).tobytes() == method.weights(mixed).tobytes()
    assert loaded.attributes == ("gender", "age")
    assert loaded.report_.to_dict() == method.report_.to_dict()


@pytest.mark.parametrize("kind", METHODS)
def test_hostile_rows(kind, mixed):
    with pytest.raises(InputError, match="not fitted"):
        kind("gender").weights(mixed)
    with pytest.raises(InputError):
        kind("gender", "job").fit(mixed.slice(0, 0))
    with pytest.raises(InputError, match="one group"):
        kind("gender", "job").fit(mixed.filter(pa.array([g == "man" for g in mixed["gender"].to_pylist()])))
    with pytest.raises(InputError, match="cells cannot hold"):
        kind("gender", "soft").fit(mixed.append_column("soft", pa.array(np.linspace(0, 1, mixed.num_rows))))
    with pytest.raises(VocabularyError):
        kind("gender", "job").fit(mixed).weights_of_cells(kind("gender").fit(mixed).cells_)
    split = mixed.append_column("split", pa.array(["test"] * mixed.num_rows))
    held_out = read_samples(split, id="id", attributes=["gender", "job"], split="split")
    with pytest.raises(LeakageError):
        kind("gender", "job").fit(held_out)
    method = kind("gender").fit(mixed)
    assert np.isfinite(method.weights(mixed)).all()


@pytest.mark.parametrize("kind", [NoOpData, RandomSubsample, FirstOrder, Reweigh])
def test_an_empty_label_is_listed(kind, mixed):
    empty = mixed.append_column("never", pa.array(np.zeros(mixed.num_rows, int)))
    method = kind("gender", ["job", "never"]).fit(empty)
    assert method.report_.empty == ("never",)
    assert np.isfinite(method.weights(empty)).all()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Reweigh, {"shares": "same"}), (Reweigh, {"shares": {"gender | job=nurse": {"woman": 0.9, "man": 0.1}}}),
        (Rake, {"margins": "three-way"}), (Rake, {"cap": 0.5}), (Rake, {"cap": "2"}), (Rake, {"tolerance": 0}),
        (Rake, {"unbalanceable": "drop"}), (FirstOrder, {"keep": 2.0}), (NoOpData, {"mask": "maybe"}),
    ],
)  # fmt: skip
def test_options_are_checked(kind, options):
    with pytest.raises(InputError):
        kind("gender", "job", **options)


def test_the_controls_of_a_balance(mixed):
    method = M4("gender", ["job", "smiling"], shares=SHARES).fit(mixed)
    controls = data_controls(method)
    assert list(controls) == NAMES
    before = method.report_.before
    for name, control in controls.items():
        assert control.name == name
        assert control.attributes == method.attributes
        assert control.fit_rows == method.fit_rows
        assert control.report_.rows_used == method.report_.rows_used
        assert control.report_.before["ab"].value == pytest.approx(before["ab"].value)
        assert np.isfinite(control.weights(mixed)).all()
    after = {name: control.report_.after for name, control in controls.items()}
    assert controls["random-subsample"].report_.retention == pytest.approx(method.report_.retention)
    assert after["first-order"]["rb"].value <= 0.005 + 1e-9
    assert after["first-order"]["ab"].value > 0.8 * before["ab"].value
    assert after["rake"]["ab"].value < 1e-5
    assert after["reweigh"]["share_error"].value < 1e-9


def test_controls_of_other_modes(mixed):
    published = M4.faithful("gender", ["job"], keep=0.9).fit(mixed.slice(0, 800))
    with pytest.raises(InputError, match="cells"):
        data_controls(published)
    inside = {"gender | job=nurse": {"woman": 0.6, "man": 0.4}}
    importance = M4("gender", "job:nurse", shares=SHARES | inside, keep=1.0, cap=10).fit(mixed)
    controls = data_controls(importance)
    assert controls["random-subsample"].keep == pytest.approx(1)
    share = {row.name: row.value for row in controls["rake"].report_.constraints}
    assert share["share(gender=man | job=nurse)"] == pytest.approx(0.4, abs=1e-5)


def test_a_control_that_refuses_leaves_the_others():
    """60 % of the rows are nurses, all of them to be women: half of all rows cannot be women where nurses stay as many."""
    rows = pa.table({"gender": ["woman", "man"] * 50, "job": ["nurse"] * 60 + ["pilot"] * 40})
    cells = CellTable.from_batches([rows], layout_of(rows, ["gender"], ["job"]))
    shares = {"gender": {"woman": 0.5, "man": 0.5}, "gender | job=nurse": {"woman": 1.0, "man": 0.0}}
    method = M4("gender", ["job:nurse"], shares=shares).fit(rows)
    refused: dict[str, str] = {}
    assert list(data_controls(method, refused=refused)) == NAMES[:-1]
    assert list(refused) == ["rake"]
    with pytest.raises(InfeasibleBalance, match="contradict each other"):
        data_controls(method)
    notes = compare_cells(cells, None, M4("gender", ["job:nurse"], shares=shares).fit(cells)).document.after["notes"]
    assert any("Raking refuses: The shares wanted in" in note for note in notes)


def test_weights_are_sample_weights_of_scikit_learn(mixed):
    """Nothing more is needed: weights() is what fit(sample_weight=) takes; rows that are set aside count nothing."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    people = mixed.filter(pa.array([g != "nobody" for g in mixed["gender"].to_pylist()]))
    x = np.array([[g == "woman"] for g in people["gender"].to_pylist()], float)
    nurse = np.array([job == "nurse" for job in people["job"].to_pylist()])
    method = Reweigh("gender", "job").fit(people)

    def gap(weights):
        model = linear_model.LogisticRegression(C=1e6).fit(x, nurse, sample_weight=weights)
        return float(np.diff(model.predict_proba([[0.0], [1.0]])[:, 1])[0])

    assert gap(None) == pytest.approx(0.3, abs=0.05)
    assert gap(method.weights(people)) == pytest.approx(0, abs=1e-3)
