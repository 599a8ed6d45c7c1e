"""The figures of a run as files: nothing of its history is held in memory."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landseg.runtime.disk import disk_errors
from landseg.runtime.replacement import written

STEPS, VALIDATIONS = "log.csv", "validation.csv"
_COLUMNS = ("step", "seconds", "loss", "learning_rate", "gradient_norm")


class Record:
    """The files ``log.csv`` (a row a step), ``validation.csv`` and, for TensorBoard, ``tensorboard/``.

    A row is on disk when `step` returns. What was written after the step that a run goes on from is dropped: those
    steps will be made again.

    Args:
        folder: the run folder, which exists.
        step: the step to go on from; 0 starts new files.

    Raises:
        OutputError: a file cannot be written.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        with disk_errors(folder / STEPS):
            for name in (STEPS, VALIDATIONS):
                _cut(folder / name, step)
            self._steps = (folder / STEPS).open("a", newline="", encoding="utf-8")
            if self._steps.tell() == 0:
                csv.writer(self._steps).writerow(_COLUMNS)
            purge = step + 1 if step else None
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def step(self, row: Mapping[str, float]) -> None:
        """Write the figures of one step."""
        with disk_errors(self._folder / STEPS):
            csv.writer(self._steps).writerow([row[name] for name in _COLUMNS])
            self._steps.flush()
            self._show("training", row)

    def validation(self, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Write the figures of one validation; the first one's names are the columns."""
        path = self._folder / VALIDATIONS
        row = {"step": step, "seconds": seconds, **figures}
        with disk_errors(path):
            columns = _header(path) or list(row)
            fresh = not path.exists()
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, restval="nan", extrasaction="ignore")
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
            self._show("validation", row)

    def close(self) -> None:
        """Close the files."""
        self._steps.close()
        self._board.close()

    def _show(self, group: str, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name not in ("step", "seconds"):
                self._board.add_scalar(f"{group}/{name}", value, int(row["step"]))


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _cut(path: Path, step: int) -> None:
    """Drop the rows after ``step``, and a last line that was cut short; at 0 the whole file."""
    if not path.exists():
        return
    if step == 0:
        path.unlink()
        return
    with (
        written(path) as place,
        path.open(newline="", encoding="utf-8") as old,
        place.open("w", newline="", encoding="utf-8") as new,
    ):
        for index, line in enumerate(old):
            if index and not (line.endswith("\n") and int(float(line.split(",", 1)[0])) <= step):
                break
            new.write(line)
