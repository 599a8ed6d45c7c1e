"""PolygonLabels: polygons of a vector file, burnt onto any grid by class."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import ClassError, VectorError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.horizontal import same_place
from landseg.geo.pixel_shapes import to_pixels
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.vectors.names import Name
from landseg.geo.vectors.polygon_file import BUFFER, read_polygons
from landseg.text.amounts import counted


class PolygonLabels:
    """Polygons burnt onto any grid: a pixel is inside when its centre is. May be pickled for other processes.

    Which features count, and what lines and points become, is decided by `read_polygons`.

    Args:
        path: any vector file, or one of its layers, ``FILE:LAYER``.
        field: the column with the polygons' class names, for ``names`` and ``burn_names``.
        all_touched: every pixel that a polygon touches is inside.
        buffer_m: metres around lines and points that count as theirs; None: these are refused.
        advice: advice about lines and points, for the sentence that refuses them.
        empty: a file without any feature, and thus without columns, is taken.

    Attributes:
        notes: sentences about features that were left out or changed on reading.
        numbers: (N,) number of each polygon in the file (or in the polygons that it was taken from), from 0.

    Raises:
        VectorError: when the file cannot be read, holds no polygon or has no such column.
    """

    def __init__(
        self,
        path: Name,
        field: str | None = None,
        *,
        all_touched: bool = False,
        buffer_m: float | None = None,
        advice: str = BUFFER,
        empty: bool = False,
    ) -> None:
        self.path, self.all_touched = path, all_touched
        read = read_polygons(path, buffer_m=buffer_m, advice=advice, empty=empty)
        self._frame, self.notes = read.frame, read.notes
        if field is not None and field not in self._frame and len(self._frame):
            columns = ", ".join(str(c) for c in self._frame.columns if c != self._frame.geometry.name)
            raise VectorError(f"{path} has no column {field!r}; it has {columns or 'none'}")
        self._field = field
        self._texts = None if field is None else _texts(self._frame[field]) if field in self._frame else []
        self._crs = self._frame.crs
        self._shapes = np.asarray(self._frame.geometry, dtype=object)
        self.numbers: NDArray[np.intp] = np.arange(len(self._shapes))
        self._reset()

    def _reset(self) -> None:
        self._moved: dict[Any, PlacedShapes] = {}  # by CRS
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_moved")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __len__(self) -> int:
        return len(self._shapes)

    @property
    def frame(self) -> Any:
        """The polygons and their columns, as a GeoDataFrame in the file's own CRS; callers must not change it."""
        return self._frame

    def in_pixels(self, grid: Grid, around: Rect | None = None) -> PolygonLabels:
        """Return the polygons on a grid in its pixels (x = column, y = -row), for grids such as `pixel_grid` makes.

        Parts of a large raster are cut from that without rounding, so that burnt pixels do not depend on the cut.

        Args:
            grid: whose pixels these are.
            around: a rectangle of it, or beyond it, whose polygons are returned; None: that of the grid.
        """
        near, shapes = self._on(grid if around is None else mapped_part(grid, around))
        placed = shapely.transform(to_pixels(shapes, grid), lambda points: points * [1, -1])
        return self._made_of(near, placed, self.numbers[near], crs=None)

    def in_parts(self) -> PolygonLabels:
        """Return every part of every polygon as a polygon by itself, numbered anew."""
        parts, whole = shapely.get_parts(self._shapes, return_index=True)
        return self._made_of(whole, parts, np.arange(len(parts)), crs=self._crs)

    def largest_first(self) -> PolygonLabels:
        """Return the polygons by falling area, under their numbers: burnt, a smaller one covers a larger one.

        Areas are those in the file's own CRS; of equal ones a later one covers an earlier.
        """
        index = np.argsort(-shapely.area(self._shapes), kind="stable")
        return self._made_of(index, self._shapes[index], self.numbers[index], crs=self._crs)

    def chosen(self, wanted: NDArray[np.bool_]) -> PolygonLabels:
        """Return the polygons for which ``wanted`` (N,) is True, under their numbers."""
        index = np.flatnonzero(wanted)
        return self._made_of(index, self._shapes[index], self.numbers[index], crs=self._crs)

    def _made_of(
        self, index: NDArray[np.intp], shapes: NDArray[Any], numbers: NDArray[np.intp], *, crs: Any
    ) -> PolygonLabels:
        """Return labels with other shapes for the polygons at ``index``; without a frame."""
        made = object.__new__(PolygonLabels)
        texts = None if self._texts is None else [self._texts[one] for one in index]
        own = {"_frame": None, "_crs": crs, "_shapes": shapes, "_texts": texts, "numbers": numbers}
        made.__setstate__({**self.__getstate__(), **own})
        return made

    @property
    def shapes(self) -> NDArray[Any]:
        """The polygons (N,), in their CRS or, after `in_pixels`, in pixels; callers must not change them."""
        return self._shapes

    @property
    def has_texts(self) -> bool:
        """True where a column names the classes of the polygons."""
        return self._texts is not None

    @property
    def texts(self) -> list[str | None]:
        """The entry of each polygon in the column; None where it is empty."""
        assert self._texts is not None, "a column names them"
        return self._texts

    @property
    def names(self) -> list[str]:
        """The names in the column, each once, sorted."""
        return sorted(self.known_counts())

    def known_counts(self) -> dict[str, int]:
        """Return the number of polygons of each name in the column, without polygons whose entry is empty."""
        return dict(Counter(text for text in self._texts or () if text is not None).most_common())

    def counts(self) -> dict[str, int]:
        """Return the number of polygons of each name in the column.

        Raises:
            ClassError: empty entries.
        """
        if (sentence := self.unnamed) is not None:
            raise ClassError(sentence)
        return self.known_counts()

    @property
    def unnamed(self) -> str | None:
        """A sentence about polygons whose entry in the column is empty; None where no entry is."""
        missing = sum(text is None for text in self._texts or ())
        if not missing:
            return None
        it = "it" if missing == 1 else "them"
        bare = counted(missing, "polygon has", "polygons have")
        return f"{self.path}: {bare} nothing in {self._field!r}: give {it} a class, or remove {it}"

    def touches(self, grid: Grid) -> bool:
        """Return whether any polygon lies on the grid."""
        return bool(len(self._on(grid)[0]))

    def near(self, grid: Grid) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return the numbers of the polygons on a grid, in order, and these in its pixels (x = column, y = row)."""
        numbers, shapes = self._on(grid)
        return numbers, to_pixels(shapes, grid)

    def placed_by(self, grid: Grid) -> str | None:
        """Return a sentence where the file or the raster has no CRS, so that coordinates stay; else None."""
        if (self._crs is None) == (grid.crs is None):
            return None
        if self._crs is None:
            return f"{self.path} has no CRS: its coordinates are taken for those of the raster ({crs_text(grid.crs)})"
        return f"the raster has no CRS: the coordinates of {self.path} ({self._crs.name}) are taken for its own"

    def burn(self, grid: Grid) -> NDArray[np.bool_]:
        """Return (H, W), True where a polygon covers the pixel's centre; reprojects when the CRS differs."""
        return self._burn(grid, lambda near, shapes: list(shapes), 0).astype(bool)

    def burn_names(self, grid: Grid, values: Mapping[str, int], outside: int) -> NDArray[np.uint8]:
        """Return (H, W) of ``values`` by name, ``outside`` where no polygon is; a later one covers an earlier.

        A polygon whose entry is empty has the value of the name "", if ``values`` has that name.
        """
        texts = self._texts
        assert texts is not None, "a column names the classes"

        def pairs(near: NDArray[np.intp], shapes: NDArray[Any]) -> list[Any]:
            return [(shape, values[texts[index] or ""]) for index, shape in zip(near, shapes, strict=True)]

        return self._burn(grid, pairs, outside)

    def burn_numbers(self, grid: Grid) -> NDArray[np.int32]:
        """Return (H, W) of the polygons' numbers, -1 where there is none; a later one covers an earlier."""

        def pairs(near: NDArray[np.intp], shapes: NDArray[Any]) -> list[Any]:
            return list(zip(shapes, self.numbers[near].tolist(), strict=True))

        return self._burn(grid, pairs, -1, "int32")

    def _burn(
        self,
        grid: Grid,
        pairs: Callable[[NDArray[np.intp], NDArray[Any]], list[Any]],
        outside: int,
        dtype: str = "uint8",
    ) -> NDArray[Any]:
        from rasterio.features import rasterize

        near, shapes = self._on(grid)
        if not len(near):
            return np.full(grid.shape, outside, dtype=dtype)
        return np.asarray(
            rasterize(
                pairs(near, shapes),
                grid.shape,
                transform=grid.map_transform,
                fill=outside,
                default_value=1,
                dtype=dtype,
                all_touched=self.all_touched,
            )
        )

    def _on(self, grid: Grid) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return the indices of the polygons that meet the grid, in the file's order, and these in the grid's CRS."""
        with self._lock:
            key = next((crs for crs in self._moved if same_place(crs, grid.crs)), grid.crs)
            if key not in self._moved:
                self._moved[key] = PlacedShapes(self._shapes, self._crs, grid.crs)
            return self._moved[key].near(grid)


def mapped_part(grid: Grid, rect: Rect) -> Grid:
    """Return a rectangle of a grid, or beyond it, as a grid in the coordinates of vector files that lie on it."""
    return Grid(grid.crs, grid.map_transform, grid.width, grid.height).crop(rect)


def pixel_grid(grid: Grid) -> Grid:
    """Return the grid in the coordinates of its own pixels, for polygons of `PolygonLabels.in_pixels`."""
    from affine import Affine

    return Grid(None, Affine.scale(1, -1), grid.width, grid.height)


def _texts(column: Any) -> list[str | None]:
    """Return the entries of a column as texts, whole numbers without a point; None where an entry is empty."""
    return [None if empty else _text(value) for value, empty in zip(column, column.isna(), strict=True)]


def _text(value: Any) -> str | None:
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else str(value)
    text = str(value)
    return text if text.strip() else None
