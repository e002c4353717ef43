"""Bad input, given to the command line as a user would: a right result or a refusal that names the item and the remedy."""

from __future__ import annotations

import csv
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Run = Callable[..., Any]


class Bench:
    """A tiny space to be broken, and the steps of the loop on it."""

    def __init__(self, tiny: Any, run: Run, at: Path) -> None:
        self.tiny, self.run, self.at = tiny, run, at
        self.store = at / "store"

    def embed(self, *more: object, table: Path | None = None, attributes: str = "gender,race", id: str = "id") -> Any:
        flags = ("--attributes", attributes, "--encoder", self.tiny.reference, "--id", id, "--store", self.store)
        given = () if "--vocabulary" in more else ("--vocabulary", self.tiny.vocabulary)
        return self.run("embed", table or self.tiny.table, *flags, *given, *more)

    def audit(self, *more: object, by: str = "gender,race") -> Any:
        given = () if "--queries" in more or "--like" in more else ("--queries", self.tiny.queries)
        return self.run("audit", self.store, *given, "--by", by, "--bootstrap", "100", *more)

    def wring(self, *more: object, attribute: str = "gender") -> Any:
        return self.run("mitigate", "wring", self.store, "--attribute", attribute, "--out", self.at / "wring", *more)

    def jobs(self) -> Path:
        """Return a list of queries none of which names a group."""
        path = self.at / "jobs.txt"
        path.write_text("a photo of a nurse\na photo of a plumber\n")
        return path

    def change_rows(self, **columns: Any) -> None:
        """Replace columns of the table."""
        table = pq.read_table(self.tiny.table)
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
        pq.write_table(table, self.tiny.table)

    def column(self, name: str) -> list[Any]:
        """Return a column of the table."""
        return pq.read_table(self.tiny.table)[name].to_pylist()


@pytest.fixture
def bench(new_tiny: Callable[[], Any], run: Run, tmp_path: Path) -> Bench:
    return Bench(new_tiny(), run, tmp_path)


def refused(ran: Any, *said: str, code: int = 2) -> None:
    """A refusal: its exit code, nothing on stdout, and one line that names the item and ends in a remedy."""
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    line = ran.err.splitlines()[-1]
    assert line.startswith("error: ")
    for text in said:
        assert text in line, line
    assert line.rstrip().endswith((".", "?")), line


# ------------------------------------------------------------------------------------------------ files and tables


def test_files_that_are_not_there(bench: Bench) -> None:
    refused(bench.embed(table=bench.at / "none.csv"), "none.csv")
    refused(bench.embed("--vocabulary", bench.at / "none.toml"), "none.toml")
    refused(
        bench.run(
            "embed", bench.tiny.table, "--attributes", "gender", "--encoder", "precomputed:none", "--store", bench.store
        ),
        "none",
    )
    refused(bench.run("audit", bench.at / "none", "--queries", "occupations", "--by", "gender"), "none")
    refused(bench.run("mitigate", "wring", bench.at / "none", "--attribute", "gender", "--out", bench.at / "m"), "none")
    refused(bench.run("compare", bench.at / "none", bench.at / "none", "--out", bench.at / "l"), "none")
    refused(bench.run("gate", bench.at / "none"), "none")
    refused(bench.run("report", bench.at / "none", "--out", bench.at / "r.html"), "none")
    refused(
        bench.run("embed", bench.tiny.table, "--encoder", "precomputd:x", "--store", bench.store),
        "Did you mean 'precomputed'",
    )


def test_a_folder_of_another_kind(bench: Bench) -> None:
    assert bench.embed().code == 0
    refused(bench.run("gate", bench.store), "is a store")
    refused(bench.run("compare", bench.store, bench.store, "--out", bench.at / "l"), "holds no audit")
    refused(bench.audit("--mitigation", bench.store), "There is no mitigation in")


