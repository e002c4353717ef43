"""Tagging: columns, states, spans, what is set aside; the quick way gives what the rules give."""

from __future__ import annotations

import csv
import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import DATA

from equipoise.annotate.fields import read_annotation
from equipoise.annotate.lexicon import load_lexicon
from equipoise.annotate.quick import ASK, Outcomes, Quick
from equipoise.annotate.rules import WordRules
from equipoise.annotate.tagging import tag_captions
from equipoise.errors import InputError

ENGLISH = load_lexicon("people-en-1")
RULES = WordRules(ENGLISH)
OUTCOMES = Outcomes()
QUICK = Quick(ENGLISH, RULES, OUTCOMES)
PARTS = sorted(
    {part for word in ENGLISH.words for part in word.split()}
    | {part for phrase in ENGLISH.rules.collocations for part in phrase.replace("|", " ").replace("...", "").split()}
    | {*ENGLISH.rules.negators, *ENGLISH.rules.not_negators, *ENGLISH.rules.products, *ENGLISH.rules.animals}
    | {*ENGLISH.rules.generic, *ENGLISH.rules.determiners, *ENGLISH.rules.function_words, *ENGLISH.rules.pronouns}
)
SIGNS = ["'s", "’s", "'", ",", ".", ":", "/", "-", "(", "2", "!", "&", "\n", "🗼", "é", "n't", "non-", "ex-"]


def states(texts, **options):
    return tag_captions(texts, **options).columns["gender"].to_pylist()


@given(st.lists(st.tuples(st.sampled_from([*PARTS, *SIGNS]), st.sampled_from([" ", " ", " ", "", "-", "  "]), st.integers(0, 2)),
                max_size=9))  # fmt: skip
@settings(max_examples=1500)
def test_the_quick_way_gives_what_the_rules_give(parts):
    text = "".join((word, word.title(), word.upper())[case] + gap for word, gap, case in parts)
    number = QUICK.outcome(text)
    if number >= 0:
        assert list(OUTCOMES)[number] == RULES.read(text).found(ENGLISH)
    elif number != ASK:
        assert not any(sign.isalpha() for sign in text)


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_any_text_is_read_and_spans_point_into_it(text):
    table = tag_captions([text, f"{text} A woman. {text}"])
    for row, raw in enumerate([text, f"{text} A woman. {text}"]):
        reading = table.reading(row)
        for tag in (*reading.tags, *reading.passed):
            assert 0 <= tag.start < tag.end <= len(raw)
            assert raw[tag.start : tag.end] == tag.text


@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=8), st.sampled_from(["", "🙂 ", "\u200f", "ＡＢ ", "ﬁne é "])
)
@settings(max_examples=200)
def test_case_and_compatibility_forms_do_not_matter_without_names(words, head):
    capital_words = {*ENGLISH.rules.verbs, *ENGLISH.rules.surnames, *ENGLISH.rules.titles, "doctor"}
    words = [word for word in words if capital_words.isdisjoint(word.replace("'", " ").split())]
    text = head + " ".join(words)
    wide = "".join(chr(ord(sign) + 0xFEE0) if "a" <= sign <= "z" else sign for sign in text)
    assert len(set(states([text, text.upper(), wide]))) == 1


def test_spans_of_every_kind_of_raw_text():
    raws = {
        "ＷＯＭＡＮ with a hat": "ＷＯＭＡＮ",
        "ﬁne wo\u00adman here": "wo\u00adman",
        "🙂🙂 a Woman’s hat": "Woman",
        "cafe\u0301 woman": "woman",
        "\u202bwoman\u202c": "woman",
        "𝐰𝐨𝐦𝐚𝐧 in bold": "𝐰𝐨𝐦𝐚𝐧",
        "ß woman": "woman",
    }
    table = tag_captions(list(raws))
    for row, (raw, text) in enumerate(raws.items()):
        (tag,) = table.why(row)
        assert (tag.variable, tag.value, tag.text, tag.rule) == ("gender", "woman", text, "word")
        assert raw[tag.start : tag.end] == text


def test_one_tag_spans_either_group():
    (tag,) = tag_captions(["Each, he or she, signs"]).why(0)
    assert (tag.value, tag.text, tag.rule) == ("ambiguous", "he or she", "generic")


def test_what_is_passed_over_says_why():
    raw = "No nurse buys men's shoes in the snow queen shop; they cook, the male lion and 300 ms wait"
    reading = tag_captions([raw]).reading(0)
    assert reading.tags == ()
    assert {(tag.text, tag.rule) for tag in reading.passed} == {
        ("nurse", "negated"), ("men", "product"), ("queen", "collocation"), ("cook", "verb"), ("male", "animal"), ("ms", "title"),
    }  # fmt: skip


def test_negated_and_products_are_counted_by_value():
    table = tag_captions(["no nurse", "no women, not a man", "men's shoes", "women's shoes and men's hats"])
    assert table.negated == {"gender:man": 1, "gender:unspecified_person": 1, "gender:woman": 1, "occupation:nurse": 1}
    assert table.products == {"gender:man": 2, "gender:woman": 1}
    counted = tag_captions(["men's shoes", "no men's shoes"], count_products=True)
    assert counted.columns["gender"].to_pylist() == ["man", "none"]
    assert counted.products == {}
    assert counted.negated == {"gender:man": 1}
    assert counted.why(0)[0].text == "men"


