"""What `landseg predict` costs beside the network: processor time of whole runs whose network is replaced.

    python benchmarks/zeros.py [--megapixels 31] [--patches] [--repeat 3] [--runtime onnx] [--probs]

Each run is a process of its own; the stream's rows are replaced by logits of zeros, or with --patches by logits whose
classes lie in patches, which compress as maps do. Printed are processor seconds (user and system) a megapixel, less
those of a crop of 64 x 64 pixels, the least of the repeats, and the stages: processor time of the threads that read,
prepare, place, decode and write, and that of the whole process while the files are finished. Start-up is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.predict import synthetic

CROP = 64
WHOLE = "all of it"
_PATCH = 24  # edge of a patch in pixels


class NoNetwork:
    """Rows of given logits: the interface of `landseg.tiling.executor.RowStream`, without a layer.

    Args:
        like: makes the stream that is replaced, for the rectangles that it reads and gives.
        strip: rows of logits at a time.
        classes: channels of the logits.
        patches: whether classes lie in patches; else all logits are zero.
        layout: how the logits lie in memory, "nchw" or "nhwc".
        tensors: whether they are tensors of PyTorch; else arrays.
    """

    seconds = system = 0.0  # processor time of making the logits, which is not to be measured
    _logits: Any = None  # of all strips

    def __init__(self, like: Any, *, strip: int, classes: int, patches: bool, layout: str, tensors: bool) -> None:
        self.reads, self.region, self._strip = like.reads, like.region, strip
        self.due, self._end = self.region.top, self.reads.top
        self._reach = self.reads.bottom - self.region.bottom
        shape = 1, classes, strip + _PATCH, self.region.width
        if NoNetwork._logits is None or NoNetwork._logits.shape != shape:
            before = resource.getrusage(resource.RUSAGE_SELF)
            NoNetwork._logits = _logits(shape, patches=patches, layout=layout, tensors=tensors)
            after = resource.getrusage(resource.RUSAGE_SELF)
            NoNetwork.system = after.ru_stime - before.ru_stime
            NoNetwork.seconds = NoNetwork.system + after.ru_utime - before.ru_utime

    def push(self, pixels: Any) -> list[tuple[int, Any]]:
        """Take rows of pixels; return the strips whose rows are all there."""
        self._end += pixels.shape[2]
        made = []
        whole = self._end >= self.reads.bottom
        while self.due < self.region.bottom:
            stop = min(self.due + self._strip - self.due % self._strip, self.region.bottom)
            if not whole and stop > self._end:
                break
            shift = self.due // self._strip % _PATCH
            made.append((self.due, NoNetwork._logits[:, :, shift : shift + stop - self.due]))
            self.due = stop
        return made

    def rest(self) -> list[tuple[int, Any]]:
        return []

    def stop(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def _logits(shape: tuple[int, ...], *, patches: bool, layout: str, tensors: bool) -> Any:
    logits = np.zeros(shape, np.float32)
    if patches:
        rng = np.random.default_rng(1)
        coarse = rng.normal(0, 4, (*shape[:2], shape[2] // _PATCH + 1, shape[3] // _PATCH + 1)).astype(np.float32)
        blocks = coarse.repeat(_PATCH, axis=2).repeat(_PATCH, axis=3)[:, :, : shape[2], : shape[3]]
        logits = blocks + rng.normal(0, 0.2, shape).astype(np.float32)
    if layout == "nhwc":
        logits = np.ascontiguousarray(logits.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if not tensors:
        return logits
    import torch

    return torch.from_numpy(logits)


class Clock:
    """Processor seconds by stage; a stage inside another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.system: Counter[str] = Counter()

    def watch(self, owner: Any, name: str, stage: str, *, whole: bool = False) -> None:
        """Measure a method: by the time of its thread, or of the whole process."""
        inner: Callable[..., Any] = getattr(owner, name)
        who = resource.RUSAGE_SELF if whole else resource.RUSAGE_THREAD

        def measured(*args: Any, **options: Any) -> Any:
            before = resource.getrusage(who)
            try:
                return inner(*args, **options)
            finally:
                after = resource.getrusage(who)
                self.system[stage] += after.ru_stime - before.ru_stime
                self.seconds[stage] += after.ru_stime - before.ru_stime + after.ru_utime - before.ru_utime

        setattr(owner, name, measured)


