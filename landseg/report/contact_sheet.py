"""The contact sheet of images and labels before training: a picture of each scene, and the shares of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landseg.geo.rasters.source import FileSource
from landseg.geo.reduce import fitted
from landseg.report.imagery import Imagery
from landseg.report.sheet import MOST, Cell, draw_sheet, spread_positions
from landseg.report.thumbnail import EMPTY
from landseg.scenes.data_report import DataReport
from landseg.text.amounts import counted, part_of


def draw_contact_sheet(found: DataReport, path: Path, *, edge: int) -> None:
    """Write the picture of the scenes with their labels; it appears when it is complete.

    Args:
        found: a report whose surveys hold small pictures of the labels.
        path: of a PNG; a file that exists is replaced.
        edge: edge of a scene's square, in pixels.

    Raises:
        OutputError: it cannot be written.
    """
    sides = {} if found.split is None else {"learned": found.split.learned, "kept": found.split.kept}
    names = {word: {scene.name for scene in scenes} for word, scenes in sides.items()}
    cells = []
    for number in spread_positions(len(found.files), MOST):
        one = found.files[number]
        with FileSource(one.path) as source:
            colors = Imagery(source).colors(source.grid.rect, fitted(source.grid.shape, edge))
        colors = np.where(colors[..., 3:] > 0, colors[..., :3], np.array(EMPTY, np.uint8))
        labels = None if one.thumb is None or found.meaning is None else found.meaning.indices(*one.thumb)
        side = " and ".join(word for word, own in names.items() if one.name in own)
        detail = f"{one.grid.width} x {one.grid.height}, {one.grid.resolution_text}" + (f", {side}" if side else "")
        cells.append(Cell(one.name, detail, colors, labels, one.objects))
    many = len(found.files)
    draw_sheet(
        path,
        cells,
        title=part_of(len(cells), many, "scene") if len(cells) < many else counted(many, "scene"),
        classes=None if found.meaning is None else found.meaning.classes,
        shares=[f"{100 * one.share:.1f} %" for one in found.classes],
        edge=edge,
    )