def test_what_is_set_aside():
    texts = [
        None,
        "",
        "   ",
        "12:30 – 🙂",
        "мужчина и женщина",
        "رجل وامرأة",
        "男性",
        "мужчина man woman boy",
        "man мужчина",
        "A man",
    ]
    table = tag_captions(texts)
    assert table.status.to_pylist() == ["no caption"] * 4 + ["other script"] * 3 + ["", "other script", ""]
    for column in table.columns.values():
        assert [value is None for value in column.to_pylist()] == [bool(status) for status in table.status.to_pylist()]
    assert table.why(4) == ()
    assert len(table) == len(texts)


def test_counts_name_every_value():
    table = tag_captions(["a nurse and a doctor", "a nurse", None])
    counts = table.counts()
    assert counts["gender"] == {"woman": 0, "man": 0, "both": 0, "unspecified_person": 2, "none": 0, "ambiguous": 0}
    assert {name: count for name, count in counts["occupation"].items() if count} == {"nurse": 2, "doctor": 1}
    assert tag_captions([]).counts()["gender"]["woman"] == 0


@pytest.mark.parametrize(
    "make",
    [
        list, tuple, iter, np.array, pa.array, lambda texts: pa.chunked_array([texts[:2], texts[2:]]),
        lambda texts: pa.array(texts).dictionary_encode(), lambda texts: pa.array(texts, pa.large_string()),
    ],
)  # fmt: skip
def test_any_container_gives_the_same(make):
    texts = ["a woman", None, "no man", "a doctor and his wife", "", "a king size bed"]
    table = tag_captions(make(texts))
    assert table.columns["gender"].to_pylist() == ["woman", None, "none", "both", None, "none"]
    assert table.columns["occupation"].to_pylist() == [[], None, [], ["doctor"], None, []]
    assert table.columns["occupation"].type == pa.list_(pa.string())
    assert [tag.text for tag in table.why(3)] == ["doctor", "doctor", "his", "wife"]
    assert table.reading(-1).passed[0].text == "king"


def test_pandas_missing_text_is_no_caption():
    pandas = pytest.importorskip("pandas")
    assert tag_captions(pandas.Series(["a man", None, float("nan")])).status.to_pylist() == [
        "",
        "no caption",
        "no caption",
    ]


def test_nothing_but_nulls():
    for texts in (pa.nulls(3), [None] * 3):
        table = tag_captions(texts)
        assert table.columns["gender"].null_count == 3
        assert table.status.to_pylist() == ["no caption"] * 3
    assert len(tag_captions(pa.chunked_array([], pa.string()))) == 0


@pytest.mark.parametrize("texts", ["a man", b"a man", 3, None, [3], ["a", b"b"], ["é", ["a man"]], pa.array([1])])
def test_what_is_no_caption_is_refused(texts):
    with pytest.raises(InputError) as caught:
        tag_captions(texts)
    assert "aption" in str(caught.value)


@pytest.mark.parametrize("row", [2, -3, 1.0, "0"])
def test_a_row_that_is_not_there(row):
    with pytest.raises(InputError):
        tag_captions(["a", "b"]).why(row)


def test_order_batches_and_repeats_change_nothing():
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(PARTS, 6)) for _ in range(500)]
    once = states(texts)
    order = draw.permutation(500)
    assert [once[place] for place in order] == states([texts[place] for place in order])
    assert once * 100 == states(texts * 100)  # more than one batch


def test_a_caption_of_a_megabyte():
    for text in (
        "a dog and a cat " * 65_000 + "and a woman",
        "é" * 1_000_000 + " woman",
        "no " * 400_000 + "woman",
        "man's " * 170_000,
    ):
        start = time.process_time()
        table = tag_captions([text])
        assert time.process_time() - start < 20
        assert table.status.to_pylist() == [""]
        assert len(text) >= 1_000_000
    assert states(["a dog and a cat " * 65_000 + "and a woman"]) == ["woman"]


def test_the_columns_say_what_they_are_also_after_parquet(tmp_path):
    table = tag_captions(["a nurse", None]).table()
    assert table.column_names == ["gender_text", "occupation_text"]
    pq.write_table(table, tmp_path / "tags.parquet")
    read = pq.read_table(tmp_path / "tags.parquet")
    gender = read_annotation(read.schema.field("gender_text"))
    assert gender.values == ("woman", "man", "both", "unspecified_person", "none", "ambiguous")
    assert gender.groups == ("woman", "man")
    assert (gender.list, gender.version, gender.sha256) == ("people-en-1", "people-en-1", ENGLISH.sha256)
    jobs = read_annotation(read.schema.field("occupation_text"))
    assert "nurse" in jobs.values
    assert jobs.groups == ()
    assert read["occupation_text"].to_pylist() == [["nurse"], None]


def test_flickr8k_captions():
    path = DATA / "flickr8k_1000" / "captions.csv"
    if not path.exists():
        pytest.skip("flickr8k_1000 is not here")
    with path.open(newline="", encoding="utf-8") as file:
        texts = [row["caption"] for row in csv.DictReader(file)]
    table = tag_captions(texts)
    assert table.counts()["gender"] == {
        "woman": 917, "man": 1498, "both": 196, "unspecified_person": 1122, "none": 1199, "ambiguous": 68,
    }  # fmt: skip
    found = table.columns["gender"].to_pylist()
    assert found == [RULES.read(text).found(ENGLISH)[0] for text in texts]
    rules = Counter(tag.rule for row in range(len(texts)) for tag in table.why(row))
    assert rules["pronoun"] > 30  # "a dog with his ball"
