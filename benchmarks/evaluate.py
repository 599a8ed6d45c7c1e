"""What evaluation costs: the confusion matrix of a pair of rasters over the time of reading both once.

    python benchmarks/evaluate.py [--edge 10000] [--runs 3] [--all] [--report]

The pair is made here, in patches as land cover has them, as tiled and compressed GeoTIFFs. `--all` times the other
measures as well. `--report` writes one report, with imagery and probabilities, and prints its size and the memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.classes import ClassMap, LandClass
from landseg.evaluate import evaluate
from landseg.geo.distance import Distance
from landseg.geo.pieces import strips
from landseg.geo.rasters.mosaic import open_source
from landseg.labels.legend import class_tag

CLASSES = ClassMap(tuple(LandClass(i, f"class {i}", (40 * i, 90, 200 - 30 * i)) for i in range(1, 6)))


def make(path: Path, edge: int, *, seed: int) -> None:
    """A class raster of patches with ragged outlines; the same patches for every seed, 5 % of the pixels others."""
    patches = np.random.default_rng(0).integers(1, 6, (edge // 40 + 2, edge // 40 + 2)).astype(np.uint8)
    rng = np.random.default_rng(seed)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "tiled": True, "compress": "deflate"}
    place = {"crs": "EPSG:32645", "transform": Affine(0.5, 0, 3e5, 0, -0.5, 3e6)}
    with rasterio.open(path, "w", width=edge, height=edge, **profile, **place) as file:
        file.update_tags(LANDSEG_CLASSES=class_tag(CLASSES))
        for top in range(0, edge, 512):
            rows = np.arange(top, min(top + 512, edge))[:, None] + rng.integers(-3, 4, (1, edge))
            columns = np.arange(edge)[None] + rng.integers(-3, 4, (len(rows), 1))
            values = patches[np.clip(rows, 0, edge) // 40, np.clip(columns, 0, edge) // 40]
            noise = rng.random(values.shape) < 0.05
            values[noise] = rng.integers(1, 6, int(noise.sum()))
            file.write(values, 1, window=((top, top + len(rows)), (0, edge)))


def make_bands(path: Path, edge: int, bands: int) -> None:
    """Imagery, or probabilities, that vary as slowly as land does, with noise that no codec likes."""
    rng = np.random.default_rng(7)
    profile = {"driver": "GTiff", "count": bands, "dtype": "uint8", "tiled": True, "compress": "deflate", "zlevel": 1}
    place = {"crs": "EPSG:32645", "transform": Affine(0.5, 0, 3e5, 0, -0.5, 3e6)}
    with rasterio.open(path, "w", width=edge, height=edge, **profile, **place) as file:
        for top in range(0, edge, 256):
            rows, columns = np.arange(top, min(top + 256, edge))[:, None], np.arange(edge)[None]
            for band in range(bands):
                wave = 100 + 60 * np.sin(rows / (90 + 7 * band)) * np.cos(columns / (70 + 9 * band))
                values = wave + rng.integers(0, 80, wave.shape)
                file.write(values.astype(np.uint8), band + 1, window=((top, top + len(rows)), (0, edge)))


def report(folder: Path, paths: list[Path], edge: int) -> None:
    """Time, size and memory of a report with every layer."""
    image, probs, page = folder / "image.tif", folder / "probs.tif", folder / "report.html"
    make_bands(image, edge, 3)
    make_bands(probs, edge, len(CLASSES))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    evaluate(str(paths[0]), str(paths[1]), probs=str(probs), report=page, image=str(image), overwrite=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"with a report: {time.perf_counter() - start:.1f} s, {page.stat().st_size / 1e6:.1f} MB, peak memory "
        f"{peak // 1024} MiB ({before // 1024} MiB before)"
    )


def read(paths: list[Path]) -> None:
    """Read every pixel once, in the strips that evaluation takes."""
    for path in paths:
        with open_source(path, bands=[1]) as source:
            for rect in strips(source.grid.rect):
                source.read(rect)


def seconds(work: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{name}.tif") for name in ("map", "truth")]
        for seed, path in enumerate(paths):
            make(path, options.edge, seed=seed)
        if options.report:
            report(Path(folder), paths, options.edge)
        reading = statistics.median(seconds(lambda: read(paths), options.runs))
        print(f"reading both: {reading:.2f} s")
        plain: dict[str, Any] = {"boundary": None, "tolerance": None, "samples": 0}
        cases = {"confusion matrix": plain}
        if options.all:
            few = Distance(3)
            cases["with intervals"] = {"boundary": None, "tolerance": None}
            cases["with boundary IoU"] = {"boundary": few, "tolerance": None, "samples": 0}
            cases["with surface Dice"] = {"boundary": None, "tolerance": few, "samples": 0}
            cases["everything"] = {}
        for name, how in cases.items():
            taken = seconds(lambda how=how: evaluate(str(paths[0]), str(paths[1]), **how), options.runs)  # type: ignore[misc]
            middle = statistics.median(taken)
            print(f"{name}: {middle:.2f} s, {middle / reading:.2f} of reading")


if __name__ == "__main__":
    main()
