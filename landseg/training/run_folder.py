"""The folder of a run beside its model: the recipe, checkpoints, figures, and maps of what was kept out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from landseg.runtime.disk import disk_errors
from landseg.training.recipe import Recipe

LAST, BEST = "last.pt", "best.pt"
_FILES = (LAST, BEST, "log.csv", "validation.csv", "curves.png", "samples.png")
_KEPT, _BASELINE = "kept", "baseline"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, ``<output stem>.run``.

    Attributes:
        path: of the folder.
        resume: whether the run goes on from the folder's checkpoint, if it has one.
    """

    path: Path
    resume: bool = False

    @property
    def recipe(self) -> Path:
        """Return the file of the resolved recipe."""
        return self.path / "train.toml"

    @property
    def kept(self) -> Path:
        """Return the folder of the class rasters of the scenes that were kept out."""
        return self.path / _KEPT

    @property
    def baseline(self) -> Path:
        """Return the folder of the pixel classifier's class rasters of the same scenes."""
        return self.path / _BASELINE

    def begin(self, recipe: Recipe) -> None:
        """Make the folder, with the recipe and nothing of an earlier run in it, unless that run is to go on.

        Raises:
            OutputError: it cannot be written.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        if not (self.resume and (self.path / LAST).exists()):
            clear(self.path)  # before the new recipe comes: no run may go on from the old checkpoint by it
            recipe.write(self.recipe)  # until a run is done, what goes on is the run that was started


def clear(folder: Path) -> None:
    """Remove the files of an earlier run, the checkpoint first: without it no run goes on from the rest.

    Raises:
        OutputError: a file cannot be removed.
    """
    with disk_errors(folder):
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        for name in ("tensorboard", _KEPT, _BASELINE):
            shutil.rmtree(folder / name, ignore_errors=True)
