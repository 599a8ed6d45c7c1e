"""`landseg refine`: class probabilities aligned with the edges of the imagery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import console, panels
from .options import Json, Log, Memory, Overwrite, Quiet, Resume, StoredValues, Threads, numbers
from .predict import expand

if TYPE_CHECKING:
    from landseg.crf.options import Refinement

_CRF = "Dense CRF"


def command(
    probabilities: Annotated[
        str, typer.Argument(metavar="PROBS", help="Class probabilities, from landseg predict --probs.")
    ],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="The image: a file, or several read as one mosaic.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT.tif", help="The class raster.")],
    probs: Annotated[
        str | None, typer.Option("--probs", metavar="FILE", help="Also write the refined probabilities.")
    ] = None,
    probs_dtype: Annotated[
        str,
        typer.Option(
            "--probs-dtype",
            metavar="uint8|float32",
            help="Data type of --probs; uint8 counts in steps of 1/255.",
        ),
    ] = "uint8",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="The model that predicted, where PROBS does not name its classes.",
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            "--bands",
            metavar="N,N,...",
            help="Band numbers of the image, from 1. [all]",
            rich_help_panel=panels.INPUT,
        ),
    ] = None,
    stored_values: StoredValues = False,
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="moderate|deeplab-v2",
            help="Parameters to start from; the options below replace single ones.",
            rich_help_panel=_CRF,
        ),
    ] = "moderate",
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="N", help="Mean-field iterations. [5]", rich_help_panel=_CRF)
    ] = None,
    bilateral_weight: Annotated[
        float | None,
        typer.Option(
            "--bilateral-weight",
            metavar="W",
            help="Weight of the appearance kernel (near pixels that look alike). [4]",
            rich_help_panel=_CRF,
        ),
    ] = None,
    bilateral_xy: Annotated[
        float | None,
        typer.Option(
            "--bilateral-xy",
            metavar="SD",
            help="Its standard deviation in position. [12]",
            rich_help_panel=_CRF,
        ),
    ] = None,
    bilateral_bands: Annotated[
        str,
        typer.Option(
            "--bilateral-bands",
            metavar="auto|N|N,N,...",
            help="Its standard deviation in the image's values. [8 bits: 8; else 0.16 of each band's]",
            rich_help_panel=_CRF,
        ),
    ] = "auto",
    spatial_weight: Annotated[
        float | None,
        typer.Option(
            "--spatial-weight",
            metavar="W",
            help="Weight of the smoothness kernel (near pixels). [3]",
            rich_help_panel=_CRF,
        ),
    ] = None,
    spatial_xy: Annotated[
        float | None,
        typer.Option(
            "--spatial-xy",
            metavar="SD",
            help="Its standard deviation in position. [1]",
            rich_help_panel=_CRF,
        ),
    ] = None,
    units: Annotated[
        str,
        typer.Option(
            "--units",
            metavar="pixels|metres",
            help="Unit of the standard deviations in position.",
            rich_help_panel=_CRF,
        ),
    ] = "pixels",
    halo: Annotated[
        str,
        typer.Option(
            "--halo",
            metavar="auto|exact|N",
            help="Context in pixels on each side of a window; auto may be approximate, and says how much.",
            rich_help_panel=panels.COMPUTING,
        ),
    ] = "auto",
    window: Annotated[
        str,
        typer.Option("--window", metavar="N", help="Size in pixels of a window.", rich_help_panel=panels.COMPUTING),
    ] = "auto",
    memory: Memory = 3072,
    resume: Resume = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Align class probabilities with image edges by a dense CRF.

    Writes the class raster of the refined probabilities.
    """
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
    console.show(result.to_json(), as_json=as_json, text=lines(result))


def lines(made: Refinement) -> list[str]:
    """Return a finished run as lines of text."""
    from landseg.crf.options import crf_text
    from landseg.geo.class_areas import areas_text
    from landseg.runtime.progress import duration

    if made.skipped:
        return [f"{made.output}: finished before, skipped"]
    height, width = made.window
    text = [
        *(str(path) for path in made.files),
        f"windows       {made.windows} of {height} x {width} px, halo {made.halo}",
        f"mode          {made.reason}",
        f"overlap       {made.overlap_cost:.2f} pixels computed for each that is kept",
    ]
    if made.disagreement_note:
        text.append(f"disagreement  {made.disagreement_note}")
    if made.scaling:
        text.append(f"scaling       {made.scaling}")
    if made.crf is not None:
        text.append(f"crf           {crf_text(made.crf, made.units)}")
    if made.changed is not None:
        text.append(f"changed       {made.changed:.3%} of the pixels have another class than before")
    if made.unseen:
        text.append(f"unseen        {made.unseen:.3%} of the pixels have no imagery and keep what they had")
    if made.areas:
        text.append(f"areas         {areas_text(made.areas)}")
    speed = f"{made.pixels / 1e6 / max(1e-9, made.seconds):.2f} Mpx/s"
    return [*text, f"time          {made.pixels / 1e6:.2f} Mpx in {duration(made.seconds)}, {speed}"]
