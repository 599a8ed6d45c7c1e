"""The use case behind ``landseg data``: what there is to learn from, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError, LandsegError, OutputError, TrainingError
from landseg.geo.rasters.address import file_name, file_names
from landseg.geo.rasters.members import refuse_mixed_members
from landseg.geo.rasters.rescaled import alike, comparable
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.statistics import PERCENTILES
from landseg.geo.rasters.value_tags import ValueTags
from landseg.geo.reduce import fitted
from landseg.geo.vectors.names import file_of, is_there, is_vector
from landseg.labels.image_lists import Item, find_images, pair, scene_names
from landseg.labels.label_colors import Colors, colors_of
from landseg.labels.left_out import LeftOut
from landseg.labels.legend import read_class_table
from landseg.labels.value_mapping import ValueMapping, infer_value_mapping
from landseg.output.checks import check_targets
from landseg.report.imagery import Imagery
from landseg.report.sheet import MOST, Cell, cell_edge, draw_sheet, picked
from landseg.report.thumbnail import EMPTY
from landseg.runtime.disk import check_local
from landseg.scenes.issues import (
    ClassShare,
    Issue,
    check_classes,
    check_drawn,
    check_files,
    check_ground,
    check_values,
    first_five,
)
from landseg.scenes.split import Split, SplitOptions, split
from landseg.scenes.survey import ImageSurvey, Statistics, SurveyScene, survey_image
from landseg.scenes.survey_labels import FoundLegend, OpenLabels, label_opener, polygons_of
from landseg.text.amounts import counted, none_of, part_of
from landseg.training.recipe_from_files import DataFiles
from landseg.training.refused import refusal

_POLYGONS = ("learned_polygons", "kept_polygons")


@dataclass(frozen=True)
class InspectOptions:
    """What is inspected, and how labels are understood.

    Attributes:
        classes: class table, TOML or JSON; None: that of the labels, else every value stands for itself.
        ignore: further values that mean unknown.
        class_field: column of a vector file; None: all its polygons are of one class.
        background: class of all that lies outside polygons.
        split: also split, and look for leaks.
        sheet: PNG to write with the scenes and their labels.
        overwrite: replace it where it exists.
        buffer_m: metres around lines and points of a vector file that count as theirs; None: these are refused.
        label_colors: label rasters are pictures in the colours of the class table.
        stored_values: count the numbers that images store, whatever scale and offset they declare.
    """

    classes: Path | None = None
    ignore: tuple[int, ...] = ()
    class_field: str | None = None
    background: str | None = None
    split: SplitOptions | None = None
    sheet: Path | None = None
    overwrite: bool = False
    buffer_m: float | None = None
    label_colors: bool = False
    stored_values: bool = False


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        files: every image that could be read.
        bands: a row of figures for each band and dtype.
        classes: how much there is of each.
        findings: what is wrong or worth knowing, as sentences.
        split: who is learned and kept, where that was asked for.
        sheet: the picture, where one was.
        left_out: pixels of labelled images that do not count, by reason.
    """

    files: list[ImageSurvey]
    bands: list[dict[str, Any]]
    classes: list[ClassShare]
    findings: list[Issue]
    meaning: ValueMapping | None = field(repr=False)
    split: Split | None = None
    sheet: Path | None = None
    left_out: LeftOut = field(default_factory=LeftOut)

    def to_json(self) -> dict[str, Any]:
        """The whole of it as plain JSON values."""
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
        }


