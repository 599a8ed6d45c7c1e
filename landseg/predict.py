"""`landseg predict`: land-cover maps of rasters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.errors import OutputError
from landseg.geo.rasters.address import File, Files, file_name, file_names

if TYPE_CHECKING:
    from landseg.classes import ClassMap
    from landseg.geo.rasters.source import Source
    from landseg.inference.options import PredictKeywords
    from landseg.inference.prediction import Finished, Prediction, Predictions
    from landseg.models.file import Model

__all__ = ["predict"]


def predict(
    sources: Files,
    output: File,
    *,
    model: File | Model | None = None,
    finished: Finished = lambda result, number, count: None,
    **options: Unpack[PredictKeywords],
) -> Prediction | Predictions:
    """Write the class raster of a raster, or of several as one mosaic, to `output`, with the files of the options.

    With `stack`, several rasters are read as one with the bands of all. Where `output` is a folder (it exists, or its
    name ends in "/") each source gets a map of its own there, named after it; a source that fails is reported in the
    result, and the others go on. The files appear when they are complete, or not at all.

    Args:
        sources: rasters in any format that GDAL reads, by path or address, or as datasets that rasterio has open for
            reading.
        output: a GeoTIFF, or a folder; with a model of things also the vector file of these alone.
        model: a model file, the name of a shipped model, or a loaded model; None takes the default model.
        finished: is called with the `Prediction` or `Failure` of each raster as soon as it is there, with its number
            from 1, and with the number of all.
        **options: the fields of `landseg.inference.options.PredictOptions`, by name.

    Raises:
        LandsegError: a raster, the model or an option cannot be used, or a file cannot be written.
        KeyboardInterrupt: the run was stopped by hand; `resume=True` continues it.
    """
    from landseg.dense.tasks import task_of
    from landseg.inference.batch import Batch
    from landseg.inference.options import PredictOptions
    from landseg.inference.products import check_map_name
    from landseg.inference.run import LazyEngine, Run
    from landseg.models.named import named_model
    from landseg.output.checks import is_folder

    wanted = PredictOptions.of(**options)
    every = file_names(sources)
    if not every:
        raise OutputError("no raster given: name at least one")
    if output == "":
        raise OutputError("the output has no name: expected OUT.tif, or a folder, DIR/")
    target = file_name(output)
    if not callable(finished):
        raise OutputError(f"finished {finished!r}: expected a function of a result, its number and their number")
    if wanted.stack and is_folder(target):
        raise OutputError(f"{target} is a folder, but --stack makes one raster of all sources: name OUT.tif")
    named = named_model(model)
    if is_folder(target):
        return Batch(every, Path(target), named, wanted, _draw_preview).result(finished)
    check_map_name(Path(target), task_of(named.card))
    made = Run(LazyEngine(named, wanted), every, Path(target), wanted, draw_preview=_draw_preview).result()
    finished(made, 1, 1)
    return made


def _draw_preview(source: Source, class_raster: Path, classes: ClassMap, out: Path, ids: Path | None) -> None:
    """Draw a preview; the module that draws is imported when a run asks for one."""
    from landseg.report.preview import preview

    preview(source, class_raster, classes, out, ids=ids)
