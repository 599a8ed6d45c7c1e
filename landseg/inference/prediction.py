"""The result of `predict`: the facts of one run, or of one run a source."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from landseg.geo.class_areas import ClassArea, areas_rows, areas_text, read_areas
from landseg.geo.grid import Rect
from landseg.geo.tags import read_facts
from landseg.text.amounts import counted
from landseg.text.results import html_table, one_line
from landseg.text.untrusted import read_json
from landseg.tiling.costs import MIB
from landseg.tiling.sampling import disagreement_tags, read_interval


def _read_counts(text: str) -> dict[str, int]:
    """Return the counts in the text of a tag.

    Raises:
        ValueError: it holds anything else.
    """
    counts = read_json(text)
    if not isinstance(counts, dict) or not all(type(number) is int and number >= 0 for number in counts.values()):
        raise ValueError("expected numbers by name")
    return counts


_KINDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        ("mode", "engine", "precision", "precision_note", "device", "runtime", "disagreement_note", "scaling", "tta"),
        str,
    ),
    **dict.fromkeys(("halo", "batch", "windows"), int),
    "overlap_cost": float,
    "disagreement": float,
    "disagreement_interval": read_interval,
    "areas": read_areas,
    "counts": _read_counts,
    "objects_note": str,
    "window": lambda text: (int(text.split("x")[0]), int(text.split("x")[1])),
}
"""The facts that an output keeps in its tags, each with the function that reads it from the text."""


@dataclass(frozen=True, repr=False)
class Prediction:
    """One finished run of `predict`, or with `dry_run` the plan of one.

    Attributes:
        output: the class raster.
        files: every file of the run, the class raster first.
        mode: "exact" (equal to whole-image inference) or "blend".
        reason: the reason for the mode, and for windows where these were chosen, as a sentence.
        window: (height, width) of a window in pixels that the network gets; (0, 0) for a run that is skipped.
        halo: pixels of context on each side of a window.
        windows: number of windows.
        batch: number of windows in one pass of the network.
        pixels: number of pixels of the output.
        seconds: duration of the whole run; of a dry run the estimate.
        overlap_cost: pixels computed for each pixel that is kept, in each view of `tta`.
        disagreement: share of sampled pixels whose class differs from that of a longer halo, which
            `disagreement_note` names; None where it was not measured.
        disagreement_interval: (low, high), the 95 % interval of that share over all pixels with data.
        disagreement_note: the two maps that were compared, or the reason why none were.
        engine: "stream" (rows in one pass; `window` is then (rows, columns) of a strip) or "windows".
        precision: "fp32", "bf16" or "fp16".
        precision_note: the remark that the precision was chosen for this processor, and that another processor may
            give another map; None where an option names the precision.
        device: "cpu", "cuda" or "mps".
        runtime: the library that computes: "torch" or "onnx".
        runtime_note: the reason why it is this one; None where an option names it.
        memory_mib: the memory in MiB that the process takes at most, by the plan.
        disk_mib: the disk space in MiB that the outputs take at most while they are written.
        dry_run: True where nothing was written.
        skipped: True where the output was finished before.
        scaling: the treatment of declared scales and offsets, as a sentence; None where no raster declares any.
        sources: the rasters; addresses without their queries.
        sidecars: companions of `files`: class names, styles, the parts of a shapefile.
        warnings: what the log says about the raster, such as an alpha band that is none, or pixels of a size that the
            model is not for.
        limitations: the limitations in the model's card, for a raster that the model is not for; else None.
        tta: the test-time augmentation: "none", "flips" or "d4".
        areas: the area of each class, on the ellipsoid; empty in a dry run.
        counts: the number of objects, "instances", and of those that were left out, "below_score" and "below_area";
            empty where none were asked for.
        objects_note: the same in words; None where none were asked for.
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
    runtime: str = "torch"
    runtime_note: str | None = None
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
    counts: Mapping[str, int] = field(default_factory=dict)
    objects_note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values: no counts where there are none."""
        values = asdict(self)
        if not self.counts:
            del values["counts"], values["objects_note"]
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
        if self.counts:
            tags["counts"] = json.dumps(dict(self.counts))
        if self.objects_note:
            tags["objects_note"] = self.objects_note
        return tags | disagreement_tags(self.disagreement, self.disagreement_interval, self.disagreement_note)

    def with_tags(self, tags: Mapping[str, str]) -> Prediction:
        """Return the facts with those in the tags of a finished output; a missing or broken tag is left out."""
        return replace(self, **read_facts(tags, _KINDS))

    @property
    def mpx_s(self) -> float:
        """Millions of pixels in a second of the whole run."""
        return self.pixels / 1e6 / max(1e-9, self.seconds)

    @property
    def status(self) -> str:
        """The outcome in a word: "done", "skipped" or "planned"."""
        return "planned" if self.dry_run else "skipped" if self.skipped else "done"

    def brief(self) -> str:
        """Return the outcome in some words, for one line of a batch."""
        if self.skipped:
            return "finished before, skipped"
        return "planned" if self.dry_run else f"{self.mpx_s:{'.1f' if self.mpx_s >= 0.95 else '.2g'}} Mpx/s"

    def __repr__(self) -> str:
        if self.dry_run or self.skipped:
            return one_line("Prediction", str(self.output), self.brief())
        areas = areas_text(self.areas) if self.areas else None
        return one_line(
            "Prediction",
            str(self.output),
            f"{self.pixels / 1e6:.2f} Mpx",
            self.mode,
            self.engine,
            areas,
            self.objects_note,
        )

    def _repr_html_(self) -> str | None:
        facts = f"{self.output}: {self.pixels / 1e6:.2f} Mpx, {self.mode}, {self.engine}, {self.precision}"
        return html_table(facts, *areas_rows(self.areas)) if self.areas else None


@dataclass(frozen=True)
class Failure:
    """A source of several that could not be predicted.

    Attributes:
        source: the name of the source; an address without its query.
        sentence: the reason.
    """

    source: str
    sentence: str
    status = "failed"

    def to_json(self) -> dict[str, Any]:
        """Return the failure as JSON values."""
        return {"sources": [self.source], "error": self.sentence}


Finished = Callable[["Prediction | Failure", int, int], None]
"""A function that is called with the result of a raster, its number from 1, and the number of rasters."""


@dataclass(frozen=True, repr=False)
class Predictions:
    """The runs of several sources.

    Attributes:
        predictions: the runs that went well.
        failures: the reason why a source failed, as a sentence, by the name of the source.
    """

    predictions: tuple[Prediction, ...]
    failures: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all runs as JSON values."""
        return {"predictions": [one.to_json() for one in self.predictions], "failures": dict(self.failures)}

    def __repr__(self) -> str:
        failed = f"{len(self.failures):,} failed" if self.failures else None
        return one_line("Predictions", counted(len(self.predictions), "map"), failed, *map(repr, self.predictions))

    def _repr_html_(self) -> str:
        rows: list[tuple[str, str]] = [(str(one.output), one.brief()) for one in self.predictions]
        return html_table(
            repr(self).partition(",")[0].strip("<>"), ["map", "result"], [*rows, *self.failures.items()]
        )


def planned(tiling: Any, region: Rect, facts: Mapping[str, Any], output: Path, disk: int) -> Prediction:
    """Return the facts of a run that its plan already has; `facts` are the engine's."""
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
        memory_mib=round(tiling.memory / MIB, 1),
        disk_mib=round(disk / MIB, 3),
        **facts,
    )
