"""Attributes, vocabularies, intersections, and queries that name a group."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.errors import InputError, MissingColumnError, UnknownNameError, VocabularyError

GENDER = Attribute(
    "gender",
    ("Female", "Male"),
    ("", "NA"),
    ("a photo of {}", "a picture of {}"),
    {"Female": ("a woman", "a female person"), "Male": ("a man",)},
)
RACE = Attribute(
    "race",
    ("White", "Asian", "East Asian"),
    prompts={"White": ("a White person",), "East Asian": ("an East Asian person",)},
)
AGE = Attribute("age", ("young", "old"))
VOCABULARY = Vocabulary({"gender": GENDER, "race": RACE, "age": AGE})


def test_prompt_texts_are_all_prompts_in_all_templates():
    assert GENDER.prompt_texts("Female") == [
        "a photo of a woman",
        "a photo of a female person",
        "a picture of a woman",
        "a picture of a female person",
    ]


def test_a_text_is_embedded_once():
    twice = Attribute("a", ("x",), templates=("{}", "the {}"), prompts={"x": ("the b", "b", "the b")})
    assert twice.prompt_texts("x") == ["the b", "b", "the the b"]


def test_braces_in_prompts_survive():
    odd = Attribute("a", ("{0}", "{x}"), templates=("a {} b",), prompts={"{0}": ("{0}",), "{x}": ("{x} {y}",)})
    assert odd.prompt_texts("{0}") == ["a {0} b"]
    assert odd.prompt_texts("{x}") == ["a {x} {y} b"]


def test_missing_prompts_and_groups_are_named():
    with pytest.raises(VocabularyError, match="'race' has no prompts for Asian"):
        RACE.prompt_texts("Asian")
    with pytest.raises(VocabularyError, match="Did you mean 'Female'"):
        GENDER.prompt_texts("Femal")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"values": ()}, "declares no values"),
        ({"values": ("x", "x")}, "values has 'x' twice"),
        ({"values": ("x", " ")}, "empty text"),
        ({"values": ("x",), "unknown": ("x",)}, "both a value and unknown"),
        ({"values": ("x",), "templates": ()}, "templates is empty"),
        ({"values": ("x",), "templates": ("no place",)}, "0 placeholders"),
        ({"values": ("x",), "templates": ("{} and {}",)}, "2 placeholders"),
        ({"values": ("xy",), "prompts": {"xyz": ("p",)}}, "'xyz' is not a declared value. Did you mean 'xy'?"),
        ({"values": ("x",), "prompts": {"x": ("p", " ")}}, "empty prompt"),
        ({"name": "a:b", "values": ("x",)}, "cannot be called 'a:b'"),
        ({"name": "a=b", "values": ("x",)}, "cannot be called 'a=b'"),
    ],
)
def test_contradictions_are_refused(fields, said):
    with pytest.raises(VocabularyError) as caught:
        Attribute(**{"name": "a", **fields})
    assert said in str(caught.value)


def test_groups_of_intersections_are_the_product_in_order():
    assert VOCABULARY.groups("gender") == ("Female", "Male")
    assert VOCABULARY.parts("gender:race:age") == ("gender", "race", "age")
    product = itertools.product(GENDER.values, RACE.values, AGE.values)
    assert VOCABULARY.groups("gender:race:age") == tuple(":".join(cell) for cell in product)


def test_keys_that_mean_nothing():
    with pytest.raises(UnknownNameError, match="Did you mean 'gender'"):
        VOCABULARY.groups("gendre")
    with pytest.raises(InputError, match="names an attribute twice"):
        VOCABULARY.groups("gender:gender")


rows = st.lists(
    st.tuples(
        st.sampled_from(["Female", "Male", "", "NA", None]), st.sampled_from(["White", "Asian", "East Asian", None])
    ),
    max_size=40,
)


@given(rows)
def test_codes_of_an_intersection_match_a_plain_loop(cells):
    columns = {"gender": [cell[0] for cell in cells], "race": [cell[1] for cell in cells]}
    names = VOCABULARY.groups("gender:race")
    expected = [
        -1 if gender in (None, "", "NA") or race is None else names.index(f"{gender}:{race}") for gender, race in cells
    ]
    codes = VOCABULARY.encode(columns, "gender:race")
    assert codes.dtype == np.int32
    assert codes.tolist() == expected


def test_unknown_in_one_attribute_keeps_the_row_for_the_others():
    columns = {"gender": ["NA", "Male"], "age": ["old", None]}
    assert VOCABULARY.encode(columns, "gender").tolist() == [-1, 1]
    assert VOCABULARY.encode(columns, "age").tolist() == [1, -1]
    assert VOCABULARY.encode(columns, "gender:age").tolist() == [-1, -1]


def test_arrow_and_numpy_columns_are_the_same():
    texts = ["Male", None, "Female"]
    for column in (texts, np.array(texts, object), pa.array(texts), pa.chunked_array([texts[:1], texts[1:]])):
        assert VOCABULARY.encode({"gender": column}, "gender").tolist() == [1, -1, 0]


def test_undeclared_values_name_their_lines():
    column = ["Female", "female ", "Fmale", "Male", "female ", "other"]
    with pytest.raises(VocabularyError) as caught:
        VOCABULARY.encode({"gender": column}, "gender", lines=[2, 3, 4, 5, 6, 7], unit="line")
    said = str(caught.value)
    assert "'female ' (lines 3, 6). Did you mean 'Female'?" in said
    assert "'Fmale' (line 4). Did you mean 'Female'?" in said
    assert "'other' (line 7)." in said
    assert caught.value.value == ["female ", "Fmale", "other"]


def test_an_empty_cell_is_undeclared_unless_listed():
    strict = Vocabulary({"a": Attribute("a", ("x",), unknown=("NA",))})
    assert strict.encode({"a": ["x", None, "NA"]}, "a").tolist() == [0, -1, -1]
    with pytest.raises(VocabularyError, match=r"'' \(row 2\)"):
        strict.encode({"a": ["x", ""]}, "a")


def test_a_missing_column_is_named():
    with pytest.raises(MissingColumnError, match="no column for 'race'"):
        VOCABULARY.encode({"gender": ["Male"]}, "gender:race")


def test_infer_takes_values_in_order_of_appearance():
    inferred = Vocabulary.infer({"a": ["z", None, "b", "", "z", "a"]}).attributes["a"]
    assert (inferred.values, inferred.unknown, inferred.declared) == (("z", "b", "a"), ("",), False)


def test_dict_round_trip():
    assert Vocabulary.from_dict(VOCABULARY.to_dict()) == VOCABULARY


def test_merged_keeps_the_first():
    other = Vocabulary({"gender": AGE, "more": AGE})
    assert list(VOCABULARY.merged(other).attributes) == ["gender", "race", "age", "more"]
    assert VOCABULARY.merged(other).attributes["gender"] is GENDER


@pytest.mark.parametrize(
    ("text", "attribute", "group"),
    [
        ("a photo of a FEMALE doctor", "gender", "Female"),
        ("a photo of a woman", "gender", "Female"),
        ("a man at work", "gender", "Male"),
        ("a manly salesman", "gender", None),
        ("a photo of a doctor", "gender", None),
        ("a person", "gender", None),
        ("an Asian nurse", "race", "Asian"),
        ("an east  asian nurse", "race", "East Asian"),
        ("an Asian and an East Asian nurse", "race", "East Asian"),
        ("Southeast Asiana", "race", None),
        ("a woman and a man", "gender", "Female"),
        ("a man and a woman", "gender", "Female"),
        ("young, old", "age", "young"),
        ("old, but a man", "age", "old"),
    ],
)
def test_names_group(text, attribute, group):
    assert VOCABULARY.names_group(text, attribute) == group


def test_names_with_signs_are_whole_words():
    ages = Vocabulary({"age": Attribute("age", ("0-2", "more than 70"))})
    assert ages.names_group("a child of 0-2 years", "age") == "0-2"
    assert ages.names_group("a child of 10-2 years", "age") is None
    assert ages.names_group("someone more than 70 years old", "age") == "more than 70"
