"""Japanese captions: spans, what is set aside, long texts, and the extra that is missing."""

from __future__ import annotations

import pytest

from equipoise.annotate import japanese
from equipoise.annotate.lexicon import load_lexicon
from equipoise.annotate.tagging import tag_captions
from equipoise.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def _tokenizer():
    pytest.importorskip("sudachipy")


def test_spans_point_into_the_raw_caption():
    raw = "🙂 ｶﾞｰﾙ と ｳｪｲﾀｰ"
    table = tag_captions([raw], "people-ja-1")
    assert [(tag.value, tag.text) for tag in table.why(0) if tag.variable == "gender"] == [
        ("woman", "ｶﾞｰﾙ"),
        ("ambiguous", "ｳｪｲﾀｰ"),
    ]
    assert all(raw[tag.start : tag.end] == tag.text for tag in table.why(0))


def test_what_is_set_aside():
    table = tag_captions([None, "", "12 🙂", "A woman", "女性 woman", "女性と男性 hi", "мужчина"], "people-ja-1")
    assert table.status.to_pylist() == ["no caption"] * 3 + ["other script", "other script", "", "other script"]


def test_what_is_passed_over_is_counted():
    table = tag_captions(["男性も女性もいない", "女性用の靴", "雪の女王"], "people-ja-1")
    assert table.negated == {"gender:man": 1, "gender:woman": 1}
    assert table.products == {"gender:woman": 1}
    assert [tag.rule for tag in table.reading(2).passed] == ["collocation"]
    counted = tag_captions(["女性用の靴"], "people-ja-1", count_products=True)
    assert counted.columns["gender"].to_pylist() == ["woman"]


def test_either_group_is_one_tag():
    (tag,) = tag_captions(["男性または女性"], "people-ja-1").why(0)
    assert (tag.value, tag.text, tag.rule) == ("ambiguous", "男性または女性", "generic")


def test_a_caption_of_a_megabyte_is_read_in_parts():
    text = "犬が走る。" * 66_000 + "女性が笑う。" + "あ" * 20_000
    assert len(text.encode()) > 1_000_000
    table = tag_captions([text], "people-ja-1")
    assert table.columns["gender"].to_pylist() == ["woman"]
    assert table.why(0)[0].start == text.index("女性")
    parts = list(japanese.parts_of(text))
    assert "".join(part for _, part in parts) == text
    assert max(len(part) for _, part in parts) <= japanese.LONGEST_PART
    assert all(text[start : start + len(part)] == part for start, part in parts)


def test_the_missing_extra_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr("equipoise.models.torch_run.import_module", missing)
    japanese.tokenizer.cache_clear()
    try:
        with pytest.raises(InputError, match=r"pip install 'equipoise\[japanese\]'"):
            japanese.JapaneseRules(load_lexicon("people-ja-1"))
    finally:
        japanese.tokenizer.cache_clear()
