"""`landseg predict`: a land-cover map of a raster."""

import glob
import os
from pathlib import Path
from typing import Annotated

import typer

from . import console, panels
from .options import (
    Bands,
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
            "--output",
            "-o",
            metavar="OUT.tif|DIR/",
            help="The map, or a folder for one map of each source. Several sources into one file are a mosaic.",
        ),
    ],
    model: Model = None,
    aoi: Annotated[
        str | None,
        typer.Option(
            "--aoi",
            metavar="FILE[:LAYER]|BOX",
            help="Predict only here: polygons, or left,bottom,right,top.",
        ),
    ] = None,
    bands: Bands = None,
    stack: Stack = False,
    resolution: Annotated[
        float | None,
        typer.Option(
            "--resolution",
            metavar="METRES",
            help="Resample to this pixel size. [the model's, or none]",
            rich_help_panel=panels.INPUT,
        ),
    ] = None,
    source_resolution: Annotated[
        float | None,
        typer.Option(
            "--source-resolution",
            metavar="METRES",
            help="Pixel size of rasters without a coordinate system.",
            rich_help_panel=panels.INPUT,
        ),
    ] = None,
    stored_values: StoredValues = False,
    probs: Annotated[
        str | None,
        typer.Option(
            "--probs",
            metavar="FILE",
            help="The probability of every class.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    probs_dtype: Annotated[
        str,
        typer.Option(
            "--probs-dtype",
            metavar="uint8|float32",
            help="Data type of --probs; uint8 counts in steps of 1/255.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = "uint8",
    confidence: Annotated[
        str | None,
        typer.Option(
            "--confidence",
            metavar="FILE",
            help="The probability of the class in the map.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    logits: Annotated[
        str | None,
        typer.Option(
            "--logits",
            metavar="FILE",
            help="The network's logits, float32.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    polygons: Annotated[
        str | None,
        typer.Option(
            "--polygons",
            metavar="FILE",
            help="Polygons, in the format of the suffix (.gpkg, .shp, .fgb, ...).",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option("--preview", metavar="FILE.png", help="A picture of the map.", rich_help_panel=panels.OUTPUTS),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="auto|stream|windows",
            help="Rows in one pass (stream) or overlapping windows (tiles).",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = "auto",
    window: Annotated[
        str,
        typer.Option(
            "--window",
            metavar="N|HxW",
            help="Size in pixels of a window, overlap included.",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = "auto",
    halo: Annotated[
        str,
        typer.Option(
            "--halo",
            metavar="auto|exact|N",
            help="Context in pixels on each side of a window; half the overlap.",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = "auto",
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            metavar="N",
            help="Windows for one pass of the network (batch size).",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = None,
    tta: Tta = "none",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Threads that read.", rich_help_panel=panels.COMPUTING)
    ] = 2,
    memory: Memory = 3072,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print windows, memory, disk space and time, and write nothing.",
            rich_help_panel=panels.GENERAL,
        ),
    ] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Map the land cover of rasters with a trained model.

    Writes a class raster on the source's own grid and, if asked, probabilities, polygons and a picture.
    """
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
