"""Query lists: built in, files, texts; families, explicit queries, notes."""

import csv
from importlib.resources import files

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.queries import Query, builtin_lists, read_queries
from equipoise.errors import InputError, MissingColumnError, MissingFileError, UnknownNameError, VocabularyError

VOCABULARY = Vocabulary(
    {
        "gender": Attribute("gender", ("Female", "Male"), prompts={"Female": ("a woman",), "Male": ("a man",)}),
        "race": Attribute("race", ("Black", "White")),
    }
)


@pytest.mark.parametrize("name", sorted(builtin_lists()))
def test_built_in_lists(name):
    entry = builtin_lists()[name]
    found = read_queries(name)
    with open(str(files("equipoise.data") / "queries" / f"{name}.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [query.text for query in found] == [row["query"] for row in rows]
    assert len(found) == entry["n"]
    assert entry["version"]
    assert entry["source"]
    assert {query.family for query in found} == (
        {"explicit"} if name in ("explicit", "representation-prompts") else {name}
    )
    assert found.notes == ()


def test_names_with_commas_and_lists_of_names():
    both = read_queries("clinical-staff, traits")
    assert {query.family for query in both} == {"clinical-staff", "traits"}
    assert read_queries(["clinical-staff", "traits"]) == both


def test_a_text_may_belong_to_two_families():
    shared = "a photo of a nurse"
    families = [query.family for query in read_queries("occupations,clinical-staff") if query.text == shared]
    assert families == ["occupations", "clinical-staff"]


def test_texts_are_used_verbatim():
    texts = ["  a photo of a doctor ", "a {} in {braces}", "שלום", "👩‍⚕️", "cafe\u0301"]
    assert read_queries(texts) == tuple(Query(text, "queries") for text in texts)


def test_text_file(tmp_path):
    path = tmp_path / "my jobs.txt"
    path.write_bytes("\ufeffa nurse\r\n a doctor\r\na, b\r\n\r\n".encode())
    assert read_queries(path) == tuple(Query(text, "my jobs") for text in ("a nurse", " a doctor", "a, b"))
    assert read_queries(f"{path},traits")[0].family == "my jobs"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables(tmp_path, suffix):
    path = tmp_path / f"jobs.{suffix}"
    columns = {"query": ["a nurse", "a boss"], "family": ["care", ""], "label": ["n", "b"], "other": ["1", "2"]}
    if suffix == "csv":
        path.write_text("query,family,label,other\na nurse,care,n,1\na boss,,b,2\n")
    else:
        pq.write_table(pa.table(columns), path)
    assert read_queries(path) == (Query("a nurse", "care", "n"), Query("a boss", "jobs", "b"))


def test_a_query_that_names_a_group_is_explicit_and_listed():
    found = read_queries(["a doctor", "a FEMALE doctor", "a black man"], VOCABULARY)
    assert [(query.family, query.explicit) for query in found] == [
        ("queries", ""),
        ("explicit", "gender=Female"),
        ("explicit", "gender=Male"),
    ]
    assert found.matched == {"a FEMALE doctor": "gender=Female", "a black man": "gender=Male"}
    assert "count as explicit (2): 'a FEMALE doctor' (gender=Female)" in found.notes[0]


def test_the_column_overrides_the_words(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("query,explicit\na white coat,\na queen,gender=Female\n")
    found = read_queries(path, VOCABULARY)
    assert found == (Query("a white coat", "q"), Query("a queen", "explicit", explicit="gender=Female"))
    assert found.matched == {}


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("gender=Femal", r"names 'gender=Femal'.*Did you mean 'Female'"),
        ("gendr=Female", "Did you mean 'gender'"),
        ("Female", "Write attribute=group"),
    ],
)
def test_a_stated_group_must_be_declared(tmp_path, stated, said):
    path = tmp_path / "q.csv"
    path.write_text(f"query,explicit\na queen,{stated}\n")
    with pytest.raises(VocabularyError, match=said):
        read_queries(path, VOCABULARY)


def test_built_in_groups_that_are_not_declared_are_left_out_with_a_note():
    found = read_queries("explicit", VOCABULARY)
    assert {query.explicit for query in found} == {"gender=Female", "gender=Male", "race=Black", "race=White"}
    assert "were left out (" in found.notes[0]
    other = Vocabulary({"religion": Attribute("religion", ("a", "b"))})
    with pytest.raises(InputError, match="There are no queries.*were left out"):
        read_queries("explicit", other)


def test_duplicates_are_dropped_with_a_note():
    found = read_queries(["a", "b", "a", "a"])
    assert [query.text for query in found] == ["a", "b"]
    assert found.notes == ("Repeated queries were dropped (2): 'a', 'a'.",)


@pytest.mark.parametrize("spec", [["a", ""], ["a", " \t"]])
def test_empty_texts_are_refused(spec):
    with pytest.raises(InputError, match="A query is empty"):
        read_queries(spec)


def test_an_empty_line_is_refused_by_number(tmp_path):
    path = tmp_path / "q.txt"
    path.write_text("a\n\nb\n")
    with pytest.raises(InputError, match=r"A query is empty \(line 2 of 'q.txt'\)"):
        read_queries(path)
    table = tmp_path / "q.csv"
    table.write_text("query,label\na,1\n,2\n")
    with pytest.raises(InputError, match=r"A query is empty \(line 3 of 'q.csv'\)"):
        read_queries(table)


def test_what_is_no_list(tmp_path):
    with pytest.raises(UnknownNameError, match="no query list 'ocupations'. Did you mean 'occupations'"):
        read_queries("ocupations")
    with pytest.raises(MissingFileError):
        read_queries(tmp_path / "absent.txt")
    with pytest.raises(MissingFileError):
        read_queries(str(tmp_path / "absent.csv"))
    with pytest.raises(InputError, match="cannot be a int"):
        read_queries(3)
    for spec in ([], ()):
        with pytest.raises(InputError, match="There are no queries"):
            read_queries(spec)
    empty = tmp_path / "e.txt"
    empty.touch()
    with pytest.raises(InputError, match="There are no queries"):
        read_queries(empty)
    wrong = tmp_path / "w.csv"
    wrong.write_text("text\na\n")
    with pytest.raises(MissingColumnError, match="no column 'query'"):
        read_queries(wrong)


def test_queries_pass_through():
    given = (Query("a", "f", "l", "gender=Female"), Query("b", "g"))
    found = read_queries(given, VOCABULARY)
    assert found == (Query("a", "explicit", "l", "gender=Female"), Query("b", "g"))


def test_a_hundred_thousand_queries():
    found = read_queries([f"a photo of item {i}" for i in range(100_000)], VOCABULARY)
    assert len(found) == 100_000
