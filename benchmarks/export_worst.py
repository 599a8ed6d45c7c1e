"""What shaping polygons costs where it is hardest: processor seconds and memory, of rasters made for it.

    python benchmarks/export_worst.py [--cases noise holes ...] [--ways simplify smooth merge] [--scale 1.0]

Each measurement is a process of its own: the raster is traced, its arcs are shaped, its polygons are made and
thrown away. *noise* has a random class for each pixel, *chequered* nine classes such that each pixel is a region,
*holes* 100,000 discs in one background, *comb* one face with a ragged outline of half a million points and 31,000
holes, *percolation* a face that hangs together by a thread everywhere, with its no data, *rising* a row of
20,000 regions, each larger than the one before.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.vector.topology.merge import merge_small
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.simplify import simplify, smooth
from landseg.vector.topology.trace import trace

Classes = NDArray[np.uint8]
STRIP = 512
TOLERANCE = 2.0  # pixels
LEAST = 30.0  # pixels of a region that is not merged
WAYS = ("simplify", "smooth", "merge")


def noise(scale: float) -> Classes:
    """A random class, 1 to 6, for each pixel."""
    side = round(2000 * scale)
    return np.random.default_rng(1).integers(1, 7, (side, side), np.uint8)


def chequered(scale: float) -> Classes:
    """Every pixel another class than its neighbours."""
    index = np.arange(round(2000 * scale)) % 3
    return (index[:, None] * 3 + index + 1).astype(np.uint8)


def holes(scale: float) -> Classes:
    """Discs, 16 pixels apart, in one background."""
    away = np.hypot(*(np.mgrid[:16, :16] - 7.5))
    count = round(316 * scale)
    return np.tile(np.where(away < 5.5, 2, 1).astype(np.uint8), (count, count))


def comb(scale: float) -> Classes:
    """Teeth with ragged edges, all of one face, with a hole every eight rows; between them no data."""
    side, rng = round(2000 * scale), np.random.default_rng(1)
    found, column = np.zeros((side, side), np.uint8), np.arange(16)
    for x in range(0, side - 15, 16):
        begin, end = rng.integers(0, 3, side), rng.integers(10, 13, side)
        found[:, x : x + 16] = (column >= begin[:, None]) & (column < end[:, None])
        for row in (6, 7):
            found[row : side - 4 : 8, x + 5 : x + 7] = 2
    found[:2] = 1
    return found


def percolation(scale: float) -> Classes:
    """65 of 100 pixels, which are one face mostly; the others are no data."""
    side = round(1000 * scale)
    return (np.random.default_rng(1).random((side, side)) < 0.65).astype(np.uint8)


def rising(scale: float) -> Classes:
    """One row of regions; see `areas`."""
    return (np.arange(round(20_000 * scale)) % 250 + 1).astype(np.uint8)[None]


CASES: dict[str, Callable[[float], Classes]] = {
    made.__name__: made for made in (noise, chequered, holes, comb, percolation, rising)
}


def one(case: str, way: str, scale: float) -> str:
    """A line of the table, measured here and now."""
    classes = CASES[case](scale)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        strips = (classes[row : row + STRIP] for row in range(0, len(classes), STRIP))
        regions, arcs = trace(strips, nodata=0, work=work)
        size = f"{len(regions):,} | {len(arcs):,} | {len(arcs.points):,}"
        traced_mib, start = _peak_mib(), time.process_time()
        if way == "merge":
            row = np.arange(1.0, len(regions) + 1)
            areas, least = (row, row.sum()) if case == "rising" else (regions.pixels * 1.0, LEAST)
            regions, arcs = merge_small(regions, arcs, areas, least, work=work)
        else:
            arcs = simplify(arcs, TOLERANCE) if way == "simplify" else smooth(arcs)
        seconds, shaped_mib = time.process_time() - start, _peak_mib()
        made = sum(len(shapes) for _, shapes in build_polygons(regions, arcs))
    assert made == len(regions)
    return f"| {case} | {way} | {size} | {seconds:.1f} | {traced_mib:.0f} | {shaped_mib:.0f} |"


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the raster's sides")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(one(args.cases[0], args.ways[0], args.scale))
        return
    print("| raster | way | regions | arcs | points | CPU s | MiB, traced | MiB, shaped |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for case in args.cases:
        for way in args.ways:
            command = [sys.executable, __file__, "--one", "--cases", case, "--ways", way, "--scale", str(args.scale)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
