"""Texts as they are compared, and the way back."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.annotate.normal import Scripts, normal
from equipoise.annotate.tokens import words_of


@given(st.text(max_size=40))
def test_the_way_back_is_in_order_and_inside(raw):
    found = normal(raw)
    spans = [found.raw_span(place, place + 1) for place in range(len(found.text))]
    assert all(0 <= start < end <= len(raw) for start, end in spans)
    assert spans == sorted(spans)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_is_in_lower_case_only(raw):
    assert normal(raw).text == raw.lower().replace("`", "'")


@given(st.text(st.characters(codec="utf-8", categories=["L", "Nd", "Zs", "Mn"], max_codepoint=0x52F), max_size=20))
def test_composed_and_decomposed_are_one(raw):
    composed, decomposed = (unicodedata.normalize(form, raw) for form in ("NFC", "NFD"))
    assert normal(composed).text == normal(decomposed).text or any(unicodedata.combining(sign) for sign in composed)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("WOMAN’S", "woman's"),
        ("Ｍａｎ", "man"),
        ("ﬁre", "fire"),
        ("co\u00adok", "cook"),
        ("ﾊﾟﾊﾟ", "パパ"),
        ("Straße", "strasse"),
        ("a‐b", "a-b"),
    ],
)
def test_forms(raw, text):
    assert normal(raw).text == text


def test_scripts():
    latin, japanese = Scripts(["Latin"]), Scripts(["Han", "Hiragana", "Katakana"])
    assert latin.letters("Ａbcé 12 дж") == (4, 2)
    assert latin.letters("abc") == (3, 0)
    assert japanese.letters("abc") == (0, 3)
    assert japanese.letters("女のｶﾞｰﾙ abc") == (5, 3)  # the half-width voicing sign is a mark


def test_words_and_possessives():
    words = words_of("The man ’s hat, boys' ball and a co-pilot's T-shirt")
    assert words.texts == ["the", "man", "hat", "boys", "ball", "and", "a", "co-pilot", "t-shirt"]
    assert [text for text, owned in zip(words.texts, words.owned, strict=True) if owned] == ["man", "boys", "co-pilot"]
    assert words.together(2)
    assert not words.together(3)
    assert words.together(4)
    assert not words.together(0)
