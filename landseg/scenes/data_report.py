"""Images and labels before training, in figures and sentences: the result of `inspect_data`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landseg.classes import IGNORE_INDEX
from landseg.geo.rasters.statistics import PERCENTILES
from landseg.labels.left_out import LeftOut
from landseg.labels.value_mapping import ValueMapping
from landseg.scenes.issues import ClassShare, Issue
from landseg.scenes.object_survey import ObjectCounts
from landseg.scenes.split import Split
from landseg.scenes.survey import ImageSurvey, Statistics
from landseg.text.amounts import counted
from landseg.text.results import html_table, one_line

_POLYGONS = ("learned_polygons", "kept_polygons")


@dataclass(frozen=True, repr=False)
class DataReport:
    """Images and labels before training: their pixels, their classes, and their faults.

    Attributes:
        files: contents of every image that could be read.
        bands: a row of statistics for each band and dtype.
        classes: amount of each class.
        findings: faults and other facts that a user needs, as sentences.
        meaning: classes of the label values; None where nothing is labelled.
        split: the scenes to train on and those to keep out, where a split was tried.
        sheet: file of the picture; None where none was drawn.
        left_out: pixels of labelled images that do not count, by reason.
        objects: counts of the objects that label them; None where labels are of classes alone.
    """

    files: list[ImageSurvey]
    bands: list[dict[str, Any]]
    classes: list[ClassShare]
    findings: list[Issue]
    meaning: ValueMapping | None
    split: Split | None = None
    sheet: Path | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    objects: ObjectCounts | None = None

    def __repr__(self) -> str:
        labelled = f"{sum(bool(one.values) for one in self.files):,} labelled"
        names = ", ".join(f"{one.name} {one.share:.1%}" for one in self.classes)
        issues = counted(len(self.findings), "finding")
        return one_line("DataReport of", counted(len(self.files), "image"), labelled, issues, names)

    def _repr_html_(self) -> str:
        rows = [[one.name, f"{one.pixels:,}", f"{one.share:.1%}", f"{one.files:,}"] for one in self.classes]
        table = html_table(counted(len(self.files), "image"), ["class", "pixels", "share", "files"], rows)
        findings = html_table("findings", ["kind", ""], [[one.kind, one.text] for one in self.findings])
        return f"{table}\n{findings}" if self.findings else table

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "images": len(self.files),
            "labelled": sum(bool(one.values) for one in self.files),
            "pixels": sum(one.pixels for one in self.files),
            "nodata_share": 1 - sum(one.valid_px for one in self.files) / sum(one.pixels for one in self.files),
            "files": [one.to_json(self.meaning) for one in self.files],
            "bands": self.bands,
            "classes": [vars(one) for one in self.classes],
            "findings": [vars(one) for one in self.findings],
            "split": None if self.split is None else _split_json(self.split, self.classes),
            "sheet": None if self.sheet is None else str(self.sheet),
            "left_out": self.left_out.to_json(),
            **({} if self.objects is None else {"objects": vars(self.objects)}),
        }


def class_shares(files: Sequence[ImageSurvey], meaning: ValueMapping | None) -> list[ClassShare]:
    """Return the amount of each class in all files; hectares where every file says where it lies."""
    if meaning is None:
        return []
    pixels, of_files, hectares = ([0.0] * len(meaning.classes) for _ in range(3))
    placed = all(one.pixel_ha is not None for one in files)
    for one in files:
        for value, count in one.values.items():
            index = meaning.index(value)
            if index is not None and index != IGNORE_INDEX:
                pixels[index] += count
                of_files[index] += 1
                hectares[index] += one.hectares(value)
    total = sum(pixels) or 1
    return [
        ClassShare(entry.value, entry.name, int(px), px / total, int(n), ha if placed else None)
        for entry, px, n, ha in zip(meaning.classes.classes, pixels, of_files, hectares, strict=True)
    ]


def band_rows(statistics: Statistics) -> list[dict[str, Any]]:
    """Return a row of figures for each band and dtype, in order."""
    return [
        {
            "band": number,
            "dtype": dtype,
            "valid_pixels": one.count,
            "min": one.minimum,
            "mean": one.mean,
            "std": one.std,
            "max": one.maximum,
            "percentiles": dict(zip((f"p{p}" for p in PERCENTILES), one.percentiles(), strict=True)),
        }
        for (number, dtype), one in sorted(statistics.items())
    ]


def _split_json(parts: Split, classes: Sequence[ClassShare]) -> dict[str, Any]:
    names = [one.name for one in classes]
    return {
        "by": parts.by,
        **({} if parts.polygons is None else dict(zip(_POLYGONS, parts.polygons, strict=True))),
        "kept_share": parts.share,
        "learned": [scene.name for scene in parts.learned],
        "kept": [scene.name for scene in parts.kept],
        "learned_pixels": dict(zip(names, parts.learned_px, strict=True)),
        "kept_pixels": dict(zip(names, parts.kept_px, strict=True)),
    }
