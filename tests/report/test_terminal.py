from __future__ import annotations

import io

from report import fixture
from rich.console import Console

from equipoise.report.terminal import show


def printed(subject, **keys):
    out = io.StringIO()
    show(subject, console=Console(file=out, width=140, force_terminal=True, color_system=None), **keys)
    return out.getvalue()


def test_at_most_twenty_rows_under_the_sentence():
    subject = fixture.comparison()
    text = printed(subject)
    assert text.startswith(subject.document.headline[:80])
    words = [
        word
        for word in ("improved", "worse", "unchanged", "insufficient")
        for line in text.splitlines()
        if line.rstrip().endswith(word)
    ]
    assert len(words) == 20
    assert "20 of 40 rows" in text
    assert "▼ improved" in text


def test_control_sequences_and_markup_in_data_are_text():
    bad = "\x1b[31m\x07[bold]Eve[/bold]\r\n"
    extra = [fixture.row("max_skew@200", 0.3, 0.1, 0.01, attribute=bad, family=bad, targeted=True)]
    text = printed(fixture.comparison(extra=extra))
    assert not any(mark in text for mark in ("\x1b[31m", "\x07", "\r"))
    assert "␛[31m␇[bold]Eve[/bold]" in text.replace("\n", "") or "␛[31m␇[bold]E" in text


def test_an_audit():
    text = printed(fixture.audit(), rows=3)
    assert text.startswith("The largest age skew")
    assert "3 of 41 rows" in text
