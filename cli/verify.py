"""`landseg verify`: tiled against whole-image inference on a crop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import console, panels
from .options import (
    Bands,
    Device,
    Engine,
    Halo,
    Json,
    Log,
    Memory,
    Model,
    Quiet,
    Runtime,
    Sources,
    Stack,
    StoredValues,
    Threads,
    Tta,
    Window,
    numbers,
)
from .predict import expand

if TYPE_CHECKING:
    from landseg.inference.verification import Verification


def command(
    sources: Sources,
    model: Model = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="N|HxW", help="Size in pixels of the crop, at the raster's centre."),
    ] = None,
    bands: Bands = None,
    stack: Stack = False,
    stored_values: StoredValues = False,
    engine: Engine = "auto",
    window: Window = "auto",
    halo: Halo = "auto",
    tta: Tta = "none",
    device: Device = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="fp32|bf16|fp16",
            help="Floating-point format of both.",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = "fp32",
    runtime: Runtime = "auto",
    memory: Memory = 3072,
    threads: Threads = None,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Compare tiled with whole-image inference, pixel by pixel.

    Shows on a crop of your raster that the map has no seams.
    """
    from landseg.verify import verify

    with console.working():
        result = verify(
            expand(sources),
            model=model,
            bands=numbers(bands, "--bands", int),
            stack=stack,
            size=None if size is None else _size(size),
            window=window,
            engine=engine,
            halo=halo,
            tta=tta,
            device=device,
            precision=precision,
            runtime=runtime,
            stored_values=stored_values,
            memory=memory,
            quiet=quiet,
            threads=threads,
        )
    console.show(result.to_json(), as_json=as_json, text=lines(result))


def lines(made: Verification) -> list[str]:
    """Return the comparison as lines of text."""
    from landseg.text.amounts import counted, plural

    top, left, height, width = made.crop
    what = "strips" if made.engine == "stream" else "windows"
    return [
        f"crop          {height} x {width} px from row {top}, column {left}",
        f"{what:<13} {made.windows} of {made.window[0]} x {made.window[1]} px, halo {made.halo}, {made.mode}",
        f"network       {made.precision}, {made.runtime}; the whole image in PyTorch",
        *([] if made.tta == "none" else [f"tta           {made.tta}, of the crop, on both sides"]),
        f"max |dlogit|  {made.max_abs_diff:.3g}, {made.relative_diff:.1g} of the largest ({made.precision})",
        f"{plural(made.noun):<13} {made.class_disagreement:.4%} of {counted(made.pixels, 'pixel')} "
        f"differ, {made.ties:.4%} at ties",
        *(
            []
            if made.instances is None
            else [f"instances     {made.instances_differing:,} of {made.instances:,} differ"]
        ),
        f"tiled against whole image: {made.verdict}",
    ]


def _size(text: str) -> tuple[int, int]:
    from landseg.errors import PlanError

    try:
        parts = [int(part) for part in text.lower().split("x")]
        height, width = parts if len(parts) == 2 else (parts * 2)
    except ValueError:
        raise PlanError(f"--size {text}: expected a number or HEIGHTxWIDTH") from None
    if min(height, width) < 1:
        raise PlanError(f"--size {text}: expected 1 pixel or more")
    return height, width
