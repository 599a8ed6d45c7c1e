"""The options of `predict` and `verify` by name: those of inference, which both take, and each command's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self, TypedDict

from landseg.errors import GridError, OutputError, PlanError
from landseg.geo.rasters.address import File, file_name
from landseg.geo.vectors.aoi import area_text
from landseg.output.checks import is_folder
from landseg.runtime.names import check_device, check_precision, check_runtime
from landseg.runtime.processors import processors
from landseg.runtime.target_checks import check_suffix
from landseg.text.options import (
    check_kinds,
    check_positive,
    check_probs_dtype,
    check_whole_bands,
    halo_option,
    is_size,
    refuse_unknown,
    window_option,
)
from landseg.tiling.names import check_tta

MOST_THREADS = 1024  # beyond some thousands the libraries that start them end the program
FILES = ("probs", "confidence", "logits", "polygons", "preview", "instances", "panoptic")
OBJECT_FILES = ("instances", "polygons", "panoptic")
"""The files of a model of things that objects are in."""
OBJECTS = {"score": "score", "min_area": "min_area_m2", "join_small": "join_small", "distance": "distance_m"}
"""The options about objects that change which there are, and the names that they have in a model's card."""
SHAPES = ("holes", "regularize", "simplify")
"""The options about the polygons of objects."""
PANOPTIC_TILE = 4096
_LEAST_TILE = 64  # smaller images are too many files


class InferenceKeywords(TypedDict, total=False):
    """The options of inference by name, see `InferenceOptions`."""

    bands: Sequence[int] | None
    stack: bool
    stored_values: bool
    resolution: float | None
    source_resolution: float | None
    engine: str
    window: int | tuple[int, int] | str
    halo: int | str
    batch: int | None
    tta: str
    device: str
    precision: str
    runtime: str
    workers: int
    threads: int | None
    memory: int
    quiet: bool


class VerifyKeywords(InferenceKeywords, total=False):
    """The options of `verify` by name, see `VerifyOptions`."""

    size: int | tuple[int, int] | None


class PredictKeywords(InferenceKeywords, total=False):
    """The options of `predict` by name, see `PredictOptions`."""

    aoi: File | Sequence[float] | None
    sparse: bool
    probs: File | None
    probs_dtype: str
    confidence: File | None
    logits: File | None
    polygons: File | None
    preview: File | None
    instances: File | None
    panoptic: File | None
    panoptic_tile: int
    score: float | None
    min_area: float | None
    join_small: bool | None
    distance: float | None
    holes: float
    regularize: bool
    simplify: float
    resume: bool
    overwrite: bool
    dry_run: bool


