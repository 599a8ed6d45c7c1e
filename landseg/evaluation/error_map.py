"""Rasters of the pixels where predictions are right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.errors import OutputError
from landseg.evaluation.counts import Labels
from landseg.evaluation.pair import Pair
from landseg.geo.grid import Rect
from landseg.labels.pairing import named_twice
from landseg.output.checks import is_folder
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.runtime.disk import disk_errors
from landseg.runtime.replacement import Part

WHERE = ClassMap((LandClass(1, "right", (171, 217, 171)), LandClass(2, "wrong", (178, 24, 43))))
"""0 is nodata: nobody knows."""


class ErrorMap:
    """A raster of the pixels where a pair's prediction is right and wrong; the file appears when it is complete.

    Raises:
        OutputError: the file exists, is an input, or cannot be written.
    """

    def __init__(self, path: Path, pair: Pair, *, overwrite: bool) -> None:
        self._region = pair.grid.rect if pair.aoi is None else pair.aoi.rect
        files = [Path(name) for one in (pair.prediction, pair.truth) for name in one.paths]
        layer = Layer.of_classes("errors", path, WHERE)
        targets = Targets([layer], inputs=files, overwrite=overwrite, can_resume=False)
        self._outputs = Outputs.begin(targets, pair.grid.crop(self._region), signature={"errors": path.name})

    def add(self, core: Rect, truth: Labels, predicted: Labels) -> None:
        """Put the pixels of a core: class indices (h, w) on either side."""
        right, wrong = WHERE.values
        values = np.where(truth == predicted, np.uint8(right), np.uint8(wrong))
        self._outputs.write("errors", core.relative_to(self._region), values, truth != IGNORE_INDEX)

    def built(self) -> list[Part]:
        """Write the COG; what is to be published."""
        return self._outputs.built()

    def published(self) -> None:
        """Remove what is left once the file is in place."""
        self._outputs.published()

    def __enter__(self) -> Self:
        self._outputs.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outputs.__exit__(kind, error, trace)


class ErrorMaps:
    """The error maps of several pairs: one file for one pair, or a folder with one file each, named as they are.

    They appear once everything is counted. A folder is made where there is none, and removed if it stays empty.

    Raises:
        OutputError: one file for several pairs, two pairs of one name, or as ErrorMap.
    """

    def __init__(self, path: str, pairs: Sequence[Pair], *, overwrite: bool) -> None:
        self._folder = Path(path) if is_folder(path) else None
        if self._folder is None and len(pairs) > 1:
            raise OutputError(f"--errors {path}: with several predictions this is a folder; write {path}/")
        stems = [Path(pair.prediction.paths[0]).stem for pair in pairs]
        twice = named_twice(stems)
        if twice is not None:
            raise OutputError(f"two predictions are named {twice}: evaluate them one by one, or rename one")
        self._paths = [Path(path)] if self._folder is None else [self._folder / f"{stem}.tif" for stem in stems]
        self._pairs, self._overwrite = pairs, overwrite
        self._stack, self._maps = ExitStack(), list[ErrorMap]()

    def add(self, number: int, core: Rect, truth: Labels, predicted: Labels) -> None:
        """Put the pixels of a core of one pair."""
        self._maps[number].add(core, truth, predicted)

    def built(self) -> list[Part]:
        """Write every file; what is to be published."""
        return [part for one in self._maps for part in one.built()]

    def published(self) -> None:
        """Remove what is left once the files are in place."""
        for one in self._maps:
            one.published()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._folder is not None and not self._folder.is_dir():
                with disk_errors(self._folder):
                    self._folder.mkdir()
                stack.callback(_remove_empty, self._folder)
            for path, pair in zip(self._paths, self._pairs, strict=True):
                self._maps.append(stack.enter_context(ErrorMap(path, pair, overwrite=self._overwrite)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds something
        folder.rmdir()
