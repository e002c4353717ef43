"""Run the commands of the tutorial and keep what they print, for the page to show.

python scripts/tutorial_output.py

Writes ``docs/_output/<command>.txt``; commands are numbered from the second of a verb on (``audit.txt``, ``audit-2.txt``).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
OUTPUT = ROOT / "docs" / "_output"


def commands(page: Path) -> list[list[str]]:
    """Return the ``equipoise`` and ``python`` commands of a page's ``sh`` blocks, as arguments, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0] in ("equipoise", "python")]


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows: TOML blocks whose first line is a comment with their name."""
    blocks = re.findall(r"^```toml\n# (\S+\.toml)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text, encoding="utf-8")


def main() -> None:
    """Run the commands in an empty folder, one after the other."""
    OUTPUT.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        write_files(PAGE, Path(folder))
        for words in commands(PAGE):
            program = [sys.executable, "-m", "equipoise"] if words[0] == "equipoise" else [sys.executable]
            ran = subprocess.run(
                [*program, *words[1:]], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding="utf-8", check=False,
            )  # fmt: skip
            if words[0] != "equipoise":
                ran.check_returncode()
                continue
            seen[words[1]] += 1
            name = words[1] if seen[words[1]] == 1 else f"{words[1]}-{seen[words[1]]}"
            text = "\n".join(line.rstrip() for line in ran.stdout.splitlines())
            (OUTPUT / f"{name}.txt").write_text(f"{text}\n[exit code {ran.returncode}]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
