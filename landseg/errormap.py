"""A raster of where a prediction is right and where it is wrong."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.comparison import Pair
from landseg.geo.grid import Rect
from landseg.geo.layer import Layer
from landseg.geo.sink import Outputs
from landseg.tally import Labels

WHERE = ClassMap((LandClass(1, "right", (171, 217, 171)), LandClass(2, "wrong", (178, 24, 43))))
"""0 is nodata: nobody knows."""


class ErrorMap:
    """Where a pair's prediction is right and wrong, over the area that counts; the file appears when it is complete.

    Raises:
        OutputError: the file exists, is an input, or cannot be written.
    """

    def __init__(self, path: Path, pair: Pair, *, overwrite: bool) -> None:
        self._region = pair.grid.rect if pair.aoi is None else pair.aoi.rect
        files = [Path(name) for one in (pair.prediction, pair.truth) for name in one.paths]
        self._outputs = Outputs.begin(
            [Layer.of_classes("errors", path, WHERE)],
            pair.grid.crop(self._region),
            signature={"errors": path.name},
            overwrite=overwrite,
            inputs=files,
        )

    def add(self, core: Rect, truth: Labels, predicted: Labels) -> None:
        """Put the pixels of a core: class indices (h, w) on either side."""
        right, wrong = WHERE.values
        values = np.where(truth == predicted, np.uint8(right), np.uint8(wrong))
        self._outputs.write("errors", core.relative_to(self._region), values, truth != IGNORE_INDEX)

    def finish(self) -> None:
        """Write the COG and rename it into place."""
        self._outputs.finish()

    def __enter__(self) -> Self:
        self._outputs.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outputs.__exit__(kind, error, trace)
