"""Bare forward passes of a model's network over a raster, tile by tile, in PyTorch or in ONNX Runtime.

    python benchmarks/bare.py RASTER [--library torch|plain|onnx] [--precision fp32] [--tile 512] [--threads 2]

All tiles are read and prepared first; only the passes are measured. Printed as JSON are their processor seconds (user
and system, of all threads), their seconds by the clock and the tiles' megapixels. The libraries:

- torch: PyTorch as landseg runs it on windows, that is batch norms folded, channels last, memory kept between layers;
- plain: PyTorch in fp32 with the network as it is loaded, in its own layout;
- onnx: ONNX Runtime in fp32 with one graph in the plain layout, which ONNX Runtime optimizes itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Pass = Callable[[Any], Any]


def torch_passes(args: argparse.Namespace) -> tuple[Callable[..., Any], Pass]:
    """Return the preparation of pixels for PyTorch, and its forward pass."""
    import torch

    from landseg.inference.runtimes import torch_engine
    from landseg.models.file import load_model

    executor = torch_engine(
        load_model(args.model), device="cpu", precision=args.precision, threads=args.threads
    ).executor
    executor.keep_memory()

    def prepare(pixels: Any, valid: Any) -> Any:
        return executor.prepare(pixels, valid).contiguous(memory_format=torch.channels_last)

    return prepare, lambda images: executor.run([images])


def plain_passes(args: argparse.Namespace) -> tuple[Callable[..., Any], Pass]:
    """Return the preparation of pixels for PyTorch, and the forward pass of the network as it is loaded."""
    import torch

    from landseg.models.file import load_model
    from landseg.tiling.scaling import Scaling

    model = load_model(args.model)
    network, card = model.network.eval(), model.card
    scaling = Scaling(card.means, card.stds, fill=card.fill)
    torch.set_num_threads(args.threads)

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(images))

    return scaling.planar, run


def onnx_passes(args: argparse.Namespace) -> tuple[Callable[..., Any], Pass]:
    """Return the preparation of pixels for ONNX Runtime, and its forward pass."""
    from landseg.models.compiled import read_compiled
    from landseg.models.named import named_model
    from landseg.tiling.compiled.emit import write_graph
    from landseg.tiling.compiled.graph import Graph
    from landseg.tiling.compiled.sections import Rows, Section
    from landseg.tiling.compiled.sessions import Session, as_value
    from landseg.tiling.scaling import Scaling

    model = named_model(args.model)
    found, card = read_compiled(model), model.card
    recipe, rows = found.recipe, Rows(found.recipe)
    whole = Section(range(len(recipe.layers)), (0,), (recipe.output,))
    written = write_graph(rows, whole, "only", found.weights, {0: None}, Graph(0))
    arrays = {packing.name: packing.pack(found.weights) for packing in written.used}
    values = {name: as_value(array) for name, array in arrays.items()}
    session = Session(written.content, values, threads=args.threads, optimize=True)
    scaling = Scaling(card.means, card.stds, fill=card.fill)

    def run(images: Any) -> Any:
        shapes = rows.shapes(images.shape[2:])
        feeds = {"v0": images}
        for name in session.inputs:
            if name.startswith(("rows", "columns")):
                value, axis = int(name.removeprefix("rows").removeprefix("columns")), int(name.startswith("columns"))
                feeds[name] = np.array([shapes[value][axis]], np.int64)
        session.run(feeds)
        return arrays  # which the session reads and does not own

    return scaling.planar, run


PASSES = {"torch": torch_passes, "plain": plain_passes, "onnx": onnx_passes}


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Return the processor seconds, the seconds and the megapixels of one pass over every tile."""
    import rasterio

    prepare, run = PASSES[args.library](args)
    tiles, edge = [], args.tile
    with rasterio.open(args.raster) as raster:
        for top in range(0, raster.height - edge + 1, edge):
            pixels = raster.read(window=((top, top + edge), (0, raster.width // edge * edge)))
            valid = np.ones((edge, edge), np.bool_)
            tiles += [
                prepare(np.ascontiguousarray(part), valid) for part in np.split(pixels, raster.width // edge, 2)
            ]
    run(tiles[0])
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for tile in tiles:
        run(tile)
    after, stop = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor": used, "seconds": stop - start, "megapixels": len(tiles) * edge**2 / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster", type=Path, help="at least a tile high and wide")
    parser.add_argument("--model", help="name or file of a model; by default the shipped one")
    parser.add_argument("--library", choices=tuple(PASSES), default="torch")
    parser.add_argument("--precision", default="fp32", help="of torch; the others compute in fp32")
    parser.add_argument("--tile", type=int, default=512, help="edge of a tile in pixels")
    parser.add_argument("--threads", type=int, default=2)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
