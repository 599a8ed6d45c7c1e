"""Labels of the images that a survey reads: opened image by image, before it is known what their values mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from landseg.classes import ClassMap
from landseg.errors import TrainingError
from landseg.geo.grid import Grid
from landseg.labels.burnt_polygons import PolygonCodes
from landseg.labels.image_lists import Item, polygon_files
from landseg.labels.instances import IdClasses, IdFile
from landseg.labels.label_colors import Colors, file_of
from landseg.labels.legend import read_legend
from landseg.labels.polygon_files import PolygonFiles
from landseg.labels.raster_labels import RasterLabels, open_labels
from landseg.labels.reader import LabelReader

ID_TEXTS = ("no object", "object")
"""The entries that 0 and 1 stand for, where rasters of ids are all there is."""
OpenLabels = Callable[[Grid], LabelReader | None]
"""Opens the labels of an image of this grid; None: it has no labels."""


class FoundLegend:
    """The class table and the colours that label rasters carry: those of the first that has any.

    Attributes:
        classes: the table; None: no raster has one yet.
        palette: colours by value.
    """

    def __init__(self) -> None:
        self.classes: ClassMap | None = None
        self.palette: dict[int, tuple[int, ...]] = {}

    def add(self, labels: RasterLabels) -> None:
        """Take the table and the colours of a label raster, where no raster before had them."""
        file = file_of(labels.source)
        if file is None:
            return
        self.classes = self.classes or read_legend(file.file)
        palette = file.file.palette(1) or {}
        self.palette = self.palette or {value: color[:3] for value, color in palette.items()}


def label_opener(
    item: Item,
    polygons: PolygonCodes | None,
    legend: FoundLegend,
    *,
    table: ClassMap | None = None,
    colors: Colors | None = None,
    ids: IdFile | None = None,
) -> OpenLabels:
    """Return the function that opens the labels of an image, and adds what they carry to the legend.

    Args:
        item: the image and its labels.
        polygons: of the vector files that label images, in place of rasters.
        legend: takes the tables of label rasters.
        table: the classes, as far as they are known.
        colors: label rasters are pictures in these colours.
        ids: the raster of ids of an image; without a label raster it tells two values apart, see ID_TEXTS.
    """

    def open_on(grid: Grid) -> LabelReader | None:
        if polygons is not None:
            return None if item.polygons is None else polygons.on(item.polygons, grid)
        if item.labels is None and ids is not None:
            return IdClasses(ids.on(grid), ids.path, 1, 0)
        if item.labels is None:
            return None
        labels = _open_raster(item.labels, grid, table, colors)
        legend.add(labels)
        return labels

    return open_on


def _open_raster(path: Path, grid: Grid, table: ClassMap | None, colors: Colors | None) -> RasterLabels:
    """Return a label raster on the grid of its image.

    Raises:
        GridError: it is elsewhere, or of another size without saying where it lies.
    """
    labels = open_labels(path, grid, table=table, colors=colors, of="its image")
    own = labels.source.grid
    if own.same_as(grid) or not (own.is_placed and grid.is_placed):
        labels.note = ""
    return labels


def polygons_of(
    items: Sequence[Item],
    files: PolygonFiles | None,
    table: ClassMap | None,
    *,
    field: str | None = None,
    background: str | None = None,
    buffer_m: float | None = None,
    things: bool = False,
) -> PolygonCodes | None:
    """Return the polygons that label images; None where the labels are rasters.

    Without a ``field`` all polygons are of the table's one class that is not ``background``. With ``things`` they are
    objects: those of the table's classes of things, or all if it has none.

    Raises:
        TrainingError: a field, a background or a buffer of rasters.
        VectorError: the file cannot be read, or has no such column.
    """
    if files is None:
        given = {"--class-field": field, "--background": background, "--buffer": buffer_m, "--things": things or None}
        if option := next((option for option, value in given.items() if value is not None), None):
            raise TrainingError(f"{option} goes with a vector file, and the labels are none: leave it out")
        return None
    others = [name for name in (table.names if table else ()) if name != background]
    only = others[0] if len(others) == 1 else None
    chosen, title = _are_things(table) if things else None, only or files.title
    return PolygonCodes(
        polygon_files(items), field, title=title, outside=background, buffer_m=buffer_m, things=chosen
    )


def _are_things(table: ClassMap | None) -> Callable[[str], bool]:
    """Return the function that tells for which entries of a column polygons are objects."""
    if table is None or not table.things:
        return lambda text: True
    names = {str(part) for index in table.things for part in (table.names[index], table.values[index])}
    return lambda text: text in names
