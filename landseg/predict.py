"""The main use case: rasters in, land-cover maps out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landseg.errors import LandsegError, ModelError, OutputError
from landseg.geo.rasters.address import file_name, file_names, label
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Failure, Finished, Prediction, Predictions
from landseg.inference.run import LazyEngine, Run
from landseg.labels.pairing import named_twice
from landseg.models.named import NamedModel, named_model
from landseg.output.checks import files_behind, is_folder
from landseg.output.vector_formats import FORMATS
from landseg.runtime.disk import disk_errors
from landseg.runtime.target_checks import check_local

if TYPE_CHECKING:
    from landseg.classes import ClassMap
    from landseg.geo.rasters.source import Source
    from landseg.models.file import Model

__all__ = ["PredictOptions", "Prediction", "Predictions", "predict"]

_log = logging.getLogger(__name__)
File = str | PathLike[str]


def predict(
    sources: File | Sequence[File],
    output: File,
    *,
    model: File | Model | None = None,
    finished: Finished = lambda result, number, count: None,
    **options: Any,
) -> Prediction | Predictions:
    """A class raster of one raster, or of several as one mosaic, at `output`, with whatever else was asked for.

    With `stack`, several are one raster with the bands of all. Where `output` is a folder (it exists, or ends in "/")
    every source gets an output of its own there, named after it; a source that fails is reported in the result and
    the others go on. The files appear when they are complete, or not at all.

    Args:
        sources: anything GDAL opens, by its path, or datasets that rasterio has open for reading.
        output: a GeoTIFF, or a folder.
        model: a file, a shipped name or a loaded model; None is the shipped one.
        finished: called as each raster is, with its `Prediction` or `Failure`, its number and how many there are.
        **options: the fields of `PredictOptions`.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
        KeyboardInterrupt: stopped by hand; `resume=True` continues.
    """
    wanted = PredictOptions.of(**options)
    every, output = file_names(sources), file_name(output)
    if not every:
        raise OutputError("no raster given: name at least one")
    if not output:
        raise OutputError("the output has no name: expected OUT.tif, or a folder, DIR/")
    if not callable(finished):
        raise OutputError(f"finished {finished!r}: expected a function of a result, its number and their number")
    if wanted.stack and is_folder(output):
        raise OutputError(f"{output} is a folder, but --stack makes one raster of all sources: name OUT.tif")
    named = named_model(model)
    if not is_folder(output):
        _check_name(Path(output))
        engine = LazyEngine(named, wanted)
        made = Run(engine, every, Path(output), wanted, draw_preview=_draw_preview).result()
        finished(made, 1, 1)
        return made
    return _each(every, Path(output), named, wanted, finished)


def _check_name(output: Path) -> None:
    """Refuse a name that is no GeoTIFF's, with what may have been meant.

    Raises:
        OutputError: how to write it.
    """
    suffix = output.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return
    check_local(output)
    if not suffix:
        raise OutputError(f"-o {output}: write {output}.tif for one map, or {output}/ for a map of each in a folder")
    form = next((form for form in FORMATS if output.name.lower().endswith(form.suffixes)), None)
    stem = output.stem if form is None else form.stem(output)
    also = "--preview" if suffix == ".png" else "--polygons" if form is not None else None
    more = "" if also is None else f" {also} {output}"
    raise OutputError(f"-o {output}: the map is a GeoTIFF; write -o {output.with_name(stem)}.tif{more}")


def _each(
    sources: list[str], folder: Path, model: NamedModel, options: PredictOptions, finished: Finished
) -> Predictions:
    """One output a source; the model is prepared once."""
    stems = [Path(label(source)).stem for source in sources]
    twice = named_twice(stems)
    if twice is not None:
        raise OutputError(f"two sources are named {twice}: give each its own run, or rename one")
    for path in (folder, *options.folders()):
        check_local(path)
    per_source = [options.in_folder(stem) for stem in stems]
    folders = (folder, *options.folders())
    for path in () if options.dry_run else folders:
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
    engine = LazyEngine(model, options)
    inputs = tuple(files_behind(sources))
    done: list[Prediction] = []
    failures: dict[str, str] = {}
    for number, (source, stem, own) in enumerate(zip(sources, stems, per_source, strict=True), 1):
        at = f"{number}/{len(sources)}"
        name = f"{at} {Path(label(source)).name}"
        try:
            made = Run(engine, [source], folder / f"{stem}.tif", own, folders, inputs, name, _draw_preview).result()
        except ModelError:  # then it is wrong with every source
            raise
        except Exception as error:  # whatever is wrong with one source, the rest go on
            called = label(source)
            failures[called] = text = _sentence(error).replace(source, called)
            _log.error("%s %s", at, text if text.startswith(called) else f"{called}: {text}")
            _log.debug("%s: where it failed", called, exc_info=True)
            finished(Failure(called, text), number, len(sources))
        else:
            done.append(made)
            _log.info("%s %s", name, made.brief())
            finished(made, number, len(sources))
    return Predictions(tuple(done), failures)


def _draw_preview(source: Source, class_raster: Path, classes: ClassMap, out: Path) -> None:
    """Draw a preview; what draws is imported when a run asks for one."""
    from landseg.report.preview import preview

    preview(source, class_raster, classes, out)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory; lower --memory or --window, or close other programs"
    if isinstance(error, (LandsegError, OSError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
