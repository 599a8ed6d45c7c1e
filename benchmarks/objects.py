"""What objects cost in `landseg predict`: processor seconds of the network, of the grouping and of whole runs.

    python benchmarks/objects.py MODEL RASTER... [--precision fp32] [--write docs/instances.md]

Several rasters are one mosaic. It is mapped twice: at its own pixels, and averaged to those of the model. Times are
processor time of one thread: of whole calls, of the rows through the network (with reading, resampling and writing)
and of the grouping. Of three calls the fastest counts, after one that does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.merge import merge

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.dense import instances
from landseg.geo.rasters.source import FileSource
from landseg.inference.row_strategy import RowStrategy
from landseg.models.file import load_model
from landseg.predict import predict

BEGIN = "<!-- table: python benchmarks/objects.py -->"
CALLS = 3


class Clock:
    """The processor seconds of the parts of the last run, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, and notes its time."""

        def run(*args: Any, **options: Any) -> Any:
            begin = time.process_time()
            made = function(*args, **options)
            self.seconds[name] = time.process_time() - begin
            return made

        return run


def mosaic(rasters: list[str], out: Path, *, factor: float) -> Path:
    """Write rasters as one, its pixels averaged to so many times their size."""
    pixels, transform = merge(rasters)
    with rasterio.open(rasters[0]) as first:
        profile = {**first.profile, "transform": transform, "height": pixels.shape[1], "width": pixels.shape[2]}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    profile.pop("photometric", None)
    with rasterio.open(out, "w", **profile) as raster:
        raster.write(pixels)
    if factor == 1:
        return out
    with rasterio.open(out) as raster:
        shape = tuple(round(size / factor) for size in raster.shape)
        pixels = raster.read(out_shape=(raster.count, *shape), resampling=Resampling.average)
    scale = Affine.scale(profile["width"] / shape[1], profile["height"] / shape[0])
    with rasterio.open(
        out, "w", **{**profile, "height": shape[0], "width": shape[1], "transform": transform @ scale}
    ) as raster:
        raster.write(pixels)
    return out


def fastest(clock: Clock, raster: Path, folder: Path, options: dict[str, Any]) -> tuple[float, dict[str, float], Any]:
    """Return the processor seconds of the fastest call, those of its parts, and its facts."""
    best: tuple[float, dict[str, float], Any] | None = None
    for call in range(CALLS + 1):
        clock.seconds = {}
        begin = time.process_time()
        made = predict(raster, folder / "map.tif", overwrite=True, threads=1, device="cpu", **options)
        took = time.process_time() - begin
        if call and (best is None or took < best[0]):
            best = took, dict(clock.seconds), made
    assert best is not None
    return best


def row(clock: Clock, raster: Path, folder: Path, options: dict[str, Any]) -> str:
    """Return the row of a raster in the table."""
    plain, parts, _ = fastest(clock, raster, folder, options)
    ids = {**options, "instances": folder / "ids.tif"}
    grouped, also, made = fastest(clock, raster, folder, ids)
    drawn, _, _ = fastest(clock, raster, folder, {**ids, "polygons": folder / "objects.gpkg"})
    shares = f"{also['grouping']:.2f} ({also['grouping'] / parts['network']:.0%} of the network)"
    return (
        f"| {made.pixels / 1e6:.1f} | {made.precision} | {made.counts['instances']:,} | {parts['network']:.2f} "
        f"| {plain:.2f} | {shares} | {grouped:.2f} ({grouped / plain:.2f} x) | {drawn:.2f} ({drawn / plain:.2f} x) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rasters", nargs="+")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    clock = Clock()
    instances.write_ids = clock.timed("grouping", instances.write_ids)  # type: ignore[attr-defined]
    RowStrategy.run = clock.timed("network", RowStrategy.run)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as made_in:
        folder, wanted_m = Path(made_in), load_model(args.model).card.resolution_m
        options: dict[str, Any] = {"model": args.model, "precision": args.precision}
        rasters = [mosaic(args.rasters, folder / "own.tif", factor=1)]
        with FileSource(rasters[0]) as source:
            own_m = source.grid.resolution_m
        if wanted_m and own_m and wanted_m > 1.2 * own_m:
            rasters.insert(0, mosaic(args.rasters, folder / "model.tif", factor=wanted_m / own_m))
        lines = [
            "| Mpx | precision | objects | network, s | class raster, s | grouping, s | ids, s | and polygons, s |",
            "|--:|---|--:|--:|--:|--:|--:|--:|",
            *(row(clock, raster, folder, options) for raster in rasters),
        ]
    print("\n".join(lines))
    if args.write is not None:
        write_table(args.write, BEGIN, lines)


if __name__ == "__main__":
    main()