def test_columns_that_are_not_there(bench: Bench) -> None:
    refused(bench.embed(attributes="gender,rase"), "rase", "race")
    refused(bench.embed(id="ident"), "ident")
    refused(bench.embed("--split", "spl"), "spl", "split")
    refused(
        bench.run("audit", bench.tiny.table, "--label", "lable", "--prediction", "prediction", "--by", "gender"),
        "lable",
        "label",
    )


def test_an_empty_table(bench: Bench) -> None:
    empty = bench.at / "empty.csv"
    empty.write_text("id,gender,race\n")
    refused(bench.embed(table=empty), "row")
    empty.write_text("")
    refused(bench.embed(table=empty))


def test_duplicate_ids_are_refused_with_both_lines(bench: Bench) -> None:
    ids = bench.column("id")
    ids[9] = ids[4]
    bench.change_rows(id=ids)
    refused(bench.embed(), ids[4], "5", "10")


def test_a_value_outside_the_vocabulary_is_refused_with_its_line(bench: Bench) -> None:
    values = bench.column("gender")
    values[6] = "Femal"
    bench.change_rows(gender=values)
    refused(bench.embed(), "Femal", "7", "Did you mean 'Female'")


def test_unknown_values_are_counted_apart(bench: Bench) -> None:
    values = bench.column("gender")
    values[:3] = ["unknown", "", "unknown"]
    bench.change_rows(gender=values)
    ran = bench.embed()
    assert ran.code == 0, ran.err
    assert "rows: 240 in = 240 used + 0 set aside" in ran.err
    assert "unknown gender: 3 rows" in ran.err


def test_an_attribute_that_is_not_declared(bench: Bench) -> None:
    assert bench.embed().code == 0
    refused(bench.audit(by="gendr"), "gendr", "gender")
    refused(bench.audit("--rows", "splitt=val"), "splitt")
    refused(bench.wring(attribute="rase"), "rase", "race")


# ------------------------------------------------------------------------------------------------------- groups


def test_one_group_only(bench: Bench) -> None:
    """A gap needs two groups: one is refused, never zero; and WRING has nothing to turn between."""
    bench.change_rows(gender=["Female"] * 240)
    only = bench.at / "one.toml"
    only.write_text(
        '[gender]\nvalues = ["Female"]\ntemplates = ["a photo of {}"]\n[gender.prompts]\nFemale = ["a woman"]\n'
    )
    assert bench.embed("--vocabulary", only, attributes="gender").code == 0
    refused(bench.audit("--queries", bench.jobs(), by="gender"), "only 'Female' has rows", "Leave the attribute out")
    refused(bench.wring(), "WRING needs two or more groups", "Female")


def test_a_declared_group_without_rows_is_named_not_dropped(bench: Bench) -> None:
    text = bench.tiny.vocabulary.read_text().replace(
        'values = ["Alpha", "Beta", "Gamma"]', 'values = ["Alpha", "Beta", "Gamma", "Delta"]'
    )
    bench.tiny.vocabulary.write_text(text)
    assert bench.embed().code == 0
    ran = bench.audit("--json", "--out", bench.at / "a", by="race")
    assert ran.code == 0, ran.err
    gaps = [row for row in ran.json["result"]["means"] if row["metric"] == "score_gap" and row["family"] == "jobs"]
    assert "Delta" in gaps[0]["reason"]
    rows = pq.read_table(bench.at / "a" / "estimates.parquet").to_pylist()
    assert {row["status"] for row in rows if row["group"] == "Delta" and row["arm"] == "main"} <= {
        "insufficient",
        "not_estimable",
    }


def test_wring_without_prompts(bench: Bench) -> None:
    text = bench.tiny.vocabulary.read_text().replace('Male = ["a man"]\n', "")
    bench.tiny.vocabulary.write_text(text)
    assert bench.embed().code == 0
    refused(bench.wring(), "'gender' has no prompts for Male", "groups.toml")


