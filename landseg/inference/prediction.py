"""The result of `predict`: the facts of one run, or of one run a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from landseg.geo.class_areas import ClassArea, areas_text, read_areas
from landseg.geo.grid import Rect
from landseg.geo.tags import read_facts
from landseg.runtime.progress import duration
from landseg.text.amounts import counted
from landseg.tiling.costs import MIB
from landseg.tiling.names import VIEWS
from landseg.tiling.sampling import disagreement_tags, read_interval

_KINDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        ("mode", "engine", "precision", "precision_note", "device", "disagreement_note", "scaling", "tta"), str
    ),
    **dict.fromkeys(("halo", "batch", "windows"), int),
    "overlap_cost": float,
    "disagreement": float,
    "disagreement_interval": read_interval,
    "areas": read_areas,
    "window": lambda text: (int(text.split("x")[0]), int(text.split("x")[1])),
}
"""The facts that an output keeps in its tags, each with the function that reads it from the text."""


@dataclass(frozen=True)
class Prediction:
    """One finished run, or with `dry_run` the plan of one.

    Attributes:
        output: the class raster.
        files: every file of the run, that one first.
        mode: "exact" (equal to whole-image inference) or "blend".
        reason: a sentence: why this mode, and why windows, where they were chosen instead of rows.
        window: (height, width) in pixels of the network's grid; (0, 0) for a run that was finished before.
        halo: pixels on each side.
        windows: their number.
        batch: windows for one call of the network.
        pixels: of the output.
        seconds: of the whole run; of a dry run the estimate.
        overlap_cost: pixels computed over pixels kept, in each view of `tta`.
        disagreement: share of sampled pixels whose class differs from that of a longer halo (`disagreement_note` says
            which); None where none was measured.
        disagreement_interval: (low, high): the 95 % interval of that share over all pixels with data.
        disagreement_note: the comparison in words, or why there was none.
        engine: "stream" (rows in one pass; `window` is then (strip, columns)) or "windows".
        precision: fp32, bf16 or fp16.
        precision_note: that it was chosen for this processor and that another may give another map; None where it was
            asked for.
        device: cpu, cuda or mps.
        memory_mib: the memory that the plan expects the process to take at most.
        disk_mib: the disk space that the outputs take at most while they are written.
        dry_run: True where nothing was written.
        skipped: True where the output was finished before.
        scaling: a sentence on the declared scales and offsets; None where neither side declares any.
        sources: the rasters that it was made of, addresses without their queries.
        sidecars: files beside `files` that belong to them: class names, styles, parts of a shapefile.
        warnings: sentences about the raster: an alpha band that is none, pixels of a size that the model is not for.
        limitations: where the model's card says that it will fail, of a raster that it is not for; else None.
        tta: the test-time augmentation: "none", "flips" or "d4".
        areas: the area that each class covers, on the ellipsoid; empty in a dry run.
    """

    output: Path
    files: tuple[Path, ...] = ()
    mode: str = ""
    reason: str = ""
    window: tuple[int, int] = (0, 0)
    halo: int = 0
    windows: int = 0
    batch: int = 0
    pixels: int = 0
    seconds: float = 0.0
    overlap_cost: float = 0.0
    disagreement: float | None = None
    disagreement_interval: tuple[float, float] | None = None
    disagreement_note: str | None = None
    engine: str = "windows"
    precision: str = ""
    precision_note: str | None = None
    device: str = ""
    memory_mib: float = 0.0
    disk_mib: float = 0.0
    dry_run: bool = False
    skipped: bool = False
    scaling: str | None = None
    sources: tuple[str, ...] = ()
    sidecars: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    limitations: str | None = None
    tta: str = "none"
    areas: tuple[ClassArea, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the run in JSON values."""
        values = asdict(self)
        values["output"], values["files"] = str(self.output), [str(path) for path in self.files]
        values["sources"], values["sidecars"] = list(self.sources), [str(path) for path in self.sidecars]
        values["window"], values["warnings"] = list(self.window), list(self.warnings)
        values["areas"] = [row.to_json() for row in self.areas]
        if self.disagreement_interval is not None:
            values["disagreement_interval"] = list(self.disagreement_interval)
        return values

    def tags(self) -> dict[str, str]:
        """Return the tags by which the output keeps the facts of its plan and run."""
        tags = {
            "mode": self.mode,
            "engine": self.engine,
            "window": f"{self.window[0]}x{self.window[1]}",
            "halo": str(self.halo),
            "batch": str(self.batch),
            "windows": str(self.windows),
            "overlap_cost": f"{self.overlap_cost:.6f}",
        }
        if self.tta != "none":
            tags["tta"] = self.tta
        if self.scaling:
            tags["scaling"] = self.scaling
        if self.warnings:
            tags["warnings"] = "; ".join(self.warnings)
        return tags | disagreement_tags(self.disagreement, self.disagreement_interval, self.disagreement_note)

    def with_tags(self, tags: Mapping[str, str]) -> Prediction:
        """Return the facts with those in the tags of a finished output; a missing or broken tag is left out."""
        return replace(self, **read_facts(tags, _KINDS))

    @property
    def mpx_s(self) -> float:
        """Millions of pixels a second, of the whole run."""
        return self.pixels / 1e6 / max(1e-9, self.seconds)

    @property
    def status(self) -> str:
        """The outcome in a word: "done", "skipped" or "planned"."""
        return "planned" if self.dry_run else "skipped" if self.skipped else "done"

    def brief(self) -> str:
        """Return the outcome, for one line of a batch."""
        if self.skipped:
            return "finished before, skipped"
        return "planned" if self.dry_run else f"{self.mpx_s:{'.1f' if self.mpx_s >= 0.95 else '.2g'}} Mpx/s"

    def lines(self) -> list[str]:
        """Return the run in words, a line each."""
        if self.skipped:
            return [f"{self.output}: finished before, skipped"]
        speed = f"{self.mpx_s:.2f} Mpx/s"
        height, width = self.window
        cut = f"windows       {self.windows} of {height} x {width} px, halo {self.halo}, batches of {self.batch}"
        if self.engine == "stream":
            beside = f", {self.halo} beside them read as well" if self.halo else ""
            cut = f"strips        of {height} rows, {self.windows} x {width} columns{beside}"
        plan = [
            cut,
            f"mode          {self.reason}",
            f"overlap       {self.overlap_cost:.2f} pixels computed for each that is kept",
            f"network       {self.precision}, {self.device}, {self.engine}",
        ]
        if (views := VIEWS[self.tta]) > 1:
            plan.append(f"tta           {self.tta}: the mean of {views} views of the raster, {views} times the work")
        if self.precision_note:
            plan.append(f"precision     {self.precision_note}")
        if self.scaling:
            plan.append(f"scaling       {self.scaling}")
        if self.limitations:
            plan.append(f"model fails   {self.limitations}")
        if self.disagreement_note:
            plan.append(f"disagreement  {self.disagreement_note}")
        if self.dry_run:
            plan.append(f"memory        up to {self.memory_mib:.0f} MiB")
            plan.append(f"disk          up to {_size(self.disk_mib)}")
            plan.append(f"time          about {duration(self.seconds)} ({speed}), and some seconds to start")
            return [f"{self.output}: nothing written, this is the plan", *plan]
        if self.areas:
            plan.append(f"areas         {areas_text(self.areas)}")
            if (empty := self.pixels - sum(row.pixels for row in self.areas)) > 0:
                plan.append(f"no data       {empty:,} px ({100 * empty / self.pixels:.1f} %)")
        done = f"{self.pixels / 1e6:.2f} Mpx in {duration(self.seconds)}, {speed}"
        return [*(str(path) for path in self.files), *plan, f"time          {done}"]


