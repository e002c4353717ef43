"""From Parquet to a balance at 20,000 to 100,000,000 rows of 64 bits: CPU time, wall time and peak memory.

    python benchmarks/m4_scale.py                    # to 10,000,000 rows, and DuckDB and Polars beside it
    python benchmarks/m4_scale.py --rows 20000 200000 1000000 10000000 100000000 --record

Rows are made in chunks of a million and written as Parquet files of their own: a column of text (the perceived gender, 4
values) and 60 columns of true and false. Every size is counted and balanced in a process of its own, whose peak is the
operating system's. ``--record`` writes ``docs/_data/m4_scale.json`` and, of that alone, the chart of the docs; ``--plot``
draws the chart again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

DATA = ROOT / "docs" / "_data" / "m4_scale.json"
CHART = ROOT / "docs" / "_static" / "m4_scale.svg"
CHUNK = 1_000_000
LABELS = 60
ONE_THREAD = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
SIZES = (20_000, 200_000, 1_000_000, 10_000_000)


def write(folder: Path, sizes: list[int]) -> None:
    """Write chunks of a million rows, and the sizes below that as the first rows of the first."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from m4_tables import GENDERS, web

    names = [f"label_{r:02d}" for r in range(LABELS)]
    for number, (gender, y) in enumerate(web(max(1, -(-max(sizes) // CHUNK)), CHUNK, LABELS)):
        text = pa.DictionaryArray.from_arrays(pa.array(gender), pa.array(GENDERS))
        table = pa.table({"gender": text} | {name: y[:, r] for r, name in enumerate(names)})
        pq.write_table(table, folder / f"rows_{number:03d}.parquet", row_group_size=CHUNK // 4)
        if number == 0:
            for size in sizes:
                if size < CHUNK:
                    pq.write_table(table.slice(0, size), folder / f"first_{size}.parquet")


def paths_of(folder: Path, size: int) -> list[str]:
    """Return the files of a size."""
    if size < CHUNK:
        return [str(folder / f"first_{size}.parquet")]
    return [str(folder / f"rows_{number:03d}.parquet") for number in range(size // CHUNK)]


def child(engine: str, folder: Path, size: int) -> dict[str, Any]:
    """Count one size, and balance it; return what each step took."""
    from m4_tables import GENDERS

    from equipoise.data.cell_stream import count_cells, layout_of_files
    from equipoise.data.cells_query import cells_of, cells_query, polars_expression
    from equipoise.mitigate.data.m4 import M4

    paths, labels = paths_of(folder, size), [f"label_{r:02d}" for r in range(LABELS)]
    layout = layout_of_files(paths, "gender", labels, vocabulary={"gender": list(GENDERS)})
    assert layout.size == 64
    if engine == "duckdb":
        import duckdb

        files = ", ".join(f"'{path}'" for path in paths)
        connection = duckdb.connect()
        connection.sql(f"CREATE VIEW rows AS SELECT * FROM read_parquet([{files}])")
        before = Clock()
        cells = cells_of(connection.sql(cells_query(layout, "rows")).to_arrow_table(), layout)
    elif engine == "polars":
        import polars

        before = Clock()
        rows = polars.scan_parquet(paths)
        keys = rows.select(polars_expression(layout, schema=rows.collect_schema())).drop_nulls()
        counted = keys.group_by(polars.all()).agg(count=polars.len()).collect(engine="streaming")
        cells = cells_of(counted.to_arrow(), layout)
    else:
        before = Clock()
        cells = count_cells(paths, layout)
    count = Clock() - before
    before = Clock()
    mitigation = M4("gender", labels, shares={"gender": {"woman": 0.5, "man": 0.5}}, tolerance=0.025)
    mitigation.fit(cells)
    fit = Clock() - before
    report = mitigation.report_
    assert report is not None
    assert cells.total == size
    return {
        "engine": engine, "rows": size, "cells": len(cells), "keys": digest(cells), "count_cpu_s": count.cpu,
        "count_wall_s": count.wall, "fit_cpu_s": fit.cpu, "status": report.status, "gap": report.gap,
    }  # fmt: skip


class Clock:
    """CPU and wall seconds of this process; a difference is one too."""

    def __init__(self, cpu: float | None = None, wall: float | None = None) -> None:
        self.cpu = time.process_time() if cpu is None else cpu
        self.wall = time.perf_counter() if wall is None else wall

    def __sub__(self, other: Clock) -> Clock:
        return Clock(self.cpu - other.cpu, self.wall - other.wall)


def digest(cells: Any) -> str:
    """Return a short checksum of keys and counts."""
    import hashlib

    return hashlib.sha256(cells.keys.tobytes() + cells.counts.tobytes()).hexdigest()[:12]


def command(what: str, folder: Path, sizes: list[int]) -> list[str]:
    """Return the command of a child."""
    return [sys.executable, __file__, "--child", what, "--folder", str(folder), "--rows", *map(str, sizes)]


def measured(engine: str, folder: Path, size: int) -> dict[str, Any]:
    """Run :func:`child` in a process of its own; add its peak resident memory.

    A process begins with the peak of the one that starts it, which must be small for that reason.
    """
    process = subprocess.Popen(command(engine, folder, [size]), stdout=subprocess.PIPE, text=True, env=ONE_THREAD)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{engine}, {size} rows ended with {process.returncode}")
    found = json.loads(text)
    found["peak_mb"] = used.ru_maxrss * 1024 / 1e6
    found["rows_per_cpu_s"] = size / found["count_cpu_s"]
    print(
        f"{engine}, {size} rows: {found['cells']} cells, count {found['count_cpu_s']:.2f} s CPU "
        f"{found['count_wall_s']:.2f} s wall, fit {found['fit_cpu_s']:.2f} s CPU ({found['status']}, gap "
        f"{found['gap']:.1e}), {found['peak_mb']:.0f} MB at the peak, {found['rows_per_cpu_s']:.3g} rows a CPU second",
        flush=True,
    )
    return found


def plot(record: dict[str, Any]) -> str:
    """Return the cost curve as SVG."""
    import altair as alt
    import vl_convert

    runs = [run for run in record["runs"] if run["engine"] == "equipoise"]
    values = [
        {"rows": run["rows"], "step": step, "seconds": max(run[key], 1e-3)}
        for run in runs
        for step, key in (("Parquet to cells", "count_cpu_s"), ("solve", "fit_cpu_s"))
    ]
    x = alt.X("rows:Q", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", tickCount=5), title="rows")
    cost = (
        alt.Chart(alt.Data(values=values))
        .mark_line(point=True)
        .encode(
            x=x,
            y=alt.Y("seconds:Q", scale=alt.Scale(type="log"), title="CPU seconds"),
            color=alt.Color("step:N", title=None, legend=alt.Legend(orient="top")),
        )
        .properties(width=300, height=220)
    )
    memory = (
        alt.Chart(alt.Data(values=[{"rows": run["rows"], "peak": run["peak_mb"]} for run in runs]))
        .mark_line(point=True)
        .encode(x=x, y=alt.Y("peak:Q", scale=alt.Scale(zero=True), title="peak memory, MB"))
        .properties(width=300, height=220)
    )
    chart = alt.hconcat(cost, memory).configure(background="white")
    return vl_convert.vegalite_to_svg(chart.to_dict(validate=False))


def main() -> int:
    """Measure, print, and record; exit 1 if two engines differ in a key or a count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument(
        "--engines-rows", type=int, default=10_000_000, help="size at which DuckDB and Polars count too"
    )
    parser.add_argument("--folder", type=Path, help="where to write and keep the rows; a temporary folder otherwise")
    parser.add_argument("--record", action="store_true", help="write the JSON and the chart of the docs")
    parser.add_argument("--plot", action="store_true", help="draw the chart of the recorded JSON and stop")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        if options.child == "write":
            write(options.folder, options.rows)
            return 0
        print(json.dumps(child(options.child, options.folder, options.rows[0])))
        return 0
    if options.plot:
        CHART.write_text(plot(json.loads(DATA.read_text())))
        return 0
    if any(size >= CHUNK and size % CHUNK for size in options.rows):
        parser.error(f"sizes above {CHUNK:,} are whole multiples of it")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "done").exists():
            subprocess.run(command("write", folder, options.rows), check=True)
            (folder / "done").touch()
        runs = [measured("equipoise", folder, size) for size in sorted(options.rows)]
        for engine in ("duckdb", "polars"):
            if options.engines_rows in options.rows and find_spec(engine):
                runs.append(measured(engine, folder, options.engines_rows))
            else:
                print(
                    f"{engine} is not measured: it is not installed, or {options.engines_rows} is not among the sizes"
                )
    mine = {run["rows"]: run["keys"] for run in runs if run["engine"] == "equipoise"}
    differ = sum(run["keys"] != mine[run["rows"]] for run in runs)
    print(f"{differ} engines differ in a key or a count")
    if options.record:
        record = {"chunk": CHUNK, "labels": LABELS, "cores": os.cpu_count(), "runs": runs}
        DATA.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        CHART.write_text(plot(record))
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
