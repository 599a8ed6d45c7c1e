"""The table of docs/instances.md: houses of a column of Banepa that was kept out, found by objects and by pieces.

    python benchmarks/houses.py DATA WORK [--seeds 0 1 2] [--steps 1280] [--mask-rcnn 30m] [--write docs/instances.md]

DATA holds `tiles/*.tif`, named COLUMN_ROW, and the truth `buildings.gpkg`. WORK gets three mosaics of the tiles, the
truth, the models and the maps; models that are there are not trained again, and `--seeds` without any trains none.
Commands are timed in processor seconds of all their processes. Pieces are the four-connected pieces of the class map
of the same model. Mask R-CNN gives candidates from a score of 0.05 on, for AP; the other figures count those of its
card's score.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rasterio
from rasterio.merge import merge

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.evaluate import evaluate
from landseg.evaluation.objects.result import ObjectEvaluation
from landseg.evaluation.result import Evaluation
from landseg.export import export
from landseg.models.read_card import read_card

BEGIN = "<!-- table: python benchmarks/houses.py -->"
KEPT = "386691"
PARTS = {"west": ("386690",), "kept": (KEPT,), "east": ("386692", "386693", "386694")}
OBJECTS, MASK_RCNN = "flood", "Mask R-CNN"
LEAST_SCORE = 0.05
COUNTS = ("found", "merged", "split", "missed", "invented")
LEARN = ["--things", "--background", "ground", "--keep-out", "kept*", "--resolution", "0.26", "--scale", "0.8,1.25"]


def mosaics(tiles: Path, folder: Path) -> None:
    """Write the columns to learn from, and the one that is kept out, as one raster each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in PARTS.items():
        paths = sorted(path for column in columns for path in tiles.glob(f"{column}_*.tif"))
        pixels, transform = merge(paths)
        with rasterio.open(paths[0]) as first:
            profile = {**first.profile, "height": pixels.shape[1], "width": pixels.shape[2], "transform": transform}
        profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
        profile.pop("photometric", None)
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as raster:
            raster.write(pixels)


def copy_truth(data: Path, work: Path) -> None:
    """Copy the truth beside the mosaics, where the recipe `buildings_rgb.toml` looks for both."""
    shutil.copyfile(data / "buildings.gpkg", work / "buildings.gpkg")


def run(*words: object) -> float:
    """Run a command of landseg; return its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "import sys; from landseg.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def judged(found: Path, data: Path, kept: Path, score: float = 0.0) -> ObjectEvaluation:
    """Return the figures of polygons against the truth on the raster that was kept out, from a score on."""
    with rasterio.open(kept) as raster:
        box = tuple(raster.bounds)
    made = evaluate(str(found), str(data / "buildings.gpkg"), aoi=box, samples=0, score=score)
    assert isinstance(made, ObjectEvaluation)
    return made


def pixel_iou(mapped: Path, data: Path, kept: Path) -> float:
    """Return the IoU of the class of buildings against the truth, burnt onto the pixels of the map."""
    found = evaluate(str(mapped), str(data / "buildings.gpkg"), background="ground")
    assert isinstance(found, Evaluation)
    return float(found.to_json()["classes"][0]["iou"])


def row(way: str, seed: int, made: ObjectEvaluation, iou: float, *seconds: float | None) -> str:
    """Return the row of a way in the table."""
    values = made.to_json()
    means: dict[str, Any] = values["means"]
    figures = [means.get(name) for name in ("ap50", "ap", "precision", "recall", "f1", "best_f1")] + [iou]
    shown = ["" if one is None else f"{one:.3f}" for one in figures]
    counts = [str(values["counts"][name]) for name in COUNTS]
    times = ["" if one is None else f"{one:,.0f}" if one > 20 else f"{one:.1f}" for one in seconds]
    return f"| {way} | {seed} | {' | '.join((*shown, *counts, *times))} |"


def rows_of(way: str, seed: int, data: Path, work: Path, *budget: object) -> Sequence[str]:
    """Train with a seed, map the column that was kept out, and return the rows of objects and of pieces."""
    images, stem = work / "images", f"{way.replace(' ', '-')}{seed}"
    model, kept, learned = work / f"{stem}.safetensors", images / "kept.tif", None
    if not model.exists():
        given = (*LEARN, *budget, "--seed", seed, "-o", model)
        learned = run("train", images, data / "buildings.gpkg", *given)
    mapped, polygons, pieces = (work / f"{stem}{end}" for end in (".tif", ".gpkg", "_pieces.gpkg"))
    score: float = 0.0
    words: list[object] = []
    if way == MASK_RCNN:
        score, words = read_card(model).task_options["score"], ["--score", LEAST_SCORE]
    took = run("predict", kept, "-m", model, "-o", mapped, "--polygons", polygons, "--overwrite", *words)
    with rasterio.open(kept) as raster:
        size = raster.width * raster.height / 1e6
    iou = pixel_iou(mapped, data, kept)
    made = [row(way, seed, judged(polygons, data, kept, score), iou, learned, took / size)]
    if way == OBJECTS:
        export(str(mapped), str(pieces), classes=["buildings"], overwrite=True)
        made.append(row("pieces of its class map", seed, judged(pieces, data, kept), iou, None, None))
    return made


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1280, help="about 45 minutes on two cores")
    parser.add_argument("--mask-rcnn", metavar="TIME", help="train Mask R-CNN for this time too, such as 30m")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    mosaics(given.data / "tiles", given.work / "images")
    copy_truth(given.data, given.work)
    if not given.seeds:
        return
    figures = ["AP50", "AP", "precision", "recall", "F1", "best F1", "pixel IoU"]
    head = ["way", "seed", *figures, *COUNTS, "training, s", "mapping, s/Mpx"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    for seed in given.seeds:
        lines += rows_of(OBJECTS, seed, given.data, given.work, "--steps", given.steps)
    if given.mask_rcnn is not None:
        budget = ("--arch", "mask-rcnn", "--time-budget", given.mask_rcnn)
        lines += rows_of(MASK_RCNN, given.seeds[0], given.data, given.work, *budget)
    print("\n".join(lines))
    if given.write is not None:
        write_table(given.write, BEGIN, lines)


if __name__ == "__main__":
    main()
