"""Questions: those that are shipped, those of users, and sections of a vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from equipoise.annotate.question import LEAST_TEMPLATES, Question, read_question, shipped_questions
from equipoise.errors import InputError, MissingFileError, SchemaError, UnknownNameError, VocabularyError

OWN = """\
name = "hat-1"
variable = "hat"
values = ["hat", "none"]
templates = ["a photo of {}"]
[prompts]
hat = ["a hat"]
none = ["no hat", "a bare head"]
"""


@pytest.mark.parametrize("name", shipped_questions())
def test_shipped_questions_ask_for_every_answer_in_seven_sentences(name: str) -> None:
    question = read_question(name)
    assert question.variable == name
    assert question.column == f"{name}_image"
    assert len(question.templates) >= LEAST_TEMPLATES
    assert not question.notes
    texts = [text for value in question.values for text in question.texts(value)]
    assert len(texts) == len(set(texts)) or name == "people"
    assert question.abstain in question.states
    assert question.abstain not in question.values


def test_the_states_of_gender_are_those_of_captions() -> None:
    from equipoise.annotate.lexicon import load_lexicon

    own = read_question("gender")
    text = load_lexicon("people-en-1").variables["gender"]
    assert set(own.states) <= set(text.values)
    assert own.groups == text.groups


def test_a_question_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "hat.toml"
    path.write_text(OWN, "utf-8")
    question = read_question(path)
    assert question.groups == ("hat", "none")
    assert question.texts("none") == ["a photo of no hat", "a photo of a bare head"]
    assert "1 templates" in question.notes[0]
    assert len(question.sha256) == 64
    assert read_question(str(path)) == question
    path.write_text(OWN.replace("a bare head", "a head"), "utf-8")
    assert read_question(path).sha256 != question.sha256


def test_a_section_of_a_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(
        '[gender]\nvalues = ["Female", "Male"]\n[gender.prompts]\nFemale = ["a woman"]\nMale = ["a man"]\n', "utf-8"
    )
    one, two = read_question(f"{path}:gender"), read_question(path)
    assert one == two
    assert one.values == one.groups == ("Female", "Male")
    assert one.name.startswith("gender-")
    assert len(one.name) == 15
    path.write_text(path.read_text() + '[race]\nvalues = ["A", "B"]\n', "utf-8")
    with pytest.raises(SchemaError, match="a vocabulary of 2 attributes"):
        read_question(path)
    with pytest.raises(UnknownNameError, match="Did you mean 'race'"):
        read_question(f"{path}:rase")
    with pytest.raises(InputError, match="no prompts for 'A'"):
        read_question(f"{path}:race").texts("A")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (("variable", "varible"), SchemaError, "Did you mean 'variable'"),
        (('name = "hat-1"\n', ""), SchemaError, "has no 'name'"),
        (('["hat", "none"]', '["hat"]'), VocabularyError, "not a declared value"),
        (('["hat", "none"]', '"hat"'), SchemaError, "something else than texts"),
        (("a photo of {}", "a photo"), VocabularyError, "0 placeholders"),
        (("[prompts]", 'groups = ["cap"]\n[prompts]'), InputError, "'cap' is a group and no answer"),
        (("[prompts]", 'groups = ["hat"]\n[prompts]'), InputError, "two or more, each named once"),
        (("[prompts]", 'groups = ["hat", "hat"]\n[prompts]'), InputError, "two or more, each named once"),
        (("[prompts]", "groups = []\n[prompts]"), InputError, "two or more, each named once"),
        (("[prompts]", 'abstain = "hat"\n[prompts]'), InputError, "'hat' is an answer of 'hat-1' and what it says"),
        (("[prompts]", 'abstain = " "\n[prompts]'), InputError, "says nothing where there is no answer"),
        (('"no hat", "a bare head"', '"a hat"'), InputError, "'hat' and 'none' of 'hat-1' have the same prompts"),
        (("= [", "= [["), SchemaError, "not TOML"),
    ],
)
def test_questions_that_cannot_be_asked(tmp_path: Path, change: tuple[str, str], error: type, says: str) -> None:
    path = tmp_path / "hat.toml"
    path.write_text(OWN.replace(*change, 1), "utf-8")
    with pytest.raises(error, match=says):
        read_question(path)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gender'"):
        read_question("gendr")
    with pytest.raises(MissingFileError):
        read_question(tmp_path / "no.toml")
    with pytest.raises(InputError, match="one answer"):
        Question("x-1", "x", ("a",), ())
