"""CSV as text: against Python's own reader, and with the line numbers of an editor."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.data.csv_file import CsvFile
from equipoise.errors import InputError


def read(content, path):
    if isinstance(content, str):
        content = content.encode()
    return CsvFile(path / "t.csv", content)


@pytest.fixture
def here(tmp_path):
    return tmp_path


def test_cells_are_text_verbatim(here):
    table = read('id,g\n"1,234",NA\n007,\n9007199254740993,nan\n1e5,true\n', here)
    assert table.read(["id", "g"]).to_pydict() == {
        "id": ["1,234", "007", "9007199254740993", "1e5"],
        "g": ["NA", "", "nan", "true"],
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_bom_and_line_ends(here, end, bom, last):
    text = end.join(["id,g", "1,a", "2,b"]) + (end if last else "")
    table = read(bom + text.encode(), here)
    assert (table.names, table.rows) == (["id", "g"], 2)
    assert table.read(["g"])["g"].to_pylist() == ["a", "b"]
    assert table.lines().tolist() == [2, 3]


def test_lines_are_those_of_an_editor(here):
    table = read('id,"g\nh"\n1,"a\nb\nc"\n\n2,d\n\n3,"e\n"\n4,f\n', here)
    assert table.names == ["id", "g\nh"]
    assert table.read(["id"])["id"].to_pylist() == ["1", "2", "3", "4"]
    assert table.lines().tolist() == [3, 7, 9, 11]


def test_ragged_lines_are_refused_by_number(here):
    with pytest.raises(InputError, match=r"line 4 has 1 cells and the header 2. So are lines 5"):
        read('id,g\n1,"a\nb"\n2\n3,c,d\n', here)


def test_an_open_quote_does_not_swallow_rows(here):
    with pytest.raises(InputError, match="quote that is not closed in the row that begins on line 3"):
        read('id,g\n1,a\n2,"b\n3,c\n4,d\n', here)
    assert read('id,g\n1,5" disc\n', here).read(["g"])["g"].to_pylist() == ['5" disc']


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n"])
def test_empty_files(here, content):
    with pytest.raises(InputError, match="is empty"):
        read(content, here)


def test_header_without_rows(here):
    with pytest.raises(InputError, match="a header and no rows"):
        read("id,g\n", here)


def test_encodings(here):
    with pytest.raises(InputError, match="line 3 is not UTF-8 "):
        read("id,g\n1,a\n2,é\n".encode("latin-1"), here)
    with pytest.raises(InputError, match="is UTF-16"):
        read("id,g\n1,a\n".encode("utf-16"), here)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=6)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_agrees_with_the_csv_module(tmp_path_factory, rows):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b"), *rows])
    table = read(out.getvalue(), tmp_path_factory.getbasetemp())
    found = table.read(["a", "b"]).to_pydict()
    assert list(zip(found["a"], found["b"], strict=True)) == rows
    starts, line = [], 1
    for row in [("a", "b"), *rows]:
        starts.append(line)
        line += 1 + sum(cell.count("\n") for cell in row)
    assert table.lines().tolist() == starts[1:]
