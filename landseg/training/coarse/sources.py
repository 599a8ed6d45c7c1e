"""The coarse labels of a recipe: the raster under each image, its classes, and what these tell of fine classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from landseg.classes import ClassMap
from landseg.errors import GridError, TrainingError
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import PART, cut
from landseg.geo.rasters.address import as_on_disk
from landseg.geo.rasters.source import FileSource
from landseg.labels import image_lists
from landseg.labels.image_lists import Item
from landseg.labels.raster_labels import open_labels
from landseg.scenes.coarse_labels import coarse_classes, joined_classes
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.opener import CoarseRaster
from landseg.scenes.scene import Scene
from landseg.text.amounts import none_of, shorten_list
from landseg.training.coarse.options import CoarseOptions
from landseg.training.coarse.statistics import JointStatistics, StatisticsCounter

Paths = tuple[Path, ...]
"""The files of a raster or mosaic."""


def coarse_paths(specs: Sequence[SourceSpec], items: Sequence[Item], data: Path) -> list[Paths | None]:
    """Return the files of the coarse labels of each image of some sources; None where an image has none.

    Raises:
        TrainingError: names that match nothing, or rasters of which none lies under an image.
        GridError: one that is paired with an image and lies elsewhere, or has a CRS where the image has none.
    """
    spec = next((one for one in specs if one.coarse is not None), None)
    if spec is None or spec.coarse is None:
        return [None] * len(items)
    named = (spec.coarse,) if isinstance(spec.coarse, str) else spec.coarse
    places = [str(data / name) for name in named]
    try:
        if len(named) == 1 and ("{stem}" in named[0] or Path(places[0]).is_dir()):
            found = _by_image(places[0], items, spec.suffix)
        else:
            mosaic = tuple(path for place in places for path in image_lists.find_rasters(place))
            found = [mosaic if _lies_under(mosaic, item) else None for item in items]
    except TrainingError as error:
        raise TrainingError(f"coarse labels of source {spec.name!r}: {error}") from error
    if not any(found):
        raise TrainingError(
            f"{none_of(len(items), 'image')} of source {spec.name!r} has coarse labels in {shorten_list(named)}: "
            "expected a raster that overlaps them, or one of each image's name; check that they belong together"
        )
    return found


def coarse_rasters(
    paths: Sequence[Paths | None], items: Sequence[Item], options: CoarseOptions, classes: ClassMap | None
) -> list[CoarseRaster | None]:
    """Return the coarse labels of each image; all have one class table.

    Args:
        paths: of each.
        items: the images.
        options: of how they are read.
        classes: the table; None: all that the rasters hold under the images.

    Raises:
        TrainingError: a raster without classes.
    """
    if classes is None and any(paths):
        under: dict[Paths, list[Grid]] = {}
        for own, item in zip(paths, items, strict=True):
            if own is not None:
                under.setdefault(own, []).append(_grid_of(item))
        classes = joined_classes([coarse_classes(p, options.ignore, grids=grids) for p, grids in under.items()])
    if classes is None:
        return [None] * len(items)
    return [None if one is None else CoarseRaster(one, classes, options.side) for one in paths]


def resolve_statistics(
    scenes: Sequence[Scene],
    coarse: ClassMap | None,
    given: JointStatistics | None,
    *,
    specs: Sequence[SourceSpec],
    classes: Sequence[str],
    report: Callable[[str], None],
) -> JointStatistics | None:
    """Return the joint statistics of coarse labels and classes: those of a table, or counted in the scenes.

    Args:
        scenes: that are learned.
        coarse: what their coarse values mean; None: they have none, and neither has anything else.
        given: a table's statistics, if there is one.
        specs: the sources of all scenes.
        classes: names of the model's classes.
        report: gets what a user should know, a line each.

    Raises:
        TrainingError: no scene that is learned has coarse labels, or none has both kinds and no table was given.
    """
    if coarse is None:
        return None
    sides = [scene.coarse_side for scene in scenes if scene.coarse_side is not None]
    if not sides:
        raise TrainingError(
            "no scene that is learned has coarse labels: keep out others, or leave out the coarse labels"
        )
    statistics = count_statistics(scenes, coarse, classes) if given is None else given
    if given is None and any(spec.sampled for spec in specs):
        report(
            "note: the joint statistics are counted from labels of some classes or places only; give --coarse-table "
            "if these are not what the ground is made of"
        )
    if given is None and 1 in sides:
        report(
            "note: coarse labels are as fine as the imagery, as far as their raster says; if they were brought onto "
            "its pixels, say how many of them a label is wide (--set coarse.side=30)"
        )
    report(f"coarse labels: joint statistics {statistics.note}")
    if statistics.silent:
        report(f"note: coarse classes that teach nothing: {shorten_list(statistics.silent)}")
    return statistics


def count_statistics(scenes: Sequence[Scene], coarse: ClassMap, classes: Sequence[str]) -> JointStatistics:
    """Return the joint statistics of all pixels of the scenes that have both kinds of labels, read part by part.

    Raises:
        TrainingError: there are none.
    """
    total: StatisticsCounter | None = None
    for scene in scenes:
        side = scene.coarse_side
        if side is None:
            continue
        counter = StatisticsCounter(coarse, classes, side=side)
        step = side * max(1, PART // side)  # squares lie where they lie in the whole scene
        for rect in cut(Rect(0, 0, *scene.shape), step, step):
            counter.update(scene.read(rect)[2], scene.read_coarse(rect))
        if total is None:
            total = counter
        else:
            total.merge(counter)
    if total is None:
        raise TrainingError("no scene has coarse labels to count: check where they lie, or leave them out")
    return total.compute()


def card_entry(specs: Sequence[SourceSpec], options: CoarseOptions, statistics: JointStatistics) -> dict[str, Any]:
    """Return the entry of a card about coarse labels: the names of their files, and the statistics that were used."""
    named = [(spec.coarse,) if isinstance(spec.coarse, str) else spec.coarse for spec in specs if spec.coarse]
    sources = list(dict.fromkeys(Path(name).name for names in named for name in names))
    return {"sources": sources, "share": options.share, "statistics": statistics.to_json()}


def _by_image(place: str, items: Sequence[Item], suffix: str) -> list[Paths | None]:
    if "{stem}" in place:
        paths = [as_on_disk(Path(place.format(stem=item.image.stem.removesuffix(suffix)))) for item in items]
        found = [path if path.exists() else None for path in paths]
    else:
        found = [item.labels for item in image_lists.paired_where_possible(items, [place])]
    for item, path in zip(items, found, strict=True):
        if path is not None:
            _check_laid((path,), item)
    return [None if path is None else (path,) for path in found]


def _lies_under(paths: Paths, item: Item) -> bool:
    """Return whether a mosaic overlaps an image.

    Raises:
        GridError: one of them alone has a CRS.
    """
    try:
        _check_laid(paths, item)
    except GridError:
        with FileSource(paths[0]) as source:
            if (source.grid.crs is None) != (_grid_of(item).crs is None):
                raise
        return False
    return True


def _check_laid(paths: Paths, item: Item) -> None:
    open_labels(paths, _grid_of(item), of="its image").close()


def _grid_of(item: Item) -> Grid:
    with FileSource(item.image) as source:
        return source.grid
