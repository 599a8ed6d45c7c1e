"""`landseg refine`: class probabilities drawn to the edges of the imagery."""

from typing import Annotated

import typer

from . import console
from .options import Json, Log, Memory, Overwrite, Quiet, Resume, StoredValues, Threads, numbers
from .predict import expand


def command(
    probabilities: Annotated[
        str, typer.Argument(metavar="PROBS", help="Class probabilities, as `landseg predict --probs` writes them.")
    ],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="The imagery: files, folders, globs, URLs; one mosaic.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="OUT.tif, the class raster.")],
    probs: Annotated[str | None, typer.Option("--probs", metavar="FILE", help="Refined probabilities.")] = None,
    probs_dtype: Annotated[str, typer.Option("--probs-dtype", help="uint8 (steps of 1/255) or float32.")] = "uint8",
    bands: Annotated[
        str | None, typer.Option("--bands", metavar="N,N,...", help="Bands of the imagery to look at, from 1.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose classes they are, where PROBS does not say.")
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="moderate|deeplab-v2", help="What the options below replace parts of.")
    ] = "moderate",
    iterations: Annotated[int | None, typer.Option("--iterations", help="Updates of all pixels. [5]")] = None,
    bilateral_weight: Annotated[
        float | None, typer.Option("--bilateral-weight", help="Of pixels that are near and look alike. [4]")
    ] = None,
    bilateral_xy: Annotated[
        float | None, typer.Option("--bilateral-xy", help="How near, a standard deviation. [12]")
    ] = None,
    bilateral_bands: Annotated[
        str,
        typer.Option(
            "--bilateral-bands",
            metavar="auto|N|N,N,...",
            help="How alike, in the imagery's numbers; auto: 8 for 8 bits, else 0.16 of each band's deviation.",
        ),
    ] = "auto",
    spatial_weight: Annotated[
        float | None, typer.Option("--spatial-weight", help="Of pixels that are near. [3]")
    ] = None,
    spatial_xy: Annotated[float | None, typer.Option("--spatial-xy", help="How near. [1]")] = None,
    units: Annotated[
        str, typer.Option("--units", metavar="pixels|metres", help="What the two widths of place are in.")
    ] = "pixels",
    halo: Annotated[
        str,
        typer.Option("--halo", metavar="auto|exact|N", help="Context on each side; auto may be short, and measures."),
    ] = "auto",
    window: Annotated[str, typer.Option("--window", metavar="N", help="Side of what is read at once.")] = "auto",
    stored_values: StoredValues = False,
    memory: Memory = 3072,
    resume: Resume = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Draw class probabilities to the edges of the imagery, by a dense CRF, and map the classes."""
    from landseg.refine import refine

    with console.working():
        result = refine(
            probabilities,
            expand(images),
            output,
            probs=probs,
            probs_dtype=probs_dtype,
            bands=numbers(bands, "--bands", int),
            model=model,
            preset=preset,
            iterations=iterations,
            bilateral_weight=bilateral_weight,
            bilateral_xy=bilateral_xy,
            bilateral_bands=bilateral_bands,
            spatial_weight=spatial_weight,
            spatial_xy=spatial_xy,
            units=units,
            halo=halo,
            window=window,
            stored_values=stored_values,
            memory=memory,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(result.to_json(), as_json=as_json, text=result.lines())
