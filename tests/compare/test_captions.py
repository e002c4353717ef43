"""Caption retrieval before and after training, as notes: against loops over full rankings."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np

from equipoise.compare import captions as home
from equipoise.compare.captions import caption_notes
from equipoise.errors import MissingTextError


class Side:
    """Rows with a picture each twice, and a caption of their own."""

    def __init__(self, seed, captions, pictures, noise):
        rng = np.random.default_rng(0)
        ids = [f"r{i}" for i in range(len(captions))]
        columns = {"caption": captions, "image": pictures}
        self.samples = SimpleNamespace(ids=ids, roles=dict.fromkeys(columns), column=columns.__getitem__)
        names = sorted(set(pictures))
        of_picture = {name: rng.normal(size=8) for name in names}
        noisy = np.random.default_rng(seed)
        self.x = self.unit(np.stack([of_picture[name] for name in pictures]))
        self.t = self.unit(self.x + noise * noisy.normal(size=self.x.shape))
        self.at = {text: i for i, text in enumerate(captions)}

    @staticmethod
    def unit(x):
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def vectors(self):
        return self.x

    def text(self, texts):
        return self.t[[self.at[text] for text in texts]]


def sides(words=("a nurse", "a dog")):
    captions = [f"{words[(i // 2) % 2]} number {i}" for i in range(160)]
    pictures = [f"p{i // 2:03d}.png" for i in range(160)]
    return Side(1, captions, pictures, 0.3), Side(2, captions, pictures, 0.9)


def test_both_directions_of_people_and_other():
    before, after = sides()
    notes = caption_notes(before, after)
    assert len(notes) == 6
    first = np.arange(0, 160, 2)
    for side, place in ((before, 0), (after, 1)):
        scores = side.x[first] @ side.t.T
        own = np.arange(160) // 2
        for part, inside in (("all", own >= 0), ("people", own % 2 == 0), ("other", own % 2 == 1)):
            hit = [scores[:, j].argmax() for j in range(160)]
            back = np.mean([hit[j] == own[j] for j in np.flatnonzero(inside)])
            there = np.mean([own[scores[i].argmax()] == i for i in range(80) if inside[2 * i]])
            for direction, wanted, n in (("caption to image", back, inside.sum()), ("image to caption", there, None)):
                (note,) = [one for one in notes if f", {part}, {direction} " in one]
                found = re.findall(r"R@1 ([\d.]+) \[.*?\] -> ([\d.]+)", note)[0]
                assert float(found[place]) == round(float(wanted), 3)
                assert f"(n = {n or inside.sum() // 2})" in note
                assert all(f"R@{k} " in note for k in (1, 5, 10))


def test_captions_that_cannot_be_read_are_not_split():
    notes = caption_notes(*sides(("\u4e8c\u4eba\u306e\u5973\u6027\u304c\u8857\u3092\u6b69\u304f", "a dog")))
    assert len(notes) == 3
    assert "cannot read 80 captions" in notes[0]
    assert all(", all, " in note for note in notes[1:])


def test_few_of_a_part_missing_vectors_and_other_rows_give_none(monkeypatch):
    before, after = sides()
    assert len(caption_notes(before, after, minimum=50)) == 2
    monkeypatch.setattr(home, "CAPTIONS", 80)
    assert all("(n = 40)" in note or "(n = 80)" in note for note in caption_notes(before, after, minimum=40))

    def missing(texts):
        raise MissingTextError("There are no vectors.", "Embed them.", value=texts)

    after.text = missing
    assert caption_notes(before, after) == []
    before.samples.ids = before.samples.ids[::-1]
    assert caption_notes(before, after) == []
    before.samples.roles = {}
    assert caption_notes(before, after) == []
