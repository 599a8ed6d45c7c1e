"""From images and labels to a recipe: entries that a user leaves out are read off the files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from landseg.classes import ClassMap
from landseg.dense.instances import Instances
from landseg.dense.points import PointTask
from landseg.errors import ClassError, RasterError, TrainingError
from landseg.geo.rasters.rescaled import NO_BRIGHTNESS, refuse_indices, with_tags
from landseg.geo.rasters.source import FileSource, Source
from landseg.geo.rasters.statistics import BandStatistics
from landseg.labels.image_lists import Item, items_of, pair, paired_where_possible, with_ids
from landseg.labels.infer_classes import classes_of
from landseg.labels.legend import read_class_table
from landseg.labels.polygon_files import PolygonFiles
from landseg.labels.spacing import spacing_of
from landseg.scenes.sampled_statistics import sampled_statistics
from landseg.text.amounts import counted, shorten_list
from landseg.training.declared_tags import common_tags

BORDER_M, NEAR_M = 0.5, 1.0
"""Metres on each side of an outline that are boundary, and within which two things are near each other."""
POINTS = PointTask.name
DISC_PX = 3.0
"""The radius of the disc that stands for a point among pixels of classes, in pixels of the finest images."""
LEAST_PX = 2.0
"""The least of both in pixels of the network."""
_PICTURE = {"mean": 127.0, "std": 128.0}  # what 8-bit imagery is scaled with: as encoders' ImageNet weights want it
_OF_POLYGONS = frozenset({"--class-field", "--background", "--all-touched", "--buffer"})
_COMMON = {
    "red": "red", "green": "green", "blue": "blue", "nir": "nir", "near infrared": "nir", "rededge": "rededge",
}  # fmt: skip


@dataclass(frozen=True)
class DataFiles:
    """Images and labels as a user names them.

    Attributes:
        images: folders, globs, files, or a list.
        labels: label rasters or vector files, paired with the images by name, or one vector file for all images (or a
            layer of it, ``FILE:LAYER``); None: the list names them.
        classes: a class table's file; None: what the labels say.
        ignore: further values of label rasters that mean "not known".
        class_field: column of the vector files.
        background: class of all that lies outside its polygons.
        all_touched: burn every pixel that a polygon touches.
        partial: the labels know only some classes: outside them a pixel is "unknown" or "others".
        bands: of the images, 1-based; None: all but alpha.
        folder: what the names of images and labels start from.
        label_colors: label rasters are pictures in the colours of the class table.
        coarse: coarse labels: a raster or the files of a mosaic, or a folder with one for each image. Images without
            other labels are then learned from these alone.
        buffer_m: metres around lines and points of the vector files that count as theirs; None: these are refused.
        things: each polygon of the vector files is an object.
        ids: rasters with a number for each object, 0 for none, paired with the images; without labels they say which
            pixels are of the class of things.
        border_m: metres on both sides of the outline of an object that are learned as boundary; None: `BORDER_M`.
        task: "points" where the features of the vector files are to be found as points; None: what labels say.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    classes: Path | None = None
    ignore: tuple[int, ...] = ()
    class_field: str | None = None
    background: str | None = None
    all_touched: bool = False
    partial: str | None = None
    bands: tuple[int, ...] | None = None
    folder: Path = Path()
    label_colors: bool = False
    coarse: tuple[str, ...] | None = None
    buffer_m: float | None = None
    things: bool = False
    ids: tuple[str, ...] | None = None
    border_m: float | None = None
    task: str | None = None

    def said(self) -> list[str]:
        """Return the options that only images and labels take, as far as they were given."""
        given = {
            "--classes": self.classes, "--ignore": self.ignore, "--class-field": self.class_field,
            "--background": self.background, "--all-touched": self.all_touched, "--partial": self.partial,
            "--bands": self.bands, "--label-colors": self.label_colors, "--buffer": self.buffer_m,
            "--things": self.things, "--ids": self.ids, "--border": self.border_m is not None, "--task": self.task,
        }  # fmt: skip
        return [option for option, value in given.items() if value]

    def items(self) -> list[Item]:
        """Return the images, each with its label raster or vector file where it has one.

        Raises:
            TrainingError: names that match nothing, images without labels.
        """
        if self.ids is None:
            return self._labelled_items()
        return with_ids(self._labelled_items(), [str(self.folder / name) for name in self.ids])

    def _labelled_items(self) -> list[Item]:
        images = [str(self.folder / name) for name in self.images]
        labels = None if self.labels is None else [str(self.folder / name) for name in self.labels]
        if self.ids is not None and labels is None:
            return items_of(images)
        if self.coarse is not None and labels is None:
            return items_of(images)
        if self.coarse is not None and labels is not None:
            return paired_where_possible(items_of(images), labels, polygons=self._of_polygons)
        return pair(images, labels, polygons=self._of_polygons)

    @cached_property
    def vectors(self) -> PolygonFiles | None:
        """Return the vector files that label images; None where label rasters do."""
        named = [str(self.folder / name) for name in self.labels or ()]
        return PolygonFiles.named(named, asked=self._of_polygons)

    @property
    def _of_polygons(self) -> bool:
        """True where an option is given that only vector files take."""
        return bool(set(self.said()) & (_OF_POLYGONS | {"--things", "--task"}))


