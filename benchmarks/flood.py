"""What the flood costs: megapixels a processor second and memory, on smooth maps and on noise, in strips.

    python benchmarks/flood.py [--side 2000] [--strips 1 16 64 512] [--noise 3000]

Smooth maps are noise blurred by a Gaussian (standard deviation 2 and 8 pixels) within a mask of two thirds; noise in
a full mask, one piece with a basin for every five pixels, is the worst there is. Times are processor time of one
thread; memory is the peak of what NumPy and Python allocate, without the maps, which `tracemalloc` counts in a run of
its own.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.dense.flood import Flood, Instances

RISE = 0.1
Rows = Callable[[int, int], tuple[NDArray[Any], NDArray[np.bool_]]]


def smooth(side: int, deviation: float) -> NDArray[np.float64]:
    """Return blurred noise (side, side) from 0 to 1."""
    noise = np.fft.rfft2(np.random.default_rng(0).random((side, side)))
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    blurred = np.fft.irfft2(noise * np.exp(-2 * (np.pi * deviation) ** 2 * (x * x + y * y)), s=(side, side))
    scaled: NDArray[np.float64] = (blurred - blurred.min()) / np.ptp(blurred)
    return scaled


def cut(
    energy: NDArray[Any], mask: NDArray[np.bool_], top: int, bottom: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return rows of a map and of its mask."""
    return energy[top:bottom], mask[top:bottom]


def grouped(rows: Rows, height: int, width: int, strip: int) -> Instances:
    """Return the instances of a raster whose rows come in strips; labels are not kept."""
    flood = Flood(width, rise=RISE)
    for top in range(0, height, strip):
        flood.add(*rows(top, min(top + strip, height)))
    flood.end()
    return flood.instances()


def measure(name: str, rows: Rows, side: int, strip: int) -> None:
    begin = time.process_time()
    found = grouped(rows, side, side, strip)
    seconds = time.process_time() - begin
    tracemalloc.start()
    grouped(rows, side, side, strip)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    labels = len(found.table) - 1
    speed = side * side / 1e6 / seconds
    row = (
        name,
        strip,
        f"{labels:,}",
        f"{len(found):,}",
        f"{speed:.1f}",
        f"{peak / 2**20:.0f}",
        f"{peak / labels:.0f}",
    )
    print("|", *(f"{cell} |" for cell in row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--strips", type=int, nargs="+", default=[1, 16, 64, 512])
    parser.add_argument("--noise", type=int, default=3000, help="side of the map of noise; 0 for none")
    given = parser.parse_args()
    print("| map | rows a strip | labels | instances | Mpx/s | peak MiB | bytes a label |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    blobs = smooth(given.side, 20)
    mask = blobs > np.quantile(blobs, 1 / 3)
    for deviation in (8, 2):
        energy = np.rint(smooth(given.side, deviation) * 65535).astype(np.uint16)
        for strip in given.strips:
            measure(f"smooth, {deviation} px", partial(cut, energy, mask), given.side, strip)
    if given.noise:
        random = np.random.default_rng(0)

        def noise(top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            shape = (bottom - top, given.noise)
            return random.integers(0, 65536, shape, dtype=np.uint16), np.ones(shape, bool)

        measure("noise", noise, given.noise, 64)


if __name__ == "__main__":
    main()