def test_vocabularies_that_differ_between_before_and_after(bench: Bench) -> None:
    assert bench.embed().code == 0
    assert bench.audit("--out", bench.at / "before").code == 0
    other = bench.at / "other.toml"
    other.write_text(
        bench.tiny.vocabulary.read_text().replace('["Alpha", "Beta", "Gamma"]', '["Gamma", "Beta", "Alpha"]')
    )
    assert bench.embed("--vocabulary", other, "--overwrite").code == 0
    assert bench.audit("--out", bench.at / "after").code == 0
    refused(bench.run("compare", bench.at / "before", bench.at / "after", "--out", bench.at / "l"), "vocabular", "race")


def test_rows_that_differ_between_before_and_after(bench: Bench) -> None:
    assert bench.embed("--split", "split").code == 0
    assert bench.audit("--out", bench.at / "before").code == 0
    assert bench.audit("--rows", "split=val", "--k", "48", "--out", bench.at / "after").code == 0
    refused(
        bench.run("compare", bench.at / "before", bench.at / "after", "--out", bench.at / "l"),
        "120 only before",
        "120 in both",
    )


# ---------------------------------------------------------------------------------------------------- embeddings


def test_nan_and_zero_embeddings_are_set_aside_and_counted(bench: Bench) -> None:
    path = bench.tiny.folder / "image.npy"
    image = np.load(path)
    image[3], image[4, 2], image[5] = np.nan, np.inf, 0
    np.save(path, image)
    ran = bench.embed("--json")
    assert ran.code == 0, ran.err
    assert ran.json["rows"] == {"in": 240, "used": 237, "set_aside": 3}
    assert "rows: 240 in = 237 used + 3 set aside" in ran.err
    ran = bench.audit("--json")
    assert ran.json["rows"] == {"in": 240, "used": 237, "set_aside": 3}
    np.save(path, np.full_like(image, np.nan))
    bench.store = bench.at / "other"
    refused(bench.embed(), "No row can be used", "240")


def test_a_text_vector_that_is_nan_or_zero(bench: Bench) -> None:
    path = bench.tiny.folder / "text.npy"
    text = np.load(path)
    text[0] = np.nan
    np.save(path, text)
    first, second = bench.embed(), bench.wring()
    refused(first if first.code else second, "a photo of a woman")


def test_widths_that_differ(bench: Bench) -> None:
    path = bench.tiny.folder / "text.npy"
    np.save(path, np.load(path)[:, :12])
    refused(bench.embed(), "Image embeddings have 16 columns, text embeddings 12: they do not share a space.")


def test_rows_that_do_not_fit_the_arrays(bench: Bench) -> None:
    path = bench.tiny.folder / "image.npy"
    np.save(path, np.load(path)[:200])
    refused(bench.embed(), "200", "240")
    path.write_bytes(b"not an array")
    refused(bench.embed(), "image.npy")


def test_a_mitigation_of_another_encoder(bench: Bench) -> None:
    assert bench.embed().code == 0
    assert bench.wring().code == 0
    path = bench.tiny.folder / "image.npy"
    np.save(path, np.load(path) * 2)
    bench.store = bench.at / "other"
    assert bench.embed().code == 0
    refused(bench.audit("--mitigation", bench.at / "wring"), "another encoder", "wring")


def test_a_pickle_is_not_read(bench: Bench) -> None:
    np.save(bench.tiny.folder / "image.npy", np.array([{"a": 1}] * 240, dtype=object), allow_pickle=True)
    refused(bench.embed(), "image.npy")


# ------------------------------------------------------------------------------------------------------- queries


def test_an_empty_query_list(bench: Bench) -> None:
    assert bench.embed().code == 0
    empty = bench.at / "empty.txt"
    for text in ("", "\n\n"):
        empty.write_text(text)
        refused(bench.audit("--queries", empty), "There are no queries")
    refused(bench.run("audit", bench.store, "--by", "gender"), "No queries were given")
    refused(bench.audit("--queries", "ocupations"), "ocupations", "occupations")
    refused(bench.audit("--queries", f"{bench.tiny.queries},none.txt"), "none.txt")


