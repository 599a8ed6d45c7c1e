"""What `landseg predict` costs: processor time and time over bare forward passes, and peak memory by size.

    python benchmarks/predict.py [--megapixels 31] [--precision fp32 ...] [--runtime onnx torch] [--rounds 3]
    python benchmarks/predict.py --wall [--engine E] [--precision auto] [--megapixels 100] [--memory 3072]
    python benchmarks/predict.py --rss [--widths 4096 16384 65536 --heights 2048 8192] [--engine windows]

The first predicts a synthetic raster and 64 x 64 pixels with each runtime and precision, and runs bare forward passes
over the same raster in tiles of 512 (see benchmarks/bare.py) in PyTorch and ONNX Runtime, all in processes of their
own and in turns. Printed are processor seconds (user and system) for each megapixel, those of the 64 x 64 pixels
taken off, and their ratios to bare passes: the medians of all rounds.

The second compares seconds by the clock with bare forward passes in PyTorch: of the plan's windows, or, where rows
were streamed, of as many pixels in cache-sized tiles. The third predicts rasters of each width and height in
processes of their own and compares their peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "from landseg.cli.main import main; main()"
CROP, TILE = 64, 512  # edges in pixels
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


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


def used(words: Sequence[str], **environment: str) -> tuple[float, str]:
    """Return the processor seconds (user and system) of a program in a process of its own, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended.stdout


def predicted(args: argparse.Namespace, sources: Sequence[Path], runtime: str, precision: str) -> float:
    """Return the processor seconds of predicting the first raster, less those of the second."""
    words = ["-c", PROGRAM, "predict", "-o", str(sources[0].with_name("out.tif")), "--overwrite", "--quiet"]
    words += ["--runtime", runtime, "--precision", precision, "--threads", str(args.threads)]
    words += ["--memory", str(args.memory)] + (["--model", args.model] if args.model else [])
    whole, start = (used([*words, str(source)])[0] for source in sources)
    print(
        f"  predict {runtime} {precision}: {whole:.2f} s, of them {start:.2f} s for {CROP} x {CROP} pixels",
        flush=True,
    )
    return whole - start


def passed(args: argparse.Namespace, source: Path, library: str, precision: str) -> float:
    """Return the processor seconds of bare forward passes over a raster.

    Threads of PyTorch sleep while they wait for each other (OMP_WAIT_POLICY): else they count as busy, the more so
    the busier the machine is.
    """
    words = [str(ROOT / "benchmarks" / "bare.py"), str(source), "--library", library, "--precision", precision]
    words += ["--threads", str(args.threads), "--tile", str(TILE)] + (["--model", args.model] if args.model else [])
    made = json.loads(used(words, OMP_WAIT_POLICY="PASSIVE")[1].splitlines()[-1])
    print(
        f"  bare {library} {precision}: {made['processor']:.2f} s, {made['seconds']:.2f} s by the clock", flush=True
    )
    return float(made["processor"])


def processor_time(args: argparse.Namespace, folder: Path) -> None:
    """Print the processor seconds a megapixel of each runtime and precision, and their ratios to bare passes."""
    edge = max(1, round((args.megapixels * 1e6) ** 0.5 / TILE)) * TILE
    sources = folder / "large.tif", folder / "small.tif"
    for source, pixels in zip(sources, (edge, CROP), strict=True):
        synthetic(source, pixels, pixels)
    print(f"{processor()}\n{edge} x {edge} pixels, {args.threads} threads")
    runs = [(r, p) for p in args.precision for r in args.runtime if (r, p) == ("onnx", "fp32") or r != "onnx"]
    bare = [*(("torch", p) for p in args.precision), ("plain", "fp32"), ("onnx", "fp32")]
    spent: dict[tuple[str, str, str], list[float]] = {}
    for turn in range(args.rounds):
        print(f"round {turn + 1} of {args.rounds}:")
        for run in runs:
            spent.setdefault(("landseg predict", *run), []).append(predicted(args, sources, *run))
        for one in bare:
            spent.setdefault(("bare passes", *one), []).append(passed(args, sources[0], *one))
    against = [("bare passes", *one) for one in bare]
    print("\n".join(_rows(spent, against, edge**2 / 1e6)))


