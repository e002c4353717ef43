"""Contract checks of a mitigation, for ours and for plug-ins: what audit, compare and the artefact take for granted.

Those of an edit of embeddings are here, those of weights for rows in :mod:`equipoise.checks.data_mitigations`.

The embeddings are made up (:mod:`equipoise.checks.people`): an attribute with 2, 3 or 10 groups, a second attribute
``origin``, 48 rows a group, queries that name a group and queries that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from equipoise.checks import CheckFailed, data_mitigations
from equipoise.checks.cases import Make, cases, need, refused, same_bytes, sound
from equipoise.checks.guarantees import GUARANTEES, Case, rows_of
from equipoise.checks.people import OTHER_NAMES, explicit_query, people
from equipoise.checks.saving import check_saved, check_state
from equipoise.errors import EquipoiseError
from equipoise.protocols import EmbeddingMitigation


def check_mitigation(
    make: Callable[[str], Any], attribute: str = "gender", *, expected_failures: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Run every contract check on an edit of embeddings or on weights for rows, and test each guarantee that it declares.

    Parameters
    ----------
    make : callable
        Takes the name of an attribute and returns a new, unfitted mitigation that targets it. The rows for a mitigation of
        data have a label ``job`` too, as in ``partial(M4, labels="job")``.
    attribute : str
        The name to use.
    expected_failures : mapping of str to str, optional
        Name of a check to the reason why this method need not pass it. A check that is expected to fail and passes is a
        failure too, so that the list stays true.

    Returns
    -------
    tuple of str
        The checks that passed; a guarantee as ``"guarantee:norm_kept"``.

    Raises
    ------
    CheckFailed
        With one line for each check that failed: its name and what was seen.

    Examples
    --------
    >>> from equipoise import Wring
    >>> passed = check_mitigation(Wring)
    >>> "guarantee:equal_cosine" in passed
    True
    """
    expected = dict(expected_failures or {})
    data = getattr(make(attribute), "kind", "") == "data"
    checks: dict[str, Callable[[Any, str], None]] = dict(data_mitigations.CHECKS if data else CHECKS)
    for name in make(attribute).guarantees:
        checks[f"guarantee:{name}"] = lambda make, attribute, name=name: check_guarantee(make, attribute, name)
    problems = [f"{name}: there is no such check" for name in expected if name not in checks]
    passed = []
    for name, check in checks.items():
        try:
            check(make, attribute)
        except Exception as error:
            if name not in expected:
                problems.append(f"{name}: {error if isinstance(error, CheckFailed) else repr(error)}")
        else:
            passed.append(name)
            if name in expected:
                problems.append(f"{name}: passes, though a failure was expected ({expected[name]})")
    if problems:
        called = getattr(make(attribute), "name", "?")
        raise CheckFailed("\n  ".join([f"mitigation '{called}' breaks its contract:", *problems]))
    return tuple(passed)


def check_description(make: Make, attribute: str) -> None:
    """Require name, version, what it edits and targets, and guarantees that are known."""
    method = make(attribute)
    need(isinstance(method, EmbeddingMitigation), f"{type(method).__name__} is no EmbeddingMitigation")
    need(method.name and method.version and method.kind == "embedding", "name, version or kind is missing")
    need(method.edits and method.edits <= {"text", "image"}, f"edits is {set(method.edits)}")
    need(tuple(method.attributes) == (attribute,), f"attributes is {method.attributes!r}, not ({attribute!r},)")
    unknown = [name for name in method.guarantees if name not in GUARANTEES]
    need(not unknown, f"declares {unknown}; known are {list(GUARANTEES)}")


def check_inputs(make: Make, attribute: str) -> None:
    """Require that fit and transform leave what they are given alone, and take read-only and Fortran arrays."""
    data = people(attribute=attribute)
    images, words = data.vectors().copy(), rows_of(data, "text")[0].copy()
    for case in cases(make, attribute, data):
        x = case.x.copy()
        x.setflags(write=False)
        out = case.edit(x)
        need(out is not x and not np.shares_memory(out, x), "the result is the input itself, not a new array")
        case.near(case.edit(np.asfortranarray(x)), out, "the order in memory matters")
        case.near(case.edit(np.repeat(x, 2, axis=1)[:, ::2]), out, "strides matter")
    need(np.array_equal(images, data.vectors()), "fit or transform changed the image embeddings")
    need(np.array_equal(words, rows_of(data, "text")[0]), "fit or transform changed the text embeddings")


def check_repeatable(make: Make, attribute: str) -> None:
    """Require the same bytes from the same data, fitted and transformed again."""
    for first, second in zip(cases(make, attribute), cases(make, attribute), strict=True):
        same_bytes(first.edit(first.x), first.edit(first.x), "transforming again")
        same_bytes(first.edit(first.x), second.edit(second.x), "fitting again")


