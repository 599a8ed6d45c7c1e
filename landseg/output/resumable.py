"""A run that can be stopped and continued: skipped where it is finished, begun or continued otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landseg.geo.grid import Grid, Rect
from landseg.output.checks import check_finished
from landseg.output.outputs import Outputs
from landseg.output.provenance import refuse_changed
from landseg.output.targets import Targets


@dataclass(frozen=True)
class ResumableRun:
    """A run by its files and its signature.

    Attributes:
        targets: the files.
        signature: everything that decides about their bytes (source, model, options), in JSON values.
    """

    targets: Targets
    signature: Mapping[str, Any]

    def is_finished(self) -> bool:
        """Return True if the run is to be resumed and an earlier start of it has finished every file.

        Raises:
            OutputError: the main raster is finished, and another file is not there.
            ResumeError: the main raster is of another run, and must not be replaced.
        """
        targets = self.targets
        if not targets.resume:
            return False
        if Outputs.finished(targets.main, self.signature):
            check_finished(targets.paths)
            return True
        if not targets.overwrite:
            refuse_changed(targets.main, self.signature)
        return False

    def begin(self, grid: Grid, tags: Mapping[str, str], *, parts: Sequence[Rect] | None = None) -> Outputs:
        """Return the outputs on a grid, continued where the run is resumed; for the arguments see `Outputs.begin`."""
        return Outputs.begin(self.targets, grid, signature=self.signature, tags=tags, parts=parts)