def test_a_query_without_a_vector_is_listed(bench: Bench) -> None:
    assert bench.embed().code == 0
    words = bench.at / "words.txt"
    words.write_text("a photo of a nurse\na photo of an astronaut\n")
    refused(bench.audit("--queries", words), "a photo of an astronaut")


@pytest.mark.parametrize(
    ("k", "said"), [("241", "k is 241, and there are 240 rows"), ("0", "k is 0"), ("-1", "k is -1")]
)
def test_k_outside_the_rows(bench: Bench, k: str, said: str) -> None:
    assert bench.embed().code == 0
    refused(bench.audit("--k", k), said)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--level", "95"), "95"), (("--level", "0"), "level"), (("--bootstrap", "1"), "too few"), (("--seed", "-1"), "-1"),
        (("--min-group", "0"), "'min_group' is 0"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_meant(bench: Bench, flags: tuple[str, str], said: str) -> None:
    assert bench.embed().code == 0
    refused(bench.run("audit", bench.store, "--queries", bench.tiny.queries, "--by", "gender", *flags), said)


# ------------------------------------------------------------------------------------------------ runs and storage


@pytest.mark.parametrize("place", ["under a file", "/proc/equipoise"])
def test_an_output_that_cannot_be_written(bench: Bench, place: str) -> None:
    assert bench.embed().code == 0
    file = bench.at / "file"
    file.write_text("x")
    out = file / "out" if place == "under a file" else Path(place)
    assert bench.audit("--out", bench.at / "a").code == 0
    refused(bench.audit("--out", out), str(out.parent))
    refused(bench.run("mitigate", "wring", bench.store, "--attribute", "gender", "--out", out), str(out.parent))
    refused(bench.run("compare", bench.at / "a", bench.at / "a", "--draws", "100", "--out", out), str(out.parent))
    refused(bench.run("report", bench.at / "a", "--out", out / "r.html"), str(out.parent))
    bench.store = out
    refused(bench.embed(), str(out.parent))


def test_an_existing_output_of_another_run_is_refused_and_untouched(bench: Bench) -> None:
    assert bench.embed().code == 0
    assert bench.embed().code == 0
    before = (bench.store / "manifest.json").read_bytes()
    other = bench.at / "other.toml"
    other.write_text(
        bench.tiny.vocabulary.read_text().replace('["Alpha", "Beta", "Gamma"]', '["Gamma", "Beta", "Alpha"]')
    )
    refused(bench.embed("--vocabulary", other), "another run")
    assert (bench.store / "manifest.json").read_bytes() == before
    assert bench.audit("--out", bench.at / "a").code == 0
    assert bench.audit("--out", bench.at / "a").code == 0
    refused(bench.audit("--out", bench.at / "a", "--seed", "7"), "another run")
    assert bench.audit("--out", bench.at / "a", "--seed", "7", "--overwrite").code == 0
    assert bench.wring().code == 0
    refused(bench.wring("--strength", "0.5"), "another run")


def _hold(folder: Path, held: Any, done: Any) -> None:
    from equipoise.store.files import lock

    with lock(folder):
        held.set()
        done.wait(30)


def test_two_runs_on_one_store(bench: Bench) -> None:
    assert bench.embed().code == 0
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(bench.store, held, done))
    other.start()
    try:
        assert held.wait(30)
        refused(bench.embed("--overwrite"), str(bench.store))
    finally:
        done.set()
        other.join(30)
    assert bench.embed("--overwrite").code == 0


def flip(path: Path) -> None:
    """Change one bit near the end of a file."""
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(bytes(data))


