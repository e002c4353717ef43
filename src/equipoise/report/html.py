"""The report: one HTML file that needs nothing else and sends for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, OutputExistsError
from equipoise.report.bounds import Bounds, ladder, shortened
from equipoise.report.figures import side_by_side
from equipoise.report.labels import listed_all, perceived
from equipoise.report.provenance import command
from equipoise.report.rows import Subject, load_subject
from equipoise.report.view import section_view

LARGEST = 2_000_000
INTERVAL = re.compile(r"(\[[^\[\]<>]{1,40}\])")
FOLDER = Path(__file__).parent / "templates"


def report(subjects: Any, path: str | Path, *, overwrite: bool = True, pictures: bool = True) -> Path:
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
    pictures : bool
        Whether thumbnails are shown where the audits know their pictures: the first of a search, the surest mistakes.
        Each is checked against its recorded SHA-256.

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
        If there is nothing to report, or there are more subjects than fit on a page of 2 MB.
    """
    refuse_output(Path(path), overwrite)
    return write(render(subjects, pictures=pictures), path, overwrite=overwrite)


def refuse_output(path: Path, overwrite: bool) -> None:
    """Raise where a page cannot be written to a path."""
    if path.is_dir():
        raise InputError(f"The report cannot be written to '{path}': it is a folder.", "Name a file, as report.html.")
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"'{path}' is in the way.", "Name another file, or pass --overwrite (overwrite=True).", value=str(path)
        )


def write(page: str, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write a page that :func:`render` made, and return its path; see :func:`report`."""
    from equipoise.store.files import atomic_write

    refuse_output(Path(path), overwrite)
    atomic_write(Path(path), page.encode("utf-8"))
    return Path(path)


def render(subjects: Any, *, pictures: bool = True) -> str:
    """Return the page as text; see :func:`report`. What does not fit on it is left out, and the page says so."""
    found = _told_apart([load_subject(subject, pictures=pictures) for subject in _listed(subjects)])
    if not found:
        raise InputError("There is nothing to report: no ledger and no audit was given.", "Name at least one.")
    page = ""
    for bounds in ladder(len(found), pictures and any(subject.examples for subject in found)):
        page = _page(found, bounds, pictures)
        if len(page.encode("utf-8")) <= LARGEST:
            return page
    raise InputError(
        f"{len(found)} results make a page of {len(page.encode('utf-8')) / 1e6:.1f} MB, more than 2 MB.",
        "Report fewer at a time.",
        value=len(found),
    )


def _page(found: list[Subject], bounds: Bounds, pictures: bool) -> str:
    import jinja2

    several = len(found) > 1
    found = [shortened(subject, bounds.text) for subject in found]
    sections = [section_view(subject, f"s{i}", bounds) for i, subject in enumerate(found)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment.get_template("page.html.j2").render(
        title="Side by side: " + ", ".join(s["title"] for s in sections) if several else sections[0]["title"],
        sections=sections,
        several=several,
        overview=side_by_side(found, "all") if several else [],
        command=command(found, pictures),
        perceived=listed_all(perceived(dict.fromkeys(name for s in sections for name in s["unmeasured"]["measured"]))),
        style=(FOLDER / "style.css").read_text(encoding="utf-8"),
    )


def unbroken(text: str) -> Any:
    """Return text for the template in which no interval is broken across lines."""
    from markupsafe import Markup, escape

    return Markup(INTERVAL.sub(r'<span class="one">\1</span>', str(escape(text))))  # noqa: S704  escaped before


def _listed(subjects: Any) -> Iterable[Any]:
    if isinstance(subjects, (str, Path)) or hasattr(subjects, "document") or not isinstance(subjects, Iterable):
        return [subjects]
    return list(subjects)


def _told_apart(subjects: list[Subject]) -> list[Subject]:
    """Return the subjects with a number behind equal titles, so that a chart can name them."""
    titles = [subject.title for subject in subjects]
    return [
        replace(subject, title=f"{subject.title} ({titles[: i + 1].count(subject.title)})")
        if titles.count(subject.title) > 1
        else subject
        for i, subject in enumerate(subjects)
    ]