def fill_recipe(
    table: Mapping[str, Any],
    data: DataFiles,
    *,
    name: str,
    skip: bool = False,
    stored_values: bool = False,
    resolution_m: float | None = None,
) -> dict[str, Any]:
    """Return the tables of a recipe: those that were given, and what is missing in them read off the files.

    Args:
        table: what was given.
        data: images and labels.
        name: of the model.
        skip: read nothing off images that cannot be opened, in place of stopping.
        stored_values: take the numbers that images store, whatever scale and offset they declare.
        resolution_m: metres that images are resampled to; None: their own.

    Raises:
        TrainingError: sources in both places, images of several kinds.
        ClassError: nothing says what the classes are.
    """
    if "sources" in table:
        raise TrainingError("the file names its sources itself: leave out IMAGES and LABELS, or its [[sources]]")
    refuse_objects(data)
    others = _OF_POLYGONS if data.ids is None or data.labels else _OF_POLYGONS - {"--background"}
    if data.vectors is None and (strays := [one for one in data.said() if one in others]):
        raise TrainingError(
            f"{', '.join(strays)}: only for labels in a vector file; leave out, or name one as LABELS"
        )
    items = [item for item in data.items() if not skip or _opens(item)]
    if not items:
        raise TrainingError("none of the images can be opened; leave out skip_corrupt to see why")
    names, dtype, resolutions = _looked_at(items, data.bands)
    grids = resolutions if resolution_m is None else [resolution_m]
    if data.task == POINTS and data.buffer_m is None:
        data = replace(data, buffer_m=round(DISC_PX * min(grids, default=1.0), 3))
    named = _things_of(_classes(items, data), data)
    classes = named.ignoring(data.ignore)
    full = dict(table)
    labelled = items if data.ids else [item for item in items if item.labels or item.polygons]
    split = {"by": _way(labelled)} if labelled else None
    known = {"name": name, "dtypes": [dtype], "trained_at_m": resolutions}
    for section, said in (("about", known), ("split", split)):
        if said is None:  # no labels to measure on
            continue
        given = full.get(section, {})
        full[section] = {**said, **given} if isinstance(given, Mapping) else given
    if "bands" not in table:
        full["bands"] = _scaled(names, dtype, items, data.bands, stored_values=stored_values)
    if "classes" not in table:
        full |= classes.to_json()
    if data.task == POINTS:
        full |= {"task": POINTS, "task_options": _point_options(table, data, items, resolutions, resolution_m)}
    elif data.things or data.ids:
        full |= {"task": table.get("task", Instances.name), "task_options": _task_options(table, data, grids)}
    full["sources"] = [_source(data, named)]
    return full


def refuse_objects(data: DataFiles) -> None:
    """Raise TrainingError for options of objects that do not go together."""
    if data.task not in (None, POINTS):
        raise TrainingError(
            f"--task {data.task}: labels say what is to be learned, but for {POINTS}: write --task {POINTS}, or "
            "leave it out (objects are learned with --things)"
        )
    if data.task == POINTS and (data.ids or data.vectors is None):
        raise TrainingError("--task points learns from vector files of points or polygons: name them as LABELS")
    if data.border_m is not None and not (data.things or data.ids):
        raise TrainingError(
            "--border is the width of the boundary of objects: leave it out, or add --things or --ids"
        )
    if data.border_m is not None and not data.border_m > 0:
        raise TrainingError(f"--border is a width in metres above 0, got {data.border_m:g}")
    if data.ids and (data.things or data.vectors):
        raise TrainingError(
            "polygons are objects by themselves (--things), --ids names rasters of objects: leave out one of the two"
        )
    if data.things and data.vectors is None:
        given = shorten_list(list(data.labels)) if data.labels else "no LABELS"
        raise TrainingError(
            f"--things makes an object of each polygon, and needs vector files as LABELS, got {given}: in rasters "
            "of classes things that touch are one; name polygons, or rasters with a number for each object by --ids"
        )


