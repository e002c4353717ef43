"""``equipoise demo``: the whole loop on the demo faces."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.common import Common, Outcome


def demo(*, out: Path = Path("equipoise-demo"), common: Common | None = None) -> Outcome:
    """Run the whole loop on the demo faces: audit, mitigate, compare, gate, report.

    Parameters
    ----------
    out
        Folder for all that the loop makes.
    """
    from equipoise.cli.compare import show
    from equipoise.demo import run_demo

    common = common or Common()
    done = run_demo(
        out, seed=common.seed or 0, overwrite=common.overwrite, say=common.say, show=lambda found: show(common, found)
    )
    rows = common.rows(done.rows)
    result = {
        "ledgers": {name: str(path) for name, path in done.ledgers.items()},
        "gates": done.gates,
        "seconds": done.seconds,
    }
    return Outcome(line=str(done.report), result=result, out=str(done.report), rows=rows)
