"""The main use case: rasters in, land-cover maps out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landseg.disk import disk_errors
from landseg.errors import LandsegError, ModelError, OutputError
from landseg.geo.address import file_name, file_names, label
from landseg.geo.targets import files_behind
from landseg.models.named import NamedModel, named_model
from landseg.options import Options, is_folder
from landseg.outputs import check_local
from landseg.pairing import named_twice
from landseg.prediction import Prediction, Predictions
from landseg.run import Lazy, Run

if TYPE_CHECKING:
    from landseg.models.bundle import Model

__all__ = ["Options", "Prediction", "Predictions", "predict"]

_log = logging.getLogger(__name__)
File = str | PathLike[str]


def predict(
    sources: File | Sequence[File],
    output: File,
    *,
    model: File | Model | None = None,
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
        **options: the fields of `Options`.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
        KeyboardInterrupt: stopped by hand; `resume=True` continues.
    """
    wanted = Options.of(**options)
    every, output = file_names(sources), file_name(output)
    if not every:
        raise OutputError("no raster given: name at least one")
    if wanted.stack and is_folder(output):
        raise OutputError(f"{output} is a folder, but --stack makes one raster of all sources: name OUT.tif")
    named = named_model(model)
    if not is_folder(output):
        engine = Lazy(named, wanted)
        return Run(engine, every, Path(output), wanted).result()
    return _each(every, Path(output), named, wanted)


def _each(sources: list[str], folder: Path, model: NamedModel, options: Options) -> Predictions:
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
    engine = Lazy(model, options)
    inputs = tuple(files_behind(sources))
    done: list[Prediction] = []
    failures: dict[str, str] = {}
    for source, stem, own in zip(sources, stems, per_source, strict=True):
        try:
            done.append(Run(engine, [source], folder / f"{stem}.tif", own, folders, inputs).result())
        except ModelError:  # then it is wrong with every source
            raise
        except Exception as error:  # whatever is wrong with one source, the rest go on
            name = label(source)
            failures[name] = text = _sentence(error).replace(source, name)
            _log.error("%s", text if text.startswith(name) else f"{name}: {text}")
            _log.debug("%s: where it failed", name, exc_info=True)
    return Predictions(tuple(done), failures)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory; lower --memory or --window, or close other programs"
    if isinstance(error, (LandsegError, OSError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
