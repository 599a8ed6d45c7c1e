"""What polygons cost: regions, arcs and rings into one file, against rasterio's shapes into the same file.

    python benchmarks/export.py [--sizes 5000 10000] [--classes labels|fields] [--format .gpkg] [--reference]

Rasters are square, of `labels` (the land cover of sample_tiles, mirrored and tiled) or `fields` (the largest of six
random fields with detail at scales from 1 to 256 pixels: many more and more ragged regions). Each measurement is a
process of its own; the raster is an array in memory in both. Printed are seconds of each stage and the highest
resident memory, that of Python, its libraries and the array included.

The reference is `rasterio.features.shapes` of the array, `shapely.geometry.shape` of each, one
`pyogrio.write_dataframe`. landseg's is `trace`, `polygons` and one `pyogrio.write_arrow` of the chunks.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow
import pyogrio
import shapely
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.vector.lattice import trace
from landseg.vector.rings import polygons

ROOT = Path(__file__).resolve().parent.parent
DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile"}
CRS = "EPSG:32645"
STRIP = 512
SCALES = ((256, 1.5), (64, 1.0), (16, 0.7), (4, 0.35), (1, 0.1))  # pixels, and how much they weigh


def fields(size: int, *, classes: int = 6, seed: int = 1) -> NDArray[np.uint8]:
    """Classes 1 to `classes`: the index of the largest random field at each pixel."""
    rng = np.random.default_rng(seed)
    best, found = np.full((size, size), -np.inf, np.float32), np.zeros((size, size), np.uint8)
    for value in range(1, classes + 1):
        field = np.zeros((size, size), np.float32)
        for scale, weight in SCALES:
            count = size // scale + 2
            coarse = Image.fromarray(rng.standard_normal((count, count)).astype(np.float32))
            wide = coarse.resize((count * scale, count * scale), Image.Resampling.BICUBIC)
            field += weight * np.asarray(wide)[:size, :size]
        larger = field > best
        found[larger], best[larger] = value, field[larger]
    return found


def labels() -> NDArray[np.uint8]:
    """The land cover of the sample tiles, side by side at the height of the lowest; 0 is no data."""
    files = sorted((ROOT / "sample_tiles/landcover").glob("*/*_labels.png"))
    tiles = [np.asarray(Image.open(file)) for file in files]
    height = min(len(tile) for tile in tiles)
    return np.concatenate([tile[:height] for tile in tiles], axis=1).astype(np.uint8)


def raster(kind: str, size: int) -> NDArray[np.uint8]:
    """A class raster ``(size, size)``: a tile mirrored to and fro, so that its seams are no borders."""
    tile = labels() if kind == "labels" else fields(2000)
    whole = np.block([[tile, tile[:, ::-1]], [tile[::-1], tile[::-1, ::-1]]])
    counts = [-(-size // side) for side in whole.shape]
    return np.ascontiguousarray(np.tile(whole, counts)[:size, :size])


def reference(classes: NDArray[np.uint8], out: Path) -> dict[str, Any]:
    """Seconds of rasterio's way."""
    from rasterio.features import shapes

    start = time.perf_counter()
    pairs = [(value, shapely.geometry.shape(made)) for made, value in shapes(classes, mask=classes != 0)]
    made = time.perf_counter()
    values = np.array([value for value, _ in pairs], np.int32)
    frame = geopandas.GeoDataFrame({"value": values}, geometry=[shape for _, shape in pairs], crs=CRS)
    pyogrio.write_dataframe(frame, out, driver=DRIVERS[out.suffix])
    end = time.perf_counter()
    return {"features": len(pairs), "shapes_s": made - start, "write_s": end - made, "total_s": end - start}


def landseg(classes: NDArray[np.uint8], out: Path) -> dict[str, Any]:
    """Seconds of landseg's way."""
    seconds = {"trace_s": 0.0, "rings_s": 0.0}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=out.parent) as work:
        strips = (classes[row : row + STRIP] for row in range(0, len(classes), STRIP))
        regions, arcs = trace(strips, nodata=0, work=Path(work))
        seconds["trace_s"] = time.perf_counter() - start
        schema = pyarrow.schema([("value", pyarrow.int32()), ("geometry", pyarrow.binary())])

        def chunks() -> Iterator[pyarrow.RecordBatch]:
            begin = time.perf_counter()
            for part, shapes in polygons(regions, arcs):
                values = pyarrow.array(regions.value[part].astype(np.int32))
                batch = pyarrow.record_batch([values, pyarrow.array(shapely.to_wkb(shapes))], schema=schema)
                seconds["rings_s"] += time.perf_counter() - begin
                yield batch
                begin = time.perf_counter()

        reader = pyarrow.RecordBatchReader.from_batches(schema, chunks())
        pyogrio.write_arrow(
            reader, out, driver=DRIVERS[out.suffix], geometry_name="geometry", geometry_type="Polygon", crs=CRS
        )
        total = time.perf_counter() - start
        counts = {"features": len(regions), "arcs": len(arcs), "points": len(arcs.points)}
    return {**counts, **seconds, "write_s": total - sum(seconds.values()), "total_s": total}


def measure(way: str, kind: str, size: int, suffix: str, folder: str) -> dict[str, Any]:
    """The figures of one way in a process of its own."""
    command = [sys.executable, __file__, "--one", way, "--classes", kind, "--sizes", str(size)]
    command += ["--format", suffix, "--out", folder]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def one(way: str, kind: str, size: int, suffix: str, folder: str) -> dict[str, Any]:
    """The figures of one way, here and now."""
    out = Path(folder) / f"{way}{suffix}"
    classes = raster(kind, size)
    figures = (reference if way == "reference" else landseg)(classes, out)
    figures["file_mib"] = out.stat().st_size / 2**20
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert pyogrio.read_info(out)["features"] == figures["features"]
    return figures


def main() -> None:
    """Prints one line for each size and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 10000])
    parser.add_argument("--classes", choices=("labels", "fields"), default="fields")
    parser.add_argument("--format", choices=tuple(DRIVERS), default=".gpkg")
    parser.add_argument("--out", help="a folder for the files, which are removed")
    parser.add_argument("--reference", action="store_true", help="measure rasterio's way too")
    parser.add_argument("--one", choices=("landseg", "reference"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.classes, args.sizes[0], args.format, args.out)))
        return
    for size in args.sizes:
        for way in ("landseg", "reference") if args.reference else ("landseg",):
            with tempfile.TemporaryDirectory(dir=args.out) as folder:
                figures = measure(way, args.classes, size, args.format, folder)
            text = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"{size} {args.classes} {way}: {text}", flush=True)


if __name__ == "__main__":
    main()
