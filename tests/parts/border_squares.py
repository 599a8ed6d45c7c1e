"""Squares along the borders of windows: the sample that is not even."""

from __future__ import annotations

from landseg.geo.grid import Rect
from landseg.tiling.windows import WindowPlan


def border_squares(windows: WindowPlan, edge: int = 256) -> list[Rect]:
    """The three squares that stood for a raster before: where windows meet."""
    squares = []
    for share in (0.25, 0.5, 0.75):
        corner = []
        for spans, last in ((windows.y_spans, windows.shape[0]), (windows.x_spans, windows.shape[1])):
            borders = [span.core_start for span in spans[1:]]
            middle = borders[int(share * len(borders))]
            corner.append(max(0, min(middle - edge // 2, last - edge)))
        squares.append(Rect(corner[0], corner[1], edge, edge))
    return squares
