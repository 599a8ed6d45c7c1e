"""`landseg export`: a class raster, or one of ids, as polygons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .options import Json, Log, Overwrite, Quiet

if TYPE_CHECKING:
    from landseg.vector.export_options import ClassTotal, Export

_OF_PIXELS = "; ha: the map's pixels on the ellipsoid, as `landseg areas` counts them"
_MEASURES = {
    "plane": "m²: the polygons in the map's plane (on the ellipsoid with --geodesic)",
    "ellipsoid": "m²: the polygons on the ellipsoid",
}
_SHAPES, _MORE = "Shapes", "Lines and points"


def command(
    raster: Annotated[
        str, typer.Argument(metavar="CLASSES.tif", help="The class raster, or a raster of ids of objects.")
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The vector file: .gpkg, .shp, .shp.zip, .fgb, .geojson or .parquet."),
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="NAME,...|FILE",
            help="Export only these classes, by name or value; or a class table.",
        ),
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option(
            "--aoi",
            metavar="FILE[:LAYER]|BOX",
            help="Export only here: polygons, or left,bottom,right,top.",
        ),
    ] = None,
    crs: Annotated[
        str | None, typer.Option("--crs", metavar="EPSG:N", help="Coordinate system of the output. [the raster's]")
    ] = None,
    dissolve: Annotated[bool, typer.Option("--dissolve", help="One multipolygon for each class.")] = False,
    by_class_files: Annotated[
        bool, typer.Option("--by-class-files", help="One file for each class, OUT_class.suffix.")
    ] = False,
    confidence: Annotated[
        str | None,
        typer.Option("--confidence", metavar="RASTER", help="Add mean and minimum of this raster to each polygon."),
    ] = None,
    ids: Annotated[
        bool,
        typer.Option("--ids", help="The raster holds ids of objects; needed if landseg did not write it."),
    ] = False,
    classes_from: Annotated[
        str | None,
        typer.Option("--classes-from", metavar="MAP.tif", help="Of ids: each object's class is that of this raster."),
    ] = None,
    attributes: Annotated[
        bool,
        typer.Option(
            "--attributes", help="Into OUT.csv: one row for each polygon, with a point inside it, no outlines."
        ),
    ] = False,
    geodesic: Annotated[
        bool, typer.Option("--geodesic", help="Measure areas and lengths on the ellipsoid in projected CRSs too.")
    ] = False,
    connectivity: Annotated[
        int,
        typer.Option(
            "--connectivity",
            metavar="4|8",
            help="Neighbours of a pixel; with 8, corners connect.",
            rich_help_panel=_SHAPES,
        ),
    ] = 4,
    majority: Annotated[
        int,
        typer.Option(
            "--majority",
            metavar="N",
            help="Majority filter of N x N pixels, first.",
            rich_help_panel=_SHAPES,
        ),
    ] = 0,
    sieve: Annotated[
        int,
        typer.Option(
            "--sieve",
            metavar="PIXELS",
            help="Merge pieces of fewer pixels into a neighbour, before polygons are made.",
            rich_help_panel=_SHAPES,
        ),
    ] = 0,
    min_area: Annotated[
        float,
        typer.Option(
            "--min-area",
            metavar="M2",
            help="Merge smaller polygons into the neighbour with the longest shared edge; of ids: leave them out.",
            rich_help_panel=_SHAPES,
        ),
    ] = 0.0,
    holes: Annotated[
        float,
        typer.Option(
            "--holes",
            metavar="M2",
            help="Of ids: fill holes up to this size, where no other object lies.",
            rich_help_panel=_SHAPES,
        ),
    ] = 0.0,
    simplify: Annotated[
        float,
        typer.Option(
            "--simplify",
            metavar="METRES",
            help="Simplify outlines with this tolerance; shared edges stay shared.",
            rich_help_panel=_SHAPES,
        ),
    ] = 0.0,
    smooth: Annotated[
        bool,
        typer.Option(
            "--smooth",
            help="Smooth the staircase of pixels; shared edges stay shared.",
            rich_help_panel=_SHAPES,
        ),
    ] = False,
    regularize: Annotated[
        str | None,
        typer.Option(
            "--regularize",
            metavar="CLASS,...",
            help="Make outlines of these classes right-angled, as of buildings; of ids: or all.",
            rich_help_panel=_SHAPES,
        ),
    ] = None,
    right_angle_tolerance: Annotated[
        float | None,
        typer.Option(
            "--right-angle-tolerance",
            metavar="METRES",
            help="Shortest edge of right-angled outlines. [1 m, or two pixels]",
            rich_help_panel=_SHAPES,
        ),
    ] = None,
    centerlines: Annotated[
        str | None,
        typer.Option(
            "--centerlines",
            metavar="CLASS,...",
            help="Centre lines of these classes, into OUT_class_lines.suffix.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    spur: Annotated[
        float | None,
        typer.Option(
            "--spur",
            metavar="METRES",
            help="Shortest side branch of centre lines. [5 m, or ten pixels]",
            rich_help_panel=_MORE,
        ),
    ] = None,
    centroids: Annotated[
        str | None,
        typer.Option(
            "--centroids",
            metavar="CLASS,...",
            help="A point in each polygon of these classes, into OUT_class_points.suffix.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Turn a class raster into polygons, lines or points.

    Polygons get areas in m2, class names and colours. A raster of ids becomes a polygon for each object.
    """
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
            ids=ids,
            classes_from=classes_from,
            holes=holes,
            attributes=attributes,
            geodesic=geodesic,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(result.to_json(), as_json=as_json, text=lines(result))


def lines(made: Export) -> list[str]:
    """Return a finished export as lines of text."""
    from landseg.geo.class_areas import hectares_text
    from landseg.labels.left_out import left_out_line
    from landseg.runtime.progress import duration
    from landseg.text.amounts import counted

    every = sum(total.area for total in made.classes)
    longest = max((len(total.name) for total in made.classes), default=0)
    text = [str(path) for path in made.files]
    for total in made.classes:
        unit = "m²" if total.area_m2 is not None else "px"
        share = f"{100 * total.area / every:5.1f} %" if every else ""
        size = "" if total.hectares is None else f"  {hectares_text(total.hectares):>12} ha"
        line = f"{total.name:{longest}}  {total.count:>9,}  {total.area:>16,.1f} {unit} {share}{size}"
        text.append(line.rstrip())
    if made.area_measure is not None:
        hectares = any(total.hectares is not None for total in made.classes)
        text.append(_MEASURES[made.area_measure] + (_OF_PIXELS if hectares else ""))
    changes = [_changed(total) for total in made.classes if total.area_change is not None]
    if changes:
        text.append(f"area against the raster's pixels: {', '.join(changes)}")
    for entry in made.further:
        text.append(f"{entry.output}: {counted(entry.count, 'line' if entry.kind == 'LineString' else 'point')}")
    if (left_out := left_out_line(made.left_out)) is not None:
        text.append(left_out)
    where = made.crs or "pixel coordinates"
    return [*text, f"{counted(made.features, 'feature')}, {made.format}, {where}, in {duration(made.seconds)}"]


def _changed(total: ClassTotal) -> str:
    """Return the name of a class and the change of its area, as text."""
    change = total.area_change or 0.0
    before = total.area - change
    return f"{total.name} {change / before:+.2%}" if before else f"{total.name} {change:+.1f}"
