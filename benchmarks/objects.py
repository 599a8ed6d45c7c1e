"""What objects cost in `landseg predict`: processor seconds of the network, of the grouping and of a whole run.

    python benchmarks/objects.py MODEL RASTERS... [--precision fp32] [--polygons]

Several rasters are one mosaic. Times are processor time of one thread, `time.process_time` around the whole call and
around the second pass; the network's is that of a run for the class raster alone. The first run is not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.dense import instances
from landseg.dense.row_grouping import Grouped
from landseg.predict import predict

write_ids = instances.write_ids
second_pass: list[float] = []


def timed(*args: Any) -> Grouped:
    """Return the objects of `write_ids`, and note its time."""
    begin = time.process_time()
    found = write_ids(*args)
    second_pass.append(time.process_time() - begin)
    return found


def seconds(rasters: list[str], folder: Path, options: Mapping[str, Any]) -> tuple[float, Any]:
    """Return the processor seconds of a run, and its facts."""
    begin = time.process_time()
    made = predict(rasters, folder / "map.tif", overwrite=True, threads=1, device="cpu", **options)
    return time.process_time() - begin, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rasters", nargs="+")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--polygons", action="store_true", help="write polygons of objects too")
    args = parser.parse_args()
    instances.write_ids = timed
    with tempfile.TemporaryDirectory() as made_in:
        folder = Path(made_in)
        options: dict[str, Any] = {"model": args.model, "precision": args.precision}
        objects: dict[str, Any] = {**options, "instances": folder / "ids.tif"}
        if args.polygons:
            objects["polygons"] = folder / "objects.gpkg"
        seconds(args.rasters, folder, options)
        alone, _ = seconds(args.rasters, folder, options)
        with_objects, made = seconds(args.rasters, folder, objects)
    print("| Mpx | precision | objects | class raster, s | grouping, s | with objects, s |")
    print("|--:|---|--:|--:|--:|--:|")
    count, size = made.counts["instances"], made.pixels / 1e6
    print(f"| {size:.1f} | {made.precision} | {count:,} | {alone:.1f} | {second_pass[-1]:.2f} | {with_objects:.1f} |")


if __name__ == "__main__":
    main()
