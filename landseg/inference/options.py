"""The options of `predict`: the same from Python as on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import GridError, OutputError, PlanError
from landseg.geo.vectors.aoi import area_text
from landseg.output.checks import is_folder
from landseg.runtime.names import check_device, check_precision
from landseg.runtime.target_checks import check_suffix
from landseg.text.options import (
    check_positive,
    check_probs_dtype,
    check_whole_bands,
    halo_option,
    refuse_unknown,
    window_option,
)
from landseg.tiling.names import check_tta

MOST_THREADS = 1024  # beyond some thousands the libraries that start them end the program
File = str | PathLike[str] | None
_FILES = ("probs", "confidence", "logits", "polygons", "preview")


@dataclass(frozen=True)
class PredictOptions:
    """The options of a run of `predict`.

    Attributes:
        bands: 1-based bands in the model's order; None lets the card and the raster decide.
        probs: file for class probabilities, a band each.
        probs_dtype: "uint8" (steps of 1/255) or "float32".
        confidence: file for the top probability.
        logits: file for float32 logits, a band a class.
        polygons: vector file, its format by suffix; with `confidence`, the mean and minimum of it are columns.
        preview: PNG file.
        engine: "stream" (rows in one pass), "windows", or "auto": rows wherever the network allows it and nothing
            that concerns windows is asked for.
        window: pixels of the network's grid: a number, (height, width), or "auto".
        halo: pixels, "exact", or "auto".
        batch: windows for one call of the network; None chooses.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32, bf16 or fp16.
        resolution: metres a pixel for the network; None follows the card.
        source_resolution: metres a pixel of rasters that do not say so themselves.
        stored_values: take the numbers that rasters store, whatever scale and offset they declare.
        workers: threads that read.
        threads: that compute, in the whole process from now on; no more of them read unless `workers` says so. None
            leaves it to torch: a thread a core, or OMP_NUM_THREADS.
        memory: MiB that the process may take.
        aoi: "left,bottom,right,top", those four numbers, or a vector file.
        resume: continue a run that was stopped.
        overwrite: replace outputs that exist.
        dry_run: plan and estimate, write nothing.
        quiet: show no progress.
        sparse: map a mosaic of which little is covered, computing and storing that alone; without, it is refused.
        stack: several sources are one raster with the bands of all, in their order, and no mosaic.
        tta: test-time augmentation, the mean probability over views of the whole raster: "none", "flips" (4 views: as
            it is, mirrored left to right, top to bottom, both) or "d4" (8: these, and with rows and columns swapped).
            It takes windows, and 4 or 8 times the work.
    """

    bands: Sequence[int] | None = None
    probs: File = None
    probs_dtype: str = "uint8"
    confidence: File = None
    logits: File = None
    polygons: File = None
    preview: File = None
    engine: str = "auto"
    window: int | tuple[int, int] | str = "auto"
    halo: int | str = "auto"
    batch: int | None = None
    device: str = "auto"
    precision: str = "auto"
    resolution: float | None = None
    source_resolution: float | None = None
    stored_values: bool = False
    workers: int = 2
    threads: int | None = None
    memory: int = 3072
    aoi: File | Sequence[float] = None
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    stack: bool = False
    sparse: bool = False
    tta: str = "none"

    @classmethod
    def of(cls, **options: Any) -> PredictOptions:
        """Return the options by name.

        Raises:
            LandsegError: an unknown name, or a value that means nothing.
        """
        refuse_unknown(options, [field.name for field in fields(cls)], of="predict")
        made = cls(**options)
        if isinstance(made.threads, int) and "workers" not in options:
            made = replace(made, workers=max(1, min(made.workers, made.threads)))
        made = replace(made, window=window_option(made.window), halo=halo_option(made.halo), aoi=area_text(made.aoi))
        made._check_numbers()
        check_whole_bands(made.bands)
        if made.engine not in ("auto", "stream", "windows"):
            raise PlanError(f"engine {made.engine!r}: expected auto, stream or windows")
        check_device(str(made.device))
        check_precision(str(made.precision))
        check_tta(str(made.tta))
        if made.engine == "stream" and made.tta != "none":
            raise PlanError(
                f"--tta {made.tta} takes the mean over mirrored views of the whole raster, which rows that stream "
                "from top to bottom cannot give: use --engine auto or windows, or leave out --tta"
            )
        check_probs_dtype(made.probs_dtype)
        if made.preview is not None and Path(made.preview).suffix:  # a name without one may be a folder
            check_suffix(Path(made.preview), (".png",), kind="a preview")
        return made

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

    def path(self, name: str) -> Path | None:
        """Return the file for `probs`, `confidence`, `logits`, `polygons` or `preview`; None: there is none."""
        value = getattr(self, name)
        return None if value is None else Path(value)

    def in_folder(self, stem: str) -> PredictOptions:
        """Return the options for one source of several: further outputs are folders, and get a file of this stem.

        Raises:
            OutputError: a further output that is a file.
        """
        suffixes = {"polygons": ".gpkg", "preview": ".png"}
        changes: dict[str, Any] = {}
        for name in _FILES:
            value = getattr(self, name)
            if value is None:
                continue
            if not is_folder(value):
                raise OutputError(f"--{name} {value}: with an output folder this is a folder too; write {value}/")
            changes[name] = Path(value) / f"{stem}{suffixes.get(name, '.tif')}"
        return replace(self, **changes)

    def folders(self) -> list[Path]:
        """Return the folders that the further outputs name."""
        values = (getattr(self, name) for name in _FILES)
        return [Path(value) for value in values if value is not None and is_folder(value)]
