"""The report: one HTML file that needs nothing else and sends for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, OutputExistsError
from equipoise.report.figures import side_by_side
from equipoise.report.rows import Subject, load_subject
from equipoise.report.view import section_view

LARGEST = 2_000_000
FOLDER = Path(__file__).parent / "templates"


def report(subjects: Any, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write the report of one or more ledgers or audits as one HTML file.

    Parameters
    ----------
    subjects : Comparison, Audit, path, or a sequence of them
        A path is a folder that holds ``comparison.json`` or ``audit.json``. Several subjects make one page with a
        section each, and their headline numbers side by side on one scale.
    path : str or Path
        The file to write. Equal subjects give equal bytes.
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingFileError
        If a folder holds neither document.
    OutputExistsError
        If the file exists and ``overwrite`` is False.
    InputError
        If there is nothing to report, more than fits on a page of 2 MB, or pictures are asked for.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"The report cannot be written to '{path}': it is a folder.", "Name a file, as report.html.")
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"'{path}' is in the way.", "Name another file, or pass --overwrite (overwrite=True).", value=str(path)
        )
    from equipoise.store.files import atomic_write

    atomic_write(path, render(subjects).encode("utf-8"))
    return path


def render(subjects: Any) -> str:
    """Return the page as text; see :func:`report`."""
    import jinja2

    found = _told_apart([load_subject(subject) for subject in _listed(subjects)])
    if not found:
        raise InputError("There is nothing to report: no ledger and no audit was given.", "Name at least one.")
    several = len(found) > 1
    sections = [section_view(subject, f"s{i}", len(found)) for i, subject in enumerate(found)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        title="Side by side: " + ", ".join(s["title"] for s in sections) if several else sections[0]["title"],
        sections=sections,
        several=several,
        overview=side_by_side(found, "all") if several else [],
        style=(FOLDER / "style.css").read_text(encoding="utf-8"),
    )

    if several and (size := len(page.encode("utf-8"))) > LARGEST:
        raise InputError(
            f"{len(found)} results make a page of {size / 1e6:.1f} MB, more than 2 MB.",
            "Report fewer at a time.",
            value=len(found),
        )
    return page


def _listed(subjects: Any) -> Iterable[Any]:
    return [subjects] if isinstance(subjects, (str, Path)) or hasattr(subjects, "document") else list(subjects)


def _told_apart(subjects: list[Subject]) -> list[Subject]:
    """Return the subjects with a number behind equal titles, so that a chart can name them."""
    titles = [subject.title for subject in subjects]
    return [
        replace(subject, title=f"{subject.title} ({titles[: i + 1].count(subject.title)})")
        if titles.count(subject.title) > 1
        else subject
        for i, subject in enumerate(subjects)
    ]
