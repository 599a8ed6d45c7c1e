"""From labels that are named to values that mean something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landseg.classes import MAX_CLASSES, MAX_VALUE, ClassMap
from landseg.errors import TrainingError
from landseg.geo.grid import Grid
from landseg.geo.vectors.names import is_vector
from landseg.labels.image_lists import Item
from landseg.labels.label_colors import Colors
from landseg.labels.label_values import LabelValues, PolygonCodes, RasterValues, ValueMapping
from landseg.scenes.survey import LabelsOf


class Legend:
    """What label rasters themselves say of their values: the first that says something."""

    def __init__(self) -> None:
        self.classes: ClassMap | None = None
        self.palette: dict[int, tuple[int, ...]] = {}

    def learn(self, labels: RasterValues) -> None:
        """Take what a label raster says, where none did before."""
        self.classes = self.classes or labels.legend
        self.palette = self.palette or dict(labels.palette)


def opener(
    item: Item,
    drawn: PolygonCodes | None,
    legend: Legend,
    *,
    table: ClassMap | None = None,
    colors: Colors | None = None,
) -> LabelsOf:
    """Return what opens the labels of an image, and has the legend learn what they say.

    Args:
        item: the image and its label raster.
        drawn: polygons that label all images, in place of rasters.
        legend: learns what label rasters say of their values.
        table: the classes, as far as they are known.
        colors: label rasters are pictures in these colours.
    """

    def opened(grid: Grid) -> LabelValues | None:
        if drawn is not None:
            return drawn.on(grid)
        if item.labels is None:
            return None
        values = RasterValues(item.labels, grid, table=table, colors=colors)
        legend.learn(values)
        return values

    return opened


def drawn_in(
    labels: str | None,
    table: ClassMap | None,
    *,
    field: str | None = None,
    background: str | None = None,
    buffer_m: float | None = None,
) -> PolygonCodes | None:
    """The polygons that label all images; None where the labels are rasters.

    Without a ``field`` they are all of the table's one class that is not ``background``.

    Raises:
        TrainingError: a field, a background or a buffer of rasters.
        VectorError: the file cannot be read, or has no such column.
    """
    if labels is None or not is_vector(labels):
        given = {"--class-field": field, "--background": background, "--buffer": buffer_m}
        if option := next((option for option, value in given.items() if value is not None), None):
            raise TrainingError(f"{option} goes with a vector file, and the labels are none: leave it out")
        return None
    others = [name for name in (table.names if table else ()) if name != background]
    only = others[0] if len(others) == 1 else None
    return PolygonCodes(Path(labels), field, only=only, outside=background, buffer_m=buffer_m)


def infer_value_mapping(
    found: Sequence[float],
    table: ClassMap | None,
    drawn: PolygonCodes | None,
    legend: Legend,
    *,
    ignore: Sequence[int] = (),
) -> ValueMapping | None:
    """What values mean: by the table, else the labels' own, else each stands for itself; None without any."""
    if drawn is not None:
        texts = {float(code): text for code, text in enumerate(drawn.texts)}
        rows = [{"value": code, "name": text} for code, text in enumerate(drawn.texts, start=1)]
        return ValueMapping(table or ClassMap.from_json(rows), texts, guessed=table is None)
    if table is None and legend.classes is not None:
        table = legend.classes.ignoring(ignore)
    if table is not None:
        return ValueMapping(table, {})
    wanted = [value for value in found if value not in ignore and 0 <= value <= MAX_VALUE and value == int(value)]
    if not wanted:
        return None
    rows = [
        {"value": int(value), "name": f"value {value:g}", "color": list(legend.palette.get(int(value), ())) or None}
        for value in wanted[:MAX_CLASSES]
    ]
    return ValueMapping(ClassMap.from_json({"classes": rows, "ignore": list(ignore)}), {}, guessed=True)
