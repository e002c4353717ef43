"""RB and AB of a model against scipy, statsmodels, exact enumeration, and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from equipoise.data.queries import Query
from equipoise.errors import EmbeddingError, InputError
from equipoise.metrics.balance import (
    association_bias,
    expected_bias,
    expected_gap,
    label_association,
    representation_bias,
)
from equipoise.metrics.engines import preferences as words
from equipoise.metrics.preference import sign_p
from equipoise.models import demo

SEED = 3


@pytest.fixture(scope="module")
def people():
    """Images (600, 6) whose first two axes lean with their group (0, 1; 40 unknown), and three pairs of words."""
    rng = np.random.default_rng(SEED)
    code = rng.permutation(np.repeat([0, 1, -1], [250, 310, 40]))
    images = rng.normal(size=(600, 6)) + 0.5 * np.outer(code == 0, [1, 0, 0, 0, 0, 0])
    return images, code, rng.normal(size=(3, 2, 6))


def counted(images, code, text):
    """Rows of both groups, and how many of them prefer the first word of each pair, by loops."""
    x = images / np.linalg.norm(images, axis=1, keepdims=True)
    t = text / np.linalg.norm(text, axis=-1, keepdims=True)
    n = [int((code == g).sum()) for g in (0, 1)]
    return n, [[sum(x[i] @ a > x[i] @ b for i in np.flatnonzero(code == g)) for g in (0, 1)] for a, b in t]


# ------------------------------------------------------------------------------------------- what chance alone gives


def test_figures_of_the_specification():
    assert expected_gap(1393, 1607) == pytest.approx(0.0146, abs=5e-5)
    assert [round(expected_bias(n), 4) for n in (1000, 50_000)] == [0.0126, 0.0018]
    low, high = proportion_confint(855, 1000, method="wilson")
    assert (high - low) / 2 == pytest.approx(0.022, abs=5e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 30, 999, 1000])
def test_expected_bias_is_exact_and_near_the_normal_law(n):
    k = np.arange(n + 1)
    assert expected_bias(n) == pytest.approx((stats.binom.pmf(k, n, 0.5) * abs(k / n - 0.5)).sum(), rel=1e-9)
    if n >= 30:
        assert expected_bias(n) == pytest.approx(0.399 / np.sqrt(n), rel=0.02)
    assert np.isnan(expected_bias(0))


@pytest.mark.parametrize(("first", "second"), [(5, 5), (0, 7), (12, 30), (400, 455)])
def test_sign_test(first, second):
    wanted = stats.binomtest(first, first + second, 0.5).pvalue
    assert sign_p(first, second) == pytest.approx(wanted, rel=1e-9)


def test_no_association_gives_the_expected_gap():
    rng = np.random.default_rng(0)
    hits = (rng.random((1, 3000)) < 0.5).astype(np.float32)
    code = np.repeat([0, 1], [1393, 1607])
    null = words.pair_null(hits, code, np.array([True, True]), 4000, 0)
    gap = abs(np.diff(null.preferred / null.n, axis=-1)).mean()
    assert gap == pytest.approx(0.0146, abs=4e-4)


def test_pair_null_against_every_permutation():
    hits = np.array([[1, 1, 0, 0, 0.5, 1], [0, 1, 1, 0, 0, 0.5]], np.float32)
    code = np.array([0, 0, 1, 1, 1, 1])
    every = [
        [hits[p][list(chosen)].sum() / 2 for p in (0, 1)] for chosen in itertools.combinations(range(6), 2)
    ]  # fmt: skip
    every = np.asarray(every)
    gaps = abs(every - (hits.sum(1) - 2 * every) / 4)
    drawn = words.pair_null(hits, code, np.array([True, True]), 20_000, 0)
    shuffled = words.pair_null(hits, code, np.array([True, True]), 4000, 0, clusters=np.arange(6))
    for found, tolerance in ((drawn, 0.006), (shuffled, 0.02)):
        ours = abs(np.diff(found.preferred / found.n, axis=-1))[..., 0]
        np.testing.assert_allclose(ours.mean(0), gaps.mean(0), atol=tolerance)
        # the pairs share their rows: the maximum comes from joint draws
        assert ours.max(1).mean() == pytest.approx(gaps.max(1).mean(), abs=tolerance)
        assert np.isclose(ours.max(1), gaps.max()).mean() == pytest.approx(
            np.isclose(gaps.max(1), gaps.max()).mean(), abs=0.02
        )


def test_many_patterns_are_shuffled(monkeypatch, people):
    images, code, text = people
    table = association_bias(images, code, text)
    monkeypatch.setattr(words, "MOST_PATTERNS", 1)
    rows = association_bias(images, code, text)
    for one, other in zip(table.bias, rows.bias, strict=True):
        assert one.value == other.value
        assert one.null_value == pytest.approx(other.null_value, abs=3e-3)


def test_preference_null_of_more_groups_exchanges_all_words():
    nearest = words.nearest_of(np.random.default_rng(0).normal(size=(2, 3, 90)))
    null = words.preference_null(nearest, 500, 0).counts
    assert null.sum(-1) == pytest.approx(90)
    np.testing.assert_allclose(null.mean(0), 30, atol=0.7)
    two = words.preference_null(nearest[..., :2] / nearest[..., :2].sum(-1, keepdims=True).clip(1e-9), 500, 0).counts
    np.testing.assert_allclose(two.std(0)[:, 0] ** 2, (nearest[..., :2].sum((1, 2))) / 4, rtol=0.25)


# --------------------------------------------------------------------------------------------- association of pairs


def test_gaps_are_newcombes_and_rates_are_wilsons(people):
    images, code, text = people
    n, hits = counted(*people)
    found = association_bias(images, code, text, groups=("woman", "man"), pairs=["a/b", "c/d", "e/f"])
    assert found.pairs == ("a/b", "c/d", "e/f")
    assert found.groups == ("woman", "man")
    assert found.protocol == "clip-the-bias/ab"
    for i, (x1, x2) in enumerate(hits):
        signed, size = found.gaps[i], found.bias[i]
        assert signed.value == pytest.approx(x1 / n[0] - x2 / n[1])
        low, high = confint_proportions_2indep(x1, n[0], x2, n[1], method="newcomb", compare="diff")
        assert (signed.low, signed.high) == pytest.approx((low, high), abs=1e-9)
        assert size.value == pytest.approx(abs(signed.value))
        assert size.high == pytest.approx(max(abs(low), abs(high)), abs=1e-9)
        assert size.low == pytest.approx(0 if low <= 0 <= high or size.p > 0.05 else min(abs(low), abs(high)), abs=1e-9)
        assert size.null_value == pytest.approx(expected_gap(*n, rate=sum((x1, x2)) / sum(n)), rel=0.05)
        for g, count in enumerate((x1, x2)):
            rate = found.rates[i][g]
            assert (rate.numerator, rate.denominator, rate.n) == (count, n[g], n[g])
            assert (rate.low, rate.high) == pytest.approx(proportion_confint(count, n[g], method="wilson"), abs=1e-9)
    # the permutation test of one gap is Fisher's, but for its rule of what counts as extreme
    for size, (x1, x2) in zip(found.bias, hits, strict=True):
        exact = stats.fisher_exact([[x1, n[0] - x1], [x2, n[1] - x2]]).pvalue
        assert size.p == pytest.approx(exact, abs=0.03)
    np.testing.assert_allclose(found.p_adjusted, multipletests([one.p for one in found.bias], method="holm")[1])
    sizes = [one.value for one in found.bias]
    assert found.mean.value == pytest.approx(np.mean(sizes))
    assert found.maximum.value == pytest.approx(max(sizes))
    assert found.maximum.null_value > max(one.null_value for one in found.bias) - 1e-3
    assert found.mean.low <= found.mean.value <= found.mean.high
    assert found.maximum.p < 0.01


def test_other_scales(people):
    images, code, text = people
    n, hits = counted(*people)
    ratio = association_bias(images, code, text, scale="ratio")
    odds = association_bias(images, code, text, scale="log_odds")
    for i, (x1, x2) in enumerate(hits):
        value = x1 / n[0] / (x2 / n[1])
        assert ratio.gaps[i].value == pytest.approx(value)
        ends = confint_proportions_2indep(x1, n[0], x2, n[1], method="log", compare="ratio")
        assert (ratio.gaps[i].low, ratio.gaps[i].high) == pytest.approx(ends, abs=1e-9)
        assert ratio.bias[i].value == pytest.approx(max(value, 1 / value))
        assert ratio.bias[i].low >= 1
        cells = np.array([x1, n[0] - x1, x2, n[1] - x2]) + 0.5
        log = np.log(cells[0] * cells[3] / cells[1] / cells[2])
        half = stats.norm.ppf(0.975) * np.sqrt((1 / cells).sum())
        assert odds.gaps[i].value == pytest.approx(log)
        assert (odds.gaps[i].low, odds.gaps[i].high) == pytest.approx((log - half, log + half))
    with pytest.raises(InputError, match="no scale 'odds'"):
        association_bias(images, code, text, scale="odds")  # type: ignore[arg-type]


def test_a_group_that_never_prefers_has_no_ratio():
    images = np.tile([[1.0, 0.0], [0.0, 1.0]], (40, 1))
    found = association_bias(images, np.tile([0, 1], 40), np.eye(2), scale="ratio")
    assert found.bias[0].status == "not_estimable"
    assert association_bias(images, np.tile([0, 1], 40), np.eye(2)).bias[0].value == 1


def test_ties_count_half():
    same = np.ones((1, 2, 3))
    images = np.random.default_rng(0).normal(size=(80, 3))
    found = association_bias(images, np.tile([0, 1], 40), same)
    assert [rate.value for rate in found.rates[0]] == [0.5, 0.5]
    assert found.bias[0].value == 0
    assert found.bias[0].p == 1
    none = representation_bias(images, same)
    assert none.shares[0].value == 0.5
    assert none.bias[0].value == none.bias[0].null_value == 0
    assert none.bias[0].p == 1


def test_more_groups_are_compared_at_their_extremes():
    rng = np.random.default_rng(5)
    code = np.repeat([0, 1, 2, 3], [200, 300, 250, 10])
    images = rng.normal(size=(760, 4)) + 0.3 * np.outer(code, [1, 0, 0, 0])
    found = association_bias(images, code, np.eye(4)[:2])
    rates = [(images[code == g, 0] > images[code == g, 1]).mean() for g in range(3)]
    assert found.gaps == ()
    assert found.bias[0].value == pytest.approx(max(rates) - min(rates))
    assert found.rates[0][3].status == "insufficient"
    assert found.bias[0].low < found.bias[0].value < found.bias[0].high
    ratio = association_bias(images, code, np.eye(4)[:2], scale="ratio")
    assert ratio.bias[0].value == pytest.approx(max(rates) / min(rates))
    assert ratio.bias[0].low < ratio.bias[0].value < ratio.bias[0].high


def test_names_of_groups_can_be_swapped(people):
    images, code, text = people
    one = association_bias(images, code, text, groups=("woman", "man"))
    other = association_bias(images, np.where(code < 0, -1, 1 - code), text, groups=("man", "woman"))
    for a, b in zip(one.gaps, other.gaps, strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((-b.value, -b.high, -b.low))
    assert [a.value for a in one.bias] == pytest.approx([b.value for b in other.bias])


def test_clusters_widen_the_interval(people):
    images, code, text = people
    images, code = np.repeat(images[:200], 5, axis=0), np.repeat(code[:200], 5)
    alone = association_bias(images, code, text)
    together = association_bias(images, code, text, clusters=np.repeat(np.arange(200), 5))
    width = [one.high - one.low for one in alone.bias]
    wider = [one.high - one.low for one in together.bias]
    assert np.mean(wider) > 1.5 * np.mean(width)
    assert together.maximum.p > alone.maximum.p
    assert together.bias[0].null_value > 1.5 * alone.bias[0].null_value
    free = representation_bias(images, text)
    bound = representation_bias(images, text, clusters=np.repeat(np.arange(200), 5))
    assert bound.shares[0].value == free.shares[0].value
    assert bound.bias[0].null_value > 1.5 * free.bias[0].null_value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": np.ones((3, 3, 6))}, "two words a pair"),
        ({"text": np.ones((3, 2, 5))}, "share no space"),
        ({"text": np.zeros((3, 2, 6))}, "zero or not finite"),
        ({"text": None}, "no text"),
        ({"images": np.full((600, 6), np.nan)}, "600 vectors"),
        ({"images": np.ones((600, 6), int)}, "int64"),
        ({"by": np.zeros(600, int)}, "Fewer than two groups"),
        ({"by": np.zeros(599, int)}, "do not fit"),
        ({"by": np.zeros(600)}, "do not fit"),
        ({"by": "gender"}, "do not fit"),
        ({"by": np.tile([0, 2], 300), "groups": ("a", "b")}, "do not fit"),
        ({"pairs": ["a/b"]}, "1 names for 3 pairs"),
        ({"clusters": np.zeros(3, int)}, "3 clusters"),
    ],
)
def test_what_does_not_fit_is_refused(people, change, message):
    images, code, text = people
    given = {"images": images, "by": code, "text": text} | change
    with pytest.raises((InputError, EmbeddingError), match=message):
        association_bias(given.pop("images"), given.pop("by"), given.pop("text"), **given)


# ------------------------------------------------------------------------------------------------- representation


def test_shares_are_wilsons_and_bias_is_folded():
    rng = np.random.default_rng(SEED)
    images, text = rng.normal(size=(1000, 5)), rng.normal(size=(4, 2, 5))
    found = representation_bias(images, text, groups=("man", "woman"), prompts=list("abcd"))
    unit = text / np.linalg.norm(text, axis=-1, keepdims=True)
    for i, (a, b) in enumerate(unit):
        hits = int((images @ a > images @ b).sum())
        low, high = proportion_confint(hits, 1000, method="wilson")
        share, bias = found.shares[i], found.bias[i]
        assert (share.value, share.low, share.high) == pytest.approx((hits / 1000, low, high), abs=1e-9)
        assert share.p == pytest.approx(stats.binomtest(hits, 1000).pvalue, rel=1e-9)
        assert bias.value == pytest.approx(abs(hits / 1000 - 0.5))
        inside = low <= 0.5 <= high
        assert bias.low == pytest.approx(0 if inside else min(abs(low - 0.5), abs(high - 0.5)), abs=1e-9)
        assert bias.high == pytest.approx(max(abs(low - 0.5), abs(high - 0.5)), abs=1e-9)
        assert bias.null_value == pytest.approx(0.0126, abs=5e-5)
    sizes = [one.value for one in found.bias]
    assert found.range == (pytest.approx(min(sizes)), pytest.approx(max(sizes)))
    assert found.mean.value == pytest.approx(np.mean(sizes))
    assert found.protocol == "clip-the-bias/rb"


def test_soft_share_is_the_mean_of_a_sigmoid():
    rng = np.random.default_rng(SEED)
    images, text = rng.normal(size=(500, 5)), rng.normal(size=(2, 5))
    found = representation_bias(images, text, soft=True, scale=10.0)
    x = images / np.linalg.norm(images, axis=1, keepdims=True)
    a, b = text / np.linalg.norm(text, axis=1, keepdims=True)
    soft = special.expit(10 * (x @ (a - b)))
    assert found.shares[0].value == pytest.approx(soft.mean(), abs=1e-6)
    ends = stats.t.interval(0.95, 499, soft.mean(), stats.sem(soft))
    assert (found.shares[0].low, found.shares[0].high) == pytest.approx(ends, abs=1e-6)
    assert found.bias[0].null_value < expected_bias(500)
    hard = representation_bias(images, text, soft=True, scale=1e6)
    assert hard.shares[0].value == pytest.approx(representation_bias(images, text).shares[0].value, abs=2e-3)
    with pytest.raises(InputError, match="logit scale"):
        representation_bias(images, text, soft=True)


def test_more_than_two_words():
    rng = np.random.default_rng(SEED)
    images, text = rng.normal(size=(900, 5)) + [1, 0, 0, 0, 0], np.eye(5)[:3]
    found = representation_bias(images, text)
    x = images[:, :3].argmax(1)
    shares = np.bincount(x, minlength=3) / 900
    assert found.shares[0].value == pytest.approx(shares[0])
    assert found.bias[0].value == pytest.approx(abs(shares - 1 / 3).max())
    assert found.bias[0].p < 0.001
    assert found.bias[0].low < found.bias[0].value < found.bias[0].high
    with pytest.raises(InputError, match="between two"):
        representation_bias(images, text, soft=True, scale=1.0)


def test_few_images_are_insufficient():
    found = representation_bias(np.random.default_rng(0).normal(size=(29, 3)), np.eye(3)[:2])
    assert found.bias[0].status == found.mean.status == "insufficient"


# ------------------------------------------------------------------------------------------------------ many labels


def test_label_form_against_loops_and_welch(people):
    images, code, text = people
    text = text.reshape(6, 6)
    found = label_association(images, code, text, scale=5.0)
    x = images / np.linalg.norm(images, axis=1, keepdims=True)
    t = text / np.linalg.norm(text, axis=1, keepdims=True)
    soft = special.softmax(5 * x @ t.T, axis=1)
    for r, one in enumerate(found.bias):
        a, b = soft[code == 0, r], soft[code == 1, r]
        assert one.value == pytest.approx(abs(a.mean() - b.mean()), abs=1e-6)
        ends = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        assert one.high == pytest.approx(max(abs(ends.low), abs(ends.high)), abs=1e-5)
        assert one.p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.04)
    assert found.maximum.value == max(one.value for one in found.bias)
    assert found.maximum.null_value >= max(one.null_value for one in found.bias)
    np.testing.assert_allclose(found.p_adjusted, multipletests([one.p for one in found.bias], method="holm")[1])
    with pytest.raises(InputError, match="two labels or more"):
        label_association(images, code, text[:1])


# --------------------------------------------------------------------------------------------- which queries pair up


def test_pairs_and_sets_among_queries():
    queries = (
        Query("a", "f", "x/y"), Query("b", "f", "x/y"), Query("c", "f", "z"), Query("d", "g", "x/y"), Query("e", "f"),
        Query("h", "f"), *(Query(f"t{i}", "f", "three") for i in range(3)),
        Query("man", "explicit", "s", "gender=Male"), Query("woman", "explicit", "s", "gender=Female"),
        Query("female", "explicit", "t", "gender=Female"), Query("male", "explicit", "t", "gender=Male"),
        Query("young", "explicit", "s", "age=young"), Query("man", "explicit", "u", "gender=Male"),
        Query("he", "explicit", "u", "gender=Male"), Query("she", "explicit", "u", "gender=Female"),
    )  # fmt: skip
    (pair,) = words.word_pairs(queries)
    assert (pair.family, pair.label, pair.first, pair.second) == ("f", "x/y", 0, 1)
    sets = words.word_sets(queries)
    assert list(sets) == ["gender"]
    assert [one.label for one in sets["gender"]] == ["s", "t"]
    assert [one.members for one in sets["gender"]] == [(9, 10), (12, 11)]
    assert {one.groups for one in sets["gender"]} == {("Male", "Female")}


# ---------------------------------------------------------------------------------------------------- the demo faces


@pytest.fixture(scope="module")
def faces():
    from equipoise.embed import embed

    return embed("demo", demo.samples())


def test_the_demo_encoder(faces):
    found = association_bias(faces, "gender")
    x, codes = faces.vectors(), faces.samples.codes("gender")
    assert found.pairs == (
        "librarian/scientist", "nurse/doctor", "housekeeper/homeowner", "receptionist/executive", "secretary/manager",
    )  # fmt: skip
    for pair, gap in zip(found.pairs, found.gaps, strict=True):
        a, b = pair.split("/")
        vectors = faces.text([f"a photo of {'an' if word[0] in 'aeiou' else 'a'} {word}" for word in (a, b)])
        hit = x @ vectors[0] > x @ vectors[1]
        assert gap.value == pytest.approx(hit[codes == 0].mean() - hit[codes == 1].mean())
        assert gap.n == 3000
    assert found.maximum.value == pytest.approx(0.465, abs=5e-4)
    assert found.mean.value == pytest.approx(0.146, abs=5e-4)
    assert found.maximum.null_value == pytest.approx(0.018, abs=1e-3)

    shares = representation_bias(faces)
    assert shares.groups == ("Male", "Female")
    assert len(shares.prompts) == 6
    assert shares.range == (pytest.approx(0.029, abs=5e-4), pytest.approx(0.490, abs=5e-4))
    man, woman = faces.text(["a photo of a man", "a photo of a woman"])
    bare = shares.shares[shares.prompts.index("a photo of a man/woman")]
    assert bare.value == pytest.approx((x @ man > x @ woman).mean())
    with pytest.raises(InputError, match="names the groups of 'race'"):
        representation_bias(faces, attribute="race")
    with pytest.raises(InputError, match="no pair"):
        association_bias(faces, "gender", pairs="occupations")


def test_labels_of_an_embedding_set(faces):
    labels = ["a photo of a nurse", "a photo of a doctor", "a photo of a teacher"]
    found = label_association(faces, "race", labels=labels, scale=19.0)
    soft = special.softmax(19.0 * faces.vectors() @ faces.text(labels).T, axis=1)
    codes = faces.samples.codes("race")
    means = np.array([soft[codes == g].mean(0) for g in range(7)])
    np.testing.assert_allclose([one.value for one in found.bias], np.ptp(means, axis=0), atol=1e-6)
    assert found.bias[0].low < found.bias[0].value < found.bias[0].high
