"""What `landseg export` of a raster of ids costs: polygons a second and the highest memory, beside Python alone.

    python benchmarks/id_polygons.py [--side 10000] [--ids 200000] [--format .gpkg] [--simplify 0] [--holes 0]

The raster is synthetic: a lattice of houses of about 20 by 20 pixels at shifted places, of which every other pair
touches, with ragged walls; its rows are made strip by strip. The export runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.classes import ClassMap, LandClass
from landseg.labels.legend import class_tag

NODATA = (1 << 32) - 1
TABLE = ClassMap((LandClass(1, "land", (90, 160, 60)), LandClass(2, "house", (200, 30, 30), thing=True)))


def row_of_houses(row: int, count: int, width: int, height: int) -> NDArray[np.uint32]:
    """Return ids (height, width) of one row of houses, ``count`` in number."""
    rng = np.random.default_rng(row)
    step = width / count
    left = np.rint(np.arange(count) * step).astype(int)
    ids = np.zeros((height, width), np.uint32)
    for number, (begin, stop) in enumerate(zip(left, [*left[1:], width], strict=True)):
        top, gap = int(rng.integers(0, 3)), 0 if number % 2 == 0 else int(rng.integers(2, 5))
        ids[top : height - 2, begin : stop - gap] = row * count + number + 1
    ragged = rng.random(ids.shape) < 0.02
    ids[1:][ragged[1:]] = ids[:-1][ragged[1:]]
    return ids


def make(path: Path, side: int, count: int) -> None:
    """Write a raster of ids (side, side) with about ``count`` houses."""
    each = round(count**0.5)
    size = {"height": side, "width": side, "count": 1, "dtype": "uint32", "nodata": NODATA}
    place = {"crs": "EPSG:32645", "transform": Affine(0.25, 0, 300_000, 0, -0.25, 3_060_000)}
    top = np.rint(np.linspace(0, side, each + 1)).astype(int)
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **size, **place) as file:
        waiting: list[NDArray[np.uint32]] = []
        written = 0
        for row, (begin, stop) in enumerate(pairwise(top.tolist())):
            waiting.append(row_of_houses(row, each, side, stop - begin))
            rows = sum(map(len, waiting))
            if rows >= 1024 or stop == side:  # whole rows of blocks: each is written once
                block = np.concatenate(waiting)
                whole = rows if stop == side else rows // 256 * 256
                file.write(block[:whole], 1, window=rasterio.windows.Window(0, written, side, whole))
                written, waiting = written + whole, [block[whole:]]
        file.set_band_description(1, "instance")
        file.update_tags(LANDSEG_TASK="instances", LANDSEG_CLASSES=class_tag(TABLE))


def peak_mib() -> float:
    """Return the highest resident memory of this process in MiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def exported(path: Path, out: Path, simplify: float, holes: float) -> dict[str, float]:
    """Return the number of polygons, seconds, and the memory before and after in MiB."""
    from landseg.output.vector_writer import Writer
    from landseg.vector.id_export_run import export_ids

    assert Writer and export_ids  # loaded before the memory is taken
    idle = peak_mib()
    from landseg.export import export

    start = time.perf_counter()
    done = export(path, out, simplify=simplify, holes=holes)
    seconds = time.perf_counter() - start
    return {"polygons": done.features, "seconds": seconds, "idle_mib": idle, "peak_mib": peak_mib()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--ids", type=int, default=200_000)
    parser.add_argument("--format", default=".gpkg")
    parser.add_argument("--simplify", type=float, default=0.0)
    parser.add_argument("--holes", type=float, default=0.0)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        out = options.one.with_suffix(options.format)
        print(json.dumps(exported(options.one, out, options.simplify, options.holes)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids.tif"
        make(path, options.side, options.ids)
        words = [sys.executable, __file__, "--one", str(path), "--format", options.format]
        words += ["--simplify", str(options.simplify), "--holes", str(options.holes)]
        found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)
    speed = found["polygons"] / found["seconds"]
    print(
        f"{options.side:,}², {found['polygons']:,} polygons: {found['seconds']:.1f} s, {speed:,.0f} a second; "
        f"{found['peak_mib'] - found['idle_mib']:,.0f} MiB above {found['idle_mib']:,.0f} MiB of Python and libraries"
    )


if __name__ == "__main__":
    main()