def test_one_bit_flipped_anywhere_is_noticed(bench: Bench) -> None:
    assert bench.embed().code == 0
    assert bench.audit("--out", bench.at / "a").code == 0
    assert bench.wring().code == 0
    assert bench.audit("--like", bench.at / "a", "--mitigation", bench.at / "wring", "--out", bench.at / "b").code == 0
    assert bench.run("compare", bench.at / "a", bench.at / "b", "--draws", "100", "--out", bench.at / "l").code == 0
    cases = {
        bench.tiny.folder / "image.npy": lambda: bench.audit(),
        bench.tiny.folder / "text.npy": lambda: bench.audit(),
        bench.store / "rows.parquet": lambda: bench.audit(),
        bench.at / "wring" / "arrays.safetensors": lambda: bench.audit("--mitigation", bench.at / "wring"),
        bench.at / "a" / "evidence" / "scores.safetensors": lambda: bench.run("compare", bench.at / "a", bench.at / "b", "--out", bench.at / "l2"),
        bench.at / "a" / "estimates.parquet": lambda: bench.run("report", bench.at / "a", "--out", bench.at / "r.html"),
        bench.at / "l" / "ledger.parquet": lambda: bench.run("gate", bench.at / "l"),
    }  # fmt: skip
    for path, step in cases.items():
        whole = path.read_bytes()
        flip(path)
        refused(step(), path.name)
        path.write_bytes(whole)
        ran = step()
        assert ran.code in (0, 1, 3), (path, ran.err)


def test_documents_of_another_schema(bench: Bench) -> None:
    assert bench.embed().code == 0
    assert bench.audit("--out", bench.at / "a").code == 0
    path = bench.at / "a" / "audit.json"
    text = path.read_text()
    path.write_text(text.replace("equipoise.audit/1", "equipoise.audit/2"))
    refused(bench.run("report", bench.at / "a", "--out", bench.at / "r.html"), "equipoise.audit/2")
    path.write_text(text.replace('\n  "seed": 0,', '\n  "seed": 0,\n  "sede": 1,'))
    refused(bench.run("report", bench.at / "a", "--out", bench.at / "r.html"), "sede")
    path.write_text(text[:100])
    refused(bench.run("report", bench.at / "a", "--out", bench.at / "r.html"), "is not JSON")


# -------------------------------------------------------------------------------------------------------- policy


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_bais = 0.1", "Did you mean 'max_bias'?"), ("max_bias = 5", "Did you mean 0.05?"), ("max_bias = -1", "-1"),
        ('max_bias = 0.1\nattribute = "gendr"', "Did you mean 'gender'?"),
        ('max_bias = 0.1\n[[waiver]]\nmetric = "dp"\nreason = "x"', "'until' is missing"),
    ],
)  # fmt: skip
def test_a_broken_policy(bench: Bench, line: str, said: str) -> None:
    assert bench.embed().code == 0
    assert bench.audit("--out", bench.at / "a").code == 0
    policy = bench.at / "policy.toml"
    policy.write_text(f'[[limit]]\nmetric = "dp"\nprotocol = "retrieval_parity"\n{line}\n')
    refused(bench.run("gate", bench.at / "a", "--policy", policy), said)


def test_names_with_control_characters_do_not_reach_the_terminal(bench: Bench) -> None:
    evil = "Fe\x1b[31mmale"
    table = bench.at / "evil.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "gender"], *([f"face{i:04d}", evil if i % 2 else "Male"] for i in range(240))]
        )
    refused(bench.embed(table=table, attributes="gender"), "\\x1b[31m")
    ran = bench.embed("--vocabulary", bench.at / "none.toml", table=table, attributes="gender")
    assert "\x1b" not in ran.err
    ran = bench.run(
        "embed",
        table,
        "--attributes",
        "gender",
        "--encoder",
        bench.tiny.reference,
        "--id",
        "id",
        "--store",
        bench.store,
    )
    assert ran.code == 0, ran.err
    ran = bench.audit("--queries", bench.jobs(), by="gender")
    assert ran.code == 0, ran.err
    assert "\x1b" not in ran.err + ran.out
