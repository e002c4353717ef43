"""M4 on rows and wishes that cannot be met, or were not meant."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.cell_table import CellTable, from_mapping
from equipoise.data.layout import Layout, Variable
from equipoise.errors import (
    InfeasibleBalance,
    InputError,
    LeakageError,
    MethodRefusal,
    MissingColumnError,
    SchemaError,
    UnknownNameError,
    VocabularyError,
)
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.reweigh import Reweigh


def rows(*counts: tuple[str, object, int]) -> pa.Table:
    """Rows of (gender, y, how often)."""
    return pa.table(
        {"gender": [g for g, _, n in counts for _ in range(n)], "y": [y for _, y, n in counts for _ in range(n)]}
    )


FOUR = rows(("man", True, 30), ("man", False, 20), ("woman", True, 10), ("woman", False, 40))


def test_no_row_and_one_row():
    with pytest.raises(InputError, match=r"no row to balance|no value in any row"):
        M4("gender", "y").fit(FOUR.slice(0, 0))
    with pytest.raises(InputError, match="no row to balance"):
        M4("gender", "y", vocabulary={"gender": ["man", "woman"]}).fit(FOUR.slice(0, 0))
    with pytest.raises(InputError, match="'gender' has one group: 'man'"):
        M4("gender", "y").fit(FOUR.slice(0, 1))
    one = M4("gender", "y", vocabulary={"gender": ["man", "woman"]}).fit(FOUR.slice(0, 1))
    assert one.weights(FOUR.slice(0, 1)) == pytest.approx([1.0])
    assert len(one.report_.exempt) == 2
    with pytest.raises(InputError, match="There is no batch"):
        M4("gender", "y").fit(iter([]))


def test_a_constant_attribute():
    with pytest.raises(InputError, match="'gender' has one group"):
        M4("gender", "y").fit(FOUR.slice(0, 50))
    declared = M4("gender", "y", vocabulary={"gender": ["man", "woman"]}).fit(FOUR.slice(0, 50))
    assert "balancing would delete every row: all 50 rows are gender=man. Exempted." in declared.report_.warnings
    with pytest.raises(InfeasibleBalance, match="every row") as caught:
        M4("gender", "y", vocabulary={"gender": ["man", "woman"]}, unbalanceable="error").fit(FOUR.slice(0, 50))
    assert caught.value.exit_code == 4
    with pytest.raises(InfeasibleBalance, match="less than min_retention"):
        M4("gender", vocabulary={"gender": ["man", "woman"]}, unbalanceable="drop_rows").fit(FOUR.slice(0, 50))


def test_an_empty_label_is_listed():
    table = FOUR.append_column("never", pa.array([False] * 100))
    report = M4("gender", ["y", "never"]).fit(table).report_
    assert report.empty == ("never",)
    assert report.rows_used == 100
    assert M4("gender", ["y", "never"], preserve=0.2).fit(table).report_.status == "exact"
    declared = M4("gender", "job", vocabulary={"job": ["a", "b"]}).fit(FOUR.append_column("job", pa.array(["a"] * 100)))
    assert declared.report_.empty == ("job=b",)


def test_a_label_that_is_the_attribute_is_exempt():
    men = np.array(FOUR["gender"].to_pylist()) == "man"
    report = M4("gender", ["y", "he"]).fit(FOUR.append_column("he", pa.array(men))).report_
    assert report.exempt == ("share(gender=man | he)",)
    assert report.status == "exact"


def test_two_attributes_that_are_the_same():
    table = FOUR.append_column("sex", FOUR["gender"])
    one, two = M4("gender", "y").fit(FOUR), M4(["gender", "sex"], "y").fit(table)
    assert two.weights(table) == pytest.approx(one.weights(FOUR), abs=1e-6)


def test_shares_that_contradict():
    both = rows(("man", True, 30), ("man", False, 20), ("woman", True, 10), ("woman", False, 40))
    men = np.array(both["gender"].to_pylist()) == "man"
    flags = pa.table({"man": men, "woman": ~men, "y": both["y"]})
    overlap = np.random.default_rng(0).random((400, 2)) < [0.5, 0.6]
    overlapping = pa.table({"man": overlap[:, 0], "woman": overlap[:, 1], "y": overlap[:, 0] ^ overlap[:, 1]})
    wanted = {"man": 0.7, "woman": 0.7}
    exact = {"tolerance": 0.0, "tolerance_first": 0.0}
    solvable = M4(["man", "woman"], shares=wanted, keep=1.0, cap=10, **exact).fit(overlapping)
    assert solvable.report_.after["rb"].value < 1e-9
    with pytest.raises(InfeasibleBalance, match=r"No weights meet the constraints|Cannot keep"):
        M4(["man", "woman"], shares=wanted, keep=1.0, cap=10, **exact).fit(flags)
    with pytest.raises(InfeasibleBalance, match="less than min_retention"):
        M4(["man", "woman"], shares=wanted, **exact).fit(flags)
    with pytest.raises(InputError, match=r"shares for 'gender' sum to 1\.4; they must sum to 1"):
        M4("gender", shares={"gender": {"man": 0.7, "woman": 0.7}}).fit(FOUR)


def test_more_than_can_be_kept_is_refused_with_the_most_that_can():
    exact = {"tolerance": 0.0, "tolerance_first": 0.0}
    with pytest.raises(InfeasibleBalance) as caught:
        M4("gender", "y", keep=0.9, **exact).fit(FOUR)
    said = str(caught.value)
    assert "Cannot keep 0.90 of the rows: at most 0.600 can be kept" in said
    assert "share(gender=man | y)" in said
    assert "keep<=0.6" in said
    assert "cap>=1.5" in said
    assert caught.value.exit_code == 4
    assert isinstance(caught.value, MethodRefusal)
    assert M4("gender", "y", keep=0.9, cap=1.5, **exact).fit(FOUR).report_.status == "exact"
    lowered = M4("gender", "y", keep=0.9, on_infeasible="auto-eta", **exact).fit(FOUR)
    assert lowered.eta_ == pytest.approx(0.99 * 0.6)
    assert lowered.weights(FOUR).mean() == pytest.approx(0.594)
    soft = M4("gender", "y", keep=0.9, on_infeasible="soften", **exact).fit(FOUR).report_
    assert soft.status == "softened"
    assert any(row.broken for row in soft.constraints)


def test_a_price_that_is_too_small_is_raised_and_said():
    exact = {"tolerance": 0.0, "tolerance_first": 0.0}
    report = M4("gender", "y", keep=1.0, cap=10, price=1.0, **exact).fit(FOUR).report_
    assert (report.status, report.price) == ("exact", 10.0)
    assert "The price was raised from 1 to 10: it was too small." in report.notes


def test_utilities_that_are_none():
    def with_u(*values):
        return FOUR.append_column("u", pa.array((list(values) * 100)[:100], pa.float64()))

    weigh = M4("gender", "y", keep=0.5, utility="u")
    with pytest.raises(InputError, match="The utility is 0 in every row"):
        weigh.fit(with_u(0.0))
    with pytest.raises(InputError, match="The utility 'u' is nan in row 2"):
        weigh.fit(with_u(1.0, float("nan")))
    with pytest.raises(InputError, match="The utility 'u' is -1 in row 1"):
        weigh.fit(with_u(-1.0))
    with pytest.raises(InputError, match="The utility 'u' is nan in row 1"):
        weigh.fit(with_u(None, 1.0))
    with pytest.raises(InputError, match="keep='auto', which knows none"):
        M4("gender", "y", utility="u")


def test_utilities_of_many_values_are_solved_on_rows():
    u = np.linspace(0.5, 1.0, 100)
    table = FOUR.append_column("u", pa.array(u))
    exact = {"tolerance": 0.0, "tolerance_first": 0.0}
    m4 = M4("gender", "y", keep=0.5, utility="u", **exact).fit(table)
    q = m4.weights(table)
    assert q.mean() == pytest.approx(0.5)
    assert m4.report_.after["ab"].value < 1e-9
    assert np.corrcoef(q[:30], u[:30])[0, 1] > 0.99
    binned = M4("gender", "y", keep=0.5, utility="u", bins=[0.5, 0.75, 1.0], **exact).fit(table)
    assert binned.report_.cells == 6
    assert np.unique(binned.weights(table)).size <= 6


def test_scores():
    rng = np.random.default_rng(0)
    score = rng.random(300)
    y = rng.random(300) < 0.2 + 0.5 * score
    table = pa.table({"man": score, "y": y})
    m4 = M4("man", "y", tolerance=0.0, tolerance_first=0.0, keep=1.0, cap=10).fit(table)
    q = m4.weights(table)
    assert (q @ (score - 0.5)) / 300 == pytest.approx(0, abs=1e-9)
    assert (q @ ((score - 0.5) * y)) / 300 == pytest.approx(0, abs=1e-9)
    for bad in (-0.25, 1.5):
        broken = np.where(np.arange(300) == 4, bad, score)
        with pytest.raises(InputError, match=r"'man' holds"):
            M4("man", "y").fit(pa.table({"man": broken, "y": y}))
        with pytest.raises(InputError, match=r"'man' holds"):
            m4.weights(pa.table({"man": broken, "y": y}))
    missing = np.where(np.arange(300) == 4, np.nan, score)
    aside = M4("man", "y").fit(pa.table({"man": missing, "y": y}))
    assert aside.report_.set_aside == {"man is unknown": 1}
    assert aside.weights(pa.table({"man": missing, "y": y}))[4] == 0.0


@pytest.mark.parametrize("bits", [65, 200])
def test_many_bits(bits):
    rng = np.random.default_rng(0)
    man = rng.random(500) < 0.6
    y = rng.random((500, bits)) < 0.1 + 0.1 * man[:, None]
    table = pa.table({"man": man, **{f"y{r}": y[:, r] for r in range(bits)}})
    m4 = M4("man", [f"y{r}" for r in range(bits)], tolerance=0.1).fit(table)
    assert m4.layout_.words == -(-(bits + 1) // 64)
    assert m4.cells_.keys.shape[1] == m4.layout_.words
    assert m4.report_.status == "exact"
    assert m4.report_.after["share_error"].value <= 0.1 + 1e-6
    again = M4("man", [f"y{r}" for r in range(bits)], tolerance=0.1, solver="rows").fit(table)
    assert again.weights(table) == pytest.approx(m4.weights(table), abs=1e-5)


def test_an_attribute_of_very_many_values_is_refused():
    table = pa.table({"who": [f"person {i}" for i in range(10_000)], "y": [True, False] * 5000})
    with pytest.raises(InputError, match=r"'who' has 10,000 different values; at most 1,024 are packed"):
        M4("who", "y").fit(table)


def test_all_rows_in_one_cell_and_counts_beyond_what_is_exact():
    layout = Layout((Variable("man", "attribute", "flag"), Variable("y", "label", "flag")))
    one = from_mapping({("man", "y"): 10**12}, layout)
    report = M4("man", "y").fit(one).report_
    assert report.cells == 1
    assert len(report.exempt) == 2
    with pytest.raises(InputError, match="2\\^53"):
        CellTable(one.keys, np.array([2**53 + 2]), layout)
    with pytest.raises(InputError, match="2\\^53"):
        from_mapping({("man",): 2**52 + 1}, layout) + from_mapping({("man",): 2**52 + 1}, layout)
    huge = from_mapping({("man", "y"): 3 * 10**15, ("man",): 2 * 10**15, ("y",): 10**15, (): 2 * 10**15}, layout)
    assert M4("man", "y").fit(huge).report_.status == "exact"


def test_batches_need_declared_values_and_may_lack_a_group():
    batches = FOUR.to_batches(max_chunksize=10)
    with pytest.raises(VocabularyError, match="'gender' holds text and its values are not declared"):
        M4("gender", "y").fit(iter(batches))
    declared = M4("gender", "y", vocabulary={"gender": ["man", "woman"]})
    assert declared.fit(iter(batches)).weights(FOUR) == pytest.approx(M4("gender", "y").fit(FOUR).weights(FOUR))


def test_shards_of_different_vocabularies_are_not_added_up():
    def cells(values, version=""):
        m4 = M4("gender", "y", vocabulary={"gender": values}, versions={"gender": version})
        return m4.fit(FOUR).cells_

    with pytest.raises(VocabularyError) as caught:
        cells(["man", "woman"]) + cells(["man", "woman", "both"])
    assert "values of 'gender': both only in the second" in str(caught.value)
    with pytest.raises(VocabularyError, match="version of 'gender': 'people-en-1' and 'people-en-2'"):
        cells(["man", "woman"], "people-en-1") + cells(["man", "woman"], "people-en-2")
    fit = M4("gender", "y", vocabulary={"gender": ["man", "woman"]}).fit(FOUR)
    with pytest.raises(VocabularyError, match=r"The layout of these duals \(3 bits\) differs from that of the table"):
        fit.weights_of_cells(cells(["man", "woman", "both"]))


def test_unknown_values():
    table = rows(
        ("man", True, 30),
        ("man", False, 20),
        ("woman", True, 10),
        ("woman", False, 40),
        (None, True, 7),
        ("x", True, 3),
    )
    vocabulary = {"gender": ["man", "woman"]}
    aside = M4("gender", "y", vocabulary=vocabulary).fit(table)
    assert aside.report_.set_aside == {"gender is unknown": 7, "gender is outside its vocabulary": 3}
    assert (aside.report_.rows_in, aside.report_.rows_used) == (110, 100)
    assert aside.status(table)[100:] == ["gender is unknown"] * 7 + ["gender is outside its vocabulary"] * 3
    assert (aside.weights(table)[100:] == 0).all()
    assert aside.weights(table)[:100] == pytest.approx(M4("gender", "y").fit(FOUR).weights(FOUR))
    neutral = M4("gender", "y", vocabulary=vocabulary, unknown="neutral").fit(table)
    assert (neutral.weights(table)[100:] == 1).all()
    assert neutral.status(table) == [""] * 110
    with pytest.raises(VocabularyError, match="'gender' is missing or undeclared in 10 rows"):
        M4("gender", "y", vocabulary=vocabulary, unknown="error").fit(table)


def test_flags_that_are_not_flags():
    numbers = FOUR.drop_columns(["y"]).append_column("y", pa.array([0.0, 1.0] * 49 + [float("nan"), 1.0]))
    report = M4("gender", "y").fit(numbers).report_
    assert report.set_aside == {"y is unknown": 1}
    with pytest.raises(InputError, match="'y' holds 3"):
        M4("gender", "y").fit(FOUR.drop_columns(["y"]).append_column("y", pa.array([0.0, 3.0] * 50)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cap": 0.5, "keep": 0.9}, "cap=0.5 is below keep=0.9: the mean weight cannot exceed the cap"),
        ({"tolerance": 5}, r"tolerance=5 is outside \[0, 0.5\]; write 0.05 for 5 points of share"),
        ({"tolerance": float("nan")}, r"tolerance=nan is outside \[0, 0.5\]"),
        ({"tolerance_first": -0.1}, r"tolerance_first=-0.1 is outside"),
        ({"tolerance_kind": "shares"}, "tolerance_kind is 'shares'.*share"),
        ({"keep": 0}, "keep is 0"),
        ({"keep": 1.5, "cap": 2}, "keep is 1.5"),
        ({"keep": True}, "keep is True"),
        ({"cap": 2.0}, "cap=2 with keep='auto'"),
        ({"cap": float("inf"), "keep": 1.0}, "cap is inf"),
        ({"price": 0}, "price is 0"),
        ({"preserve": 2}, "preserve is 2"),
        ({"solver": "magic"}, "solver is 'magic'"),
        ({"unknown": "drop"}, "unknown is 'drop'"),
        ({"on_infeasible": "raise"}, "on_infeasible is 'raise'"),
        ({"min_retention": 1}, "min_retention is 1"),
        ({"preserve": 0.1, "solver": "online"}, "preserve needs the prevalence"),
    ],
)
def test_options_that_are_none(options, said):
    with pytest.raises(InputError, match=said):
        M4("gender", "y", **options)


def test_names_that_are_none():
    with pytest.raises(MissingColumnError, match="no column 'gendre'.*gender"):
        M4("gendre", "y").fit(FOUR)
    with pytest.raises(UnknownNameError, match="'men' is not a group of 'gender'"):
        M4("gender", shares={"gender": {"men": 0.5, "woman": 0.5}}).fit(FOUR)
    with pytest.raises(UnknownNameError, match="shares name 'race', which is not balanced"):
        M4("gender", shares={"race": {"a": 1}}).fit(FOUR)
    with pytest.raises(UnknownNameError, match="shares name the label 'z'"):
        M4("gender", "y", shares={"gender | z": {"man": 0.5, "woman": 0.5}}).fit(FOUR)
    with pytest.raises(InputError, match="attributes name one twice"):
        M4(["gender", "gender"], "y")
    with pytest.raises(InputError, match="label and as a proxy|label and a proxy"):
        M4("gender", "y", proxies="y").fit(FOUR)
    for given in ("table.csv", 3, {"gender": []}, [1, 2]):
        with pytest.raises(InputError, match="cannot be balanced|A batch is"):
            M4("gender", "y").fit(given)


def test_shares_inside_a_label():
    nurses = {"gender": {"man": 0.5, "woman": 0.5}, "gender | y": {"man": 0.4, "woman": 0.6}}
    m4 = M4("gender", "y", shares=nurses, tolerance=0.0, tolerance_first=0.0).fit(FOUR)
    q, men, y = m4.weights(FOUR), np.array(FOUR["gender"].to_pylist()) == "man", np.array(FOUR["y"])
    assert q[men & y].sum() / q[y].sum() == pytest.approx(0.4)
    assert q[men].sum() / q.sum() == pytest.approx(0.5)


def test_shares_of_nothing_warn():
    table = rows(("man", True, 30), ("man", False, 20), ("woman", True, 10), ("woman", False, 40))
    shares = {"gender": {"man": 0.0, "woman": 1.0}}
    report = M4("gender", shares=shares, tolerance=0.0, tolerance_first=0.0).fit(table).report_
    assert any("rows of the excluded group get no weight" in warning for warning in report.warnings)


def test_an_intersection():
    rng = np.random.default_rng(0)
    g, r = rng.random(2000) < 0.3, rng.integers(0, 3, 2000)
    y = rng.random(2000) < 0.2 + 0.2 * g * (r == 1)
    table = pa.table({"gender": np.where(g, "w", "m"), "race": [f"r{v}" for v in r], "y": y})
    m4 = M4("gender:race", "y", tolerance=0.0, tolerance_first=0.0).fit(table)
    q = m4.weights(table)
    for gender in (False, True):
        for race in range(3):
            inside = (g == gender) & (r == race)
            assert q[inside].sum() / q.sum() == pytest.approx(1 / 6)
            assert q[inside & y].sum() / q[y].sum() == pytest.approx(1 / 6)
    assert m4.attributes == ("gender:race",)


def test_proxies_are_reported_apart():
    rng = np.random.default_rng(1)
    table = FOUR.append_column("wings", pa.array(rng.random(100) < 0.5))
    report = M4("gender", "y", proxies="wings").fit(table).report_
    assert set(report.after) == {"rb", "ab", "share_error", "ab_proxy", "share_error_proxy"}
    assert [row.proxy for row in report.labels] == [False, True]
    assert "In the paper proxies lowered RB and raised AB." in report.notes


def test_rows_marked_test_are_refused():
    from equipoise import read_samples

    table = FOUR.append_column("split", pa.array(["train", "test"] * 50))
    samples = read_samples(table, attributes=["gender", "y"], split="split")
    with pytest.raises(LeakageError, match="weights were fitted on rows marked 'test'"):
        M4("gender", "y").fit(samples)
    with pytest.raises(LeakageError):
        M4("gender", "y").fit(samples.rows(split="test"))
    m4 = M4("gender", "y:True").fit(samples.rows(split="train"))
    assert len(m4.fit_rows) == 50
    assert m4.weights(samples).shape == (100,)


def test_an_attribute_wrong_in_one_row_of_five_leaves_some_bias():
    """Noise in the attribute: what is balanced is what was seen, not what is."""
    rng = np.random.default_rng(0)
    man = rng.random(20_000) < 0.6
    y = rng.random(20_000) < 0.1 + 0.2 * man
    seen = man ^ (rng.random(20_000) < 0.2)
    table = pa.table({"man": seen, "y": y})
    q = M4("man", "y", tolerance=0.0, tolerance_first=0.0).fit(table).weights(table)
    gap = abs(q[man & y].sum() / q[man].sum() - q[~man & y].sum() / q[~man].sum())
    assert 0.05 < gap < 0.2


def test_before_fit():
    with pytest.raises(InputError, match="not fitted"):
        M4("gender", "y").weights(FOUR)
    with pytest.raises(InputError, match="not fitted"):
        M4("gender", "y").state()
    refused = M4("gender", "y").fit(FOUR)
    with pytest.raises(InputError):
        refused.fit(FOUR.slice(0, 1))
    with pytest.raises(InputError, match="not fitted"):
        refused.weights(FOUR)


def test_documents_that_are_none(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("[1")
    for name in ("a.json", "b.json"):
        with pytest.raises(SchemaError, match="holds no duals"):
            M4.load(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        M4.load(tmp_path / "c.json")


def test_a_price_that_no_raising_makes_large_enough_is_not_told_as_infeasible():
    exact = {"tolerance": 0.0, "tolerance_first": 0.0}
    for keep, cap, said in (
        (0.5, 1, r"they can be met with keep=0.5 \(up to 0.600 of the rows can be kept\)"),
        (1.0, 10, r"they can be met with keep=1 \(up to a mean weight of 6.000 can be kept\)"),
        ("auto", 1, "and they can be met"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            M4("gender", "y", keep=keep, cap=cap, price=1e-4, **exact).fit(FOUR)
        assert not isinstance(caught.value, InfeasibleBalance)
        assert "price=0.0001, even raised to 0.01, is too small" in str(caught.value)
        assert "Use a price above 0.01 (the default is 100)" in str(caught.value)
        assert "keep<=" not in str(caught.value)
        assert M4("gender", "y", keep=keep, cap=cap, price=1.0, **exact).fit(FOUR).report_.status == "exact"


def test_under_a_cap_above_one_it_is_the_mean_weight_that_is_limited():
    with pytest.raises(InfeasibleBalance) as caught:
        M4("gender", "y", keep=1.0, cap=1.5, tolerance=0.0, tolerance_first=0.0).fit(FOUR)
    assert "No weights up to 1.5 have a mean of 1.00: it can be at most 0.900" in str(caught.value)
    assert "keep='auto' with cap=1, keep<=0.9, a larger tolerance, or cap>=1.67" in str(caught.value)


def test_the_published_mode_says_infeasible_where_it_is():
    easy = M4.faithful("gender", "y", eps_d=0.5, eps_r=0.5).fit(FOUR).report_
    assert (easy.status, easy.warnings) == ("online", ())
    assert not any(row.broken for row in easy.constraints)
    hard = M4.faithful("gender", "y").fit(FOUR).report_
    assert hard.status == "infeasible"
    assert "broken at the last duals" in hard.warnings[0]


def test_a_deleted_label_leaves_a_prevalence_factor():
    table = rows(("man", True, 30), ("man", False, 50), ("woman", False, 60))
    report = M4("gender", "y", unbalanceable="drop_rows").fit(table).report_
    assert report.labels[0].retention == pytest.approx(0, abs=1e-9)
    assert report.prevalence_factor >= 1
    assert np.isfinite(report.prevalence_factor)


def test_an_excluded_group_is_worded_by_the_tolerance():
    shares = {"gender": {"man": 1.0, "woman": 0.0}}
    exact = M4("gender", shares=shares, tolerance=0.0).fit(FOUR)
    assert exact.report_.warnings[0].endswith("rows of the excluded group get no weight.")
    assert exact.weights(FOUR)[50:] == pytest.approx(0, abs=1e-9)
    near = M4("gender", shares=shares, tolerance=0.1).fit(FOUR)
    assert near.report_.warnings[0].endswith("rows of the excluded group are left as far as the tolerance allows.")
    assert near.weights(FOUR)[50:].min() > 0


def test_an_unknown_flag_is_refused_without_an_empty_list():
    table = FOUR.set_column(1, "y", pa.array([None] + FOUR["y"].to_pylist()[1:], pa.bool_()))
    with pytest.raises(VocabularyError, match=r"'y' is missing or undeclared in 1 rows: null\. It is true or false"):
        M4("gender", "y", unknown="error").fit(table)


def test_a_number_is_the_share_of_the_first_of_two_values():
    named = {"gender": {"man": 0.3, "woman": 0.7}}
    wanted = M4("gender", "y", shares=named).fit(FOUR)
    for shares in ({"gender": 0.3}, 0.3):
        found = M4("gender", "y", shares=shares).fit(FOUR)
        assert np.array_equal(found.weights(FOUR), wanted.weights(FOUR))
        assert "shares=0.3 for 'gender': man 0.3, woman 0.7." in found.report_.notes
        assert np.array_equal(Reweigh("gender", "y", shares=shares).fit(FOUR).weights(FOUR),
                              Reweigh("gender", "y", shares=named).fit(FOUR).weights(FOUR))  # fmt: skip
        assert len(found.controls()) == 5
    # the order is that of the declaration
    turned = M4("gender", "y", shares=0.7, vocabulary={"gender": ["woman", "man"]}).fit(FOUR)
    assert turned.weights(FOUR) == pytest.approx(wanted.weights(FOUR), abs=1e-12)
    assert "shares=0.7 for 'gender': woman 0.7, man 0.3." in turned.report_.notes
    inside = M4("gender", "y", shares={"gender | y": 0.3}).fit(FOUR)
    assert inside.report_.constraints[0].wanted in (0.3, 0.5)
    assert {row.wanted for row in inside.report_.constraints} == {0.3, 0.5}
    equal = M4(["gender", "y"], shares=0.5).fit(FOUR)
    assert np.array_equal(equal.weights(FOUR), M4(["gender", "y"]).fit(FOUR).weights(FOUR))
    three = rows(("man", True, 3), ("woman", False, 3), ("other", True, 3))
    for shares in (0.5, {"gender": 0.5}):
        with pytest.raises(InputError, match="A number is the share of the first of two"):
            M4("gender", "y", shares=shares).fit(three)
    with pytest.raises(InputError, match="A share for 'gender' is 1.5"):
        M4("gender", "y", shares=1.5).fit(FOUR)