def _rows(
    spent: dict[tuple[str, str, str], list[float]], against: Sequence[tuple[str, str, str]], megapixels: float
) -> list[str]:
    """Return the table: each run's seconds a megapixel, and its ratio to bare passes round by round, medians."""
    heads = ["processor seconds a Mpx", *(f"over bare {library} {precision}" for _, library, precision in against)]
    lines = [f"| what | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for (what, library, precision), seconds in spent.items():
        ratios = [median(a / b for a, b in zip(seconds, spent[one], strict=True)) for one in against]
        cells = [f"{median(seconds) / megapixels:.3f}", *(f"{ratio:.2f}" for ratio in ratios)]
        lines.append(f"| {what}, {library} {precision} | {' | '.join(cells)} |")
    return lines


def processor() -> str:
    """Return the processor's name, what of it matters, and what PyTorch and ONNX Runtime use of it."""
    code = (
        "import torch, onnxruntime; from landseg.tiling.compiled.block import processor_block; "
        "print(f'PyTorch {torch.__version__} computes with {torch.backends.cpu.get_cpu_capability()}, ONNX Runtime '"
        "f'{onnxruntime.__version__} in blocks of {processor_block()} channels')"
    )
    name, flags = "a processor", "unknown"
    if (facts := Path("/proc/cpuinfo")).is_file():
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines() if ":" in line)
        found = {name.strip(): value.strip() for name, value in lines.items()}
        name, has = found.get("model name", name), found.get("flags", "").split()
        flags = ", ".join(flag for flag in FLAGS if flag in has) or "none of them"
    limits = [
        f"{name}={os.environ[name]}" for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY") if name in os.environ
    ]
    return f"{name} with {flags}; {', '.join([used(['-c', code])[1].strip(), *limits])}"


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
    options = {name: getattr(args, name) for name in ("memory", "engine", "window", "halo")}
    options |= {"precision": args.precision[0], "runtime": args.runtime[0]}
    model = load_model(args.model)
    start = time.perf_counter()
    result = predict(source, folder / "out.tif", model=model, quiet=True, **options)
    total = time.perf_counter() - start
    print(json.dumps(result.to_json()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    engine = torch_engine(model, precision=args.precision[0])
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
                f"precision={args.precision[0]!r}, runtime={args.runtime[0]!r}, quiet=True); "
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
    parser.add_argument("--wall", action="store_true", help="compare seconds by the clock")
    parser.add_argument("--rss", action="store_true", help="compare peak memory")
    parser.add_argument("--model", help="name or file of a model; by default the shipped one")
    parser.add_argument("--precision", nargs="+", help="several only without --wall and --rss")
    parser.add_argument("--runtime", nargs="+", help="likewise; ONNX Runtime has fp32 alone")
    parser.add_argument("--megapixels", type=float, help="by default 31, and 100 with --wall")
    parser.add_argument("--threads", type=int, default=2, help="that compute")
    parser.add_argument("--rounds", type=int, default=3, help="of processor time, in turns")
    parser.add_argument("--memory", type=int, default=3072, help="limit of each run in MiB")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--window", default="auto")
    parser.add_argument("--halo", default="auto")
    parser.add_argument("--widths", type=int, nargs="+", default=[8192], help="of the rasters with --rss, in pixels")
    parser.add_argument("--heights", type=int, nargs="+", default=[8192, 65536], help="likewise")
    args = parser.parse_args()
    alone = args.wall or args.rss
    args.precision = args.precision or (["auto"] if alone else ["fp32"])
    args.runtime = args.runtime or (["auto"] if alone else ["onnx", "torch"])
    args.megapixels = args.megapixels or (100 if alone else 31)
    with tempfile.TemporaryDirectory() as folder:
        (peak_memory if args.rss else overhead if args.wall else processor_time)(args, Path(folder))


if __name__ == "__main__":
    main()
