"""`landseg predict`: a land-cover map of a raster."""

import glob
import os
from pathlib import Path
from typing import Annotated

import typer

from . import console
from .options import (
    Device,
    Json,
    Memory,
    Model,
    Overwrite,
    Precision,
    Resume,
    Sources,
    Stack,
    StoredValues,
    Tta,
    numbers,
)

_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".png", ".jpg")


def command(
    sources: Sources,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="OUT.tif (several sources: one mosaic) or a folder, DIR/ (one output each)."
        ),
    ],
    model: Model = None,
    bands: Annotated[
        str | None, typer.Option("--bands", metavar="N,N,...", help="Bands in the model's order, from 1.")
    ] = None,
    stack: Stack = False,
    probs: Annotated[str | None, typer.Option("--probs", metavar="FILE", help="Class probabilities.")] = None,
    probs_dtype: Annotated[str, typer.Option("--probs-dtype", help="uint8 (steps of 1/255) or float32.")] = "uint8",
    confidence: Annotated[
        str | None, typer.Option("--confidence", metavar="FILE", help="The top class's probability.")
    ] = None,
    logits: Annotated[str | None, typer.Option("--logits", metavar="FILE", help="Logits, float32.")] = None,
    polygons: Annotated[
        str | None, typer.Option("--polygons", metavar="FILE", help="Polygons by class; format by suffix.")
    ] = None,
    preview: Annotated[str | None, typer.Option("--preview", metavar="FILE.png", help="A picture.")] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="auto|stream|windows", help="Rows in one pass, or windows with a halo.")
    ] = "auto",
    window: Annotated[
        str, typer.Option("--window", metavar="N|HxW", help="Pixels that the network sees at once.")
    ] = "auto",
    halo: Annotated[
        str, typer.Option("--halo", metavar="auto|exact|N", help="Context on each side of what is kept.")
    ] = "auto",
    batch: Annotated[int | None, typer.Option("--batch", help="Windows for one call of the network.")] = None,
    tta: Tta = "none",
    device: Device = "auto",
    precision: Precision = "auto",
    resolution: Annotated[
        float | None,
        typer.Option("--resolution", metavar="METRES", help="Run the network at this ground sampling distance."),
    ] = None,
    source_resolution: Annotated[
        float | None,
        typer.Option("--source-resolution", metavar="METRES", help="Of rasters without a coordinate system."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Threads that read.")] = 2,
    stored_values: StoredValues = False,
    memory: Memory = 3072,
    aoi: Annotated[
        str | None,
        typer.Option("--aoi", metavar="VECTOR[:LAYER]|left,bottom,right,top", help="Only this part of the raster."),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print windows, memory, disk and time; write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Map the land cover of rasters: classes, and if asked probabilities, polygons, a picture."""
    from landseg.predict import Predictions, predict

    with console.working():
        result = predict(
            expand(sources),
            output,
            model=model,
            bands=numbers(bands, "--bands", int),
            stack=stack,
            probs=probs,
            probs_dtype=probs_dtype,
            confidence=confidence,
            logits=logits,
            polygons=polygons,
            preview=preview,
            window=window,
            engine=engine,
            halo=halo,
            batch=batch,
            tta=tta,
            device=device,
            precision=precision,
            resolution=resolution,
            source_resolution=source_resolution,
            workers=workers,
            stored_values=stored_values,
            memory=memory,
            aoi=aoi,
            resume=resume,
            overwrite=overwrite,
            dry_run=dry_run,
        )
    console.show(result.to_json(), as_json=as_json, text=result.lines())
    if isinstance(result, Predictions) and result.failures:
        raise typer.Exit(1)


def expand(sources: list[str]) -> list[str]:
    """Return the rasters that the arguments name: folders by what is in them, patterns by what they match.

    A folder that GDAL opens as one raster, such as a Zarr store, is that raster.
    """
    from landseg.errors import RasterError
    from landseg.geo.address import as_on_disk
    from landseg.pairing import is_folder_of_rasters, rasters_in
    from landseg.replacement import refuse_unfinished_in

    found: list[str] = []
    for source in sources:
        if not source.startswith("/vsi") and is_folder_of_rasters(source):
            refuse_unfinished_in(Path(source), RasterError)
            inside = rasters_in(as_on_disk(Path(source)), _RASTERS)
            if not inside:
                raise RasterError(f"the folder {source} holds no raster ({', '.join(_RASTERS)}): name one that does")
            found += [str(path) for path in inside]
        elif glob.has_magic(source) and "://" not in source and not os.path.exists(source):
            matches = sorted(glob.glob(source))
            if not matches:
                raise RasterError(f"no file matches {source}: check the pattern and the folder")
            found += matches
        else:
            found.append(source)
    return found
