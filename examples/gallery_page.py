"""What the pages of the gallery share: commands that are run and shown, tables, charts as SVG files, and the check.

A page is written from ``docs/_data/NAME.json``, which holds every number of one run; the check makes a new run and compares.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(ROOT / "src"))

from equipoise.report.charts import Point, domain, dumbbells  # noqa: E402

DOCS = ROOT / "docs"
DEFAULT_DATA = Path(os.environ.get("EQUIPOISE_DATA") or ROOT.parent / "shared" / "data")
TOLERANCE = 0.01
"""By how much a number may differ from the committed one: other processors and libraries round differently."""
WIDTH, GUTTER, LINE = 328, 24, 20
STYLE = (
    "svg{--paper:#fff;--ink:#1a1f24;--muted:#57606a;--grid:#e4e7eb;--band:#dde3ec;--before:#57606a;--after:#0072b2}"
    "@media(prefers-color-scheme:dark){svg{--paper:#14171a;--ink:#e8ebee;--muted:#a6b0ba;--grid:#2a3036;--band:#2b343f;"
    "--before:#b8c1ca;--after:#56b4e9}}text{font-family:sans-serif;font-size:12px;fill:var(--ink)}"
)
Panel = tuple[str, Sequence[Point]]


class Shell:
    """Runs ``equipoise`` commands as they are shown: ``$DATA`` and ``$OUT`` stand for folders."""

    def __init__(self, data: Path, out: Path) -> None:
        self.places = {"$DATA": str(data.resolve()), "$OUT": str(out.resolve())}
        self.shown: list[dict[str, str]] = []

    def run(self, command: str) -> None:
        """Run a command and keep it with what it prints, without the lines of progress; CalledProcessError if it fails."""
        words = shlex.split(command)
        for name, folder in self.places.items():
            words = [word.replace(name, folder) for word in words]
        paths = [str(ROOT / "src"), str(EXAMPLES)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "110", "NO_COLOR": "1"}
        ran = subprocess.run(  # noqa: S603  the commands of this page
            [sys.executable, "-m", "equipoise", *words[1:]], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", check=False,
        )  # fmt: skip
        print(f"$ {command}\n{ran.stdout}", flush=True)
        ran.check_returncode()
        text = ran.stdout
        for name, folder in self.places.items():
            text = text.replace(folder, name)
        lines = [line.rstrip() for line in text.splitlines() if not line.startswith("pictures: ")]
        self.shown.append({"command": command, "output": "\n".join(lines)})


def shown(run: dict[str, str]) -> str:
    """Return a command and its output as they stand on a page."""
    groups: list[str] = []
    for part in shlex.split(run["command"]):
        word = part if "$" in part else shlex.quote(part)
        if groups and groups[-1].startswith("--") and " " not in groups[-1] and not word.startswith("--"):
            groups[-1] += f" {word}"
        else:
            groups.append(word)
    lines = [""]
    for group in groups:
        if len(lines[-1]) + len(group) > 96:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {group}" if lines[-1] else group
    command = " \\\n".join(lines)
    return f"```sh\n{command}\n```\n\n```text\n{run['output']}\n```\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table; the first ``left`` columns are flush left, the others right."""
    rule = [":--" if place < left else "--:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number with a true minus; a dash for none."""
    if value is None:
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def interval(row: dict[str, Any], digits: int = 3, *, sign: bool = False) -> str:
    """Return a value with its interval."""
    if row["value"] is None:
        return "–"
    low, high = (number(row[end], digits, sign=sign) for end in ("low", "high"))
    return f"{number(row['value'], digits, sign=sign)} [{low}, {high}]"


def p_value(p: float | None) -> str:
    """Return a p-value with two significant digits, never 0."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}"


def percent(value: float) -> str:
    """Return a share in whole per cent."""
    return f"{100 * value:.0f} %"


def estimates(rows: Any, *metrics: str, groups: bool, keep: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return estimates of an audit: of groups, or of all rows and gaps between groups; numbers rounded to 6 digits."""
    wanted = ("metric", "attribute", "group", "n", "value", "low", "high", "null_value", "p", "status", "reason", *keep)
    return [
        rounded({key: row[key] for key in wanted})
        for row in rows.to_pylist()
        if row["metric"] in metrics and row["arm"] == "main" and bool(row["group"]) == groups
    ]


def rounded(found: Any) -> Any:
    """Return JSON values with every float rounded to 6 digits."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [rounded(value) for value in found]
    return round(found, 6) if isinstance(found, float) else found


def drawing(
    title: str, note: str, panels: Sequence[Panel], axis: str, *, signed: bool = False, ticks: bool = False
) -> str:
    """Return panels side by side, two a row, under a title and a note, as one SVG with colours for light and dark."""
    scale = domain([points for _, points in panels])
    columns = min(2, len(panels))
    width = columns * WIDTH + (columns - 1) * GUTTER + 2 * GUTTER
    body, y = ['<rect width="100%" height="100%" fill="var(--paper)"></rect>'], 28
    for line in textwrap.wrap(title, (width - 2 * GUTTER) // 8):
        body.append(f'<text x="{GUTTER}" y="{y}" style="font-size:15px;font-weight:bold">{escape(line)}</text>')
        y += LINE
    for line in textwrap.wrap(note, round((width - 2 * GUTTER) / 6.2)):
        body.append(f'<text x="{GUTTER}" y="{y}" style="fill:var(--muted)">{escape(line)}</text>')
        y += LINE - 3
    for start in range(0, len(panels), columns):
        y += 14
        tallest = 0
        for place, (name, points) in enumerate(panels[start : start + columns]):
            x = GUTTER + place * (WIDTH + GUTTER)
            chart = dumbbells(
                points,
                scale,
                axis,
                signed=signed,
                ticks=ticks,
                name=f"p{start + place}",
                title=name or title,
                text=note,
            )
            tall = int(float(chart.split('height="', 1)[1].split('"', 1)[0]))
            body.append(f'<text x="{x}" y="{y}" style="font-weight:bold">{escape(name)}</text>')
            body.append(chart.replace("<svg ", f'<svg x="{x}" y="{y + 6}" ', 1))
            tallest = max(tallest, tall)
        y += tallest + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>{''.join(body)}</svg>\n"
    )


def differences(committed: Any, made: Any, where: str = "") -> Iterator[str]:
    """Yield what differs; numbers may by ``TOLERANCE``, or by 2 %, and printed text by its figures alone."""
    if isinstance(committed, dict) and isinstance(made, dict) and committed.keys() == made.keys():
        for key in committed:
            if key != "output":  # what is printed is the numbers once more
                yield from differences(committed[key], made[key], f"{where}.{key}")
    elif isinstance(committed, list) and isinstance(made, list) and len(committed) == len(made):
        for place, (old, new) in enumerate(zip(committed, made, strict=True)):
            yield from differences(old, new, f"{where}[{place}]")
    elif isinstance(committed, float) and isinstance(made, (float, int)):
        if not math.isclose(committed, made, rel_tol=0.02, abs_tol=TOLERANCE):
            yield f"{where}: committed {committed}, measured {made}"
    elif committed != made:
        yield f"{where}: committed {committed!r}, measured {made!r}"


def files_of(name: str, found: dict[str, Any], page: Callable, figures: Callable) -> dict[Path, str]:
    """Return the text of every file that a page is made of."""
    files = {DOCS / "gallery" / f"{name}.md": page(found)}
    return files | {DOCS / "_static" / "gallery" / f"{file}.svg": text for file, text in figures(found).items()}


def committed(name: str) -> dict[str, Any]:
    """Return the numbers that the committed page is written from."""
    return json.loads((DOCS / "_data" / f"{name}.json").read_text("utf-8"))


def stale(name: str, page: Callable, figures: Callable) -> list[str]:
    """Return which committed files are not what the committed numbers say."""
    made = files_of(name, committed(name), page, figures)
    return [
        path.relative_to(ROOT).as_posix()
        for path, text in made.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def arguments(description: str) -> argparse.ArgumentParser:
    """Return the flags that every script of the gallery takes."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data; default: $EQUIPOISE_DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder for audits and stores")
    parser.add_argument("--write-docs", action="store_true", help="write the page, its charts and its numbers")
    parser.add_argument(
        "--check", action="store_true", help="compare the committed page with this run; exit 1 if it differs"
    )
    return parser


def finish(name: str, found: dict[str, Any], page: Callable, figures: Callable, given: argparse.Namespace) -> int:
    """Keep the numbers of a run; write the page or hold the committed one against them."""
    found = json.loads(json.dumps(rounded(found), ensure_ascii=False))
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (given.out / f"{name}.json").write_text(text, encoding="utf-8")
    if given.write_docs:
        files = files_of(name, found, page, figures)
        for path, content in {DOCS / "_data" / f"{name}.json": text, **files}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    if given.check:
        problems = [*differences(committed(name), found), *(f"{path} is stale" for path in stale(name, page, figures))]
        print("\n".join(problems) or f"{name}: the committed page is what was measured")
        return int(bool(problems))
    print(given.out / f"{name}.json")
    return 0