@dataclass(frozen=True)
class Failure:
    """A source of several that could not be predicted.

    Attributes:
        source: its name, an address without its query.
        sentence: why.
    """

    source: str
    sentence: str
    status = "failed"

    def to_json(self) -> dict[str, Any]:
        """Return the failure in JSON values."""
        return {"sources": [self.source], "error": self.sentence}


Finished = Callable[["Prediction | Failure", int, int], None]
"""A function that is called with the result for a raster, its number from 1, and the number of rasters."""


@dataclass(frozen=True)
class Predictions:
    """One run a source: the runs that succeeded, and a sentence for each that failed."""

    predictions: tuple[Prediction, ...]
    failures: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all runs in JSON values."""
        return {"predictions": [one.to_json() for one in self.predictions], "failures": dict(self.failures)}

    def lines(self) -> list[str]:
        """Return all runs in words: the lines of each, then once the lines that all share, and their number."""
        runs = [one.lines() for one in self.predictions]
        shared = [line for line in runs[0] if all(line in lines for lines in runs)] if len(runs) > 1 else []
        own = [line for lines in runs for line in lines if line not in shared]
        return [*own, *shared, self._count()]

    def _count(self) -> str:
        """Return the number of maps, their time, and the number of failures, as a sentence."""
        runs = [one for one in self.predictions if not one.skipped]
        took = f"{sum(one.pixels for one in runs) / 1e6:.2f} Mpx in {duration(sum(one.seconds for one in runs))}"
        if any(one.dry_run for one in runs):
            disk = f"up to {_size(sum(one.disk_mib for one in runs))} of disk"
            said = f"{counted(len(self.predictions), 'map')} planned, {disk}, {took.replace(' in ', ' in about ')}"
        else:
            said = f"{counted(len(self.predictions), 'map')} done, {took}"
        skipped = len(self.predictions) - len(runs)
        said += f", {skipped:,} of them finished before" if skipped else ""
        return f"{said}; {len(self.failures):,} failed" if self.failures else said


def _size(mib: float) -> str:
    """Return bytes in a unit that shows them: whole MiB, below 10 with a decimal, below 1 in KiB.

    >>> _size(0.032), _size(1.46), _size(2048.3)
    ('33 KiB', '1.5 MiB', '2048 MiB')
    """
    if mib < 1:
        return f"{max(1, round(mib * 1024))} KiB"
    return f"{mib:.1f} MiB" if mib < 10 else f"{mib:.0f} MiB"


def planned(tiling: Any, region: Rect, runner: Any, output: Path, disk: int) -> Prediction:
    """Return the facts that a plan of windows already has; `disk` is in bytes."""
    return Prediction(
        output=output,
        mode=tiling.mode,
        reason=tiling.reason,
        window=tiling.windows.largest,
        halo=max(tiling.windows.halo),
        windows=len(tiling.windows),
        batch=tiling.batch,
        pixels=region.area,
        overlap_cost=tiling.windows.overlap_cost,
        precision=runner.precision,
        precision_note=runner.precision_note,
        device=runner.device.type,
        memory_mib=round(tiling.memory / MIB, 1),
        disk_mib=round(disk / MIB, 3),
    )
