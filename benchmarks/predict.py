"""What `landseg predict` costs: end-to-end time over bare forward passes, and peak memory by the raster's height.

    python benchmarks/predict.py [--engine E] [--precision auto] [--megapixels 100] [--memory 3072]
    python benchmarks/predict.py --rss [--widths 4096 16384 65536 --heights 2048 8192] [--engine windows]

The first predicts a synthetic raster and then runs bare forward passes on data in memory: of the plan's windows (same
network, batch and precision), or, where rows were streamed, of as many pixels in cache-sized tiles. The second
predicts rasters of each width and height in processes of their own and compares their peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def synthetic(path: Path, height: int, width: int) -> None:
    """A tiled GeoTIFF of smooth noise, written strip by strip."""
    import rasterio
    from affine import Affine

    rng = np.random.default_rng(0)
    tile = np.kron(rng.integers(0, 256, (3, 64, width // 16 + 1)), np.ones((1, 8, 16))).astype("uint8")[:, :, :width]
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": height, "width": width}
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "bigtiff": "if_safer"}
    with rasterio.open(path, "w", **profile, **place, **layout) as raster:
        for top in range(0, height, 512):
            rows = min(512, height - top)
            noise = rng.integers(0, 24, (1, rows, 1)).astype("uint8")
            raster.write(tile[:, :rows] // 2 + noise, window=((top, top + rows), (0, width)))


def overhead(args: argparse.Namespace, folder: Path) -> None:
    """Prints end-to-end seconds, bare seconds and their ratio."""
    from landseg.inference.match import match_raster
    from landseg.inference.options import PredictOptions
    from landseg.inference.runtimes import torch_engine
    from landseg.inference.scope import Scope
    from landseg.models.file import load_model
    from landseg.predict import predict

    edge = int((args.megapixels * 1e6) ** 0.5)
    source = folder / "source.tif"
    synthetic(source, edge, edge)
    options = {name: getattr(args, name) for name in ("precision", "memory", "engine", "window", "halo")}
    model = load_model(args.model)
    start = time.perf_counter()
    result = predict(source, folder / "out.tif", model=model, quiet=True, **options)
    total = time.perf_counter() - start
    print(json.dumps(result.to_json()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    engine = torch_engine(model, precision=args.precision)
    if result.engine == "stream":
        engine.executor.keep_memory()  # as the stream does
        sizes = [(512, 512)] * round(edge * edge / 512**2)
        what = "forward passes of as many pixels in tiles of 512 without a halo"
    else:
        with match_raster(source, model.card) as matched:
            tiling = Scope(engine, matched, PredictOptions.of(**options), matched.source.grid.rect).plan()
        if tiling.keeps_memory:
            engine.executor.keep_memory()
        sizes = [window.rect.shape for window in tiling.windows]
        what = "forward passes of the plan's windows"
    bare = sum(forward(engine, height, width) for height, width in sizes)
    print(f"end to end {total:.1f} s, {result.pixels / total / 1e6:.2f} Mpx/s; {what} {bare:.1f} s")
    print(f"ratio {total / bare:.3f}; peak RSS {peak:.0f} MiB; planned {result.memory_mib:.0f} MiB")


def forward(engine: Any, height: int, width: int) -> float:
    """Seconds of one forward pass on data in memory."""
    import torch

    images = torch.zeros(1, engine.executor.bands, height, width).to(engine.executor.dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    start = time.perf_counter()
    engine.executor.run([images])
    return time.perf_counter() - start


def peak_memory(args: argparse.Namespace, folder: Path) -> None:
    """Prints the peak memory of each size, a process each, and for each width the last height's over the first's."""
    for width in args.widths:
        peaks = []
        for height in args.heights:
            source = folder / f"{height}x{width}.tif"
            synthetic(source, height, width)
            code = (
                "import resource; from landseg.predict import predict; "
                f"made = predict({str(source)!r}, {str(folder / 'out.tif')!r}, model={args.model!r}, overwrite=True, "
                f"engine={args.engine!r}, window={args.window!r}, halo={args.halo!r}, memory={args.memory}, "
                f"precision={args.precision!r}, quiet=True); "
                "print(made.memory_mib, made.overlap_cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
            )
            ended = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
            planned, cost, peak = (float(word) for word in ended.stdout.split()[-3:])
            peaks.append(peak)
            print(f"{width} wide, {height} high: peak RSS {peak:.0f} MiB, planned {planned:.0f}, cost {cost:.3f}")
            source.unlink()
        print(f"{width} wide: ratio {peaks[-1] / peaks[0]:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--memory", type=int, default=3072)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--window", default="auto")
    parser.add_argument("--halo", default="auto")
    parser.add_argument("--rss", action="store_true")
    parser.add_argument("--widths", type=int, nargs="+", default=[8192])
    parser.add_argument("--heights", type=int, nargs="+", default=[8192, 65536])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (peak_memory if args.rss else overhead)(args, Path(folder))


if __name__ == "__main__":
    main()