@dataclass(frozen=True)
class InferenceOptions:
    """The options of inference, which concern the network and the rasters that it reads.

    Attributes:
        bands: band numbers from 1 in the order of the model's bands; None takes them by the card of the model and
            the names of the bands.
        stack: read several sources as one raster with the bands of all, in their order, and not as a mosaic.
        stored_values: take the numbers that rasters store, whatever scale and offset they declare.
        resolution: size in metres of the pixels that the network gets; None takes that of the model's card, or
            leaves pixels as they are.
        source_resolution: size in metres of the pixels of rasters without a coordinate system.
        engine: "stream" (rows of the whole raster in one pass), "windows", or "auto" for rows wherever the network
            allows them and no option concerns windows.
        window: size of a window in pixels that the network gets: a number, (height, width), or "auto".
        halo: pixels of context on each side of a window: a number, "exact", or "auto".
        batch: number of windows in one pass of the network; None chooses it.
        tta: test-time augmentation, the mean of the probabilities over views of the whole raster: "none", "flips" (4
            views: the raster, mirrored left to right, top to bottom, and both) or "d4" (8 views: these, and with rows
            and columns swapped). It needs windows, and 4 or 8 times the work.
        device: "auto", "cpu", "cuda" or "mps".
        precision: the floating-point format of the network: "auto", "fp32", "bf16" or "fp16".
        runtime: the library that computes: "torch" (PyTorch), "onnx" (ONNX Runtime, in fp32 on processors), or "auto"
            for ONNX Runtime wherever device, precision and network allow it.
        workers: number of threads that read; by name 2, and no more than processors or `threads`.
        threads: number of threads that compute, in the whole process from now on; no more threads read than that
            unless `workers` says so. None is OMP_NUM_THREADS, or one for each processor that the affinity of the
            process and the quota of its container let it use.
        memory: the memory in MiB that the process may take.
        quiet: show no progress.
    """

    bands: Sequence[int] | None = None
    stack: bool = False
    stored_values: bool = False
    resolution: float | None = None
    source_resolution: float | None = None
    engine: str = "auto"
    window: int | tuple[int, int] | str = "auto"
    halo: int | str = "auto"
    batch: int | None = None
    tta: str = "none"
    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    workers: int = 2
    threads: int | None = None
    memory: int = 3072
    quiet: bool = True

    @classmethod
    def of(cls, **options: Any) -> Self:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name, or a value that it cannot have.
        """
        command = cls.__name__.removesuffix("Options").lower()
        refuse_unknown(options, [field.name for field in fields(cls)], of=command)
        made = cls(**options)
        if "workers" not in options:
            most = made.threads if isinstance(made.threads, int) else processors()
            made = replace(made, workers=max(1, min(made.workers, most)))
        made = replace(made, window=window_option(made.window), halo=halo_option(made.halo))
        made._check_numbers()
        check_whole_bands(made.bands)
        if made.engine not in ("auto", "stream", "windows"):
            raise PlanError(f"engine {made.engine!r}: expected auto, stream or windows")
        check_device(str(made.device))
        check_precision(str(made.precision))
        check_runtime(str(made.runtime))
        check_tta(str(made.tta))
        check_kinds(made)
        if made.engine == "stream" and made.tta != "none":
            raise PlanError(
                f"--tta {made.tta} takes the mean over mirrored views of the whole raster, which rows that stream "
                "from top to bottom cannot give: use --engine auto or windows, or leave out --tta"
            )
        return made

    @property
    def class_layers(self) -> int:
        """The number of rasters to write that hold a number for each class in every pixel: none."""
        return 0

    def _check_numbers(self) -> None:
        for name in ("batch", "workers", "threads", "memory"):
            value = getattr(self, name)
            if name == "threads" and isinstance(value, int) and value > MOST_THREADS:
                raise PlanError(f"threads {value:,}: expected {MOST_THREADS:,} at most; one a core is enough")
            if not (name in ("batch", "threads") and value is None):
                check_positive(name, value)
        metres: Any = self.resolution
        if metres is not None and not (isinstance(metres, Real) and math.isfinite(metres) and float(metres) > 0):
            raise GridError(f"--resolution {metres!r}: expected a positive number of metres, such as 0.5")


@dataclass(frozen=True)
class VerifyOptions(InferenceOptions):
    """The options of `verify`: those of inference, and the size of the crop.

    Attributes:
        precision: the floating-point format of both inferences: "fp32", "bf16" or "fp16".
        size: side of the crop, or its (height, width), in pixels that the network gets; None takes one and a half
            windows.
    """

    precision: str = "fp32"
    size: int | tuple[int, int] | None = None

    @classmethod
    def of(cls, **options: Any) -> Self:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name, or a value that it cannot have.
        """
        made = super().of(**options)
        sides = made.size if isinstance(made.size, (tuple, list)) else (made.size, made.size)
        if made.size is not None and not (len(sides) == 2 and all(isinstance(side, Integral) for side in sides)):
            raise PlanError(f"size {made.size!r}: expected a number of pixels, or (height, width)")
        return made


