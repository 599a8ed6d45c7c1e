"""What `landseg export` costs, beside rasterio's shapes written into a file of the same format.

    python benchmarks/export.py [--sizes 5000 10000] [--classes labels fields model] [--format .gpkg] [--rounds 1]
                                [--write docs/performance.md]
    python benchmarks/export.py --stages [--sizes ...] [--classes ...]

Rasters are square, of `labels` (the land cover of sample_tiles, mirrored and tiled), `fields` (the largest of six
random fields with detail at scales from 1 to 256 pixels: many more and more ragged regions) or `model` (the
shipped model's map of the scene in sample_tiles, mirrored and tiled). Each measurement is a process of its own; of
several rounds the fastest counts. The highest resident memory includes Python and its libraries.

landseg's is `landseg.export.export` of a GeoTIFF on disk as `landseg predict` writes it, with all that it does:
names, areas, perimeters, ids, style. The reference is `rasterio.features.shapes` of an array in memory,
`shapely.geometry.shape` of each, one `pyogrio.write_dataframe` of shapes and values. `--stages` is the core alone,
from an array in memory: seconds of `trace`, `polygons` and one `pyogrio.write_arrow` of the chunks.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow
import pyogrio
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.classes import ClassMap, LandClass
from landseg.export import export
from landseg.geo.grid import Grid
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.trace import trace

ROOT = Path(__file__).resolve().parent.parent
DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile"}
CRS = "EPSG:32645"
KINDS = ("labels", "fields", "model")
CLASSES = ClassMap(tuple(LandClass(v, f"class {v}", (40 * v, 255 - 40 * v, 20 * v)) for v in range(1, 7)))
BEGIN = "<!-- table: python benchmarks/export.py -->"
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


def modelled() -> NDArray[np.uint8]:
    """The shipped model's map of the scene in sample_tiles; 0 is no data."""
    from landseg.predict import predict

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.tif"
        predict(ROOT / "sample_tiles" / "banepa_scene.tif", path, quiet=True, device="cpu")
        return read(path)


def raster(kind: str, size: int) -> NDArray[np.uint8]:
    """A class raster ``(size, size)``: a tile mirrored to and fro, so that its seams are no borders."""
    tile = {"labels": labels, "fields": lambda: fields(2000), "model": modelled}[kind]()
    whole = np.block([[tile, tile[:, ::-1]], [tile[::-1], tile[::-1, ::-1]]])
    counts = [-(-size // side) for side in whole.shape]
    return np.ascontiguousarray(np.tile(whole, counts)[:size, :size])


def make(kind: str, size: int, path: Path) -> None:
    """The raster as a file, in the form of every class raster that landseg writes."""
    grid = Grid(rasterio.CRS.from_string(CRS), Affine(0.5, 0, 300_000, 0, -0.5, 3_060_000), size, size)
    with Outputs.begin(Targets([Layer.of_classes("classes", path, CLASSES)]), grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, raster(kind, size))
        outputs.finish()


def read(path: Path) -> NDArray[np.uint8]:
    """The file's values."""
    with rasterio.open(path) as file:
        values: NDArray[np.uint8] = file.read(1)
    return values


def exported(path: Path, out: Path) -> dict[str, Any]:
    """Seconds of `landseg export`."""
    start = time.perf_counter()
    done = export(path, out, quiet=True)
    return {"features": done.features, "total_s": time.perf_counter() - start}


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


def stages(classes: NDArray[np.uint8], out: Path) -> dict[str, Any]:
    """Seconds of each part of landseg's core."""
    seconds = {"trace_s": 0.0, "rings_s": 0.0}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=out.parent) as work:
        strips = (classes[row : row + STRIP] for row in range(0, len(classes), STRIP))
        regions, arcs = trace(strips, nodata=0, work=Path(work))
        seconds["trace_s"] = time.perf_counter() - start
        schema = pyarrow.schema([("value", pyarrow.int32()), ("geometry", pyarrow.binary())])

        def chunks() -> Iterator[pyarrow.RecordBatch]:
            begin = time.perf_counter()
            for part, shapes in build_polygons(regions, arcs):
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


def call(*words: Any) -> dict[str, Any]:
    """What this program prints in a process of its own."""
    command = [sys.executable, __file__, *map(str, words)]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def one(way: str, path: Path, out: Path) -> dict[str, Any]:
    """The figures of one way, here and now."""
    if way == "export":
        figures = exported(path, out)
    else:
        figures = (reference if way == "reference" else stages)(read(path), out)
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["file_mib"] = out.stat().st_size / 2**20
    info = pyogrio.read_info(out, layer=out.stem if out.suffix == ".gpkg" else None)
    assert info["features"] == figures["features"]
    return figures


def measure(kind: str, size: int, ways: Sequence[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The figures of each way on one raster: of the round in which it was fastest."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=options.out) as scratch:
        path = Path(scratch) / "classes.tif"
        call("--one", "make", "--classes", kind, "--sizes", size, "--raster", path)
        for way in tuple(ways) * options.rounds:  # in turns: the machine's mood is the same for all
            with tempfile.TemporaryDirectory(dir=options.out) as folder:
                out = Path(folder) / f"{way}{options.format}"
                figures = call("--one", way, "--raster", path, "--out", out)
            text = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"{size} {kind} {way}: {text}", file=sys.stderr, flush=True)
            if way not in found or figures["total_s"] < found[way]["total_s"]:
                found[way] = figures
    assert len({figures["features"] for figures in found.values()}) == 1
    return found


def table(options: argparse.Namespace) -> list[str]:
    """`landseg export` beside rasterio, a line for each raster."""
    lines = [
        "| classes | pixels | features | landseg export, s | rasterio, s | ratio | over the line above "
        "| landseg's peak RSS, MiB | rasterio's |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in options.classes:
        before: tuple[int, float] | None = None
        for size in sorted(options.sizes):
            found = measure(kind, size, ("export", "reference"), options)
            ours, theirs = found["export"], found["reference"]
            factor = (
                ""
                if before is None
                else f"{ours['total_s'] / before[1]:.2f} × the time for {(size / before[0]) ** 2:.3g} × the area"
            )
            lines.append(
                f"| {kind} | {size:,}² | {ours['features']:,} | {ours['total_s']:.1f} | {theirs['total_s']:.1f} "
                f"| {ours['total_s'] / theirs['total_s']:.2f} | {factor} "
                f"| {ours['peak_mib']:,.0f} | {theirs['peak_mib']:,.0f} |"
            )
            before = size, ours["total_s"]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 10000])
    parser.add_argument("--classes", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--format", choices=tuple(DRIVERS), default=".gpkg")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--stages", action="store_true", help="seconds of each part, in place of the table")
    parser.add_argument("--out", type=Path, help="a folder for the files, which are removed")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    parser.add_argument("--one", choices=("make", "export", "reference", "stages"), help=argparse.SUPPRESS)
    parser.add_argument("--raster", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one == "make":
        make(options.classes[0], options.sizes[0], options.raster)
        print("{}")
    elif options.one:
        print(json.dumps(one(options.one, options.raster, options.out)))
    elif options.stages:
        for kind in options.classes:
            for size in options.sizes:
                measure(kind, size, ("stages",), options)
    else:
        lines = table(options)
        print("\n".join(lines))
        if options.write is not None:
            write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
