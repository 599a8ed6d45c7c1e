"""`landseg verify`: tiled against whole-image inference on a crop."""

from typing import Annotated

import typer

from . import console
from .options import Device, Json, Log, Memory, Model, Quiet, Sources, Stack, StoredValues, Threads, Tta, numbers
from .predict import expand


def command(
    sources: Sources,
    model: Model = None,
    bands: Annotated[
        str | None, typer.Option("--bands", metavar="N,N,...", help="Bands in the model's order, from 1.")
    ] = None,
    stack: Stack = False,
    size: Annotated[
        str | None, typer.Option("--size", metavar="N|HxW", help="Pixels of the crop, from the raster's centre.")
    ] = None,
    window: Annotated[str, typer.Option("--window", metavar="N|HxW", help="Pixels of a window.")] = "auto",
    engine: Annotated[
        str, typer.Option("--engine", metavar="auto|stream|windows", help="Rows in one pass, or windows with a halo.")
    ] = "auto",
    halo: Annotated[str, typer.Option("--halo", metavar="auto|exact|N", help="Context on each side.")] = "auto",
    tta: Tta = "none",
    device: Device = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32, bf16 or fp16; of both sides.")] = "fp32",
    stored_values: StoredValues = False,
    memory: Memory = 3072,
    threads: Threads = None,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Show that windows leave no trace: tiled against whole-image inference, pixel by pixel."""
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
            stored_values=stored_values,
            memory=memory,
            quiet=quiet,
            threads=threads,
        )
    console.show(result.to_json(), as_json=as_json, text=result.lines())


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