def inspect(images: Sequence[str], labels: str | None, options: InspectOptions) -> Inspection:
    """Read every image and its labels once, in bounded memory, and say what is in them and what is wrong.

    Files that cannot be read, images without labels and the like are findings.

    Args:
        images: folders, globs, files or lists.
        labels: a folder of label rasters, or a vector file; None: what a list says, if it does.
        options: how labels are understood, and what else to make.

    Raises:
        TrainingError: no image at all, or none that can be read.
        OutputError: the picture is a file that is read, exists, or cannot be written.
        LandsegError: a class table, vector file, split or picture that cannot be had as asked for.
    """
    images, labels = file_names(images), None if labels is None else file_name(labels)
    _check_sheet(options)
    findings: list[Issue] = []
    items = _items(images, labels, findings)
    if options.sheet is not None:
        read = [path for item in items for path in (item.image, item.labels) if path is not None]
        read += [] if labels is None else [file_of(labels)]
        check_targets([], [options.sheet], [*read, *([] if options.classes is None else [options.classes])])
    named = None if options.classes is None else read_class_table(options.classes)
    table = None if named is None else named.ignoring(options.ignore)
    colors = _colors(named, labels) if options.label_colors else None
    drawn = polygons_of(
        labels, table, field=options.class_field, background=options.background, buffer_m=options.buffer_m
    )
    if drawn is not None:
        findings += check_drawn(drawn, [item.image for item in items])
    shown = set(picked(len(items))) if options.sheet is not None else set()
    names = scene_names([item.image for item in items])
    statistics: Statistics = {}
    files: list[ImageSurvey] = []
    opens: dict[Path, OpenLabels] = {}
    legend = FoundLegend()
    tags = None if options.stored_values else _tags(items)
    for number, (name, item) in enumerate(zip(names, items, strict=True)):
        opens[item.image] = label_opener(item, drawn, legend, table=named, colors=colors)
        labelled_by = str(item.labels) if item.labels else labels if drawn else None
        try:
            shows = cell_edge(len(shown)) if number in shown else 0
            files.append(
                survey_image(name, item.image, labelled_by, opens[item.image], statistics, picture=shows, tags=tags)
            )
            if not options.stored_values:
                refuse_mixed_members([str(item.image)])
        except LandsegError as error:
            findings.append(Issue("unreadable", str(error)))
    if not files:
        raise TrainingError(f"{none_of(len(items), 'image')} can be read; the first: {findings[-len(items)].text}")
    findings[:0] = _refusal(images, labels, items, options)
    values = sorted({value for one in files for value in one.values})
    meaning = infer_value_mapping(
        values,
        table,
        texts=None if drawn is None else drawn.texts,
        own=legend.classes,
        palette=legend.palette,
        ignore=options.ignore,
    )
    classes, left_out = _shares(files, meaning), LeftOut()
    for one in files:
        left_out.merge(one.left_out_by(meaning))
    findings += check_files(files, stored_values=options.stored_values) + check_values(statistics)
    findings += check_ground(files) + check_classes(files, meaning, classes, drawn)
    said = {item.image: item.split for item in items}
    parts = _split(files, said, opens, meaning, options, findings)
    if options.sheet is not None:
        _draw(files, classes, meaning, options.sheet, parts, edge=cell_edge(len(shown)))
    return Inspection(files, _bands(statistics), classes, findings, meaning, parts, options.sheet, left_out)


def _refusal(
    images: Sequence[str], labels: str | None, items: Sequence[Item], options: InspectOptions
) -> list[Issue]:
    """Why a training run would refuse images and labels, by the checks that it makes; of images alone, nothing."""
    if labels is None and not any(item.labels for item in items):
        return []
    named = DataFiles(
        tuple(images),
        None if labels is None else (labels,),
        classes=options.classes,
        ignore=options.ignore,
        class_field=options.class_field,
        background=options.background,
        label_colors=options.label_colors,
        buffer_m=options.buffer_m,
    )
    reason = refusal(named, stored_values=options.stored_values)
    return [] if reason is None else [Issue("refused", f"train refuses these as they are: {reason}")]


def _colors(table: ClassMap | None, labels: str | None) -> Colors:
    """What the colours of label rasters mean.

    Raises:
        ClassError: no table says so, or the labels are no rasters.
    """
    if labels is not None and is_vector(labels):
        raise ClassError(f"--label-colors is for label rasters; {labels} is a vector file: leave it out")
    if table is None:
        raise ClassError("--label-colors needs the colours of the classes: name their table with --classes")
    return colors_of(table)


def _tags(items: Sequence[Item]) -> tuple[ValueTags, ...] | None:
    """The first image's scale and offset, where others declare different ones and can be brought over to them."""
    found = []
    for item in items:
        with suppress(LandsegError), FileSource(item.image) as source:  # its survey says what is wrong
            found.append(source.bands.value_tags)
    others = [tags for tags in found[1:] if len(tags) == len(found[0])]
    moved = any(not alike(tags, found[0]) and comparable(tags, found[0]) for tags in others)
    return found[0] if moved else None


def _check_sheet(options: InspectOptions) -> None:
    path = options.sheet
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise OutputError(f"a contact sheet is a PNG, got {path.name!r}: use {path.stem}.png")
    check_local(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path} has no folder: make {path.parent} first, or choose another name")
    if path.exists() and not options.overwrite:
        raise OutputError(f"{path} exists; pass --overwrite to replace it or choose another name")


