"""The course of a run as a picture: loss, learning rate and validated figures by step."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.runtime.replacement import written
from landseg.training.loop.record import STEPS, VALIDATIONS

_POINTS = 1000  # of a curve: longer runs are averaged down to these
_LEGEND_ROWS = 14  # of a column of the legend beside the validation's panel

Rows = NDArray[np.float64]


def draw_curves(folder: Path, name: str = "curves.png") -> Path | None:
    """Draw what the run folder's CSV files hold, and return the picture; None where there is no step yet.

    Raises:
        OutputError: the picture cannot be written.
    """
    columns, rows = read_rows(folder / STEPS)
    if not len(rows):
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    named, validations = read_rows(folder / VALIDATIONS)
    figure = Figure(figsize=(9, 3 * (3 if len(validations) else 2)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3 if len(validations) else 2, 1, sharex=True)
    panels[0].plot(rows[:, 0], rows[:, columns.index("loss")], color="#3566a8", linewidth=1)
    panels[0].set_ylabel("loss")
    panels[1].plot(rows[:, 0], rows[:, columns.index("learning_rate")], color="#7a7a7a", linewidth=1)
    panels[1].set_ylabel("learning rate")
    if len(validations):
        _draw_validations(panels[2], named, validations)
    panels[-1].set_xlabel("step")
    for panel in panels:
        panel.grid(alpha=0.25)
    with written(folder / name) as place:
        figure.savefig(place, dpi=110)
    return folder / name


def _draw_validations(panel: Any, columns: Sequence[str], rows: Rows) -> None:
    """Draw every figure of the validations, the first (the headline) thicker, with a legend beside the panel."""
    from matplotlib import colormaps

    shown = [name for name in columns if name not in ("step", "seconds")]
    for number, name in enumerate(shown):
        panel.plot(
            rows[:, 0],
            rows[:, columns.index(name)],
            marker=".",
            linewidth=1 if number else 2,
            color=colormaps["tab20"](number % 20),
            linestyle=("-", "--", ":", "-.")[number // 20 % 4],
            label=name.replace("_", " "),
        )
    panel.set_ylabel("validation")
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    panel.legend(fontsize="x-small", ncols=-(-len(shown) // _LEGEND_ROWS), **beside)


def read_rows(path: Path, points: int = _POINTS) -> tuple[list[str], Rows]:
    """Return the columns of a CSV file of numbers and its rows, of long files averages of neighbours.

    The file is read twice and never held: memory does not grow with the run.
    """
    if not path.exists():
        return [], np.empty((0, 0))
    with path.open(newline="", encoding="utf-8") as file:
        columns, rows = next(csv.reader(file), []), sum(1 for _ in file)
    each = max(1, -(-rows // points))
    with path.open(newline="", encoding="utf-8") as file:
        next(file, None)
        made = list(_averages(csv.reader(file), each, len(columns)))
    return columns, np.array(made).reshape(-1, len(columns))


def _averages(rows: Iterator[list[str]], each: int, width: int) -> Iterator[Rows]:
    group: list[Rows] = []
    for row in rows:
        if len(row) != width:  # the last one, cut short by a kill
            continue
        group.append(np.array([float(value) for value in row]))
        if len(group) == each:
            yield np.mean(group, axis=0)
            group = []
    if group:
        yield np.mean(group, axis=0)
