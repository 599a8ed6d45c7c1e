"""`landseg predict`: a land-cover map of a raster."""

from __future__ import annotations

import glob
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, objects, panels
from .jsonlines import JsonLines
from .options import (
    Bands,
    Device,
    Engine,
    Halo,
    Json,
    Log,
    Memory,
    Model,
    Overwrite,
    Precision,
    Quiet,
    Resume,
    Runtime,
    Sources,
    Stack,
    StoredValues,
    Threads,
    Tta,
    Window,
    numbers,
)

if TYPE_CHECKING:
    from landseg.inference.prediction import Prediction, Predictions

_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".png", ".jpg")


def command(
    sources: Sources,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.tif|DIR/",
            help="The map; several sources make one mosaic. Or a folder, for one map of each source. [required]",
        ),
    ] = None,
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
    sparse: Annotated[
        bool,
        typer.Option(
            "--sparse",
            help="Make one mosaic of rasters that are far apart, without storing the gaps.",
            rich_help_panel=panels.INPUT,
        ),
    ] = False,
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
    instances: objects.Instances = None,
    panoptic: objects.Panoptic = None,
    panoptic_tile: objects.PanopticTile = 4096,
    score: objects.LeastScore = None,
    min_area: objects.MinArea = None,
    join_small: objects.JoinSmall = None,
    distance: objects.Apart = None,
    holes: objects.Holes = 0.0,
    regularize: objects.Regularize = False,
    simplify: objects.Simplify = 0.0,
    engine: Engine = "auto",
    window: Window = "auto",
    halo: Halo = "auto",
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
    runtime: Runtime = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Threads that read. [2, and at most --threads or the processors]",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = None,
    threads: Threads = None,
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
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json-lines",
            help="Print a line of JSON as each raster is finished, and a last one.",
            rich_help_panel=panels.GENERAL,
        ),
    ] = False,
) -> None:
    """Map the land cover of rasters with a trained model.

    Writes a class raster on the source's own grid and, if asked, probabilities, polygons and a picture.
    """
    if as_json and json_lines:
        raise typer.BadParameter("--json is one object at the end, --json-lines one a raster: choose one of them")
    if output is None:
        raise typer.BadParameter(_unnamed(sources), param_hint="'--output' / '-o'")
    from landseg.inference.prediction import Predictions
    from landseg.predict import predict

    stream = JsonLines() if json_lines else None
    with console.working(), stream or nullcontext():
        result = predict(
            expand(sources),
            output,
            model=model,
            finished=(lambda result, number, count: None) if stream is None else stream.finished,
            bands=numbers(bands, "--bands", int),
            stack=stack,
            sparse=sparse,
            probs=probs,
            probs_dtype=probs_dtype,
            confidence=confidence,
            logits=logits,
            polygons=polygons,
            preview=preview,
            instances=instances,
            panoptic=panoptic,
            panoptic_tile=panoptic_tile,
            score=score,
            min_area=min_area,
            join_small=join_small,
            distance=distance,
            holes=holes,
            regularize=regularize,
            simplify=simplify,
            window=window,
            engine=engine,
            halo=halo,
            batch=batch,
            tta=tta,
            device=device,
            precision=precision,
            runtime=runtime,
            resolution=resolution,
            source_resolution=source_resolution,
            **({} if workers is None else {"workers": workers}),
            threads=threads,
            stored_values=stored_values,
            memory=memory,
            aoi=aoi,
            resume=resume,
            overwrite=overwrite,
            dry_run=dry_run,
            quiet=quiet,
        )
    text = batch_lines(result) if isinstance(result, Predictions) else lines(result)
    if stream is not None:
        console.keep(text)
    else:
        console.show(result.to_json(), as_json=as_json, text=text)
    if isinstance(result, Predictions) and result.failures:
        raise typer.Exit(1)


