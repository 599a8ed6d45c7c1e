"""Options that several commands share, so that they look and mean the same everywhere."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from . import panels

T = TypeVar("T", int, float)

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as one JSON object on standard output.", rich_help_panel=panels.GENERAL
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace existing outputs once the new ones are complete.", rich_help_panel=panels.GENERAL
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress and notes on standard error; warnings and results stay.",
        rich_help_panel=panels.GENERAL,
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log", metavar="FILE", help="Append all messages, with the time, to a file.", rich_help_panel=panels.GENERAL
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        max=1024,
        help="Threads that compute. [OMP_NUM_THREADS, or one a processor that may be used]",
        rich_help_panel=panels.COMPUTING,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue an interrupted run, or start one if there is none.",
        rich_help_panel=panels.GENERAL,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help="A model file or a shipped model's name. [landcover-rgb]"),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to compute.", rich_help_panel=panels.COMPUTING),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="auto|fp32|bf16|fp16",
        help="Floating-point format. auto depends on the processor, and then so may the map.",
        rich_help_panel=panels.COMPUTING,
    ),
]
Runtime = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="auto|torch|onnx",
        help="PyTorch, or ONNX Runtime: fp32 on processors.",
        rich_help_panel=panels.COMPUTING,
    ),
]
Memory = Annotated[
    int,
    typer.Option("--memory", metavar="MIB", help="Memory limit, in MiB.", rich_help_panel=panels.COMPUTING),
]
Sources = Annotated[list[str], typer.Argument(metavar="SRC...", help="Rasters: files, folders, globs or URLs.")]
Bands = Annotated[
    str | None,
    typer.Option(
        "--bands",
        metavar="N,N,...",
        help="Band numbers, from 1, in the model's order.",
        rich_help_panel=panels.INPUT,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="auto|stream|windows",
        help="Rows in one pass (stream) or overlapping windows (tiles).",
        rich_help_panel=panels.COMPUTING,
    ),
]
Window = Annotated[
    str,
    typer.Option(
        "--window",
        metavar="N|HxW",
        help="Size in pixels of a window, overlap included.",
        rich_help_panel=panels.COMPUTING,
    ),
]
Halo = Annotated[
    str,
    typer.Option(
        "--halo",
        metavar="auto|exact|N",
        help="Context in pixels on each side of a window; half the overlap.",
        rich_help_panel=panels.COMPUTING,
    ),
]
Tta = Annotated[
    str,
    typer.Option(
        "--tta",
        metavar="none|flips|d4",
        help="Test-time augmentation: the mean over 4 flips, or 8 flips and rotations, at 4 or 8 times the work.",
        rich_help_panel=panels.COMPUTING,
    ),
]
Stack = Annotated[
    bool,
    typer.Option(
        "--stack", help="Read single-band sources as the bands of one raster.", rich_help_panel=panels.INPUT
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        help="Class table (TOML or JSON): values, names, colours.",
        rich_help_panel=panels.LABELS,
    ),
]
Ignore = Annotated[
    list[int] | None,
    typer.Option(
        "--ignore",
        metavar="VALUE",
        help="A label value to ignore, besides those of the class table; may be repeated.",
        rich_help_panel=panels.LABELS,
    ),
]
LabelColors = Annotated[
    bool,
    typer.Option(
        "--label-colors",
        help="Label rasters are RGB pictures in the class table's colours.",
        rich_help_panel=panels.LABELS,
    ),
]
ClassField = Annotated[
    str | None,
    typer.Option(
        "--class-field",
        metavar="COLUMN",
        help="The vector file's column that holds the class.",
        rich_help_panel=panels.LABELS,
    ),
]
Buffer = Annotated[
    float | None,
    typer.Option(
        "--buffer",
        metavar="METRES",
        help="Burn lines and points of the vector file with this buffer.",
        rich_help_panel=panels.LABELS,
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(
        "--layer",
        metavar="NAME",
        help="The layer of a vector file with several; also FILE:LAYER.",
        rich_help_panel=panels.LABELS,
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--background",
        metavar="CLASS",
        help="The class outside the vector file's polygons. [unlabelled]",
        rich_help_panel=panels.LABELS,
    ),
]
StoredValues = Annotated[
    bool,
    typer.Option(
        "--stored-values",
        help="Take stored numbers as they are; ignore scale and offset.",
        rich_help_panel=panels.INPUT,
    ),
]
AoiText = Annotated[
    str | None,
    typer.Option(
        "--aoi",
        metavar="FILE[:LAYER]|BOX",
        help="Measure only here: polygons, or left,bottom,right,top.",
    ),
]


def numbers(text: str | None, option: str, kind: type[T]) -> tuple[T, ...] | None:
    """Return the numbers in a text such as "3,2,1"; None for None.

    Raises:
        BandError: anything else.
    """
    from landseg.errors import BandError

    if text is None:
        return None
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        shown = "3,2,1" if kind is int else "0.5,2"
        raise BandError(f"{option} {text}: expected numbers such as {shown}") from None
