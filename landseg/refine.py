"""`landseg refine`: class probabilities aligned with the edges of imagery, by a dense CRF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import File, Files, file_name, file_names

if TYPE_CHECKING:
    from landseg.crf.options import RefineKeywords, Refinement

__all__ = ["refine"]


def refine(probabilities: File, images: Files, output: File, **options: Unpack[RefineKeywords]) -> Refinement:
    """Write a class raster to `output` from probabilities that are aligned with the edges of imagery.

    A dense CRF brings pixels to agree that are near and look alike. Pixels without data stay without; pixels outside
    the imagery keep their probabilities. The files appear when they are complete, or not at all.

    Args:
        probabilities: a raster with one band for each class, as `predict(..., probs=FILE)` writes it.
        images: the imagery, or several images as one mosaic; imagery on another grid is read on that of the
            probabilities.
        output: a GeoTIFF.
        **options: the fields of `landseg.crf.options.RefineOptions`, by name.

    Raises:
        LandsegError: a raster or an option cannot be used, or a file cannot be written.
        KeyboardInterrupt: the run was stopped by hand; `resume=True` continues it.
    """
    from landseg.crf.options import RefineOptions
    from landseg.inference.refine_run import RefineRun

    wanted = RefineOptions.of(**options)
    return RefineRun(file_name(probabilities), file_names(images), Path(file_name(output)), wanted).result()
