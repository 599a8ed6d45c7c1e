"""Streamed rows against bare forward passes of the same pixels in the best cache-sized tiles without a halo.

    python benchmarks/rows.py --widths 2048 8192 16384 --precisions bf16 fp32 --seconds 20
    python benchmarks/rows.py --memory --widths 4096 16384 65536

Printed are medians and the quotient of the medians. The tiles run as the window engine runs them. With --memory
each width runs in a process of its own, and peak RSS over that of an idle process is printed for two heights.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from landseg.geo.grid import Rect
from landseg.models.layers.fold import prepare_for_inference
from landseg.models.networks.build import build_network
from landseg.runtime.memory import keep_freed_memory
from landseg.tiling.rows.plan import MIB, memory_of, plan_stream
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TILES = ((512, 512), (128, 2048), (256, 1024))
WARM = 1536  # rows before the clock starts: every layer is under way then


def network_in(precision: str) -> nn.Module:
    """The default network with random weights, ready to run."""
    network = build_network("deeplab-v3plus", encoder="efficientnet-lite0", bands=3, channels=5, decoder_channels=128)
    return prepare_for_inference(network.eval(), device=torch.device("cpu"), dtype=DTYPES[precision])


def noise(height: int, width: int, precision: str) -> Tensor:
    """An input (1, 3, height, width), channels-last."""
    return torch.randn(1, 3, height, width).to(DTYPES[precision], memory_format=torch.channels_last)


def repeated(seconds: float, pixels: int, run: object, *args: object) -> list[float]:
    """Nanoseconds a pixel of one call after the other, for so long and at least three times."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        run(*args)  # type: ignore[operator]
        taken.append((time.perf_counter() - start) / pixels * 1e9)
    return taken


def compare(width: int, precision: str, seconds: float, strip: int | None, chunk: int | None, sections: int) -> None:
    """Print one line of the table."""
    network = network_in(precision)
    program, size = program_of(network), torch.empty(0, dtype=DTYPES[precision]).element_size()
    shape = (10**6, width)
    plan = plan_stream(program, shape, bands=3, itemsize=size, limit=64 << 30, strip=strip)
    chosen = plan.chunk if chunk is None else chunk or None
    rows = Rows(program, shape, bands=3, strip=plan.strip, chunk=chosen, sections=sections, dtype=DTYPES[precision])
    image = noise(plan.strip, width, precision)
    tiles = [noise(*shape_of, precision) for shape_of in TILES]
    with torch.inference_mode(), rows:
        for _ in range(-(-WARM // plan.strip)):
            rows.push(image)
        streamed = repeated(seconds / 2, plan.strip * width, rows.push, image)
    with torch.inference_mode():
        for tile in tiles:
            network(tile)
        bare = [repeated(seconds / 2 / len(tiles), tile[0, 0].numel(), network, tile) for tile in tiles]
    mine, best = statistics.median(streamed), min(map(statistics.median, bare))
    print(
        f"{precision:5s} {width:6d} {plan.strip:5d} {chosen or 'all'!s:>6s} {1e3 / mine:8.2f} {1e3 / best:8.2f} "
        f"{mine / best:7.2f}",
        flush=True,
    )


def peak(width: int, height: int, precision: str, strip: int | None) -> None:
    """Stream noise and print the process's peak RSS beside the plan."""
    network = network_in(precision)
    network(noise(64, 64, precision))
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    program, size = program_of(network), torch.empty(0, dtype=DTYPES[precision]).element_size()
    plan = plan_stream(program, (height, width), bands=3, itemsize=size, limit=64 << 30, strip=strip)
    rows = Rows(program, (height, width), bands=3, strip=plan.strip, chunk=plan.chunk, dtype=DTYPES[precision])
    image = noise(64, width, precision)
    for top in range(0, height, 64):
        rows.push(image[:, :, : min(64, height - top)])
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    expected = memory_of(
        program, (height, width), Rect(0, 0, height, width), plan.strip, plan.chunk, bands=3, itemsize=size
    )
    print(
        f"{precision:5s} {width:6d} x {height:6d}  strip {plan.strip}  kept {expected.kept / width:.0f} B/column"
        f"  planned {expected.total / MIB:.0f} MiB  measured {(now - idle) / MIB:.0f} MiB over {idle / MIB:.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[2048, 4096, 8192, 16384])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"], choices=list(DTYPES))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--strip", type=int)
    parser.add_argument("--chunk", type=int, help="columns at a time, 0 for all; left out, the plan's")
    parser.add_argument("--sections", type=int, default=torch.get_num_threads(), help="of the network, at a time")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--heights", type=int, nargs="+", default=[1536, 3072])
    options = parser.parse_args()
    keep_freed_memory()
    if options.memory and "LANDSEG_BENCH_CHILD" not in os.environ:
        for precision in options.precisions:
            for width in options.widths:
                for height in options.heights:
                    only = ["--memory", "--widths", str(width), "--heights", str(height), "--precisions", precision]
                    only += ["--strip", str(options.strip)] if options.strip else []
                    child = {**os.environ, "LANDSEG_BENCH_CHILD": "1"}
                    subprocess.run([sys.executable, __file__, *only], env=child, check=True)
        return
    if options.memory:
        peak(options.widths[0], options.heights[0], options.precisions[0], options.strip)
        return
    print(f"{torch.get_num_threads()} threads, {options.sections} sections; Mpx/s, median; quotient of times")
    print("          width strip  chunk   stream     bare quotient")
    for precision in options.precisions:
        for width in options.widths:
            compare(width, precision, options.seconds, options.strip, options.chunk, options.sections)


if __name__ == "__main__":
    main()