def _task_options(table: Mapping[str, Any], data: DataFiles, grids: Sequence[float]) -> dict[str, Any]:
    """Return the options of instances, widths in pixels of the network: of the finest of its grids, in metres."""
    given = table.get("task_options", {})
    if data.border_m is not None and not grids:
        raise TrainingError(
            "--border is in metres, and the images do not say how many a pixel has: leave it out, and give the width "
            "in pixels, --set task_options.border=2"
        )
    widths = {"border": BORDER_M if data.border_m is None else data.border_m, "near": NEAR_M}
    pixels = {name: max(LEAST_PX, round(width / min(grids), 2)) for name, width in widths.items()} if grids else {}
    return {**pixels, **given} if isinstance(given, Mapping) else given


def _point_options(
    table: Mapping[str, Any],
    data: DataFiles,
    items: Sequence[Item],
    resolutions: Sequence[float],
    resolution_m: float | None,
) -> dict[str, Any]:
    """Return the options of points: peaks as wide as a quarter of the way to the next point, at least a unit."""
    assert data.buffer_m is not None, "points have a radius"
    given = table.get("task_options", {})
    found = spacing_of(items, buffer_m=data.buffer_m)
    zoom = 1.0 if resolution_m is None or not resolutions else min(resolutions) / resolution_m
    wide = {} if found.pixels is None else {"sigma": max(2.0, round(found.pixels * zoom / 4, 2))}
    made = {**wide, "sizes": found.sized}
    return {**made, **given} if isinstance(given, Mapping) else given


def _things_of(classes: ClassMap, data: DataFiles) -> ClassMap:
    """Return the classes, all but the background as things where polygons are objects and none is one yet."""
    if classes.things or not data.things:
        return classes
    rows = [replace(one, thing=one.name != data.background) for one in classes.classes]
    return replace(classes, classes=tuple(rows))


def _opens(item: Item) -> bool:
    try:
        for path in (item.image, item.labels):
            if path is not None:
                FileSource(path).close()
    except RasterError:  # who opens the scenes says so
        return False
    return True


def _way(items: Sequence[Item]) -> str:
    """Return the usual way to split: as the list does, else by file, else, of a single file, by block."""
    if any(item.split for item in items):
        return "column"
    return "file" if len(items) > 1 else "block"


def _source(data: DataFiles, classes: ClassMap) -> dict[str, Any]:
    source: dict[str, Any] = {"images": list(data.images), "all_touched": data.all_touched}
    names = list(data.labels) if data.labels else None
    shared = data.vectors is not None and data.vectors.shared
    source["polygons" if data.vectors else "labels"] = names[0] if shared and names else names
    source["coarse"] = data.coarse and list(data.coarse)
    said = {"class_field": data.class_field, "background": data.background, "partial": data.partial}
    if data.label_colors:
        ignored = [list(entry.color) for entry in classes.classes if entry.value in data.ignore]
        source |= {"label_colors": True, **({"ignored_colors": ignored} if ignored else {})}
    source |= {"things": data.things or None, "ids": data.ids and list(data.ids)}
    source |= said | {"bands": None if data.bands is None else list(data.bands), "buffer_m": data.buffer_m}
    return {key: value for key, value in source.items() if value is not None}


def _classes(items: Sequence[Item], data: DataFiles) -> ClassMap:
    """Return the classes that a table or the labels name; ignored values may be among them."""
    vectors = data.vectors
    if data.label_colors and (vectors or data.classes is None):
        raise ClassError(
            f"--label-colors is for label rasters; {vectors.described}: leave it out"
            if vectors
            else "--label-colors needs the colours of the classes: name their table with --classes"
        )
    if data.classes is not None:
        table = read_class_table(data.classes)
    elif data.ids and not any(item.labels for item in items):
        table = ClassMap.from_json(
            [{"value": 1, "name": "object", "thing": True}, {"value": 2, "name": data.background or "background"}]
        )
    elif vectors and data.class_field is None:
        table = _one_class(vectors, data.background)
    elif vectors:
        table = classes_of(items, data.class_field, buffer_m=data.buffer_m)
        if data.background is not None and data.background not in table.names:
            rows = [*table.to_json()["classes"], {"value": max(table.values) + 1, "name": data.background}]
            table = ClassMap.from_json({"classes": rows, "ignore": list(table.ignore)})
    else:
        table = classes_of(items)
    return table