def check_row_order(make: Make, attribute: str) -> None:
    """Require that the order of lines in the table does not matter."""
    plain_data = people(attribute=attribute)
    order = np.random.default_rng(2).permutation(len(plain_data))
    shuffled = cases(make, attribute, people(attribute=attribute, order=order))
    for case, other in zip(cases(make, attribute, plain_data), shuffled, strict=True):
        same_bytes(case.edit(case.x), other.method.transform(case.x, modality=case.modality, queries=case.queries),
                    "another order of rows")  # fmt: skip


def check_batches(make: Make, attribute: str) -> None:
    """Require that rows edited together, in parts and one by one come out alike; no rows give no rows."""
    for case in cases(make, attribute):
        whole, n = case.edit(case.x), len(case.x)
        for size in (1, 5):
            parts = []
            for start in range(0, n, size):
                texts = None if case.queries is None else case.queries[start : start + size]
                parts.append(case.method.transform(case.x[start : start + size], modality=case.modality, queries=texts))
            case.near(np.concatenate(parts), whole, f"{size} at a time")
        for texts in (None, ()) if case.queries is not None else (None,):
            none = case.method.transform(case.x[:0], modality=case.modality, queries=texts)
            need(none.shape == (0, case.x.shape[1]), f"no rows give the shape {none.shape}")


def check_dtypes(make: Make, attribute: str) -> None:
    """Require the dtype that came in: float16 (and bfloat16 where installed), float32, float64."""
    kinds: list[Any] = [np.float16, np.float32, np.float64]
    try:
        from ml_dtypes import bfloat16  # type: ignore[import-not-found]

        kinds.append(bfloat16)
    except ImportError:
        pass
    for case in cases(make, attribute):
        exact = case.edit(case.x.astype(np.float64))
        for kind in kinds:
            out = case.edit(case.x.astype(kind))
            need(out.dtype == np.dtype(kind), f"{np.dtype(kind)} comes out as {out.dtype}")
            half = np.dtype(kind).itemsize == 2
            case.near(out.astype(np.float64), exact, f"{np.dtype(kind)}", 2e-2 if half else 2e-6)


def check_bad_rows(make: Make, attribute: str) -> None:
    """Require that NaN, infinite and zero rows are refused with their numbers."""
    for case in cases(make, attribute):
        for value, rows in ((np.nan, (3, 7)), (np.inf, (4,)), (-np.inf, (1,)), (0.0, (5, 9))):
            x = case.x.copy()
            for row in rows:
                x[row, slice(None) if value == 0 else 2] = value
            refused(lambda x=x, case=case: case.edit(x), tuple(map(str, rows)), f"a row of {value}")


def check_shapes(make: Make, attribute: str) -> None:
    """Require that another width, another number of axes and whole numbers are refused."""
    for case in cases(make, attribute):
        d = case.x.shape[1]
        for x, what in (
            (np.ones((2, d + 3), np.float32), "another width"),
            (np.ones(d, np.float32), "a single axis"),
            (np.ones((2, d), np.int64), "whole numbers"),
        ):
            refused(lambda x=x, case=case: case.method.transform(x, modality=case.modality), (), what)


def check_groups(make: Make, attribute: str) -> None:
    """Require finite results with 2, 3 and 10 groups, fewer rows than dimensions, and every row twice."""
    for groups in (2, 3, 10):
        for case in cases(make, attribute, people(groups, attribute=attribute)):
            sound(case)
    for data in (people(d=256, attribute=attribute), people(copies=2, attribute=attribute)):
        for case in cases(make, attribute, data):
            sound(case)


def check_renaming(make: Make, attribute: str) -> None:
    """Require that what groups are called, and the order in which they are declared, does not matter."""
    renamed = people(3, attribute=attribute, names=OTHER_NAMES, listed=(2, 0, 1))
    for case, other in zip(cases(make, attribute, people(3, attribute=attribute)),
                           cases(make, attribute, renamed), strict=True):  # fmt: skip
        case.near(other.edit(other.x), case.edit(case.x), "another name for the groups")


def check_one_group(make: Make, attribute: str) -> None:
    """Require that an attribute of one group is refused by name."""
    refused(lambda: make(attribute).fit(people(1, attribute=attribute)), (attribute,), "an attribute of one group")


def check_thin_data(make: Make, attribute: str) -> None:
    """Require a sound result or a refusal for a declared group without rows, and for an empty intersection."""
    for target, data in ((attribute, people(1, declared=2, attribute=attribute)),
                         (f"{attribute}:origin", people(attribute=attribute))):  # fmt: skip
        try:
            found = cases(make, target, data)
        except EquipoiseError:
            continue
        for case in found:
            sound(case)


