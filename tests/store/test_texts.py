"""Texts that grow: embedded once, by the right encoder, and kept."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from equipoise import loading
from equipoise.data.samples import read_samples
from equipoise.data.vectors import TextVectors
from equipoise.errors import EmbeddingError, FingerprintError, InputError, MissingTextError
from equipoise.progress import watched
from equipoise.registry import ENCODERS
from equipoise.store import texts as module
from equipoise.store.embeddings import EmbeddingSet
from equipoise.store.files import lock, write_arrays
from equipoise.store.text_files import ARRAYS, TABLE
from equipoise.store.texts import GrowingTexts

PRINT = {"kind": "letters", "weights": "1", "versions": {"numpy": "2"}}
DIM = 8


@dataclass
class Letters:
    """Counts letters; ``calls`` holds the batches, ``limit`` is the context."""

    fingerprint: dict = field(default_factory=lambda: dict(PRINT))
    name: str = "letters"
    dim: int = DIM
    calls: list = field(default_factory=list)
    limit: int = 10**9
    notes: tuple = ()

    def encode_image(self, images):
        return np.ones((len(images), self.dim), np.float32)

    def encode_text(self, texts):
        self.calls.append(list(texts))
        out = np.ones((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for letter in text[: self.limit]:
                out[row, ord(letter) % self.dim] += 1
        return out

    def truncated(self, texts):
        return [len(text) > self.limit for text in texts]


def growing(**options) -> GrowingTexts:
    return GrowingTexts(**{"dim": DIM, "fingerprint": PRINT, "what": "The texts of 'x'", **options})


def unit(texts):
    rows = Letters().encode_text(texts).astype(float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def asked(letters):
    return [text for call in letters.calls for text in call]


# ---------------------------------------------------------------------------------------------------------- embedding


def test_each_text_is_embedded_once_in_order_of_first_appearance(tmp_path):
    letters = Letters()
    texts = growing(encoder=letters, store=tmp_path)
    np.testing.assert_allclose(texts(["b", "a", "b", "c"]), unit(["b", "a", "b", "c"]), atol=1e-6)
    np.testing.assert_allclose(texts(["c", "d", "a"]), unit(["c", "d", "a"]), atol=1e-6)
    assert asked(letters) == ["b", "a", "c", "d"]
    assert texts.texts == ["b", "a", "c", "d"]
    again = growing(store=tmp_path)
    np.testing.assert_array_equal(again(["d", "b"]), texts(["d", "b"]))
    assert asked(letters) == ["b", "a", "c", "d"]


def test_100000_texts_are_embedded_in_batches_and_kept_on_the_way(tmp_path, monkeypatch):
    letters, told, written = Letters(), [], []
    texts = growing(encoder=letters, store=tmp_path)
    write = module.write_texts
    monkeypatch.setattr(
        module, "write_texts", lambda store, kept, of: written.append(len(kept.texts)) or write(store, kept, of)
    )
    many = [f"prompt number {i}" for i in range(100_000)]
    start = time.perf_counter()
    with watched(lambda *step: told.append(step)):
        found = texts([*many, *many[:5]])
    assert found.shape == (100_005, DIM)
    np.testing.assert_allclose(found[-7:], unit([*many[-2:], *many[:5]]), atol=1e-6)
    assert max(map(len, letters.calls)) == module.BATCH
    assert sum(map(len, letters.calls)) == 100_000
    assert written == [*range(module.SAVED, 100_000, module.SAVED), 100_000]
    assert told[-1] == ("embedding texts", 100_000, 100_000)
    assert time.perf_counter() - start < 60
    assert len(growing(store=tmp_path).texts) == 100_000


def test_the_bytes_depend_on_what_was_asked_and_not_on_the_run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    growing(encoder=Letters(), store=tmp_path / "a")(["x", "y", "z"])
    growing(encoder=Letters(), store=tmp_path / "b")(["x", "y"])
    growing(encoder=Letters(), store=tmp_path / "b")(["z", "y", "x"])
    for file in (TABLE, ARRAYS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_texts_that_came_with_the_pictures_are_used_first_and_not_written_again(tmp_path):
    letters = Letters()
    base = TextVectors(["a", "b"], np.eye(2, DIM, dtype=np.float32), "The texts")
    texts = growing(encoder=letters, base=base, store=tmp_path)
    found = texts(["b", "c", "a", "c"])
    np.testing.assert_allclose(
        found, np.stack([*np.eye(2, DIM)[1:], *unit(["c"]), *np.eye(2, DIM)[:1], *unit(["c"])]), atol=1e-6
    )
    assert asked(letters) == ["c"]
    assert texts.texts == ["a", "b", "c"]
    assert growing(store=tmp_path).texts == ["c"]


def test_empty_texts_are_refused_and_nothing_is_embedded(tmp_path):
    letters = Letters()
    with pytest.raises(InputError, match="' ' is empty"):
        growing(encoder=letters, store=tmp_path)(["a", " "])
    assert letters.calls == []


def test_no_texts_are_no_vectors():
    assert growing(encoder=Letters())([]).shape == (0, DIM)


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "NaN or infinity for 1 of 2 texts: 'b'"), (0.0, "zero length for 1 texts: 'b'")]
)
def test_vectors_that_cannot_be_used_name_the_texts_and_are_not_kept(tmp_path, value, said):
    class Odd(Letters):
        def encode_text(self, texts):
            out = super().encode_text(texts)
            out[[text == "b" for text in texts]] = value
            return out

    texts = growing(encoder=Odd(), store=tmp_path)
    with pytest.raises(EmbeddingError, match=said):
        texts(["a", "b"])
    assert growing(store=tmp_path).texts == []


def test_what_was_cut_is_remembered(tmp_path):
    texts = growing(encoder=Letters(limit=3), store=tmp_path)
    texts(["abc", "abcd", "abcde"])
    assert texts.truncated(["abcde", "abc", "abcde", "unknown"]) == ["abcde"]
    assert growing(store=tmp_path).truncated(["abcd", "abc"]) == ["abcd"]


# ------------------------------------------------------------------------------------------------------- which encoder


def registered(monkeypatch, **encoders):
    """Register loaders of this file as plug-ins; return what each was called with."""
    seen = []

    def loader(name, make):
        def load(argument, *, local_files_only=False):
            seen.append((name, argument, local_files_only))
            return make()

        return load

    monkeypatch.setattr(ENCODERS, "_plugins", dict.fromkeys(encoders, "builtins:str"))
    monkeypatch.setattr(ENCODERS, "load", lambda name: loader(name, encoders[name]))
    return seen


def test_the_encoder_of_the_store_is_loaded_when_a_text_is_missing_and_from_local_files(monkeypatch, tmp_path):
    seen = registered(monkeypatch, letters=Letters)
    texts = growing(ref="letters:some/hub-name", store=tmp_path)
    assert texts.live
    assert seen == []
    texts(["a"])
    texts(["a", "b"])
    assert seen == [("letters", "some/hub-name", True)]
    growing(ref="letters:some/hub-name", store=tmp_path)(["b", "a"])
    assert len(seen) == 1


def test_an_encoder_that_is_named_may_come_from_anywhere_and_is_compared_at_once(monkeypatch):
    seen = registered(monkeypatch, letters=Letters, other=lambda: Letters({**PRINT, "weights": "2"}))
    growing(encoder="letters:hub/name", ref="gone:x")(["a"])
    assert seen == [("letters", "hub/name", False)]
    with pytest.raises(FingerprintError, match="weights: 1 -> 2"):
        growing(encoder="other:y", ref="letters:x")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weights": "2"}, "weights: 1 -> 2"),
        ({"versions": {"numpy": "3"}}, "versions.numpy: 2 -> 3"),
        ({"dtype": "bfloat16"}, "dtype: none -> bfloat16"),
    ],
)
def test_another_encoder_is_refused_with_the_difference(changed, said):
    with pytest.raises(FingerprintError, match=said):
        growing(encoder=Letters({**PRINT, **changed}))


def test_another_width_is_refused():
    with pytest.raises(EmbeddingError, match="have 8 columns, the texts of 'letters' 9"):
        growing(encoder=Letters(dim=9))
    with pytest.raises(EmbeddingError, match="8 columns, text embeddings 2"):
        growing(base=TextVectors(["a"], np.ones((1, 2)), "x"))


def test_the_users_code_is_not_run_because_a_store_names_it(monkeypatch):
    def load(*_, **__):
        raise AssertionError("the user's code was loaded")

    monkeypatch.setattr(loading, "load_encoder", load)
    texts = growing(ref="py:my.models:make")
    with pytest.raises(MissingTextError, match="no vector for 2 of the texts: 'a', 'b'") as caught:
        texts(["a", "b", "a"])
    assert caught.value.value == ["a", "b"]
    assert "--encoder py:my.models:make" in str(caught.value)


@pytest.mark.parametrize("ref", ["", "arrays", "precomputed:folder", "never-heard-of:x"])
def test_without_an_encoder_all_missing_texts_are_listed(ref):
    base = TextVectors(["a nurse"], np.ones((1, DIM)), "The texts")
    with pytest.raises(MissingTextError, match="2 of the texts: 'a nurs', 'b'. Did you mean 'a nurse'") as caught:
        growing(ref=ref, base=base)(["a nurs", "a nurse", "b"])
    assert caught.value.value == ["a nurs", "b"]


def test_an_encoder_that_cannot_be_loaded_tells_why_and_what_is_missing(monkeypatch):
    def gone():
        raise InputError("There is no folder 'm'.", "Check the path.")

    registered(monkeypatch, letters=gone)
    with pytest.raises(MissingTextError, match="'a'.* cannot be loaded: There is no folder 'm'"):
        growing(ref="letters:m")(["a"])


def test_recorded_preprocessing_is_put_before_the_encoder_again(monkeypatch):
    from equipoise.models.preprocessing import named

    @dataclass
    class Prepared(Letters):
        preprocessing: object = named("clip")

        def __post_init__(self):
            self.fingerprint = {**PRINT, "preprocessing": self.preprocessing.to_dict()}

        def with_preprocessing(self, preprocessing):
            return Prepared(preprocessing=preprocessing)

    recorded = {**PRINT, "preprocessing": named("siglip").to_dict()}
    registered(monkeypatch, letters=Prepared)
    assert growing(ref="letters:x", fingerprint=recorded)(["a"]).shape == (1, DIM)
    with pytest.raises(FingerprintError, match="weights: 9 -> 1"):
        growing(ref="letters:x", fingerprint={**recorded, "weights": "9"})(["a"])


def test_a_model_that_does_not_say_its_preprocessing_is_told_the_recorded_one(monkeypatch):
    told = []

    def load(argument, *, preprocessing=None):
        if preprocessing is None:
            raise InputError("Nothing says how pictures are made.")
        told.append(preprocessing)
        return Letters({**PRINT, "preprocessing": preprocessing})

    monkeypatch.setattr(ENCODERS, "_plugins", {"letters": "builtins:str"})
    monkeypatch.setattr(ENCODERS, "load", lambda name: load)
    assert growing(ref="letters:x", fingerprint={**PRINT, "preprocessing": {"size": 3}})(["a"]).shape == (1, DIM)
    assert told == [{"size": 3}]
    with pytest.raises(MissingTextError, match="Nothing says"):
        growing(ref="letters:x")(["a"])


def test_a_recording_is_asked_for_the_towers_that_made_it(monkeypatch):
    class Shipped(Letters):
        live = property(lambda self: Letters())

    registered(monkeypatch, shipped=lambda: Shipped({"kind": "precomputed"}))
    np.testing.assert_allclose(growing(ref="shipped")(["a"]), unit(["a"]), atol=1e-6)


def test_notes_of_the_encoder_are_passed_on():
    texts = growing(encoder=Letters(notes=("The weights look untrained: x.",)))
    texts(["a"])
    assert texts.notes == ["The weights look untrained: x."]


# ----------------------------------------------------------------------------------- embeddings that were made elsewhere

ELSEWHERE = {"kind": "precomputed", "dim": DIM, "card": "abc"}


def test_an_encoder_named_for_embeddings_made_elsewhere_must_give_their_texts():
    known = [f"text {i}" for i in range(40)]
    base = TextVectors(known, Letters().encode_text(known) * 7, "The texts")
    texts = growing(encoder=Letters(), fingerprint=ELSEWHERE, base=base)
    np.testing.assert_allclose(texts(["new"]), unit(["new"]), atol=1e-6)
    assert "gives the recorded vectors of 16 texts (lowest cosine 1.0000)" in texts.notes[0]

    other = TextVectors(known, np.random.default_rng(0).normal(size=(40, DIM)), "The texts")
    with pytest.raises(FingerprintError, match="did not make these embeddings: its vector of 'text "):
        growing(encoder=Letters(), fingerprint=ELSEWHERE, base=other)


def test_without_texts_to_compare_the_users_word_is_taken_and_noted():
    texts = growing(encoder=Letters(), fingerprint=ELSEWHERE)
    assert texts(["a"]).shape == (1, DIM)
    assert "as the user says" in texts.notes[0]


def test_embeddings_made_elsewhere_are_not_live_unless_an_encoder_is_named():
    assert not growing(fingerprint=ELSEWHERE, ref="demo").live
    assert growing(fingerprint=ELSEWHERE, encoder=Letters()).live


# ------------------------------------------------------------------------------------------------------------- keeping


def test_a_store_that_cannot_be_written_keeps_texts_in_memory_and_says_so(tmp_path, monkeypatch):
    letters = Letters()
    texts = growing(encoder=letters, store=tmp_path)

    def refuse(*_):
        from equipoise.store.atomic import unwritable

        error = OSError(30, "Read-only file system")
        raise unwritable(tmp_path, error) from error

    monkeypatch.setattr(module, "write_texts", refuse)
    np.testing.assert_allclose(texts(["a"]), unit(["a"]), atol=1e-6)
    texts(["a", "b"])
    assert asked(letters) == ["a", "b"]
    assert texts.notes == [f"Texts were embedded and not kept in '{tmp_path}': Read-only file system."]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        texts = growing(encoder=Letters(), store=tmp_path)
        assert texts(["a"]).shape == (1, DIM)
        assert "not kept" in texts.notes[0]
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_store_that_another_process_holds_is_left_alone(tmp_path):
    texts = growing(encoder=Letters(), store=tmp_path)
    code = (
        "import sys, time\nfrom equipoise.store.files import lock\n"
        f"with lock({str(tmp_path)!r}):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        np.testing.assert_allclose(texts(["a"]), unit(["a"]), atol=1e-6)
        holder.communicate(b"")
    assert texts.notes == [f"Texts were embedded and not kept in '{tmp_path}': another process works on it."]
    assert not (tmp_path / ARRAYS).exists()


def test_two_that_grow_one_store_keep_the_texts_of_both(tmp_path):
    first, second = (growing(encoder=Letters(), store=tmp_path) for _ in range(2))
    first(["a", "b"])
    second(["b", "c"])
    first(["d"])
    assert growing(store=tmp_path).texts == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(first(["c", "b"]), second(["c", "b"]))


def test_files_that_vanish_are_made_again(tmp_path):
    texts = growing(encoder=Letters(), store=tmp_path)
    texts(["a"])
    for file in (TABLE, ARRAYS):
        (tmp_path / file).unlink()
    np.testing.assert_allclose(texts(["b", "a"]), unit(["b", "a"]), atol=1e-6)
    assert growing(store=tmp_path).texts == ["a", "b"]


def test_texts_of_two_encoders_are_never_mixed(tmp_path):
    growing(encoder=Letters(), fingerprint=ELSEWHERE, store=tmp_path)(["a"])
    texts = growing(encoder=Letters({**PRINT, "weights": "2"}), fingerprint=ELSEWHERE, store=tmp_path)
    with pytest.raises(FingerprintError, match="embedded by another encoder: weights: 1 -> 2"):
        texts(["b"])


def test_damage_is_told_when_the_store_is_opened(tmp_path):
    growing(encoder=Letters(), store=tmp_path)(["a"])
    write_arrays(tmp_path / ARRAYS, {"text": np.ones((1, DIM), np.float32)})
    with pytest.raises(InputError, match="not what was written"):
        growing(store=tmp_path)


def test_the_lock_is_free_again(tmp_path):
    growing(encoder=Letters(), store=tmp_path)(["a"])
    with lock(tmp_path):
        assert (tmp_path / ARRAYS).exists()


# ------------------------------------------------------------------------------------------------------- EmbeddingSet


def test_embeddings_in_memory_with_a_live_encoder(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,gender\na,F\nb,M\n")
    letters = Letters(notes=("careful",), limit=4)
    images = np.random.default_rng(0).normal(size=(2, DIM))
    data = EmbeddingSet.from_arrays(images, read_samples(path, id="id", attributes=["gender"]), encoder=letters)
    assert (data.encoder["name"], data.encoder["fingerprint"], data.live) == ("letters", PRINT, True)
    part = data.rows(gender="F")
    np.testing.assert_allclose(part.text(["dog"]), unit(["dog"]), atol=1e-6)
    data.text(["dog", "longer"])
    assert asked(letters) == ["dog", "longer"]
    assert data.texts == ("dog", "longer")
    assert data.truncated(["dog", "longer"]) == ["longer"]
    assert data.notes == part.notes == ["careful"]
    plain = EmbeddingSet.from_arrays(images, read_samples(path, id="id", attributes=["gender"]))
    assert not plain.live
    with pytest.raises(MissingTextError, match="no text vectors"):
        plain.text(["dog"])
