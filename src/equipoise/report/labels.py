"""Which labels are of people, as others see them: what the page says of labels depends on what the data are."""

from __future__ import annotations

import re
from collections.abc import Iterable

OF_PEOPLE = frozenset(
    {
        *("gender", "sex", "race", "ethnicity", "ethnic", "age", "skin", "complexion", "fitzpatrick"),
        *("nationality", "religion", "disability"),
    }
)
"""Words in the name of an attribute that tell that it is a label of a person."""


def perceived(names: Iterable[str]) -> list[str]:
    """Return the attributes whose name says that they are labels of people: gender, race, age and the like."""
    return [name for name in names if OF_PEOPLE & set(re.split(r"[^a-z]+", name.casefold()))]


def listed_all(names: Iterable[str]) -> str:
    """Return ``"gender, race and age"``."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
