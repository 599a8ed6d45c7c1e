"""`landseg export`: a class raster as polygons."""

from pathlib import Path
from typing import Annotated

import typer

from . import console
from .options import Json, Log, Overwrite, Quiet


def command(
    raster: Annotated[str, typer.Argument(metavar="CLASSES.tif", help="The class raster, anything GDAL opens.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help=".gpkg, .shp, .shp.zip, .fgb, .geojson or .parquet: the format.")
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="NAME,...|FILE", help="Classes that are wanted, by name or value; or a class table."
        ),
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option("--aoi", metavar="FILE[:LAYER]|BOX", help="The part: polygons, or left,bottom,right,top."),
    ] = None,
    crs: Annotated[str | None, typer.Option("--crs", metavar="EPSG:N", help="Of the output. [the raster's]")] = None,
    dissolve: Annotated[bool, typer.Option("--dissolve", help="One feature a class.")] = False,
    by_class_files: Annotated[
        bool, typer.Option("--by-class-files", help="A file for each class, OUT_class.suffix.")
    ] = False,
    connectivity: Annotated[
        int, typer.Option("--connectivity", metavar="4|8", help="8: pixels that touch by a corner are one piece.")
    ] = 4,
    min_area: Annotated[
        float, typer.Option("--min-area", metavar="M2", help="Smaller pieces go into their longest neighbour.")
    ] = 0.0,
    majority: Annotated[
        int, typer.Option("--majority", metavar="N", help="First give each pixel the commonest class of N x N.")
    ] = 0,
    sieve: Annotated[
        int, typer.Option("--sieve", metavar="PIXELS", help="First let pieces of fewer pixels go into a neighbour.")
    ] = 0,
    simplify: Annotated[
        float,
        typer.Option("--simplify", metavar="METRES", help="Fewer corners; borders stay shared, the edge stays."),
    ] = 0.0,
    smooth: Annotated[
        bool,
        typer.Option("--smooth", help="Round the staircase of pixels; borders stay shared, the edge stays."),
    ] = False,
    regularize: Annotated[
        str | None, typer.Option("--regularize", metavar="CLASS,...", help="Right-angled outlines, for buildings.")
    ] = None,
    right_angle_tolerance: Annotated[
        float | None,
        typer.Option(
            "--right-angle-tolerance", metavar="METRES", help="Shortest edge of such an outline. [1 m, or two pixels]"
        ),
    ] = None,
    centerlines: Annotated[
        str | None, typer.Option("--centerlines", metavar="CLASS,...", help="Lines too, in OUT_class_lines.suffix.")
    ] = None,
    spur: Annotated[
        float | None,
        typer.Option("--spur", metavar="METRES", help="Shorter lines with a free end go. [5 m, or ten pixels]"),
    ] = None,
    centroids: Annotated[
        str | None, typer.Option("--centroids", metavar="CLASS,...", help="Points too, in OUT_class_points.suffix.")
    ] = None,
    confidence: Annotated[
        str | None, typer.Option("--confidence", metavar="RASTER", help="Its mean and minimum become columns.")
    ] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Into OUT.csv: a row a polygon, with a point inside, no outlines.")
    ] = False,
    geodesic: Annotated[
        bool, typer.Option("--geodesic", help="Areas and lengths on the ellipsoid in projected systems too.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Turn a class raster into polygons, with areas, names and colours."""
    from landseg.export import export

    with console.working():
        result = export(
            raster,
            output,
            classes=classes,
            aoi=aoi,
            crs=crs,
            dissolve=dissolve,
            by_class_files=by_class_files,
            connectivity=connectivity,
            min_area=min_area,
            majority=majority,
            sieve=sieve,
            simplify=simplify,
            smooth=smooth,
            regularize=regularize,
            right_angle_tolerance=right_angle_tolerance,
            centerlines=centerlines,
            spur=spur,
            centroids=centroids,
            confidence=confidence,
            attributes=attributes,
            geodesic=geodesic,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(result.to_json(), as_json=as_json, text=result.lines())