def _items(images: Sequence[str], labels: str | None, findings: list[Issue]) -> list[Item]:
    """Every image with its labels; those without are told."""
    found = find_images(images)
    if labels is not None and not is_there(labels) and not glob(labels):
        raise TrainingError(f"{labels} does not exist: expected a folder of label rasters or a vector file")
    try:
        items = pair(images, labels)
    except TrainingError:
        items = []
        for path in found:
            try:
                items += pair([str(path)], labels)
            except TrainingError:
                items.append(Item(path))
        if labels is not None:
            bare = [item.image.name for item in items if item.labels is None]
            text = f"{part_of(len(bare), len(found), 'image', 'has', 'have')} no labels in {labels}: "
            text += first_five(bare)
            findings.append(Issue("unpaired", text))
    if labels is None and not any(item.labels for item in items):
        findings.append(Issue("unlabelled", "no labels were named, so only the images were looked at"))
    if labels is not None and all(Path(name).is_dir() for name in (labels, *images)):  # a glob names some on purpose
        taken = {path.resolve() for item in items for path in (item.image, item.labels) if path is not None}
        kinds = {item.labels.suffix.lower() for item in items if item.labels is not None}
        others = [p for p in sorted(Path(labels).iterdir()) if p.suffix.lower() in kinds and p.resolve() not in taken]
        if others:
            text = (
                f"{counted(len(others), 'label raster belongs', 'label rasters belong')} "
                f"to no image: {first_five([path.name for path in others])}"
            )
            findings.append(Issue("unpaired", text))
    return items


def _shares(files: Sequence[ImageSurvey], meaning: ValueMapping | None) -> list[ClassShare]:
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


def _bands(statistics: Statistics) -> list[dict[str, Any]]:
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


def _split(
    files: Sequence[ImageSurvey],
    said: dict[Path, str | None],
    opens: dict[Path, OpenLabels],
    meaning: ValueMapping | None,
    options: InspectOptions,
    findings: list[Issue],
) -> Split | None:
    """The split that was asked for; one that is impossible is a finding."""
    if options.split is None:
        return None
    usable = [one for one in files if one.values and one.label_fault is None]
    if meaning is None or not usable:
        findings.append(Issue("split", "nothing is labelled, so there is nothing to split"))
        return None
    scenes = [SurveyScene(one, opens[one.path], meaning) for one in usable]
    items = [Item(one.path, None, said[one.path]) for one in usable]
    try:
        parts = split(scenes, options.split, classes=meaning.classes.names, items=items)
    except TrainingError as error:
        findings.append(Issue("split", str(error)))
        return None
    kinds = ((note, "leak" if note.startswith("leak: ") else "split") for note in parts.notes)
    findings += [Issue(kind, note.removeprefix("leak: ")) for note, kind in kinds]
    return parts


def _draw(
    files: Sequence[ImageSurvey],
    classes: Sequence[ClassShare],
    meaning: ValueMapping | None,
    path: Path,
    parts: Split | None,
    *,
    edge: int,
) -> None:
    kept, learned = (
        {scene.name for scene in side} for side in ((parts.kept, parts.learned) if parts is not None else ((), ()))
    )
    cells = []
    for number in picked(len(files), MOST):
        one = files[number]
        with FileSource(one.path) as source:
            colors = Imagery(source).colors(source.grid.rect, fitted(source.grid.shape, edge))
        colors = np.where(colors[..., 3:] > 0, colors[..., :3], np.array(EMPTY, np.uint8))
        labels = None if one.thumb is None or meaning is None else meaning.indices(*one.thumb)
        sides = " and ".join(word for word, side in (("learned", learned), ("kept", kept)) if one.name in side)
        detail = f"{one.grid.width} x {one.grid.height}, {one.grid.resolution_text}" + (f", {sides}" if sides else "")
        cells.append(Cell(one.name, detail, colors, labels))
    title = part_of(len(cells), len(files), "scene") if len(cells) < len(files) else counted(len(files), "scene")
    told = [f"{100 * one.share:.1f} %" for one in classes]
    draw_sheet(path, cells, title=title, classes=None if meaning is None else meaning.classes, told=told, edge=edge)


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
