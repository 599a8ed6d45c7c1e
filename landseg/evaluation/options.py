"""The options of `evaluate`, `compare` and `calibrate`, by the names of the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from landseg.errors import PlanError
from landseg.geo.distance import Distance
from landseg.geo.rasters.address import File, Files, file_name, file_names
from landseg.geo.vectors.aoi import area_text
from landseg.labels.options import LabelKeywords, LabelOptions, path_option
from landseg.text.options import check_positive, is_size

_FEW, _BLOCK = Distance(3), Distance(256)


class TruthKeywords(LabelKeywords, total=False):
    """The options of all comparisons with a truth by name, see `TruthOptions`."""

    aoi: File | Sequence[float] | None
    workers: int
    overwrite: bool
    quiet: bool


class CompareKeywords(TruthKeywords, total=False):
    """The options of `compare` by name, see `CompareOptions`."""

    boundary: Distance | str | float | None
    tolerance: Distance | str | float | None
    block: Distance | str | float
    samples: int
    seed: int
    areas: str | Sequence[float]
    score: float
    csv: File | None
    report: File | None


class EvaluateKeywords(CompareKeywords, total=False):
    """The options of `evaluate` by name, see `EvaluateOptions`."""

    probs: Files | None
    image: Files | None
    errors: File | None
    ids: Sequence[File] | None
    radius: str | float


class CalibrateKeywords(TruthKeywords, total=False):
    """The options of `calibrate` by name, see `CalibrateOptions`."""


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a reader that leaves None as it is."""
    return lambda value: None if value is None else read(value)


def _distance(value: Any) -> Distance | None:
    return None if value is None or value == "none" else Distance.of(value)


def _sizes(value: Any) -> tuple[float, ...]:
    """Return ends of ranges of sizes, from numbers or a text.

    Raises:
        PlanError: they are no numbers above 0 in ascending order.
    """
    parts = value.split(",") if isinstance(value, str) else value
    try:
        sizes = tuple(float(part) for part in parts if part != "")
    except (TypeError, ValueError):
        sizes = (0.0,)
    if list(sizes) != sorted(set(sizes)) or not all(0 < size < math.inf for size in sizes):
        raise PlanError(f"areas {value!r}: expected square metres in ascending order, such as 50,500")
    return sizes


def _two_files(value: Any) -> tuple[str, str]:
    """Return the rasters of ids of a prediction and of its truth.

    Raises:
        PlanError: they are not two.
    """
    names = file_names(value)
    if len(names) != 2:
        raise PlanError(f"ids {value!r}: expected two rasters of ids, that of the prediction and that of the truth")
    return names[0], names[1]


def _metres(value: Any) -> float:
    """Return a number of metres above 0, from a number or from a text such as "6m".

    Raises:
        PlanError: it is none.
    """
    try:
        metres = float(str(value).strip().lower().removesuffix("m"))
    except ValueError:
        metres = math.nan
    if not (math.isfinite(metres) and metres > 0):
        raise PlanError(f"radius {value!r}: expected metres above 0, such as 6m")
    return metres


@dataclass(frozen=True, kw_only=True)
class TruthOptions(LabelOptions):
    """The truth that a raster is compared with, and the part of it that counts.

    Attributes:
        aoi: the area that counts: a vector file, "left,bottom,right,top" or those four numbers; None is all of it.
        workers: threads that read and count.
        overwrite: replace files that exist.
        quiet: show no progress on standard error.
    """

    aoi: str | None = None
    workers: int = 2
    overwrite: bool = False
    quiet: bool = True

    def __post_init__(self) -> None:
        check_positive("workers", self.workers)

    READERS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        **LabelOptions.READERS,
        "aoi": _optional(lambda value: str(area_text(value))),
    }


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(TruthOptions):
    """The options of `calibrate`."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TruthOptions):
    """The figures that an evaluation measures, and the files that it writes.

    Attributes:
        boundary: width of the bands of the boundary IoU, such as "3px", 3 (pixels) or "2m"; None leaves it out.
        tolerance: distance within which outlines agree for the surface Dice, likewise; None leaves it out.
        block: edge of the blocks of the bootstrap, likewise.
        samples: number of samples of the bootstrap; 0 leaves the 95 % intervals out.
        seed: of the bootstrap.
        areas: of objects: ends of ranges of sizes in square metres, ascending, or "50,500".
        score: of objects and points: score from which detections count in F1, PQ and the counts.
        csv: file for the table of classes.
        report: HTML file for a report with maps and charts.
        probs: class probabilities of the same run, for the calibration error and the report's map; for several
            predictions a folder, or several files, named as the predictions are.
        image: imagery that was predicted, for the report's map; for several predictions as ``probs``.
        errors: file for a class raster of the pixels that are right and wrong; for several predictions a folder.
        ids: rasters of ids of the prediction and of the truth, which make panoptic maps of the two class rasters.
        radius: of points: metres within which a point of the prediction and one of the truth may be the same, such
            as "6m" or 6; units of the coordinates where there is no CRS.
    """

    boundary: Distance | None = _FEW
    tolerance: Distance | None = _FEW
    block: Distance = _BLOCK
    samples: int = 1000
    seed: int = 0
    areas: tuple[float, ...] = ()
    score: float = 0.0
    csv: Path | None = None
    report: Path | None = None
    probs: list[str] | None = None
    image: list[str] | None = None
    errors: str | None = None
    ids: tuple[str, str] | None = None
    radius: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("samples", "seed"):
            if not (isinstance(value := getattr(self, name), int) and value >= 0):
                raise PlanError(f"{name} {value!r}: expected a whole number, 0 or more")
        if not (is_size(self.score) and self.score <= 1):
            raise PlanError(f"score {self.score!r}: expected a number from 0 to 1")

    READERS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        **TruthOptions.READERS,
        "boundary": _distance,
        "tolerance": _distance,
        "block": Distance.of,
        "areas": _sizes,
        "csv": path_option,
        "report": path_option,
        "probs": _optional(file_names),
        "image": _optional(file_names),
        "errors": _optional(file_name),
        "ids": _optional(_two_files),
        "radius": _metres,
    }


@dataclass(frozen=True, kw_only=True)
class CompareOptions(EvaluateOptions):
    """The figures that a comparison measures, and the files that it writes.

    Attributes:
        csv: file for a table with a row for each figure of each prediction.
        report: HTML file for a report.
    """

    boundary: Distance | None = None
    tolerance: Distance | None = None
