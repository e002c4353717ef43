"""Tables and groups as they should not be: a right result, or a refusal that names the item and the remedy."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.samples import read_samples
from equipoise.errors import InputError, MissingColumnError, VocabularyError
from equipoise.store.embeddings import EmbeddingSet


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_in_any_order_and_extra_ones_give_the_same_rows(tmp_path):
    one = write(tmp_path / "a.csv", "path,gender,age\nx.jpg,F,1\ny.jpg,M,2\n")
    two = write(tmp_path / "b.csv", 'extra,age,extra,gender,path\n",",1,,F,x.jpg\n"\n",2,,M,y.jpg\n')
    read = [read_samples(path, image="path", attributes=["gender", "age"]) for path in (one, two)]
    assert read[0].table.equals(read[1].table)
    assert read[1].lines.tolist() == [2, 3]


def test_ids_with_thousand_separators_and_leading_zeros_stay_apart(tmp_path):
    path = write(tmp_path / "a.csv", 'k,g\n"1,234",a\n1234,a\n01234,b\n1234.0,b\n 1234,b\n')
    assert read_samples(path, id="k", attributes=["g"]).ids == [" 1234", "01234", "1,234", "1234", "1234.0"]


def test_ids_that_a_frame_read_as_floats():
    frame = pd.DataFrame({"k": [1, 2, None], "g": ["a", "b", "a"]})
    assert frame["k"].dtype == float
    with pytest.raises(InputError, match=r"no value where an id is needed \(row 3"):
        read_samples(frame, id="k", attributes=["g"])
    assert read_samples(frame.iloc[:2], id="k", attributes=["g"]).ids == ["1", "2"]
    big = pd.DataFrame({"k": [2.0**53, 2.0**53 + 2], "g": ["a", "b"]})
    with pytest.raises(InputError, match=r"beyond 2\^53"):
        read_samples(big, id="k", attributes=["g"])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_sixty_four_bit_ids_survive_in_frames(make):
    ids = [2**53, 2**53 + 1, 2**63 - 1]
    assert read_samples(make({"k": ids}), id="k").ids == sorted(map(str, ids))


def test_absent_values_have_distinct_declared_meanings():
    values = [None, "", "NA", "Unknown", "nan", "x"]
    table = {"k": list("abcdef"), "g": values}
    kept = Vocabulary({"g": Attribute("g", ("x", "NA", "nan"), unknown=("", "Unknown"))})
    assert read_samples(table, id="k", attributes=["g"], vocabulary=kept).codes("g").tolist() == [-1, -1, 1, -1, 2, 0]
    with pytest.raises(VocabularyError, match=r"'NA' \(row 3\).*'Unknown' \(row 4\).*'nan' \(row 5\)"):
        read_samples(table, id="k", attributes=["g"], vocabulary=Vocabulary({"g": Attribute("g", ("x",))}))
    frame = pd.DataFrame({"k": ["a", "b"], "g": pd.Series([float("nan"), "x"], dtype=object)})
    assert read_samples(frame, id="k", attributes=["g"]).unknown() == {"g": 1}


@pytest.mark.parametrize("twin", ["female", "Female ", " Female", "FEMALE", "Female\t"])
def test_twins_by_case_or_space(tmp_path, twin):
    path = write(tmp_path / "a.csv", f"k,g\n1,Female\n2,Male\n3,{twin}\n")
    with pytest.raises(VocabularyError, match=r"\(line 2\).*\(line 4\), which differ only in case"):
        read_samples(path, id="k", attributes=["g"])
    declared = Vocabulary({"g": Attribute("g", ("Female", "Male"))})
    with pytest.raises(VocabularyError, match=r"\(line 4\)\. Did you mean 'Female'"):
        read_samples(path, id="k", attributes=["g"], vocabulary=declared)


def test_a_declared_group_without_rows_and_one_with_a_single_row():
    vocabulary = Vocabulary({"g": Attribute("g", ("a", "b", "nobody"))})
    samples = read_samples({"k": list("xyz"), "g": ["a", "a", "b"]}, id="k", attributes=["g"], vocabulary=vocabulary)
    means, counts = EmbeddingSet.from_arrays(np.eye(3), samples).group_means("g")
    assert counts.tolist() == [2, 1, 0]
    assert np.isnan(means[2]).all()


def test_ten_thousand_levels_and_a_measurement(tmp_path):
    lines = "\n".join(f"{i},v{i},{i / 7}" for i in range(10_000))
    path = write(tmp_path / "a.csv", f"k,many,size\n{lines}\n")
    with pytest.raises(InputError, match="'many' has 10000 different values.*Bin it"):
        read_samples(path, id="k", attributes=["many"])
    with pytest.raises(InputError, match="'size' holds 10000 different numbers.*a measurement.*Bin it"):
        read_samples(path, id="k", attributes=["size"])


def test_an_attribute_that_is_the_label_and_a_constant_one():
    table = {"k": list("xyz"), "label": ["1", "0", "1"], "c": ["same"] * 3}
    samples = read_samples(table, id="k", label="label", attributes=["label", "c"])
    assert samples.codes("label").tolist() == [0, 1, 0]
    assert samples.vocabulary.groups("c") == ("same",)
    assert samples.vocabulary.groups("label:c") == ("1:same", "0:same")


def test_an_intersection_of_which_all_but_one_cell_are_empty():
    values = tuple("abcdefghij")
    vocabulary = Vocabulary({name: Attribute(name, values) for name in ("x", "y", "z")})
    samples = read_samples({"k": ["1", "2"], "x": ["a", "a"], "y": ["b", "b"], "z": ["j", "j"]}, id="k",
                           attributes=["x", "y", "z"], vocabulary=vocabulary)  # fmt: skip
    cell = list(itertools.product(values, repeat=3)).index(("a", "b", "j"))
    assert samples.codes("x:y:z").tolist() == [cell, cell]
    assert EmbeddingSet.from_arrays(np.eye(2), samples).group_means("x:y:z")[1].sum() == 2


@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        'q"uote',
        "<script>alert(1)</script>",
        "=cmd()",
        "{0}",
        "{}",
        "-dash",
        "e\u0301",
        "\u202eabc",
        "👩‍⚕️",
        "x" * 255,
    ],
)
def test_groups_of_any_name(tmp_path, name):
    quoted = '"' + name.replace('"', '""') + '"'
    path = write(tmp_path / "a.csv", f"k,g\n1,{quoted}\n2,other\n")
    samples = read_samples(path, id="k", attributes=["g"])
    assert samples.vocabulary.groups("g") == (name, "other")
    assert samples.rows(g=name).ids == ["1"]
    spoken = Attribute("g", (name,), templates=("a photo of {}",), prompts={name: (name,)})
    assert spoken.prompt_texts(name) == [f"a photo of {name}"]


def test_composed_and_decomposed_names_are_never_two_groups_in_silence():
    with pytest.raises(VocabularyError, match="how accents are composed"):
        read_samples({"k": ["1", "2"], "g": ["\u00e9", "e\u0301"]}, id="k", attributes=["g"])


def test_the_same_path_twice_with_different_labels(tmp_path):
    path = write(tmp_path / "a.csv", "path,y\na.jpg,1\nb.jpg,1\na.jpg,0\n")
    with pytest.raises(InputError, match=r"'a.jpg' \(lines 2, 4\).*name a column that tells them apart"):
        read_samples(path, image="path", label="y")


def test_vocabularies_that_differ_are_unequal():
    one = Vocabulary({"g": Attribute("g", ("a", "b"))})
    assert one != Vocabulary({"g": Attribute("g", ("b", "a"))})
    assert one != Vocabulary({"g": Attribute("g", ("a", "b"), unknown=("NA",))})
    assert one == Vocabulary({"g": Attribute("g", ("a", "b"))})


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_read_or_refused(tmp_path, seed):
    rng = np.random.default_rng(seed)
    alphabet = np.frombuffer(b'a1,"\n\r\t \xff\xef\xbb\xbf\x00;', np.uint8)
    content = b"k,g\n" + bytes(rng.choice(alphabet, 60).tobytes())
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    outcome = None
    try:
        outcome = read_samples(path, id="k", attributes=["g"])
    except InputError as error:
        outcome = error.remedy
    assert outcome


def test_a_header_that_is_missing(tmp_path):
    path = write(tmp_path / "a.csv", "x.jpg,F\ny.jpg,M\n")
    with pytest.raises(MissingColumnError, match="Its columns: x.jpg, F"):
        read_samples(path, image="path")
