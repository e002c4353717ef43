"""groups.toml: what is declared is read, what cannot be meant is refused by key."""

import pytest

from equipoise.data.vocabulary_file import read_toml
from equipoise.errors import MissingFileError, VocabularyError

GOOD = """
[gender]
values = ["Female", "Male"]
unknown = ["", "NA"]
templates = ["a photo of {}"]
[gender.prompts]
Female = ["a woman", "a female person"]
"""


def test_reads_sections_in_order(tmp_path):
    path = tmp_path / "groups.toml"
    path.write_text(GOOD + '[age]\nvalues = ["young", "old"]\n', encoding="utf-8")
    read = read_toml(path)
    assert list(read) == ["gender", "age"]
    assert read["gender"] == {
        "values": ("Female", "Male"),
        "unknown": ("", "NA"),
        "templates": ("a photo of {}",),
        "prompts": {"Female": ("a woman", "a female person")},
    }
    assert read["age"] == {"values": ("young", "old"), "prompts": {}}


def test_bom_and_crlf_survive(tmp_path):
    path = tmp_path / "groups.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_toml(path)["gender"]["values"] == ("Female", "Male")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "declares no attribute"),
        ("[gender\n", "is not TOML"),
        ('gender = "x"', "'gender' stands outside a section"),
        ('[gender]\nvaluse = ["a"]', "unknown key 'valuse'. Did you mean 'values'?"),
        ('[gender]\nunknown = ["a"]', "[gender] declares no values"),
        ('[gender]\nvalues = "a"', "[gender] values is 'a', not a list"),
        ("[gender]\nvalues = [0, 1]", "[gender] values holds 0, which is not text"),
        ('[gender]\nvalues = ["a"]\nprompts = ["a"]', "[gender] prompts is not a section"),
        ('[gender]\nvalues = ["a"]\n[gender.prompts]\na = "one"', "[gender.prompts] a is 'one', not a list"),
    ],
)
def test_refuses_by_key(tmp_path, text, said):
    path = tmp_path / "groups.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(VocabularyError) as caught:
        read_toml(path)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_absent_folder_and_wrong_encoding(tmp_path):
    with pytest.raises(MissingFileError, match=r"no vocabulary '.*absent\.toml'"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_toml(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes('[é]\nvalues=["a"]'.encode("latin-1"))
    with pytest.raises(VocabularyError, match="not UTF-8"):
        read_toml(latin)
