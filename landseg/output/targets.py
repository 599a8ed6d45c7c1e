"""The files that a run writes together, and the rules for files of these names that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landseg.geo.grid import Grid
from landseg.output.checks import check_absent, check_targets
from landseg.output.extra_folder import ExtraFolder
from landseg.output.layer import Layer


@dataclass(frozen=True)
class Targets:
    """The files that a run writes together.

    Attributes:
        layers: the rasters, the main one first, and scratch layers that become no file. The main one may be scratch:
            then the extra of its path is the main file.
        extras: further files, each with the files that belong to an older file of its name and are removed with it.
        inputs: files that the run reads and must not write.
        folders: folders that are made before the run writes.
        resume: continue the run whose work lies beside the main raster.
        overwrite: replace files that exist.
        can_resume: the command can continue a run, so the work of a stopped run is kept.
        extra_folders: those of `extras` that are folders.
    """

    layers: Sequence[Layer]
    extras: Mapping[Path, Sequence[Path]] = field(default_factory=dict)
    inputs: Sequence[Path] = ()
    folders: Sequence[Path] = ()
    resume: bool = False
    overwrite: bool = False
    can_resume: bool = True
    extra_folders: Mapping[Path, ExtraFolder] = field(default_factory=dict)

    @property
    def rasters(self) -> tuple[Layer, ...]:
        """The layers that become files."""
        return tuple(layer for layer in self.layers if not layer.scratch)

    @property
    def main(self) -> Path:
        """The path of the main file."""
        return self.layers[0].path

    @property
    def paths(self) -> tuple[Path, ...]:
        """The path of every file, the main one's first."""
        return tuple(dict.fromkeys((self.main, *(layer.path for layer in self.rasters), *self.extras)))

    def check(self) -> None:
        """Raise OutputError if a file cannot be written, or must not be."""
        extras = tuple(self.extras)
        check_targets(self.rasters, extras, self.inputs, folders=self.folders, extra_folders=self.extra_folders)

    def check_absent(self) -> None:
        """Raise OutputError if a file exists."""
        check_absent(self.rasters, tuple(self.extras))

    def identity(self, grid: Grid) -> dict[str, Any]:
        """Return the part of a run's signature that describes the files themselves, in JSON values."""
        described = {layer.name: layer.to_json() for layer in self.layers}
        return {"targets": [str(path.resolve()) for path in self.paths], "layers": described, "grid": grid.to_json()}
