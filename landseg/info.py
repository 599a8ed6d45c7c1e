"""`landseg info`: the facts about a raster, and whether a model can read it, or about a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from landseg.geo.rasters.address import File, file_name

if TYPE_CHECKING:
    from landseg.models.file import Model
    from landseg.report.description import Description

__all__ = ["describe"]


def describe(target: File, *, model: File | Model | None = None, stored_values: bool = False) -> Description:
    """Return the facts about a raster or a model; its "kind" says which of both it is.

    Args:
        target: a raster in any format that GDAL reads, a model file, or the name of a shipped model.
        model: the model that may read the raster: a model file, the name of a shipped model, or a loaded model; None
            takes the default model, except for class rasters, which no model reads.
        stored_values: the model takes the numbers that the raster stores, whatever scale and offset it declares.

    Raises:
        LandsegError: the raster or the model cannot be read.
    """
    from landseg.report.description import Description

    name = file_name(target)
    if _is_model(name):
        from landseg.models.facts import model_facts

        return Description(model_facts(name))
    from landseg.report.raster_facts import raster_facts

    return Description(raster_facts(name, model=model, stored_values=stored_values))


def _is_model(name: str) -> bool:
    """Return True for the name of a shipped model, and for a file with the suffix of a model or of a pickle.

    Rasters have some suffixes of pickles too, such as ENVI's .bin: a file that GDAL opens is a raster.
    """
    from landseg.models import header, shipped

    suffix = Path(name).suffix.lower()
    if name in shipped.names() or suffix == shipped.SUFFIX:
        return True
    if suffix not in header.PICKLE_SUFFIXES:
        return False
    from landseg.geo.rasters.raster import opens

    return not opens(name)