def check_explicit(make: Make, attribute: str) -> None:
    """Require of a method with ``leave_explicit`` that it returns a query that names a group as it came."""
    data = people(attribute=attribute)
    method = make(attribute)
    if not getattr(method, "leave_explicit", False):
        return
    method.fit(data)
    named = [explicit_query(group) for group in data.vocabulary.groups(attribute)]
    x, texts = rows_of(data, "text")
    both = np.concatenate([data.text(named), x])
    out = method.transform(both, queries=[*named, *(texts or ())])
    same_bytes(out[: len(named)], both[: len(named)], "a query that names a group")
    Case(method, data, x, texts, "text").near(out[len(named) :], method.transform(x, queries=texts),
                                              "a query beside one that names a group")  # fmt: skip


def check_modality(make: Make, attribute: str) -> None:
    """Require that vectors of a modality which is not edited come out as they were."""
    data = people(attribute=attribute)
    method = make(attribute).fit(data)
    for modality in {"text", "image"} - method.edits:
        x = rows_of(data, modality)[0]
        same_bytes(method.transform(x, modality=modality), x, f"vectors of {modality}")


def check_strength(make: Make, attribute: str) -> None:
    """Require of a method with a ``strength`` that strength 0 is the identity, bit for bit."""
    method = make(attribute)
    if not hasattr(method, "strength"):
        return
    method.strength = 0.0  # type: ignore[attr-defined]
    data = people(attribute=attribute)
    method.fit(data)
    for modality in method.edits:
        x, texts = rows_of(data, modality)
        same_bytes(method.transform(x, modality=modality, queries=texts), x, "strength 0")


def check_fit_rows(make: Make, attribute: str) -> None:
    """Require ids of the data it was fitted on."""
    data = people(attribute=attribute)
    method = make(attribute).fit(data)
    strange = set(method.fit_rows) - set(data.samples.ids)
    need(not strange, f"fit_rows names {sorted(strange)[:3]}, which were not given")


def check_unfitted(make: Make, attribute: str) -> None:
    """Require that a method refuses to work before it is fitted."""
    refused(lambda: make(attribute).transform(np.ones((2, 32), np.float32)), (), "transform before fit")


def check_controls(make: Make, attribute: str) -> None:
    """Require that its controls are fitted, have names of their own and edit soundly."""
    for case in cases(make, attribute):
        controls = case.method.controls()
        names = [control.name for control in controls]
        need(len({*names, case.method.name}) == len(names) + 1, f"controls share a name: {names}")
        for control in controls:
            need(isinstance(control, EmbeddingMitigation), f"control '{control.name}' edits no embeddings")
            need(tuple(control.attributes) == tuple(case.method.attributes), f"'{control.name}' has another target")
            need(set(control.fit_rows) <= set(case.method.fit_rows), f"'{control.name}' was fitted on other rows")
            sound(case._replace(method=control))


def check_diagnostics(make: Make, attribute: str) -> None:
    """Require a row a query, and the edit undisturbed."""
    for case in cases(make, attribute):
        if case.queries is None:
            continue
        before = case.edit(case.x)
        table = case.method.diagnostics(case.x, case.queries)
        if table is not None:
            need(table.num_rows == len(case.x), f"diagnostics have {table.num_rows} rows for {len(case.x)} queries")
            need(table["query"].to_pylist() == list(case.queries), "diagnostics list other queries")
        same_bytes(case.edit(case.x), before, "after diagnostics")


def check_guarantee(make: Make, attribute: str, name: str) -> None:
    """Test one guarantee with 2, 3 and 10 groups."""
    if name not in GUARANTEES:
        raise CheckFailed(f"there is no guarantee '{name}'")
    for groups in (2, 3, 10):
        for case in cases(make, attribute, people(groups, attribute=attribute)):
            need(name in case.method.guarantees, "declared before fit, and not after")
            GUARANTEES[name](case)


CHECKS: dict[str, Callable[[Make, str], None]] = {
    "description": check_description,
    "inputs": check_inputs,
    "repeatable": check_repeatable,
    "row_order": check_row_order,
    "batches": check_batches,
    "dtypes": check_dtypes,
    "bad_rows": check_bad_rows,
    "shapes": check_shapes,
    "groups": check_groups,
    "renaming": check_renaming,
    "one_group": check_one_group,
    "thin_data": check_thin_data,
    "explicit": check_explicit,
    "modality": check_modality,
    "strength": check_strength,
    "fit_rows": check_fit_rows,
    "unfitted": check_unfitted,
    "state": check_state,
    "saved": check_saved,
    "controls": check_controls,
    "diagnostics": check_diagnostics,
}
"""Every check of an edit by name, in the order in which they run; the guarantees that a method declares follow."""
