"""What evaluation costs: the confusion matrix of a pair of rasters over the time of reading both once.

    python benchmarks/evaluate.py [--edge 10000] [--runs 3] [--all]

The pair is made here, in patches as land cover has them, as tiled and compressed GeoTIFFs. `--all` times the other
measures as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.classes import ClassMap, LandClass
from landseg.comparison import Naming, strips
from landseg.distance import Distance
from landseg.evaluate import evaluate
from landseg.geo.legend import class_tag
from landseg.geo.source import open_source
from landseg.summary import EvaluateOptions

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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{name}.tif") for name in ("map", "truth")]
        for seed, path in enumerate(paths):
            make(path, options.edge, seed=seed)
        reading = statistics.median(seconds(lambda: read(paths), options.runs))
        print(f"reading both: {reading:.2f} s")
        plain = EvaluateOptions(Naming(), boundary=None, tolerance=None, samples=0)
        cases = {"confusion matrix": plain}
        if options.all:
            few = Distance(3)
            cases["with intervals"] = EvaluateOptions(boundary=None, tolerance=None)
            cases["with boundary IoU"] = EvaluateOptions(boundary=few, tolerance=None, samples=0)
            cases["with surface Dice"] = EvaluateOptions(boundary=None, tolerance=few, samples=0)
            cases["everything"] = EvaluateOptions()
        for name, how in cases.items():
            taken = seconds(lambda how=how: evaluate(str(paths[0]), str(paths[1]), how), options.runs)  # type: ignore[misc]
            middle = statistics.median(taken)
            print(f"{name}: {middle:.2f} s, {middle / reading:.2f} of reading")


if __name__ == "__main__":
    main()
