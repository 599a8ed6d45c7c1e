"""The picture of a report in the README: the shipped model's map of a scene of Dubai, in a real browser.

    python benchmarks/report_picture.py [--output docs/images/report.jpg] [--width 1280] [--height 1745]

Predicts, evaluates, opens the report in headless Chromium without a network and takes a screenshot. `--keep FOLDER`
leaves the report there; `--phone` and `--print` make pictures of it at 390 pixels and on paper beside the picture.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from landseg.evaluate import evaluate
from landseg.predict import predict
from tests.parts.browser import Page, browser, find_chromium

ROOT = Path(__file__).resolve().parent.parent
SCENE = ROOT / "sample_tiles" / "landcover" / "val" / "tile8_part4.jpg"


def make_report(folder: Path) -> Path:
    """The report of the shipped model on the scene that it has not seen, made in a folder of its own."""
    for file in (SCENE, SCENE.with_name(f"{SCENE.stem}_labels.png")):
        shutil.copyfile(file, folder / file.name)
    os.chdir(folder)
    predict(SCENE.name, "landcover.tif", probs="probs.tif", overwrite=True)
    evaluate(
        "landcover.tif",
        f"{SCENE.stem}_labels.png",
        probs="probs.tif",
        report=Path("report.html"),
        image=SCENE.name,
        overwrite=True,
    )
    return folder / "report.html"


def shown(page: Page, report: Path) -> None:
    """Opens it with the truth on the left and the prediction on the right of the swipe."""
    page.offline()
    page.open(report.as_uri())
    page.wait_for("!!window.landseg")
    page.run("document.querySelector('#compare').click()")
    page.wait_for("Array.from(document.images).every((image) => image.complete)")
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "report.jpg")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1745)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit("no Chromium: install one, or name it in LANDSEG_CHROMIUM")
    with tempfile.TemporaryDirectory() as scratch:
        options.output = options.output.resolve()
        options.output.parent.mkdir(parents=True, exist_ok=True)
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        report = make_report(folder)
        with browser(program, Path(scratch) / "profile") as page:
            page.size(options.width, options.height)
            shown(page, report)
            page.picture(Path(scratch) / "page.png")
            if options.phone:
                page.size(390, 844, phone=True)
                shown(page, report)
                page.picture(options.output.with_name("phone.png"), whole=True)
            if options.print:
                page.pdf(options.output.with_name("report.pdf"))
        with Image.open(Path(scratch) / "page.png") as seen:
            seen.convert("RGB").save(options.output, quality=85, optimize=True, progressive=True)
    print(f"{options.output}: {options.output.stat().st_size // 1000} kB; report: {report.name}")


if __name__ == "__main__":
    main()
