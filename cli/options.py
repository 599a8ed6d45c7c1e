"""Options that several commands share, so that they look and mean the same everywhere."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

T = TypeVar("T", int, float)

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace outputs that exist, all at once when the new ones are complete."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress and no notes, only warnings and errors.")
]
Log = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="Append all that is said, with the time, to this file.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, help="Threads that compute. [OMP_NUM_THREADS, or one a core]"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a run that was stopped; with nothing to continue, start.")
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="A model file, or the name of one that ships.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Precision = Annotated[
    str,
    typer.Option("--precision", help="auto, fp32, bf16 or fp16; auto depends on the processor, and so may the map."),
]
Tta = Annotated[
    str,
    typer.Option(
        "--tta",
        metavar="none|flips|d4",
        help="Test-time augmentation: the mean of 4 mirrored, or 8 mirrored and turned views; 4 or 8 times the work.",
    ),
]
Memory = Annotated[int, typer.Option("--memory", metavar="MIB", help="Memory to stay below, in MiB.")]
Sources = Annotated[list[str], typer.Argument(metavar="SRC...", help="Rasters: files, folders, globs, URLs.")]
Stack = Annotated[
    bool, typer.Option("--stack", help="Sources hold a band each: read them as one raster, in this order.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]
Classes = Annotated[Path | None, typer.Option("--classes", metavar="FILE", help="Class table, TOML or JSON.")]
Ignore = Annotated[
    list[int] | None,
    typer.Option("--ignore", metavar="VALUE", help="A further value that means unknown."),
]
LabelColors = Annotated[
    bool, typer.Option("--label-colors", help="Label rasters are pictures in the colours of the class table.")
]
ClassField = Annotated[
    str | None, typer.Option("--class-field", metavar="COLUMN", help="Of a vector file: the column with the class.")
]
Buffer = Annotated[
    float | None,
    typer.Option("--buffer", metavar="METRES", help="Of a vector file: burn what is so near to lines and points."),
]
Layer = Annotated[
    str | None,
    typer.Option("--layer", metavar="NAME", help="Of a vector file with several; FILE:LAYER says the same."),
]
Background = Annotated[
    str | None, typer.Option("--background", metavar="CLASS", help="What lies outside the polygons of a vector file.")
]
StoredValues = Annotated[
    bool, typer.Option("--stored-values", help="Take stored numbers as they are, whatever scale and offset say.")
]
AoiText = Annotated[
    str | None,
    typer.Option("--aoi", metavar="FILE[:LAYER]|BOX", help="What counts: polygons, or left,bottom,right,top."),
]


def numbers(text: str | None, option: str, kind: type[T]) -> tuple[T, ...] | None:
    """The numbers in a text such as "3,2,1"; None for None.

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
