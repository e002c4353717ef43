"""Word lists: those that are shipped, one's own, and those that cannot be meant."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from equipoise.annotate.lexicon import Lexicon, expanded, load_lexicon, shipped
from equipoise.annotate.tagging import tag_captions
from equipoise.errors import EquipoiseError, MissingFileError, SchemaError, UnknownNameError

OWN = """
name = "haare-1"
version = "haare-1.2"
[variables.hair]
groups = ["blond", "dark"]
[variables.hair.words]
blond = ["blond(e)", "fair haired"]
dark = ["dark haired", "brünett"]
[variables.thing]
kind = "tags"
[variables.thing.words]
hat = ["hat(s)", "cap(s)"]
[rules]
negators = ["no", "ohne"]
collocations = ["ice cap(s)"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_shipped_lists():
    assert shipped() == ("people-en-1", "people-ja-1")
    english = load_lexicon("people-en-1")
    assert english.name == english.version == "people-en-1"
    assert english.scripts == ("Latin",)
    assert english.variables["gender"].groups == ("woman", "man")
    assert english.variables["occupation"].groups == ()
    assert english.words["policewoman"] == (("gender", "woman"), ("occupation", "police"))
    assert english.words["nurses"] == (("occupation", "nurse"), ("gender", "unspecified_person"))
    assert english.words["waiter"] == (("gender", "ambiguous"), ("occupation", "waiter"))
    japanese = load_lexicon("people-ja-1")
    assert set(japanese.variables["occupation"].values) <= set(english.variables["occupation"].values)


def test_the_lists_hold_the_words_of_the_method():
    words = load_lexicon("people-en-1").words
    for value, text in {
        "woman": "woman women female she her hers herself girl girls mother mothers mom mum wife wives lady ladies daughter "
        "sister aunt grandmother grandma queen princess bride niece girlfriend actress waitress hostess businesswoman mrs ms miss",
        "man": "man men male he his him himself boy boys father fathers dad husband gentleman gentlemen son brother uncle "
        "grandfather grandpa king prince groom nephew boyfriend businessman policeman mr",
        "unspecified_person": "person people human humans adult child children kid baby teenager crowd guy guys couple friend friends",
    }.items():
        for word in text.split():
            assert ("gender", value) in words[word]
    jobs = (
        "accountant architect artist athlete author baker banker barber bartender biologist builder butcher carpenter cashier chef "
        "chemist cleaner clerk coach cook dancer dentist designer detective doctor driver economist editor electrician engineer "
        "executive farmer firefighter fisherman florist gardener hairdresser homeowner housekeeper journalist judge laborer lawyer "
        "lecturer librarian lifeguard manager mechanic musician nurse officer optician painter pharmacist photographer physicist "
        "pilot plumber poet police politician professor programmer psychologist receptionist salesperson scientist secretary sheriff "
        "singer soldier surgeon tailor teacher technician therapist trainer translator veterinarian waiter writer"
    ).split()
    for job in jobs:
        assert ("occupation", job) in words[job]


def test_forms():
    assert expanded("girl(s)") == ("girl", "girls")
    assert expanded("Child(ren)") == ("child", "children")
    assert expanded("mother(s) in law") == ("mother in law", "mothers in law")
    assert expanded("ｗｏｍａｎ") == ("woman",)


def test_a_list_of_ones_own(tmp_path):
    path = written(tmp_path, OWN)
    table = tag_captions(
        ["A blonde with caps", "Fair-haired or BRÜNETT", "ohne hat", "dark haired", "ice cap", "blond and dark haired"],
        path,
    )
    assert table.columns["hair"].to_pylist() == ["blond", "both", "none", "dark", "none", "both"]
    assert table.columns["thing"].to_pylist() == [["hat"], [], [], [], [], []]
    assert table.negated == {"thing:hat": 1}
    assert table.lexicon.variables["hair"].values == ("blond", "dark", "both", "none", "ambiguous")
    assert (table.lexicon.name, table.lexicon.version) == ("haare-1", "haare-1.2")


def test_the_checksum_is_that_of_the_text(tmp_path):
    unix = load_lexicon(written(tmp_path, OWN))
    assert unix.sha256 == hashlib.sha256(OWN.encode()).hexdigest()
    assert load_lexicon(written(tmp_path, OWN.replace("\n", "\r\n"))).sha256 == unix.sha256
    assert load_lexicon(written(tmp_path, "\ufeff" + OWN)).sha256 == unix.sha256
    assert load_lexicon(written(tmp_path, OWN + "# a word\n")).sha256 != unix.sha256


def test_a_list_changed_in_memory_is_another_one():
    english = load_lexicon("people-en-1")
    assert tag_captions(["a wug"], english).columns["gender"].to_pylist() == ["none"]
    more = dataclasses.replace(english, words={**english.words, "wug": (("gender", "woman"),)})
    assert tag_captions(["a wug"], more).columns["gender"].to_pylist() == ["woman"]
    assert tag_captions(["a wug"], english).columns["gender"].to_pylist() == ["none"]


def test_names_and_paths_that_are_not_there(tmp_path):
    with pytest.raises(UnknownNameError, match="people-en-1"):
        load_lexicon("people-en")
    with pytest.raises(MissingFileError):
        load_lexicon(tmp_path / "none.toml")
    with pytest.raises(MissingFileError):
        load_lexicon("none.toml")
    with pytest.raises(MissingFileError):
        load_lexicon(tmp_path)
    with pytest.raises(EquipoiseError):
        load_lexicon(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "haare-1"', "", "name"),
        ('version = "haare-1.2"', "version = 3", "version"),
        ('version = "haare-1.2"', 'version = "1"\nreader = "klingon"', "klingon"),
        ('version = "haare-1.2"', 'version = "1"\nscripts = ["Klingon"]', "Klingon"),
        ('version = "haare-1.2"', 'version = "1"\nscript = ["Latin"]', "scripts"),
        ('groups = ["blond", "dark"]', 'groups = ["blond", "red"]', "red"),
        ('kind = "tags"', 'kind = "tag"', "tag"),
        ('hat = ["hat(s)", "cap(s)"]', "hat = 3", "hat"),
        ('hat = ["hat(s)", "cap(s)"]', 'hat = [""]', "hat"),
        ("[variables.thing.words]", "[variables.thing.word]", "words"),
        ("negators", "negator", "negators"),
        ('kind = "tags"', 'kind = "tags"\nimplies = { hair = "green" }', "green"),
        ("[variables.hair]", '[variables."a:b"]\n[variables.hair]', "a:b"),
        ("[rules]", "rules = 3\n[rule]", "rule"),
        ("[rules]", "[rules", "TOML"),
        (OWN, "", "name"),
        (OWN, 'name = "a"\nversion = "a"', "variables"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path, old, new, named):
    assert old in OWN
    with pytest.raises(EquipoiseError, match=named) as caught:
        load_lexicon(written(tmp_path, OWN.replace(old, new)))
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(SchemaError, match="UTF-8"):
        load_lexicon(path)


def test_a_list_without_rules_and_of_one_group(tmp_path):
    path = written(tmp_path, 'name = "a"\nversion = "a"\n[variables.x]\n[variables.x.words]\nyes = ["yes"]\n')
    found = load_lexicon(path)
    assert isinstance(found, Lexicon)
    assert found.variables["x"].values == ("both", "yes", "none", "ambiguous")
    assert tag_captions(["yes", "no yes", "nothing"], path).columns["x"].to_pylist() == ["yes", "yes", "none"]
