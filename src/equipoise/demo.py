"""The demo: the whole loop on the demo faces, from embeddings that ship with the package.

    audit -> mitigate (gender, then race) -> audit with controls -> compare -> gate -> report

Every step leaves its folder, so that each can be opened, repeated or gated by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUERIES = ("occupations", "clinical-staff", "traits", "explicit")
BY = ("gender", "race", "age", "gender:race")
TREATED = ("gender", "race")


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes
    ----------
    report : Path
        The HTML file.
    ledgers : dict of str to Path
        By the attribute that was treated.
    gates : dict of str to str
        Verdict in words, by the attribute that was treated.
    rows : dict of str to int
        ``in``, ``used``, ``set_aside``.
    seconds : dict of str to float
        Wall-clock time by step.
    """

    report: Path
    ledgers: dict[str, Path]
    gates: dict[str, str]
    rows: dict[str, int]
    seconds: dict[str, float]


def run_demo(
    out: str | Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], Any] = print,
    show: Callable[[Any], Any] | None = None,
) -> Demo:
    """Run the loop and leave its artefacts in a folder.

    Parameters
    ----------
    out : path
        ``store/``, ``before/`` and, for gender and race, ``wring-*/``, ``after-*/``, ``ledger-*/``; and ``report.html``.
    seed : int
        Of the bootstrap.
    overwrite : bool
        Replace what another run left there.
    say : callable
        Receives one line of text a step.
    show : callable, optional
        Receives each Comparison, to show its ledger.
    """
    from equipoise.audit import audit
    from equipoise.compare import compare
    from equipoise.embed import embed
    from equipoise.gate import gate
    from equipoise.mitigate.artefact import save_mitigation
    from equipoise.mitigate.embeddings.wring import Wring
    from equipoise.models import demo
    from equipoise.report.html import report

    out = Path(out)
    clock = _Clock(say)
    with clock.step("store", "registering the embeddings of the demo faces"):
        faces = embed("demo", demo.samples(), store=out / "store", overwrite=overwrite)
    with clock.step("before", f"auditing {len(faces):,} faces by {', '.join(BY)}"):
        before = audit(faces, queries=list(QUERIES), by=BY, seed=seed)
        before.save(out / "before", overwrite=overwrite)
    ledgers, gates, comparisons = {}, {}, []
    for attribute in TREATED:
        with clock.step(f"wring-{attribute}", f"fitting WRING on {attribute}"):
            wring = Wring(attribute).fit(faces)
            save_mitigation(wring, out / f"wring-{attribute}", encoder=faces.encoder, overwrite=overwrite)
        with clock.step(f"after-{attribute}", "auditing again, with controls"):
            after = audit(faces, mitigation=wring, like=before)
            after.save(out / f"after-{attribute}", overwrite=overwrite)
        with clock.step(f"ledger-{attribute}", "comparing"):
            ledger = compare(before, after, seed=seed)
            ledgers[attribute] = ledger.save(out / f"ledger-{attribute}", overwrite=overwrite)
            comparisons.append(ledger)
        if show is not None:
            show(ledger)
        verdict = gate(ledger)
        gates[attribute] = f"{verdict.outcome}: {verdict.sentence}"
        say(f"gate on {attribute}: {gates[attribute]}")
    with clock.step("report", "writing the report"):
        page = report(list(ledgers.values()), out / "report.html", overwrite=True)
    rows = {name: int(before.document.rows[name]) for name in ("in", "used", "set_aside")}
    return Demo(page, ledgers, gates, rows, clock.seconds)


class _Step:
    def __init__(self, clock: _Clock, name: str) -> None:
        self.clock, self.name = clock, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.clock.seconds[self.name] = round(time.perf_counter() - self.start, 2)


class _Clock:
    """Says each step and keeps how long it took."""

    def __init__(self, say: Callable[[str], Any]) -> None:
        self.say = say
        self.seconds: dict[str, float] = {}

    def step(self, name: str, words: str) -> _Step:
        self.say(f"{words} ...")
        return _Step(self, name)
