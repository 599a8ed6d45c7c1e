"""The command-line options about objects, such as houses, by the names of their types."""

from __future__ import annotations

from typing import Annotated

import typer

from . import panels

THINGS = "Objects"
"""The panel of the options of `train` that learn objects, and of those of `predict` that choose and draw them."""

Instances = Annotated[
    str | None,
    typer.Option(
        "--instances",
        metavar="FILE",
        help="The number of every object, with a model of things.",
        rich_help_panel=THINGS,
    ),
]
Panoptic = Annotated[
    str | None,
    typer.Option(
        "--panoptic",
        metavar="DIR",
        help="Objects and other classes in COCO's panoptic format, with a model of things.",
        rich_help_panel=THINGS,
    ),
]
PanopticTile = Annotated[
    int,
    typer.Option(
        "--panoptic-tile",
        metavar="PX",
        help="Largest edge of an image in --panoptic; larger rasters become several.",
        rich_help_panel=THINGS,
    ),
]
LeastScore = Annotated[
    float | None,
    typer.Option(
        "--score",
        metavar="0..1",
        help="Leave out objects with a lower score. [the model's]",
        rich_help_panel=THINGS,
    ),
]
MinArea = Annotated[
    float | None,
    typer.Option(
        "--min-area",
        metavar="M2",
        help="Leave out smaller objects; pixels without a coordinate system. [the model's]",
        rich_help_panel=THINGS,
    ),
]
JoinSmall = Annotated[
    bool | None,
    typer.Option(
        "--join-small/--drop-small",
        help="Make objects below --min-area part of the neighbour with the longest common border. [the model's]",
        rich_help_panel=THINGS,
    ),
]
Apart = Annotated[
    float | None,
    typer.Option(
        "--distance",
        metavar="METRES",
        help="Of points nearer to each other than this keep the better one. [the model's]",
        rich_help_panel=THINGS,
    ),
]
Holes = Annotated[
    float,
    typer.Option(
        "--holes",
        metavar="M2",
        help="Fill holes of up to this size in the polygons of objects.",
        rich_help_panel=THINGS,
    ),
]
Regularize = Annotated[
    bool,
    typer.Option(
        "--regularize",
        help="Draw objects with right angles; walls in common come apart.",
        rich_help_panel=THINGS,
    ),
]
Simplify = Annotated[
    float,
    typer.Option(
        "--simplify",
        metavar="METRES",
        help="Leave out corners of objects up to this far from the outline.",
        rich_help_panel=THINGS,
    ),
]
Things = Annotated[
    bool,
    typer.Option(
        "--things",
        help="Each polygon of LABELS is an object, such as a house: learn to tell them apart.",
        rich_help_panel=THINGS,
    ),
]
IdRasters = Annotated[
    list[str] | None,
    typer.Option(
        "--ids",
        metavar="RASTER|FOLDER",
        help="Rasters with a number for each object, 0 for none, one for each image; LABELS may be left out.",
        rich_help_panel=THINGS,
    ),
]
Border = Annotated[
    float | None,
    typer.Option(
        "--border",
        metavar="METRES",
        help="Width on each side of an object's outline that is learned as its boundary. [0.5, at least 2 px]",
        rich_help_panel=THINGS,
    ),
]
LearnedTask = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="points",
        help="Learn points, such as trees: each feature of LABELS is one, a polygon by its centre.",
        rich_help_panel=THINGS,
    ),
]
CountThings = Annotated[
    bool,
    typer.Option(
        "--things",
        help="The vector file's polygons are objects: count them, and those that touch or overlap.",
        rich_help_panel=panels.LABELS,
    ),
]
CountIds = Annotated[
    str | None,
    typer.Option(
        "--ids",
        metavar="PATH",
        help="Rasters with a number for each object, 0 for none, one for each image.",
        rich_help_panel=panels.LABELS,
    ),
]
Areas = Annotated[
    str, typer.Option("--areas", metavar="M2,M2", help="Ends of ranges of sizes of objects, in square metres.")
]
JudgedScore = Annotated[
    float, typer.Option("--score", metavar="S", help="Score from which objects count in F1, PQ and the counts.")
]
Radius = Annotated[
    str,
    typer.Option("--radius", metavar="METRES", help="Distance within which a point found and a true one may be one."),
]
