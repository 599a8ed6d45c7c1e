"""Several rasters predicted one by one into a folder; a raster that fails does not stop the others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from landseg.dense.tasks import task_of
from landseg.errors import LandsegError, ModelError, OutputError
from landseg.geo.rasters.address import label
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Failure, Finished, Prediction, Predictions
from landseg.inference.products import DrawPreview
from landseg.inference.run import LazyEngine, Run
from landseg.labels.pairing import named_twice
from landseg.models.named import NamedModel
from landseg.output.checks import files_behind
from landseg.runtime.disk import disk_errors
from landseg.runtime.target_checks import check_local

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Rasters with one map each; the model is prepared once.

    Attributes:
        sources: the addresses of the rasters.
        folder: the folder of the maps, which are named after the rasters.
        model: the model.
        options: of all runs; further files are folders too.
        draw_preview: draws a preview.
    """

    sources: list[str]
    folder: Path
    model: NamedModel
    options: PredictOptions
    draw_preview: DrawPreview

    def result(self, finished: Finished) -> Predictions:
        """Return the results of all runs, and pass each to `finished` as soon as it is there.

        Raises:
            OutputError: two rasters have one name, or a folder cannot be made.
            ModelError: the model cannot be used.
        """
        stems = [Path(label(source)).stem for source in self.sources]
        if (twice := named_twice(stems)) is not None:
            raise OutputError(f"two sources are named {twice}: give each its own run, or rename one")
        runs = self._runs(stems)
        done: list[Prediction] = []
        failures: dict[str, str] = {}
        for number, run in enumerate(runs, 1):
            source = run.sources[0]
            try:
                made = run.result()
            except ModelError:  # then it is wrong with every source
                raise
            except Exception as error:  # whatever is wrong with one source, the others go on
                called = label(source)
                failures[called] = text = _sentence(error).replace(source, called)
                at = f"{number}/{len(runs)}"
                _log.error("%s %s", at, text if text.startswith(called) else f"{called}: {text}")
                _log.debug("%s: where it failed", called, exc_info=True)
                finished(Failure(called, text), number, len(runs))
            else:
                done.append(made)
                _log.info("%s %s", run.name, made.brief())
                finished(made, number, len(runs))
        return Predictions(tuple(done), failures)

    def _runs(self, stems: list[str]) -> list[Run]:
        """Return a run for each source, once the folders are there."""
        folders = (self.folder, *self.options.folders())
        for path in folders:
            check_local(path)
        per_source = [self.options.in_folder(stem) for stem in stems]
        for path in () if self.options.dry_run else folders:
            with disk_errors(path):
                path.mkdir(parents=True, exist_ok=True)
        suffix = ".tif" if task_of(self.model.card).has_map else ".gpkg"
        engine, inputs, count = LazyEngine(self.model, self.options), tuple(files_behind(self.sources)), len(stems)
        return [
            Run(
                engine,
                [source],
                self.folder / f"{stem}{suffix}",
                options,
                folders=folders,
                others=inputs,
                name=f"{number}/{count} {Path(label(source)).name}",
                draw_preview=self.draw_preview,
            )
            for number, (source, stem, options) in enumerate(zip(self.sources, stems, per_source, strict=True), 1)
        ]


def _sentence(error: Exception) -> str:
    """Return the message of an error as one sentence; the class of an unexpected error goes before it."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory; lower --memory or --window, or close other programs"
    if isinstance(error, (LandsegError, OSError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