def lines(made: Prediction) -> list[str]:
    """Return a finished run, or the plan of one, as lines of text."""
    from landseg.geo.class_areas import areas_text
    from landseg.runtime.progress import duration
    from landseg.tiling.names import VIEWS

    if made.skipped:
        return [f"{made.output}: finished before, skipped"]
    speed = f"{made.mpx_s:.2f} Mpx/s"
    height, width = made.window
    cut = f"windows       {made.windows} of {height} x {width} px, halo {made.halo}, batches of {made.batch}"
    if made.engine == "stream":
        beside = f", {made.halo} beside them read as well" if made.halo else ""
        cut = f"strips        of {height} rows, {made.windows} x {width} columns{beside}"
    plan = [
        cut,
        f"mode          {made.reason}",
        f"overlap       {made.overlap_cost:.2f} pixels computed for each that is kept",
        f"network       {made.precision}, {made.device}, {made.engine}, {made.runtime}",
    ]
    if (views := VIEWS[made.tta]) > 1:
        plan.append(f"tta           {made.tta}: the mean of {views} views of the raster, {views} times the work")
    if made.runtime_note:
        plan.append(f"runtime       {made.runtime_note}")
    if made.precision_note:
        plan.append(f"precision     {made.precision_note}")
    if made.scaling:
        plan.append(f"scaling       {made.scaling}")
    if made.limitations:
        plan.append(f"model fails   {made.limitations}")
    if made.disagreement_note:
        plan.append(f"disagreement  {made.disagreement_note}")
    if made.dry_run:
        plan.append(f"memory        up to {made.memory_mib:.0f} MiB")
        plan.append(f"disk          up to {_size(made.disk_mib)}")
        plan.append(f"time          about {duration(made.seconds)} ({speed}), and some seconds to start")
        return [f"{made.output}: nothing written, this is the plan", *plan]
    if made.areas:
        plan.append(f"areas         {areas_text(made.areas)}")
        if (empty := made.pixels - sum(row.pixels for row in made.areas)) > 0:
            plan.append(f"no data       {empty:,} px ({100 * empty / made.pixels:.1f} %)")
    if made.objects_note:
        plan.append(f"objects       {made.objects_note}")
    done = f"{made.pixels / 1e6:.2f} Mpx in {duration(made.seconds)}, {speed}"
    return [*(str(path) for path in made.files), *plan, f"time          {done}"]


def batch_lines(made: Predictions) -> list[str]:
    """Return several runs as lines of text: the lines of each, then once the lines of all, and their number."""
    runs = [lines(one) for one in made.predictions]
    shared = [line for line in runs[0] if all(line in run for run in runs)] if len(runs) > 1 else []
    own = [line for run in runs for line in run if line not in shared]
    return [*own, *shared, _count(made)]


def _count(made: Predictions) -> str:
    """Return the number of maps, their pixels and duration, and the number of failures, as text."""
    from landseg.runtime.progress import duration
    from landseg.text.amounts import counted

    runs = [one for one in made.predictions if not one.skipped]
    took = f"{sum(one.pixels for one in runs) / 1e6:.2f} Mpx in {duration(sum(one.seconds for one in runs))}"
    if any(one.dry_run for one in runs):
        disk = f"up to {_size(sum(one.disk_mib for one in runs))} of disk"
        text = f"{counted(len(made.predictions), 'map')} planned, {disk}, {took.replace(' in ', ' in about ')}"
    else:
        text = f"{counted(len(made.predictions), 'map')} done, {took}"
    skipped = len(made.predictions) - len(runs)
    text += f", {skipped:,} of them finished before" if skipped else ""
    return f"{text}; {len(made.failures):,} failed" if made.failures else text


def _size(mib: float) -> str:
    """Return MiB as text in a unit that fits: whole MiB, below 10 with a decimal, below 1 in KiB.

    >>> _size(0.032), _size(1.46), _size(2048.3)
    ('33 KiB', '1.5 MiB', '2048 MiB')
    """
    if mib < 1:
        return f"{max(1, round(mib * 1024))} KiB"
    return f"{mib:.1f} MiB" if mib < 10 else f"{mib:.0f} MiB"


def _unnamed(sources: list[str]) -> str:
    """Return the sentence for a command without an output: the option to add."""
    if len(sources) == 1 and not glob.has_magic(sources[0]) and not os.path.isdir(sources[0]):
        stem = Path(sources[0].split("?")[0]).stem
        return f"no output is named: write -o {stem}_landcover.tif"
    return "no output is named: write -o maps/ for a map of each raster, or -o landcover.tif for one of all"


def expand(sources: list[str]) -> list[str]:
    """Return the rasters that the arguments name: those in a folder, and those that match a pattern.

    A folder that GDAL opens as one raster, such as a Zarr store, is that raster.
    """
    from landseg.errors import RasterError
    from landseg.geo.rasters.address import as_on_disk
    from landseg.labels.pairing import is_folder_of_rasters, rasters_in
    from landseg.runtime.replacement import refuse_unfinished_in

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
