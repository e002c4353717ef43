"""Take the picture of the demo's report that the README shows.

python scripts/screenshot_report.py [REPORT.html]

Without a report the demo is run first. Needs Playwright (the extra ``dev``) and a Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "_static" / "report.png"
CHROMIUM = Path("/usr/bin/chromium")
WIDTH, HEIGHT, COLOURS, LARGEST = 1200, 1400, 128, 300_000


def photograph(page_file: Path, picture: Path) -> None:
    """Write the first screen of the first result on a page, in light colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM) if CHROMIUM.exists() else None)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.resolve().as_uri())
        top = page.locator("main article").first.bounding_box()
        clip = {"x": 0, "y": top["y"] + 2 if top else 0, "width": WIDTH, "height": HEIGHT}
        page.screenshot(path=str(picture), full_page=True, clip=clip)
        browser.close()


def shrink(picture: Path) -> None:
    """Reduce the picture to a palette; a report has few colours."""
    from PIL import Image

    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


def main() -> int:
    """Take the picture; exit 1 if it is larger than a README should hold."""
    PICTURE.parent.mkdir(exist_ok=True)
    if len(sys.argv) > 1:
        photograph(Path(sys.argv[1]), PICTURE)
    else:
        from equipoise.demo import run_demo

        with tempfile.TemporaryDirectory() as folder:
            photograph(run_demo(Path(folder) / "demo").report, PICTURE)
    shrink(PICTURE)
    size = PICTURE.stat().st_size
    print(f"{PICTURE}: {size / 1000:.0f} kB")
    return int(size > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