@dataclass(frozen=True)
class PredictOptions(InferenceOptions):
    """The options of `predict`: those of inference, and those of the files that are written.

    Attributes:
        aoi: the area of interest, to predict only there: "left,bottom,right,top", these four numbers, or a vector
            file.
        sparse: make a mosaic of rasters that are far apart, and compute and store only what they cover; without this
            option, such rasters are refused.
        probs: a file for the probabilities, one band for each class.
        probs_dtype: the data type of `probs`: "uint8" in steps of 1/255, or "float32".
        confidence: a file for the probability of the class in the map.
        logits: a file for the logits in float32, one band for each class.
        polygons: a vector file, in the format of its suffix; with `confidence`, the mean and the minimum of it become
            columns.
        preview: a PNG file with a picture of the map.
        instances: a file for the ids of objects, from 1 on, with a model of things; 0 is where no object is.
        panoptic: a folder for COCO's panoptic format, with a model of things: panoptic.json and pictures of ids.
        panoptic_tile: the largest edge of such a picture in pixels; a larger raster becomes several.
        score: leave out objects with a lower score, from 0 to 1; None takes the value of the model's card.
        min_area: leave out objects of fewer square metres, or pixels of a raster without a coordinate system; None
            takes the value of the model's card.
        join_small: objects that are smaller become part of the neighbour of their class with the longest border in
            common, where they have one, and are not left out; None takes the value of the model's card.
        distance: of points nearer to each other than so many metres, or pixels of a raster without a coordinate
            system, the better one stays; None takes the value of the model's card.
        holes: fill holes of up to so many square metres in the polygons of objects.
        regularize: draw the polygons of objects with right angles; neighbours then no longer share their walls.
        simplify: leave out corners of the polygons of objects up to so many metres from the outline.
        resume: continue a run that was stopped.
        overwrite: replace outputs that exist.
        dry_run: plan the run and estimate its time, and write nothing.
    """

    aoi: File | Sequence[float] | None = None
    sparse: bool = False
    probs: File | None = None
    probs_dtype: str = "uint8"
    confidence: File | None = None
    logits: File | None = None
    polygons: File | None = None
    preview: File | None = None
    instances: File | None = None
    panoptic: File | None = None
    panoptic_tile: int = PANOPTIC_TILE
    score: float | None = None
    min_area: float | None = None
    join_small: bool | None = None
    distance: float | None = None
    holes: float = 0.0
    regularize: bool = False
    simplify: float = 0.0
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False

    @classmethod
    def of(cls, **options: Any) -> Self:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name, or a value that it cannot have.
        """
        made = super().of(**options)
        made = replace(made, aoi=area_text(made.aoi))
        check_probs_dtype(made.probs_dtype)
        for name in FILES:
            if getattr(made, name) is not None:
                file_name(getattr(made, name))  # it refuses what is no path
        if made.preview is not None and Path(made.preview).suffix:  # a name without one may be a folder
            check_suffix(Path(made.preview), (".png",), kind="a preview")
        if made.panoptic is not None and (folder := Path(made.panoptic)).suffix.lower() in (".json", ".png"):
            raise OutputError(
                f"--panoptic {made.panoptic}: expected a folder, in which panoptic.json and its pictures are "
                f"written; write --panoptic {folder.with_suffix('')}"
            )
        if made.panoptic_tile < _LEAST_TILE:
            raise PlanError(
                f"--panoptic-tile {made.panoptic_tile!r}: expected a whole number of pixels from {_LEAST_TILE} on, "
                f"such as {PANOPTIC_TILE}"
            )
        if made.score is not None and not (is_size(made.score) and made.score <= 1):
            raise PlanError(f"--score {made.score!r}: expected a number from 0 to 1, such as 0.3")
        if made.join_small not in (None, True, False):
            raise PlanError(f"join_small {made.join_small!r}: expected True or False")
        for name, unit in (
            ("min_area", "square metres"),
            ("distance", "metres"),
            ("holes", "square metres"),
            ("simplify", "metres"),
        ):
            value = getattr(made, name)
            if value is not None and not is_size(value):
                raise PlanError(f"--{name.replace('_', '-')} {value!r}: expected a number of {unit}, 0 or more")
        return made

    @property
    def objects(self) -> dict[str, float | bool]:
        """The given ones of the options that change which objects there are, by their names in a model's card."""
        given = {key: getattr(self, name) for name, key in OBJECTS.items()}
        return {
            key: value if key == "join_small" else float(value) for key, value in given.items() if value is not None
        }

    @property
    def shaping(self) -> dict[str, Any]:
        """The options about the polygons of objects, by name, as far as they are not the usual ones."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name in SHAPES if (value := getattr(self, name)) != usual[name]}

    @property
    def class_layers(self) -> int:
        """The number of rasters to write that hold a number for each class in every pixel."""
        return sum(file is not None for file in (self.probs, self.logits))

    def path(self, name: str) -> Path | None:
        """Return the path of a further file, by the name of its option; None without it."""
        value = getattr(self, name)
        return None if value is None else Path(value)

    def in_folder(self, stem: str) -> PredictOptions:
        """Return the options for one source of several: every further file is put into a folder, under this stem.

        Raises:
            OutputError: a further file is named, and not a folder.
        """
        suffixes = {"polygons": ".gpkg", "preview": ".png", "panoptic": ""}
        changes: dict[str, Any] = {}
        for name in FILES:
            value = getattr(self, name)
            if value is None:
                continue
            if name != "panoptic" and not is_folder(value):
                raise OutputError(f"--{name} {value}: with an output folder this is a folder too; write {value}/")
            changes[name] = Path(value) / f"{stem}{suffixes.get(name, '.tif')}"
        return replace(self, **changes)

    def folders(self) -> list[Path]:
        """Return the folders of the further files."""
        values = {name: getattr(self, name) for name in FILES}
        return [
            Path(value)
            for name, value in values.items()
            if value is not None and (name == "panoptic" or is_folder(value))
        ]
