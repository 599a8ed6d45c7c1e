"""`landseg evaluate`: how good a class raster is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options

if TYPE_CHECKING:
    pass


def command(
    prediction: Annotated[
        list[str], typer.Argument(metavar="PREDICTION... TARGET", help="Class rasters or a folder; the truth last.")
    ],
    classes: Annotated[
        Path | None, typer.Option("--classes", metavar="FILE", help="Class table, TOML or JSON.")
    ] = None,
    ignore: Annotated[
        list[int] | None, typer.Option("--ignore", metavar="VALUE", help="A further value that means unknown.")
    ] = None,
    class_field: Annotated[
        str | None,
        typer.Option("--class-field", metavar="COLUMN", help="Of a vector file: the column with the class."),
    ] = None,
    background: Annotated[
        str | None, typer.Option("--background", metavar="CLASS", help="What lies outside the polygons.")
    ] = None,
    aoi: Annotated[
        str | None, typer.Option("--aoi", metavar="FILE|BOX", help="Polygons, or left,bottom,right,top.")
    ] = None,
    probs: Annotated[
        str | None, typer.Option("--probs", metavar="TIF", help="Probabilities of the same run.")
    ] = None,
    boundary: Annotated[
        str, typer.Option("--boundary", metavar="3px|2m|none", help="Width of the bands of the boundary IoU.")
    ] = "3px",
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="3px|2m|none", help="Of the surface Dice.")
    ] = "3px",
    samples: Annotated[int, typer.Option("--samples", help="Of the bootstrap; 0: no intervals.")] = 1000,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table of classes.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="HTML", help="Write a report to look at.")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="SRC", help="For the report's map: what was predicted.")
    ] = None,
    errors: Annotated[Path | None, typer.Option("--errors", metavar="TIF", help="Write where it is wrong.")] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Compare a class raster with the truth, and say how sure the figures are."""
