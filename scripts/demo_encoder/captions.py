"""The bank of face captions: every subset of (perceived gender, race, age) in several wordings."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product

GENDERS = ("Female", "Male")
RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")

FACE_TEMPLATES = (
    "a photo of {}",
    "a picture of {}",
    "a portrait of {}",
    "a close-up photo of {}",
    "{}",
    "a photo of the face of {}",
    "a headshot of {}",
)
CLASS_TEMPLATES = ("a photo of a {}", "a picture of a {}", "{}")

RACE_WORDS = {race: (race,) for race in RACES} | {"Latino_Hispanic": ("Latino", "Hispanic", "Latino Hispanic")}

# (adjective, suffix): one of the two is empty; {} is his, her or their.
AGE_FORMS: dict[str, tuple[tuple[str, str], ...]] = {
    "0-2": (("baby", ""), ("infant", ""), ("", "aged 0 to 2"), ("", "under 3 years old")),
    "3-9": (("little", ""), ("", "aged 3 to 9"), ("", "between 3 and 9 years old")),
    "10-19": (("teenage", ""), ("", "in {} teens"), ("", "aged 10 to 19")),
    "20-29": (("young adult", ""), ("", "in {} 20s"), ("", "in {} twenties"), ("", "aged 20 to 29")),
    "30-39": (("", "in {} 30s"), ("", "in {} thirties"), ("", "aged 30 to 39")),
    "40-49": (("middle-aged", ""), ("", "in {} 40s"), ("", "in {} forties"), ("", "aged 40 to 49")),
    "50-59": (("older", ""), ("", "in {} 50s"), ("", "in {} fifties"), ("", "aged 50 to 59")),
    "60-69": (("elderly", ""), ("", "in {} 60s"), ("", "in {} sixties"), ("", "aged 60 to 69")),
    "more than 70": (("very old", ""), ("", "over 70 years old"), ("", "in {} seventies or older")),
}
ADULT = {"Female": "woman", "Male": "man"}
FORMAL = {"Female": "female person", "Male": "male person"}
CHILD = {"Female": "girl", "Male": "boy"}
POSSESSIVE = {"Female": "her", "Male": "his"}

Key = tuple[int, int, int]  # indices into GENDERS, RACES, AGES; -1 where the caption does not say


def with_article(phrase: str) -> str:
    """Put a or an before a phrase."""
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


def nouns(gender: str | None, age: str | None) -> tuple[str, ...]:
    """The nouns that may name a person of this gender and age (either may be unsaid)."""
    if gender is None:
        if age in ("0-2", "3-9"):
            return ("person", "child")
        return ("person", "teenager") if age == "10-19" else ("person",)
    if age is None:
        return (ADULT[gender], FORMAL[gender])
    if age in ("0-2", "3-9"):
        return (CHILD[gender],)
    return (CHILD[gender], FORMAL[gender]) if age == "10-19" else (ADULT[gender],)


def phrases(gender: str | None, race: str | None, age: str | None) -> list[str]:
    """All noun phrases that say exactly these attributes."""
    if gender is race is age is None:
        return ["a person", "a face", "a human face"]
    whose = POSSESSIVE[gender] if gender else "their"
    out = []
    for (adjective, suffix), word, noun in product(
        AGE_FORMS[age] if age else (("", ""),), RACE_WORDS[race] if race else ("",), nouns(gender, age)
    ):
        words = " ".join(part for part in (adjective, word, noun, suffix.format(whose)) if part)
        out.append(with_article(words))
    return out


@dataclass
class Bank:
    """Captions with what they say.

    Attributes
    ----------
    texts : list of str
    keys : list of tuple of int
        For each caption the indices of gender, race and age; -1 where it says nothing.
    by_key : dict
        Rows of the captions that say exactly this.
    """

    texts: list[str] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    by_key: dict[Key, list[int]] = field(default_factory=lambda: defaultdict(list))


def build_bank() -> Bank:
    """Every subset of attributes, every phrase, every template, in a fixed order."""
    bank = Bank()
    for g, r, a in product(range(-1, len(GENDERS)), range(-1, len(RACES)), range(-1, len(AGES))):
        said = (GENDERS[g] if g >= 0 else None, RACES[r] if r >= 0 else None, AGES[a] if a >= 0 else None)
        for phrase in phrases(*said):
            for template in FACE_TEMPLATES:
                bank.by_key[g, r, a].append(len(bank.texts))
                bank.texts.append(template.format(phrase))
                bank.keys.append((g, r, a))
    return bank


def class_captions(names: list[str]) -> list[str]:
    """Three captions a class name, name-major."""
    return [template.format(name) for name in names for template in CLASS_TEMPLATES]