def run_once(args: argparse.Namespace) -> None:
    """Run predict with the network replaced and print the processor seconds of its stages as JSON."""
    import landseg.inference.run as run
    from landseg.dense.semantic import ClassDecoder
    from landseg.geo.rasters.source import Source
    from landseg.models.named import named_model
    from landseg.output import outputs
    from landseg.predict import predict
    from landseg.tiling import placement
    from landseg.tiling.rows import one_pass

    if args.runtime == "torch":
        from landseg.tiling.rows.torch_executor import TorchExecutor as Executor
    else:
        from landseg.tiling.compiled_executor import CompiledExecutor as Executor
    clock, rows, classes = Clock(), Executor.rows, named_model(None).card.channels

    def replaced(self: Any, shape: tuple[int, int], **options: Any) -> NoNetwork:
        like = rows(self, shape, **options)
        look = {"patches": args.patches, "layout": args.layout, "tensors": args.runtime == "torch"}
        return NoNetwork(like, strip=options["strip"], classes=classes, **look)

    Executor.rows = replaced
    clock.watch(Source, "read", "read")
    clock.watch(Executor, "prepare", "prepare")
    clock.watch(placement.GridPlacement, "resample", "place")
    clock.watch(one_pass._Placer, "work", "place, decode and hand on")
    clock.watch(ClassDecoder, "decode", "decode")
    clock.watch(outputs.Outputs, "write", "write")
    clock.watch(outputs.Outputs, "commit", "sync and journal")
    clock.watch(run.Run, "_write", WHOLE, whole=True)
    clock.watch(outputs, "build_layer", "COG", whole=True)
    clock.watch(outputs, "check_cog", "check") if hasattr(outputs, "check_cog") else None
    more = {"probs": args.out.with_name("probs.tif")} if args.probs else {}
    how = {"precision": args.precision, "runtime": args.runtime, "engine": "stream"}
    predict(args.source, args.out, quiet=True, overwrite=True, **how, **more)
    clock.seconds[WHOLE] -= NoNetwork.seconds
    clock.system[WHOLE] -= NoNetwork.system
    print(json.dumps({"seconds": clock.seconds, "system": clock.system}))


def spent(args: argparse.Namespace, source: Path, out: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return the processor seconds of each stage of one run in a process of its own, and those in the system."""
    words = [sys.executable, __file__, "--source", str(source), "--out", str(out), "--precision", args.precision]
    words += ["--patches"] * args.patches + ["--probs"] * args.probs
    words += ["--layout", args.layout, "--runtime", args.runtime]
    ended = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    made = json.loads(ended.stdout.splitlines()[-1])
    return made["seconds"], made["system"]


def compare(args: argparse.Namespace, folder: Path) -> None:
    """Print the processor time a megapixel, in all and by stage: the least of the repeats."""
    height = width = int((args.megapixels * 1e6) ** 0.5)
    large, small = folder / "large.tif", folder / "small.tif"
    if args.raster is None:
        synthetic(large, height, width)
    else:
        large = args.raster
        with rasterio.open(large) as raster:
            height, width = raster.shape
    synthetic(small, CROP, CROP)
    few, many = (
        min((spent(args, source, folder / "out.tif") for _ in range(args.repeat)), key=lambda one: one[0][WHOLE])
        for source in (small, large)
    )
    print(f"{height} x {width} pixels, the network replaced; processor time from the opened raster to the files:")
    pixels = (height * width - CROP * CROP) / 1e6
    for stage, seconds in many[0].items():
        less, inner = few[0].get(stage, 0.0), many[1][stage] - few[1].get(stage, 0.0)
        whole, inner = (1e3 * one / pixels for one in (seconds - less, inner))
        print(f"  {stage:26}{whole:7.2f} ms a megapixel, {inner:6.2f} of them in the system")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=31)
    parser.add_argument("--patches", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runtime", choices=("torch", "onnx"), default="onnx")
    parser.add_argument("--layout", choices=("nchw", "nhwc"), default="nchw", help="of the logits, as in memory")
    parser.add_argument("--probs", action="store_true")
    parser.add_argument("--raster", type=Path, help="predict this one in place of synthetic pixels")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.source is not None:
        run_once(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(args, Path(folder))


if __name__ == "__main__":
    main()