def _one_class(vectors: PolygonFiles, background: str | None) -> ClassMap:
    """Return the class of all polygons, called as their file or folder is, and the class of all outside them."""
    if background is None:
        raise ClassError(
            f"{vectors.described}: say which column names the class of each polygon, --class-field NAME; "
            "or, if all are of one class and complete, what lies outside them, --background NAME"
        )
    return ClassMap.from_json([{"value": 1, "name": vectors.title}, {"value": 2, "name": background}])


def _looked_at(
    items: Sequence[Item], chosen: tuple[int, ...] | None
) -> tuple[list[dict[str, Any]], str, list[float]]:
    """Return the bands of the images by name, their dtype, and their known resolutions, each once to two digits."""
    with FileSource(items[0].image, chosen) as source:
        names, dtype = _names(source), source.dtype
    odd, found = [], set()
    for item in items:
        with FileSource(item.image, chosen) as source:
            refuse_indices(source, NO_BRIGHTNESS)
            if (source.count, source.dtype) != (len(names), dtype):
                odd.append(f"{item.image} ({source.count} of {source.dtype})")
            if source.grid.resolution_m is not None:
                found.add(float(f"{source.grid.resolution_m:.2g}"))
    if odd:
        raise TrainingError(
            f"{items[0].image} has {counted(len(names), 'band')} "
            f"of {dtype}, others have not, and a model reads one kind "
            f"(choose bands, or convert them): {shorten_list(odd)}"
        )
    return names, dtype, sorted(found)


def _scaled(
    names: Sequence[dict[str, Any]],
    dtype: str,
    items: Sequence[Item],
    chosen: tuple[int, ...] | None,
    *,
    stored_values: bool,
) -> list[dict[str, Any]]:
    """Return the bands with their scaling: measured on the images where these are not of 8 bits.

    Stored numbers are those of the first image, to whose scale and offset all others are brought over.
    """
    paths = [item.image for item in items]
    tags = None if stored_values else common_tags([(path, chosen) for path in paths])
    if tags is not None:
        names = [{**one, **declared.to_json()} for one, declared in zip(names, tags, strict=True)]
    if dtype == "uint8":
        return [{**one, **_PICTURE} for one in names]

    def opened(path: Path) -> Source:
        source = FileSource(path, chosen)
        return source if tags is None else with_tags(source, tags, like=str(paths[0]))

    statistics = sampled_statistics(paths, opened)
    if not statistics[0].count:
        raise TrainingError(
            f"no pixel of {counted(len(items), 'image')} holds data: check the images and their nodata"
        )
    for one, band in zip(names, statistics, strict=True):
        if (strange := band.beyond_measure) is not None:
            raise TrainingError(
                f"band {one['name']!r} of the images holds {strange:.6g}, which nothing measures: expected imagery; "
                f"if it stands for no data, declare it (gdal_edit.py -a_nodata {strange!r} FILE)"
            )
    return [{**one, **_scale(band)} for one, band in zip(names, statistics, strict=True)]


def _scale(band: BandStatistics) -> dict[str, float]:
    """Return mean and standard deviation to six decimals, or to as many more as small numbers need."""
    more = 0 if not 0 < band.std < 1e-3 else -math.floor(math.log10(band.std))
    return {"mean": round(band.mean, 6 + more), "std": round(band.std, 6 + more) or 1.0}


def _names(source: FileSource) -> list[dict[str, Any]]:
    """Return the names of the bands, and their common names where these are known."""
    found, taken = [], set[str]()
    if source.count == 3 and set(source.colorinterp) <= {"undefined", "gray"} and not any(source.band_names):
        return [{"name": color, "common_name": color} for color in ("red", "green", "blue")]
    for number, own, color in zip(source.band_numbers, source.band_names, source.colorinterp, strict=True):
        name = (own or "").strip() or (color if color in _COMMON else f"band {number}")
        name = name if name not in taken else f"{name} {number}"
        taken.add(name)
        common = _COMMON.get(name.lower()) or _COMMON.get(color)
        found.append({"name": name} | ({"common_name": common} if common else {}))
    return found
